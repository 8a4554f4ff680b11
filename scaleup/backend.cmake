# What makes a grant real: control groups, QEMU, or nothing.
mec_library(scale_backend
  SOURCES
    backend.c backend_mailbox.c
    backend_cgroup.c cgroup_change.c cgroup_files.c
    backend_simulated.c
    backend_qmp.c backend_qmp_dimm.c backend_qmp_mem.c qmp.c qmp_message.c
  LIBS common PkgConfig::EVENT PkgConfig::JANSSON)
