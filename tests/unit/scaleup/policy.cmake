mec_unit_test(test_policy LIBS scale_policy m)
