# What cnnc says about damaged input, and that docs/diagnostics.md and the schemas tell the truth.
if(CNNC_COMPILER)
  add_test(NAME diagnostics COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/diagnostics/run.py $<TARGET_FILE:cnnc>)
  set_tests_properties(diagnostics PROPERTIES TIMEOUT 300)
  add_test(NAME recipes COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/diagnostics/recipe_test.py $<TARGET_FILE:cnnc>)
  add_test(NAME schema COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/diagnostics/schema.py)
  set_tests_properties(schema PROPERTIES SKIP_RETURN_CODE 77)
endif()
