mec_unit_test(test_policy LIBS scale_policy m)
mec_unit_test(test_policy_any LIBS scale_policy m)
