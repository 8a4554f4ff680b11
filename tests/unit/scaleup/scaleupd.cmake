foreach(module access session)
  mec_unit_test(test_scaleupd_${module} LIBS scaleupd_front)
endforeach()
