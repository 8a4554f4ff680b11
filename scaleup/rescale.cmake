# librescale, and the program for operators and scripts.
mec_library(scale_rescale
  SOURCES rescale.c rescale_request.c rescale_wait.c rescale_core.c rescale_items.c rescale_link.c rescale_resolve.c
  LIBS scale_message common PkgConfig::EVENT PkgConfig::EVENT_OPENSSL PkgConfig::OPENSSL_SSL
       PkgConfig::OPENSSL_CRYPTO)
mec_library(scale_rescale_print SOURCES rescale_print.c LIBS scale_rescale PkgConfig::JANSSON)
mec_program(rescale SOURCES rescale_main.c LIBS scale_rescale_print)
