# Asks a test program for its cases and writes one add_test for each:
#   cmake -DPROGRAM=... -DNAME=... -DLIST=file -DTIMEOUT=seconds -P discover.cmake

execute_process(COMMAND ${PROGRAM} --list OUTPUT_VARIABLE cases RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} --list: ${result}")
endif()
string(STRIP "${cases}" cases)
string(REPLACE "\n" ";" cases "${cases}")
set(text "")
foreach(case IN LISTS cases)
  string(APPEND text "add_test([=[${NAME}.${case}]=] [=[${PROGRAM}]=] [=[${case}]=])\n"
    "set_tests_properties([=[${NAME}.${case}]=] PROPERTIES TIMEOUT ${TIMEOUT})\n")
endforeach()
file(WRITE ${LIST} "${text}")
