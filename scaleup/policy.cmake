mec_library(scale_policy
  SOURCES policy.c policy_config.c policy_load.c policy_need.c policy_pressure.c
  LIBS m)
