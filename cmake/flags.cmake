# Compiler and linker flags for every target of the project.
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
  -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough
  -fno-common -fno-omit-frame-pointer -fstack-protector-strong)
if(MEC_WERROR)
  add_compile_options(-Werror)
endif()
add_compile_definitions(_GNU_SOURCE MEC_VERSION="${PROJECT_VERSION}")

if(MEC_SANITIZE)
  add_compile_options(-fsanitize=${MEC_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MEC_SANITIZE})
  # Of the same package as ld; it links what sanitizers make in half the time. It warns of hundreds of symbols that clang
  # wants exported for AddressSanitizer and does not define.
  find_program(MEC_GOLD ld.gold)
  if(MEC_GOLD AND NOT (CMAKE_C_COMPILER_ID MATCHES "Clang" AND MEC_SANITIZE MATCHES "address"))
    add_link_options(-fuse-ld=gold)
  endif()
else()
  # glibc's fortified calls need optimisation and disturb the sanitizers' own interceptors.
  add_compile_definitions($<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
if(MEC_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "MEC_FUZZ needs clang, found ${CMAKE_C_COMPILER_ID}; install the Debian packages clang-14 and libclang-rt-14-dev and use the preset 'fuzz'")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
