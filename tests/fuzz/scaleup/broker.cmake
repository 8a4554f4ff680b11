mec_fuzz_target(scale_book LIBS scale_book scale_broker)
