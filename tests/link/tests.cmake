# Programs linked with compiled models; ctest -L link. Left out with sanitizers: these programs are linked by hand.
if(CNNC_COMPILER AND NOT CNNC_SANITIZE)
  foreach(case languages baseline train budget steps bits recompute accumulate symbols threads two pools plugin nomalloc swap frozen cpu affinity quota
    reproducible)
    add_test(NAME link_${case} COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/link/link_test.py ${case})
    set_tests_properties(link_${case} PROPERTIES LABELS link TIMEOUT 400 SKIP_RETURN_CODE 77
      ENVIRONMENT "CNNC=$<TARGET_FILE:cnnc>;CNNRT=$<TARGET_FILE:cnnrt>;PYTHONDONTWRITEBYTECODE=1")
  endforeach()
endif()
