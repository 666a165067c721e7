# Turns a file into C: cmake -DFILE=path -DNAME=name -DTO=dir -P embed.cmake
#
# Makes name.h and name.c in the folder: `const unsigned char hw_<name>[]`, the bytes as they
# are, and `const size_t hw_<name>_bytes`.

file(READ ${FILE} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n    " hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1, " bytes "${hex}")
string(REPLACE " \n" "\n" bytes "${bytes}")

get_filename_component(origin ${FILE} NAME)
string(TOUPPER ${NAME} guard)
set(note "/* Generated from proto/${origin}. */\n")
file(MAKE_DIRECTORY ${TO})
file(WRITE ${TO}/${NAME}.h
     "${note}#ifndef HW_${guard}_H\n#define HW_${guard}_H\n\n#include <stddef.h>\n\n"
     "extern const unsigned char hw_${NAME}[];\nextern const size_t hw_${NAME}_bytes;\n\n#endif\n")
file(WRITE ${TO}/${NAME}.c
     "${note}#include \"${NAME}.h\"\n\nconst unsigned char hw_${NAME}[] = {\n    ${bytes}\n};\n"
     "const size_t hw_${NAME}_bytes = sizeof hw_${NAME};\n")
