# generate_documents(<program>): manual page and shell completions from the program's own option tables, in
# <build>/share, and their installation. Not where the program cannot run: in a cross build without an emulator.

function(generate_document program kind name destination)
  set(file ${CMAKE_BINARY_DIR}/share/${kind}/${name})
  add_custom_command(OUTPUT ${file}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/share/${kind}
    COMMAND $<TARGET_FILE:${program}> --generate ${kind} > ${file}.tmp
    COMMAND ${CMAKE_COMMAND} -E rename ${file}.tmp ${file}
    DEPENDS ${program} VERBATIM)
  add_custom_target(${program}_${kind} ALL DEPENDS ${file})
  install(FILES ${file} DESTINATION ${destination})
endfunction()

function(generate_documents program)
  if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    message(STATUS "no manual page and completions of ${program}: it cannot run here")
    return()
  endif()
  generate_document(${program} man ${program}.1 ${CMAKE_INSTALL_MANDIR}/man1)
  generate_document(${program} bash ${program} ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  generate_document(${program} zsh _${program} ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  generate_document(${program} fish ${program}.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endfunction()
