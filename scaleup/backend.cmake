# What makes a grant real: control groups, QEMU, or nothing.
mec_library(scale_backend
  SOURCES
    backend.c
    backend_cgroup.c cgroup_change.c cgroup_files.c
    backend_simulated.c
  LIBS common PkgConfig::EVENT PkgConfig::JANSSON)
