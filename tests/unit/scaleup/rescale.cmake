mec_unit_test(test_rescale SOURCES rescale_kit.c ../common/test_dir.c LIBS scale_rescale)
mec_unit_test(test_rescale_core LIBS scale_rescale)
mec_unit_test(test_rescale_tls SOURCES rescale_kit.c ../common/test_dir.c LIBS scale_rescale test_pki)
