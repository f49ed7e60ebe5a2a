# What `cmake --install` puts where, for users of pkg-config and of find_package(clnet CONFIG). All of it is relative to
# the prefix, so that the installed tree can be moved.
include(CMakePackageConfigHelpers)
include(${CMAKE_CURRENT_LIST_DIR}/generate.cmake)

set_target_properties(cltrain clbench PROPERTIES INSTALL_RPATH "\$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
install(TARGETS clnet EXPORT clnet)
install(TARGETS cltrain clbench)
install(DIRECTORY include/clnet TYPE INCLUDE)
install(FILES LICENSE README.md CHANGELOG.md TYPE DOC)
generate_documents(cltrain)
generate_documents(clbench)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/clnet)
install(EXPORT clnet NAMESPACE clnet:: FILE clnet-targets.cmake DESTINATION ${package_dir})
configure_package_config_file(cmake/clnet-config.cmake.in clnet-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(clnet-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/clnet-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/clnet-config-version.cmake
  DESTINATION ${package_dir})

# From the folder of clnet.pc to the prefix.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE CLNET_PC_PREFIX)
configure_file(cmake/clnet.pc.in clnet.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/clnet.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
