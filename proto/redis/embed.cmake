# Turns Lua scripts into C: cmake -DSCRIPTS=a,b -DFROM=dir -DTO=dir -P embed.cmake
#
# The bytes go in as they are; the SHA1 is that of the text, which is what Redis answers
# to SCRIPT LOAD.  A script that says in a line of its own "-- Behind x.lua." has the text of
# x.lua in front, which may say so of another in its turn.

string(REPLACE "," ";" SCRIPTS "${SCRIPTS}")

set(header "/* Generated from proto/redis/scripts. */\n")
string(APPEND header "#ifndef HW_REDIS_SCRIPTS_H\n#define HW_REDIS_SCRIPTS_H\n\n")
string(APPEND header "#include \"redis/command.h\"\n\n")
set(source "/* Generated from proto/redis/scripts. */\n#include \"redis/scripts.h\"\n")
set(all "")

foreach(name IN LISTS SCRIPTS)
  set(file ${FROM}/${name}.lua)
  file(READ ${file} text)
  set(first "${text}")
  while(first MATCHES "\n-- Behind ([a-z_]+)\\.lua\\.\n")
    file(READ ${FROM}/${CMAKE_MATCH_1}.lua first)
    string(PREPEND text "${first}")
    set(file ${TO}/${name}.lua)
    file(WRITE ${file} "${text}")
  endwhile()
  file(READ ${file} hex HEX)
  file(SHA1 ${file} sha1)
  string(REGEX REPLACE "(................................)" "\\1\n    " hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1, " bytes "${hex}")
  string(REPLACE " \n" "\n" bytes "${bytes}")
  string(APPEND header "extern const struct hw_script hw_script_${name};\n")
  string(APPEND source "\nstatic const char text_${name}[] = {\n    ${bytes}0x00\n};\n"
                       "const struct hw_script hw_script_${name} = {\n"
                       "    \"${name}\", text_${name}, \"${sha1}\"\n};\n")
  string(APPEND all "    &hw_script_${name},\n")
endforeach()

string(APPEND header "\n/* All of them, then NULL: for SCRIPT LOAD after a connect. */\n"
                     "extern const struct hw_script *const hw_scripts[];\n\n#endif\n")
string(APPEND source "\nconst struct hw_script *const hw_scripts[] = {\n${all}    0\n};\n")

file(MAKE_DIRECTORY ${TO})
file(WRITE ${TO}/scripts.h "${header}")
file(WRITE ${TO}/scripts.c "${source}")
