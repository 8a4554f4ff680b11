# The controller. What reads lines and decides who may links no broker and no back-end.
mec_library(scaleupd_front
  SOURCES scaleupd_access.c scaleupd_server.c scaleupd_session.c
  LIBS scale_message common PkgConfig::EVENT PkgConfig::EVENT_OPENSSL PkgConfig::OPENSSL_SSL PkgConfig::OPENSSL_CRYPTO)
mec_library(scaleupd_lib
  SOURCES
    scaleupd_admin.c scaleupd_daemon.c scaleupd_metrics.c scaleupd_options.c scaleupd_roster.c scaleupd_vnfs.c
  LIBS scaleupd_front scale_broker scale_book scale_backend PkgConfig::JANSSON PkgConfig::EVENT_PTHREADS)
mec_program(scaleupd SOURCES scaleupd_main.c LIBS scaleupd_lib)
