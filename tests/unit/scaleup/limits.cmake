mec_unit_test(test_limits SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/common/test_dir.c LIBS scale_limits)
target_include_directories(test_limits PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit/common)
