# cnnc train from outside: stopping, killing, resuming, damaged and unfitting input, what it prints.
if(CNNC_COMPILER)
  foreach(case Resume Kill Output Data Options Evaluate Refusals)
    add_test(NAME train_${case} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/train_test.py $<TARGET_FILE:cnnc> ${case})
    set_tests_properties(train_${case} PROPERTIES TIMEOUT 600)
  endforeach()
endif()
