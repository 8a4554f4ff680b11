foreach(test limits limits_changes)
  mec_unit_test(test_${test} SOURCES limits_kit.c ${CMAKE_SOURCE_DIR}/tests/unit/common/test_dir.c LIBS scale_limits)
endforeach()
mec_unit_test(test_limits_parse LIBS scale_limits)
