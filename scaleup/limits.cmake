mec_library(scale_limits
  SOURCES limits.c limits_file.c limits_group.c limits_parse.c pressure.c
  LIBS common)
