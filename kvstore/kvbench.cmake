# The benchmark: a library that asks any store behind a table of functions, and the program for this one. The peers
# in tests/bench/store use the same library.
mec_library(kvbench_lib
  SOURCES
    kvbench_async.c
    kvbench_clock.c
    kvbench_main.c
    kvbench_options.c
    kvbench_phase.c
    kvbench_report.c
    kvbench_run.c
    kvbench_worker.c
  LIBS common kvstore PkgConfig::JANSSON m)
mec_program(kvbench SOURCES kvbench.c LIBS kvbench_lib kvstore)
