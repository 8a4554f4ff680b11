// The handlers of all commands, by file; what each does is its help line in table_*.c.
#ifndef MEC_KVSTORE_RESP_HANDLERS_H
#define MEC_KVSTORE_RESP_HANDLERS_H

#include "kvstore/resp/command.h"

// The tables (table_*.c), and how names are compared in them: bsearch(), a struct resp_arg with a struct resp_command.
extern const struct resp_command_table resp_table_acl, resp_table_admin, resp_table_cluster,
    resp_table_others;
extern const struct resp_command_table resp_table_bits, resp_table_client, resp_table_connection,
    resp_table_introspect, resp_table_key, resp_table_pubsub, resp_table_replica, resp_table_server,
    resp_table_string, resp_table_transactions;
int resp_command_compare(const void *name, const void *command);

// command.c
// "ERR unknown subcommand or wrong number of arguments": for subcommands that look at the number of their arguments themselves.
void resp_subcommand_error(struct resp_call *call);

// cmd_connection.c
void resp_cmd_ping(struct resp_call *call);
void resp_cmd_echo(struct resp_call *call);
void resp_cmd_hello(struct resp_call *call);
void resp_cmd_auth(struct resp_call *call);
void resp_cmd_quit(struct resp_call *call);
void resp_cmd_reset(struct resp_call *call);
void resp_cmd_http(struct resp_call *call);

// cmd_client.c
void resp_cmd_client_getname(struct resp_call *call);
void resp_cmd_client_id(struct resp_call *call);
void resp_cmd_client_info(struct resp_call *call);
void resp_cmd_client_list(struct resp_call *call);
void resp_cmd_client_setinfo(struct resp_call *call);
void resp_cmd_client_setname(struct resp_call *call);
bool resp_client_set_name(struct resp_call *call,
                          const struct resp_arg *name); // for HELLO: false when an error was replied

enum resp_client_type { RESP_CLIENT_NORMAL, RESP_CLIENT_REPLICA, RESP_CLIENT_PUBSUB, RESP_CLIENT_MASTER };
// By its name in CLIENT LIST TYPE; false when an error was replied.
bool resp_client_type(struct resp_call *call, const struct resp_arg *name, enum resp_client_type *type);
enum resp_client_type resp_client_type_of(const struct resp_session *session);

// cmd_client_control.c
void resp_cmd_client_kill(struct resp_call *call);
void resp_cmd_client_no_evict(struct resp_call *call);
void resp_cmd_client_no_touch(struct resp_call *call);
void resp_cmd_client_pause(struct resp_call *call);
void resp_cmd_client_reply(struct resp_call *call);
void resp_cmd_client_unblock(struct resp_call *call);
void resp_cmd_client_unpause(struct resp_call *call);

// cmd_acl.c
void resp_cmd_acl_cat(struct resp_call *call);
void resp_cmd_acl_deluser(struct resp_call *call);
void resp_cmd_acl_dryrun(struct resp_call *call);
void resp_cmd_acl_genpass(struct resp_call *call);
void resp_cmd_acl_getuser(struct resp_call *call);
void resp_cmd_acl_list(struct resp_call *call);
void resp_cmd_acl_load(struct resp_call *call);
void resp_cmd_acl_log(struct resp_call *call);
void resp_cmd_acl_setuser(struct resp_call *call);
void resp_cmd_acl_users(struct resp_call *call);
void resp_cmd_acl_whoami(struct resp_call *call);

// cmd_cluster.c
void resp_cmd_cluster_alone(struct resp_call *call);
void resp_cmd_cluster_countkeysinslot(struct resp_call *call);
void resp_cmd_cluster_getkeysinslot(struct resp_call *call);
void resp_cmd_cluster_info(struct resp_call *call);
void resp_cmd_cluster_keyslot(struct resp_call *call);
void resp_cmd_cluster_links(struct resp_call *call);
void resp_cmd_cluster_myid(struct resp_call *call);
void resp_cmd_cluster_nodes(struct resp_call *call);
void resp_cmd_cluster_replicas(struct resp_call *call);
void resp_cmd_cluster_shards(struct resp_call *call);
void resp_cmd_cluster_slots(struct resp_call *call);
void resp_cmd_readonly(struct resp_call *call);

// cmd_others.c
void resp_cmd_other_type(struct resp_call *call);
void resp_cmd_script(struct resp_call *call);

