# The platform's side without sockets, files and clock; and its book on disk.
mec_library(scale_book
  SOURCES book.c book_file.c
  LIBS scale_message common PkgConfig::JANSSON PkgConfig::OPENSSL_CRYPTO)
mec_library(scale_broker
  SOURCES
    arbiter.c broker.c broker_configure.c broker_create.c broker_leases.c broker_pool.c broker_reclaims.c broker_requests.c
    broker_serve.c broker_status.c broker_target.c
  LIBS scale_message common)
