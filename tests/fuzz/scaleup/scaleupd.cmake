mec_fuzz_target(vnf_line LIBS scaleupd_lib)
