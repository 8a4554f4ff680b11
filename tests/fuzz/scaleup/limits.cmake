mec_fuzz_target(limits LIBS scale_limits)
