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
# The loader's threads under the thread sanitizer, which goes with no other: the library is compiled anew, and what it
# needs is linked by its own target.
if(NOT CNNC_SANITIZE)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/runtime/cnnrt-data/*.c)
  add_executable(data_threads data/threads.c ${sources})
  target_compile_options(data_threads PRIVATE -fsanitize=thread -g)
  target_link_options(data_threads PRIVATE -fsanitize=thread)
  target_link_libraries(data_threads PRIVATE cnnrt-data)
  add_test(NAME data_threads COMMAND data_threads)
  set_tests_properties(data_threads PROPERTIES TIMEOUT 120)
endif()
