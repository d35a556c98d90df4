# Applications built against an installed copy; ctest -L package.
if(CNNC_COMPILER AND NOT CNNC_SANITIZE AND EXISTS /usr/bin/python3)
  foreach(case cmake components subdirectory pkg_config deb)
    add_test(NAME package_${case} COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/package_test.py ${case} ${CMAKE_BINARY_DIR})
    set_tests_properties(package_${case} PROPERTIES LABELS package TIMEOUT 300)
  endforeach()
endif()
