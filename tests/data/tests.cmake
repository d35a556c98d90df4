# Transforms against torchvision, and decoders against Pillow (Debian's packages).
if(CNNC_COMPILER AND EXISTS /usr/bin/python3)
  add_executable(data_apply data/apply.c)
  target_link_libraries(data_apply PRIVATE cnnrt-data)
  foreach(script transforms pictures)
    add_test(NAME data_${script} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/data/${script}.py)
    set_tests_properties(data_${script} PROPERTIES LABELS torch TIMEOUT 400
      ENVIRONMENT "APPLY=$<TARGET_FILE:data_apply>;OMP_NUM_THREADS=1;PYTHONDONTWRITEBYTECODE=1")
  endforeach()
endif()
