# Objects for other machines under qemu-user; ctest -L machines. run.sh beside this is started by hand.
if(CNNC_COMPILER AND NOT CNNC_SANITIZE AND EXISTS /usr/bin/python3)
  foreach(case levels aarch64 dispatch)
    add_test(NAME machines_${case} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/emulate/machines.py ${case})
    set_tests_properties(machines_${case} PROPERTIES LABELS machines TIMEOUT 400 SKIP_RETURN_CODE 77
      ENVIRONMENT "CNNC=$<TARGET_FILE:cnnc>;CNNRT=$<TARGET_FILE:cnnrt>;OMP_NUM_THREADS=1;PYTHONDONTWRITEBYTECODE=1")
  endforeach()
endif()
