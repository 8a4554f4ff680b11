mec_library(scale_scaler
  SOURCES scaler_core.c scaler_sizes.c scaler_decide.c scaler_ask.c scaler_events.c scaler_mail.c scaler.c scaler_status.c scaler_options.c
  LIBS scale_policy scale_limits scale_rescale scale_message common PkgConfig::JANSSON PkgConfig::OPENSSL_CRYPTO)
