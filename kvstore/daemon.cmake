# A store that follows load and limits; the daemon `kvstore`. Its parts are a library so that tests can call them; the engine's target has the program's name already.
mec_library(kvstore_elastic
  SOURCES kvstore_elastic.c
  LIBS kvstore scale_scaler)
mec_library(kvstore_daemon
  SOURCES
    kvstore_daemon.c
    kvstore_hooks.c
    kvstore_options.c
    kvstore_pages.c
    kvstore_replica.c
  LIBS kvresp kvstore kvstore_elastic common PkgConfig::EVENT PkgConfig::EVENT_PTHREADS PkgConfig::JANSSON PkgConfig::OPENSSL_SSL)
mec_program(kvstore_program SOURCES kvstore_main.c LIBS kvstore_daemon)
set_target_properties(kvstore_program PROPERTIES OUTPUT_NAME kvstore)
