# compile_protos(<output list> <folder> <files...>)
#
# Makes, at build time, <name>.pb-c.c and <name>.pb-c.h in <folder> from each .proto among <files>, by protobuf-c's
# compiler, and sets <output list> to the C files. They are included as <name.pb-c.h>, with <folder> in the include path.

find_program(PROTOC_C NAMES protoc-c REQUIRED)

function(compile_protos output folder)
  file(MAKE_DIRECTORY "${folder}")
  foreach(proto IN LISTS ARGN)
    get_filename_component(name "${proto}" NAME_WE)
    get_filename_component(from "${proto}" DIRECTORY)
    set(made "${folder}/${name}.pb-c.c" "${folder}/${name}.pb-c.h")
    add_custom_command(
      OUTPUT ${made}
      COMMAND "${PROTOC_C}" "--c_out=${folder}" "--proto_path=${from}" "${proto}"
      DEPENDS "${proto}"
      COMMENT "Compiling ${name}.proto"
      VERBATIM)
    # Made code: not ours to change, so no warnings.
    set_source_files_properties(${made} PROPERTIES COMPILE_OPTIONS "-w")
    list(APPEND all ${made})
  endforeach()
  set(${output} ${all} PARENT_SCOPE)
endfunction()
