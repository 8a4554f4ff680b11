mec_unit_test(test_message LIBS scale_message)
