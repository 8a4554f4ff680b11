foreach(module scaler_core scaler_limits)
  mec_unit_test(test_${module} SOURCES scaler_kit.c scaler_kit_policy.c LIBS scale_scaler)
endforeach()
