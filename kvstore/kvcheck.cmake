# kvcheck, a program of its own: its parts are a library so that tests can call them.
mec_library(kvcheck_lib
  SOURCES
    kvcheck_begin.c
    kvcheck_keys.c
    kvcheck_records.c
    kvcheck_repair.c
    kvcheck_report.c
    kvcheck_snapshot.c
  LIBS common kvstore PkgConfig::JANSSON)
mec_program(kvcheck SOURCES kvcheck.c LIBS kvcheck_lib)
