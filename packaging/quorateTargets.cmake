# quorate::shared, quorate::static, and quorate::quorate for the one that BUILD_SHARED_LIBS chooses. Whoever includes
# this says where: _quorate_include, _quorate_libraries, _quorate_version.
if(NOT TARGET quorate::shared)
    string(REGEX MATCH "^[0-9]+" _quorate_major "${_quorate_version}")
    add_library(quorate::shared SHARED IMPORTED GLOBAL)
    set_target_properties(quorate::shared PROPERTIES
        IMPORTED_LOCATION "${_quorate_libraries}/libquorate.so.${_quorate_version}"
        IMPORTED_SONAME "libquorate.so.${_quorate_major}"
        INTERFACE_INCLUDE_DIRECTORIES "${_quorate_include}")
    add_library(quorate::static STATIC IMPORTED GLOBAL)
    set_target_properties(quorate::static PROPERTIES
        IMPORTED_LOCATION "${_quorate_libraries}/libquorate.a"
        INTERFACE_LINK_LIBRARIES "pthread;m;dl"
        INTERFACE_INCLUDE_DIRECTORIES "${_quorate_include}")
    if(BUILD_SHARED_LIBS)
        add_library(quorate::quorate ALIAS quorate::shared)
    else()
        add_library(quorate::quorate ALIAS quorate::static)
    endif()
    unset(_quorate_major)
endif()
unset(_quorate_include)
unset(_quorate_libraries)
unset(_quorate_version)
