# The Redis protocol on an open store.
mec_library(kvresp
  SOURCES
    resp_access.c resp_args.c resp_batch.c resp_buffer.c resp_cmd_client.c resp_cmd_connection.c resp_cmd_expire.c
    resp_cmd_introspect.c resp_cmd_key.c resp_cmd_server.c resp_cmd_string.c resp_command.c resp_config.c resp_conn.c
    resp_glob.c resp_info.c resp_inline.c resp_loop.c resp_options.c resp_parse.c resp_pool.c resp_reply.c resp_server.c
    resp_session.c resp_store.c resp_table.c
  LIBS kvstore common PkgConfig::EVENT PkgConfig::EVENT_PTHREADS)
