mec_fuzz_target(qmp LIBS scale_backend)