// cmd_introspect.c
void resp_cmd_command(struct resp_call *call);
void resp_cmd_command_count(struct resp_call *call);
void resp_cmd_command_info(struct resp_call *call);
void resp_cmd_command_list(struct resp_call *call);
void resp_cmd_help(struct resp_call *call); // of any container
// A command that COMMAND shows, by the name that it takes: "get", "client|setname". *parent: its container or NULL.
const struct resp_command *resp_command_named(const struct resp_arg *name,
                                              const struct resp_command **parent);
void resp_reply_split(struct resp_reply *reply, const char *text); // words parted by blanks, as a set
void resp_reply_category(struct resp_reply *reply, const struct resp_arg *category); // the commands in it
bool resp_command_shown(const struct resp_command *command);
size_t resp_command_shown_count(void);

// cmd_docs.c
void resp_cmd_command_docs(struct resp_call *call);

// cmd_getkeys.c
void resp_cmd_command_getkeys(struct resp_call *call);
void resp_cmd_command_getkeysandflags(struct resp_call *call);

// cmd_string.c
void resp_cmd_get(struct resp_call *call);
void resp_cmd_getrange(struct resp_call *call);
void resp_cmd_mget(struct resp_call *call);
void resp_cmd_strlen(struct resp_call *call);

// cmd_string_get.c
void resp_cmd_getdel(struct resp_call *call);
void resp_cmd_getex(struct resp_call *call);
void resp_cmd_getset(struct resp_call *call);

// cmd_string_write.c
void resp_cmd_append(struct resp_call *call);
void resp_cmd_mset(struct resp_call *call);
void resp_cmd_msetnx(struct resp_call *call);
void resp_cmd_psetex(struct resp_call *call);
void resp_cmd_set(struct resp_call *call);
void resp_cmd_setex(struct resp_call *call);
void resp_cmd_setnx(struct resp_call *call);
void resp_cmd_setrange(struct resp_call *call);

// cmd_number.c
void resp_cmd_decr(struct resp_call *call);
void resp_cmd_decrby(struct resp_call *call);
void resp_cmd_incr(struct resp_call *call);
void resp_cmd_incrby(struct resp_call *call);
void resp_cmd_incrbyfloat(struct resp_call *call);

// cmd_lcs.c
void resp_cmd_lcs(struct resp_call *call);

// cmd_bits.c
void resp_cmd_bitcount(struct resp_call *call);
void resp_cmd_bitop(struct resp_call *call);
void resp_cmd_bitpos(struct resp_call *call);
void resp_cmd_getbit(struct resp_call *call);
void resp_cmd_setbit(struct resp_call *call);

// cmd_bitfield.c
void resp_cmd_bitfield(struct resp_call *call);
void resp_cmd_bitfield_ro(struct resp_call *call);

// cmd_db.c
void resp_cmd_dbsize(struct resp_call *call);
void resp_cmd_select(struct resp_call *call);
void resp_cmd_swapdb(struct resp_call *call);
// An argument that is the number of a database; false when an error was replied.
bool resp_db_arg(struct resp_call *call, const struct resp_arg *arg, unsigned *db);

// cmd_dump.c
void resp_cmd_dump(struct resp_call *call);
void resp_cmd_restore(struct resp_call *call);

// cmd_flush.c
void resp_cmd_flushall(struct resp_call *call);
void resp_cmd_flushdb(struct resp_call *call);

// cmd_key.c
void resp_cmd_del(struct resp_call *call);
void resp_cmd_exists(struct resp_call *call);
void resp_cmd_touch(struct resp_call *call);
void resp_cmd_type(struct resp_call *call);
// Whether a key is there; a miss is an event, as for every command that reads.
bool resp_key_there(struct resp_call *call, const struct resp_arg *key);

// cmd_object.c
void resp_cmd_object_encoding(struct resp_call *call);
void resp_cmd_object_freq(struct resp_call *call);
void resp_cmd_object_idletime(struct resp_call *call);
void resp_cmd_object_refcount(struct resp_call *call);

// cmd_rename.c
void resp_cmd_copy(struct resp_call *call);
void resp_cmd_move(struct resp_call *call);
void resp_cmd_rename(struct resp_call *call);
void resp_cmd_renamenx(struct resp_call *call);

// cmd_scan.c
void resp_cmd_keys(struct resp_call *call);
void resp_cmd_randomkey(struct resp_call *call);
void resp_cmd_scan(struct resp_call *call);

