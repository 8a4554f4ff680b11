# mec_library(NAME SOURCES... [LIBS ...]): a static library; headers are included as "folder/file.h".
# mec_program(NAME SOURCES... [LIBS ...]): a program in <build>/bin.
# mec_unit_test(NAME [SOURCES ...] [LIBS ...]): tests/unit/<area>/NAME.c, a cmocka program, registered with ctest as
#   unit.NAME. SOURCES: kits, which several tests have in common.
# mec_fuzz_target(NAME [SOURCES ...] [LIBS ...]): fuzz_NAME.c in the current folder, corpus in corpus/NAME. With
#   MEC_FUZZ a libFuzzer program; otherwise a program that replays its corpus, registered with ctest as corpus.NAME.
# mec_one_thread(NAME ...): the unit tests test_NAME start no thread: ThreadSanitizer has nothing to say about them, and
#   with it they are neither built nor run. Whoever gives such a test a thread takes it off the list.
# mec_long(NAME ...): ctest starts these tests first, the longest of them in front: no long one is left over for one
#   processor at the end. It knows by itself what took long, but not in a new folder.
# mec_kits(RESULT SOURCES ... [LIBS ...]): the objects of sources that several programs have in common.
# mec_embed(RESULT TABLE table HEADER header FILES path=type=file ...): a C file, made at build time, that defines
#   `const struct admin_file table[]` (common/admin.h) with the bytes of the files. header declares it.
function(mec_embed result)
  cmake_parse_arguments(A "" "TABLE;HEADER" "FILES" ${ARGN})
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${A_TABLE}.c)
  set(entries "")
  set(sources "")
  foreach(entry ${A_FILES})
    string(REGEX MATCH "^(.*)=([^=]*)$" matched "${entry}")
    list(APPEND sources ${CMAKE_CURRENT_SOURCE_DIR}/${CMAKE_MATCH_2})
    list(APPEND entries "${CMAKE_MATCH_1}=${CMAKE_CURRENT_SOURCE_DIR}/${CMAKE_MATCH_2}")
  endforeach()
  list(JOIN entries "|" entries)
  add_custom_command(OUTPUT ${out} DEPENDS ${sources} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DTABLE=${A_TABLE} -DHEADER=${A_HEADER} -DFILES=${entries} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
  set(${result} ${out} PARENT_SCOPE)
endfunction()

function(mec_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${A_LIBS} Threads::Threads)
endfunction()

function(mec_program name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${A_LIBS} Threads::Threads)
endfunction()

# A kit is compiled once for all that use it with the same libraries, instead of once for each: half of the compiling
# of the tests was that.
function(mec_kits result)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  list(FILTER A_LIBS EXCLUDE REGEX "^(-.*|m)$") # what only a linker reads
  list(SORT A_LIBS)
  set(objects "")
  foreach(source ${A_SOURCES})
    cmake_path(ABSOLUTE_PATH source NORMALIZE)
    string(MD5 use "${source} ${A_LIBS}")
    string(SUBSTRING ${use} 0 8 use)
    cmake_path(GET source STEM name)
    set(kit kit_${name}_${use})
    if(NOT TARGET ${kit})
      add_library(${kit} OBJECT ${source})
      target_include_directories(${kit} PRIVATE ${CMAKE_SOURCE_DIR})
      target_link_libraries(${kit} PRIVATE ${A_LIBS} PkgConfig::CMOCKA Threads::Threads)
    endif()
    list(APPEND objects $<TARGET_OBJECTS:${kit}>)
  endforeach()
  set(${result} ${objects} PARENT_SCOPE)
endfunction()

function(mec_unit_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 900)
  endif()
  mec_kits(kits SOURCES ${A_SOURCES} LIBS ${A_LIBS})
  add_executable(${name} ${name}.c ${kits})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${A_LIBS} PkgConfig::CMOCKA Threads::Threads)
  add_test(NAME unit.${name} COMMAND ${name})
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT ${A_TIMEOUT})
endfunction()

function(mec_one_thread)
  foreach(name ${ARGN})
    if(NOT TEST unit.test_${name})
      message(FATAL_ERROR "mec_one_thread: found '${name}', expected a unit test of this folder without its 'test_'")
    endif()
    if(MEC_SANITIZE STREQUAL "thread")
      set_target_properties(test_${name} PROPERTIES EXCLUDE_FROM_ALL TRUE)
      set_tests_properties(unit.test_${name} PROPERTIES LABELS one-thread)
    endif()
  endforeach()
endfunction()

function(mec_long)
  list(LENGTH ARGN cost)
  foreach(test ${ARGN})
    set_tests_properties(${test} PROPERTIES COST ${cost})
    math(EXPR cost "${cost} - 1")
  endforeach()
endfunction()

function(mec_fuzz_target name)
  cmake_parse_arguments(A "" "" "LIBS;SOURCES" ${ARGN})
  set(corpus ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
  mec_kits(kits SOURCES ${A_SOURCES} LIBS ${A_LIBS})
  if(MEC_FUZZ)
    add_executable(fuzz_${name} fuzz_${name}.c ${kits})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    mec_kits(replay SOURCES ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
    add_executable(fuzz_${name} fuzz_${name}.c ${kits} ${replay})
    add_test(NAME corpus.${name} COMMAND fuzz_${name} ${corpus})
    set_tests_properties(corpus.${name} PROPERTIES LABELS corpus TIMEOUT 600)
  endif()
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(fuzz_${name} PRIVATE ${A_LIBS} Threads::Threads)
endfunction()
