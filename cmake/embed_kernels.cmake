# embed_kernels(<output.c> <files...>)
#
# Makes, at build time, a C file with the text of the OpenCL sources: one { name, text } entry for each .cl among
# <files>, in alphabetical order, ended by { NULL, NULL }. A line `#include "x.clh"` is replaced by that file's text, the
# first time it is met in a .cl; later ones become empty lines. The names included must be among <files> too, so
# that a change to any of them makes the output anew.
#
# The same file is the build step: run as a script (cmake -DLIST=... -DOUTPUT=... -P), it reads the paths from LIST,
# one a line, and writes OUTPUT.

if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(EMBED_KERNELS_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

  function(embed_kernels output)
    list(SORT ARGN)
    string(REPLACE ";" "\n" paths "${ARGN}")
    # A list in a file, not on the command line: no limit of length, no quoting of paths. It is written only when it
    # changes, so that a removed kernel makes the output anew and a mere reconfiguration does not.
    set(list "${output}.list")
    file(GENERATE OUTPUT "${list}" CONTENT "${paths}\n")
    add_custom_command(
      OUTPUT "${output}"
      COMMAND ${CMAKE_COMMAND} "-DLIST=${list}" "-DOUTPUT=${output}" -P "${EMBED_KERNELS_SCRIPT}"
      DEPENDS ${ARGN} "${list}" "${EMBED_KERNELS_SCRIPT}"
      COMMENT "Embedding the OpenCL kernels"
      VERBATIM)
  endfunction()

  return()
endif()

cmake_minimum_required(VERSION 3.20)

# Texts are handled as one string each, always quoted and never as a list: semicolons, brackets and backslashes in the
# kernels then mean nothing to CMake.

# The text of `path` into `out`, with the files it includes in place. `EMBEDDED` remembers those already there.
function(read_kernel path out)
  file(READ "${path}" text)
  string(REPLACE "\r\n" "\n" text "${text}")
  get_filename_component(folder "${path}" DIRECTORY)
  set(result "")
  # The newline in front makes the first line like every other; it is taken off again below.
  set(text "\n${text}")
  while(text MATCHES "\n[ \t]*#[ \t]*include[ \t]*\"([^\"\n]*)\"[^\n]*")
    set(line "${CMAKE_MATCH_0}")
    set(included "${folder}/${CMAKE_MATCH_1}")
    string(FIND "${text}" "${line}" start)
    string(LENGTH "${line}" length)
    math(EXPR rest "${start} + ${length}")
    string(SUBSTRING "${text}" 0 ${start} before)
    string(SUBSTRING "${text}" ${rest} -1 text)
    string(APPEND result "${before}\n")

    if(NOT included IN_LIST PATHS)
      message(FATAL_ERROR "${path} includes ${CMAKE_MATCH_1}, which is not among the embedded files of ${folder}")
    endif()
    if(NOT included IN_LIST EMBEDDED)
      list(APPEND EMBEDDED "${included}")
      read_kernel("${included}" inner)
      string(REGEX REPLACE "\n$" "" inner "${inner}")
      string(APPEND result "${inner}")
    endif()
  endwhile()
  string(APPEND result "${text}")
  string(SUBSTRING "${result}" 1 -1 result)
  set(${out} "${result}" PARENT_SCOPE)
  set(EMBEDDED "${EMBEDDED}" PARENT_SCOPE)
endfunction()

# `text` as C string literals, one a line of the text, into `out`.
function(quote_text text out)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "?" "\\?" text "${text}") # no trigraphs
  string(REPLACE "\r" "\\r" text "${text}")
  string(REPLACE "\n" "\\n\"\n     \"" text "${text}")
  set(${out} "\"${text}\"" PARENT_SCOPE)
endfunction()

file(STRINGS "${LIST}" PATHS ENCODING UTF-8)
set(code "/* Made by cmake/embed_kernels.cmake from the OpenCL sources: edit those. */
#include <stddef.h>

#if defined(__GNUC__)
#pragma GCC diagnostic ignored \"-Woverlength-strings\"
#endif

typedef struct cln__kernel_source {
    const char *name;
    const char *text;
} cln__kernel_source;
extern const cln__kernel_source cln__kernel_sources[];

const cln__kernel_source cln__kernel_sources[] = {
")
foreach(path IN LISTS PATHS)
  if(NOT path MATCHES "\\.cl$")
    continue()
  endif()
  get_filename_component(name "${path}" NAME_WLE)
  set(EMBEDDED "")
  read_kernel("${path}" text)
  quote_text("${text}" literal)
  string(APPEND code "    {\"${name}\",\n     ${literal}},\n")
endforeach()
string(APPEND code "    {NULL, NULL},\n};\n")
file(WRITE "${OUTPUT}" "${code}")
