set(backend_kit backend_kit.c ${CMAKE_SOURCE_DIR}/tests/unit/common/test_dir.c)
mec_unit_test(test_backend_simulated SOURCES ${backend_kit} LIBS scale_backend)
mec_unit_test(test_backend_cgroup SOURCES ${backend_kit} LIBS scale_backend)
mec_unit_test(test_backend_cgroup_real SOURCES ${backend_kit} LIBS scale_backend)
