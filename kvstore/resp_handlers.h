// The handlers of all commands, by file; what each does is its help line in resp_table.c.
#ifndef MEC_KVSTORE_RESP_HANDLERS_H
#define MEC_KVSTORE_RESP_HANDLERS_H

#include "kvstore/resp_command.h"

// resp_cmd_connection.c
void resp_cmd_ping(struct resp_call *call);
void resp_cmd_echo(struct resp_call *call);
void resp_cmd_hello(struct resp_call *call);
void resp_cmd_auth(struct resp_call *call);
void resp_cmd_quit(struct resp_call *call);
void resp_cmd_reset(struct resp_call *call);
void resp_cmd_select(struct resp_call *call);
void resp_cmd_http(struct resp_call *call);

// resp_cmd_client.c
void resp_cmd_client_getname(struct resp_call *call);
void resp_cmd_client_id(struct resp_call *call);
void resp_cmd_client_info(struct resp_call *call);
void resp_cmd_client_list(struct resp_call *call);
void resp_cmd_client_setinfo(struct resp_call *call);
void resp_cmd_client_setname(struct resp_call *call);
bool resp_client_set_name(struct resp_call *call,
                          const struct resp_arg *name); // for HELLO: false when an error was replied

// resp_cmd_introspect.c
void resp_cmd_command(struct resp_call *call);
void resp_cmd_command_count(struct resp_call *call);
void resp_cmd_command_docs(struct resp_call *call);
void resp_cmd_command_info(struct resp_call *call);
void resp_cmd_command_list(struct resp_call *call);
void resp_cmd_help(struct resp_call *call); // of any container

// resp_cmd_string.c
void resp_cmd_get(struct resp_call *call);
void resp_cmd_getdel(struct resp_call *call);
void resp_cmd_mget(struct resp_call *call);
void resp_cmd_set(struct resp_call *call);
void resp_cmd_setnx(struct resp_call *call);
void resp_cmd_strlen(struct resp_call *call);

// resp_cmd_key.c
void resp_cmd_dbsize(struct resp_call *call);
void resp_cmd_del(struct resp_call *call);
void resp_cmd_exists(struct resp_call *call);
void resp_cmd_keys(struct resp_call *call);
void resp_cmd_scan(struct resp_call *call);
void resp_cmd_type(struct resp_call *call);

// resp_cmd_expire.c
void resp_cmd_expire(struct resp_call *call);
void resp_cmd_expireat(struct resp_call *call);
void resp_cmd_expiretime(struct resp_call *call);
void resp_cmd_persist(struct resp_call *call);
void resp_cmd_pexpire(struct resp_call *call);
void resp_cmd_pexpireat(struct resp_call *call);
void resp_cmd_pexpiretime(struct resp_call *call);
void resp_cmd_pttl(struct resp_call *call);
void resp_cmd_ttl(struct resp_call *call);

// resp_cmd_server.c
void resp_cmd_bgsave(struct resp_call *call);
void resp_cmd_lastsave(struct resp_call *call);
void resp_cmd_save(struct resp_call *call);
void resp_cmd_time(struct resp_call *call);

// resp_config.c
void resp_cmd_config_get(struct resp_call *call);
void resp_cmd_config_set(struct resp_call *call);

// resp_info.c
void resp_cmd_info(struct resp_call *call);

#endif
