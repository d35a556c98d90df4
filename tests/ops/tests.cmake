# Random layers and chains against PyTorch and the evaluator; tests/ops/sweep.py takes seeds for a longer run.
if(CNNC_COMPILER AND NOT CNNC_SANITIZE AND EXISTS /usr/bin/python3)
  add_test(NAME ops_sweep COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/ops/sweep.py 1)
  set_tests_properties(ops_sweep PROPERTIES LABELS torch TIMEOUT 400
    ENVIRONMENT "CNNC=$<TARGET_FILE:cnnc>;CNNRT=$<TARGET_FILE:cnnrt>;OMP_NUM_THREADS=1;PYTHONDONTWRITEBYTECODE=1")
endif()
# Chains of layouts, with blocks and borders, and graphs of what moves and joins elements.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
if(CNNC_COMPILER)
  add_test(NAME ops_layouts COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/layouts.py $<TARGET_FILE:cnnc> 1 120)
  set_tests_properties(ops_layouts PROPERTIES TIMEOUT 400)
endif()
