# Which room may include what; and that the script notices when one does not.
add_test(NAME rooms COMMAND ${CMAKE_SOURCE_DIR}/tests/rooms.sh ${CMAKE_SOURCE_DIR})
add_test(NAME rooms_notices COMMAND ${CMAKE_SOURCE_DIR}/tests/rooms.sh ${CMAKE_SOURCE_DIR}/tests/rooms/broken)
set_tests_properties(rooms_notices PROPERTIES WILL_FAIL TRUE)
