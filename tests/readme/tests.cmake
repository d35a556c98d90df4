# The README's twenty lines; the demo itself is run by hand, and by whoever clones.
if(CNNC_COMPILER AND NOT CNNC_SANITIZE AND EXISTS /usr/bin/python3)
  add_test(NAME readme COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/readme/readme_test.py ${CMAKE_BINARY_DIR})
  set_tests_properties(readme PROPERTIES LABELS torch TIMEOUT 200)
endif()
