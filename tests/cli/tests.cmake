# The command line, driven from outside.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
if(CNNC_COMPILER)
  add_test(NAME cli COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/cli_test.py $<TARGET_FILE:cnnc>)
  set_tests_properties(cli PROPERTIES TIMEOUT 600)
endif()