// cmd_expire.c
void resp_cmd_expire(struct resp_call *call);
void resp_cmd_expireat(struct resp_call *call);
void resp_cmd_expiretime(struct resp_call *call);
void resp_cmd_persist(struct resp_call *call);
void resp_cmd_pexpire(struct resp_call *call);
void resp_cmd_pexpireat(struct resp_call *call);
void resp_cmd_pexpiretime(struct resp_call *call);
void resp_cmd_pttl(struct resp_call *call);
void resp_cmd_ttl(struct resp_call *call);

// cmd_replica.c
void resp_cmd_replicaof(struct resp_call *call);
void resp_cmd_role(struct resp_call *call);

// cmd_save.c
void resp_cmd_bgsave(struct resp_call *call);
void resp_cmd_lastsave(struct resp_call *call);
void resp_cmd_shutdown(struct resp_call *call);
void resp_cmd_wait(struct resp_call *call);
void resp_cmd_psync(struct resp_call *call);
void resp_cmd_replconf(struct resp_call *call);
void resp_cmd_save(struct resp_call *call);
void resp_cmd_sync(struct resp_call *call);

// cmd_lolwut.c
void resp_cmd_lolwut(struct resp_call *call);

// cmd_server.c
void resp_cmd_module_list(struct resp_call *call);
void resp_cmd_module_load(struct resp_call *call);
void resp_cmd_time(struct resp_call *call);

// config.c
void resp_cmd_config_get(struct resp_call *call);
void resp_cmd_config_resetstat(struct resp_call *call);
void resp_cmd_config_rewrite(struct resp_call *call);
void resp_cmd_config_set(struct resp_call *call);

// cmd_slowlog.c, cmd_latency.c, cmd_memory.c, cmd_debug.c
void resp_cmd_debug(struct resp_call *call);
void resp_cmd_latency_doctor(struct resp_call *call);
void resp_cmd_latency_graph(struct resp_call *call);
void resp_cmd_latency_histogram(struct resp_call *call);
void resp_cmd_latency_history(struct resp_call *call);
void resp_cmd_latency_latest(struct resp_call *call);
void resp_cmd_latency_reset(struct resp_call *call);
void resp_cmd_memory_curve(struct resp_call *call);
void resp_cmd_memory_doctor(struct resp_call *call);
void resp_cmd_memory_malloc_stats(struct resp_call *call);
void resp_cmd_memory_purge(struct resp_call *call);
void resp_cmd_memory_stats(struct resp_call *call);
void resp_cmd_memory_usage(struct resp_call *call);
void resp_cmd_slowlog_get(struct resp_call *call);
void resp_cmd_slowlog_len(struct resp_call *call);
void resp_cmd_slowlog_reset(struct resp_call *call);
// cmd_transactions.c
void resp_cmd_discard(struct resp_call *call);
void resp_cmd_exec(struct resp_call *call);
void resp_cmd_multi(struct resp_call *call);
void resp_cmd_unwatch(struct resp_call *call);
void resp_cmd_watch(struct resp_call *call);

// cmd_pubsub.c
void resp_cmd_psubscribe(struct resp_call *call);
void resp_cmd_publish(struct resp_call *call);
void resp_cmd_pubsub_channels(struct resp_call *call);
void resp_cmd_pubsub_numpat(struct resp_call *call);
void resp_cmd_pubsub_numsub(struct resp_call *call);
void resp_cmd_pubsub_shardchannels(struct resp_call *call);
void resp_cmd_pubsub_shardnumsub(struct resp_call *call);
void resp_cmd_punsubscribe(struct resp_call *call);
void resp_cmd_spublish(struct resp_call *call);
void resp_cmd_ssubscribe(struct resp_call *call);
void resp_cmd_subscribe(struct resp_call *call);
void resp_cmd_sunsubscribe(struct resp_call *call);
void resp_cmd_unsubscribe(struct resp_call *call);

// cmd_tracking.c
void resp_cmd_client_caching(struct resp_call *call);
void resp_cmd_client_getredir(struct resp_call *call);
void resp_cmd_client_tracking(struct resp_call *call);
void resp_cmd_client_trackinginfo(struct resp_call *call);

// monitor.c
void resp_cmd_monitor(struct resp_call *call);

// info.c
void resp_cmd_info(struct resp_call *call);

#endif
