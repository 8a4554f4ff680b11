mec_unit_test(test_rescale SOURCES rescale_kit.c ../common/test_dir.c LIBS scale_rescale)
