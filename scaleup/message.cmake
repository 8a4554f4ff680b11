mec_library(scale_message
  SOURCES message.c message_format.c message_fields.c
  LIBS common PkgConfig::JANSSON)
