#include "kvstore/kvstore_options.h"

#include <stddef.h>

#include "common/daemon.h"
#include "common/net.h"
#include "common/tls.h"
#include "kvstore/kvstore_replica.h"

#define AT(field)         offsetof(struct kvstore_options, field)
#define AT_ELASTIC(field) AT(elastic.field)

static const struct config_option table[] = {
    DAEMON_OPTION_CONFIG(AT),
    {.name = "listen",
     .type = CONFIG_STRING,
     .offset = AT(listen),
     .arg = "ADDR:PORT|unix:PATH",
     .required = true,
     .help = "Where clients of the Redis protocol connect. A Unix socket is for the server's own user and "
             "root. A TCP address that other machines reach needs --password-file. Port 0 takes a free one, "
             "which the log names."},
    {.name = "password-file",
     .type = CONFIG_STRING,
     .offset = AT(password_file),
     .arg = "FILE",
     .help =
         "Its first line is the password of the user \"default\" (AUTH). Only the server's user or root "
         "may own it, nobody else read it. Read again on SIGHUP. Connections that have authenticated stay."},
    {.name = "tls-listen",
     .type = CONFIG_STRING,
     .offset = AT(tls_listen),
     .arg = "ADDR:PORT",
     .help = "Where clients connect with TLS. An address that other machines reach needs clients' "
             "certificates or --password-file."},
    {.name = "tls-cert",
     .type = CONFIG_STRING,
     .offset = AT(tls_cert),
     .arg = "FILE",
     .help = "PEM: the server's certificate, then intermediates. Read again on SIGHUP, as the next two."},
    {.name = "tls-key", .type = CONFIG_STRING, .offset = AT(tls_key), .arg = "FILE", .help = "PEM: its key."},
    {.name = "tls-ca",
     .type = CONFIG_STRING,
     .offset = AT(tls_ca),
     .arg = "FILE",
     .help = "PEM: CAs that may have signed clients' certificates."},
    {.name = "tls-auth-clients",
     .type = CONFIG_ENUM,
     .offset = AT(tls_auth_clients),
     .choices = "yes|no|optional",
     .preset = "yes",
     .help = "Whether clients must show a certificate. optional: one that is shown must be good."},
    {.name = "cluster-enabled",
     .type = CONFIG_ENUM,
     .offset = AT(cluster_enabled),
     .choices = "no|yes",
     .preset = "no",
     .help = "Say that this is a cluster (of one node). Cluster clients find it without, too."},
    {.name = "dir",
     .type = CONFIG_STRING,
     .offset = AT(dir),
     .arg = "DIR",
     .required = true,
     .help = "Folder of the store. Made when it is not there."},
    SCALER_OPTION_ROWS(AT_ELASTIC, "Needed there.", "Needed there.", "Needed there."),
    {.name = "fsync",
     .type = CONFIG_ENUM,
     .offset = AT(fsync),
     .choices = "always|interval|never",
     .preset = "interval",
     .help = "When writes reach the device. always: what was acknowledged survives power failure; interval: "
             "a power failure "
             "loses at most --fsync-interval of writes; never: the kernel decides. kill -9 loses nothing "
             "with any."},
    {.name = "fsync-interval",
     .type = CONFIG_DURATION,
     .offset = AT(fsync_interval),
     .arg = "TIME",
     .preset = "1s",
     .min = 1000,
     .max = 3600 * CONFIG_SECOND,
     .help = "How often with --fsync interval."},
    {.name = "erase-within",
     .type = CONFIG_DURATION,
     .offset = AT(erase_within),
     .arg = "TIME",
     .preset = "60s",
     .max = 24 * 3600 * CONFIG_SECOND,
     .help = "How long the bytes of a value that was replaced may stay in the log's files, after its "
             "successor has been "
             "synced, until they are overwritten: what compaction removes meanwhile costs nothing. A deleted "
             "value's "
             "are overwritten before the answer, and with --fsync always a replaced one's too. 0: at once."},
    {.name = "segment-bytes",
     .type = CONFIG_SIZE,
     .offset = AT(segment_bytes),
     .arg = "SIZE",
     .preset = "256mb",
     .min = 1 << 20,
     .max = 1ull << 32,
     .help = "The log's files are closed at about this size. The one that is being written is read through "
             "the page cache, the others are not."},
    {.name = "latency-goal",
     .type = CONFIG_DURATION,
     .offset = AT(latency_goal),
     .arg = "TIME",
     .preset = "5ms",
     .max = 60 * CONFIG_SECOND,
     .help = "Bringing values back into memory after its limit was raised gives way to reads slower than "
             "this. 0: no goal."},
    {.name = "admin",
     .type = CONFIG_STRING,
     .offset = AT(admin),
     .arg = "ADDR:PORT",
     .help = "Plain HTTP for operators: /metrics /healthz /status. Keep it on loopback."},
    {.name = "redis-set",
     .type = CONFIG_LIST,
     .offset = AT(redis_set),
     .arg = "NAME VALUE",
     .help = "A parameter as CONFIG SET sets it, from the start on: \"slowlog-max-len 256\". CONFIG REWRITE "
             "writes "
             "such lines for what has no option here."},
    {.name = "loops",
     .type = CONFIG_UINT,
     .offset = AT(loops),
     .arg = "N",
     .preset = "0",
     .max = 256,
     .help = "Event loops that serve connections. 0: a quarter of the processors."},
    {.name = "workers",
     .type = CONFIG_UINT,
     .offset = AT(workers),
     .arg = "N",
     .preset = "0",
     .max = 1024,
     .help = "Threads for commands that wait for the disk. 0: four per processor, 8 to 64."},
    {.name = "max-clients",
     .type = CONFIG_UINT,
     .offset = AT(max_clients),
     .arg = "N",
     .preset = "1000",
     .min = 1,
     .max = 1000000,
     .help = "Connections at once; further ones are told so and closed."},
    {.name = "output-limit",
     .type = CONFIG_SIZE,
     .offset = AT(output_limit),
     .arg = "SIZE",
     .preset = "1gb",
     .min = 1 << 20,
     .max = 1ull << 36,
     .help =
         "Replies of one connection that wait to be taken, at most; one that asks for more is cut off. "
         "Never above an eighth of what the process may use when it starts; neither are commands that come."},
    {.name = "idle-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(idle_timeout),
     .arg = "TIME",
     .preset = "0s",
     .max = 86400 * CONFIG_SECOND,
     .help = "A connection on which nothing moves is closed after this long. 0: never."},
    {.name = "write-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(write_timeout),
     .arg = "TIME",
     .preset = "30s",
     .min = 1000,
     .max = 3600 * CONFIG_SECOND,
     .help = "A peer that takes nothing of its replies is cut off after this long."},
    {.name = "drain-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(drain_timeout),
     .arg = "TIME",
     .preset = "10s",
     .min = 1000,
     .max = 3600 * CONFIG_SECOND,
     .help = "On SIGTERM, how long peers may take to fetch their last replies."},
    {.name = "load",
     .type = CONFIG_STRING,
     .offset = AT(load),
     .arg = "FILE|-",
     .help =
         "Before serving, load the strings of a Redis database file (RDB versions 1 to 12; -: standard "
         "input) into all 16 databases. Existing keys are replaced, nothing else is touched; what has "
         "expired and other types are left out, and the log counts them. A damaged file ends the program: "
         "what came before the damage stays, and loading may be tried again. Not with --replicaof."},
    {.name = "save-dir",
     .type = CONFIG_STRING,
     .offset = AT(save_dir),
     .arg = "DIR",
     .help = "Where SAVE and BGSAVE write. Default: the store's folder."},
    {.name = "dbfilename",
     .type = CONFIG_STRING,
     .offset = AT(save_name),
     .arg = "NAME",
     .preset = "dump.rdb",
     .help = "The file that SAVE and BGSAVE write there, an RDB of Redis 7.0, with mode 0600."},
    {.name = "replicaof",
     .type = CONFIG_STRING,
     .offset = AT(primary),
     .arg = "HOST:PORT",
     .help =
         "Be a live replica of this Redis or Valkey primary. What the store holds is replaced by the "
         "primary's strings when its RDB begins to arrive. Also as a command: REPLICAOF host port|NO ONE."},
    {.name = "masterauth-file",
     .type = CONFIG_STRING,
     .offset = AT(primary_password_file),
     .arg = "FILE",
     .help = "The primary's password is this file's first line. Nobody but its owner may read it."},
    {.name = "masteruser",
     .type = CONFIG_STRING,
     .offset = AT(primary_user),
     .arg = "NAME",
     .help = "The user that the password is of. Default: the primary's default user."},
    {.name = "replica-cert",
     .type = CONFIG_STRING,
     .offset = AT(primary_cert),
     .arg = "FILE",
     .help = "The certificate to show the primary, where it asks for one; needs --replica-key."},
    {.name = "replica-key",
     .type = CONFIG_STRING,
     .offset = AT(primary_key),
     .arg = "FILE",
     .help = "The key of --replica-cert."},
    {.name = "replica-ca",
     .type = CONFIG_STRING,
     .offset = AT(primary_ca),
     .arg = "FILE",
     .help = "Talk TLS to the primary, whose certificate one of these authorities has signed."},
    {.name = "repl-timeout",
     .type = CONFIG_DURATION,
     .offset = AT(primary_timeout),
     .arg = "TIME",
     .preset = "60s",
     .min = CONFIG_SECOND,
     .max = 3600 * CONFIG_SECOND,
     .help = "A primary from which nothing comes for this long is left, and tried again."},
    {.name = "replica-writable",
     .type = CONFIG_FLAG,
     .offset = AT(replica_writable),
     .help = "Let clients write to a replica, too (Redis: replica-read-only no)."},
    DAEMON_OPTION_ROWS(
        AT, "Default: standard error. Reopened on SIGHUP.",
        "error: somebody must act now; warn: soon; info; debug: for developers.",
        "Read the configuration and the files it names, open the store, say OK or what is wrong, and end."),
};

const struct config_spec kvstore_options_spec = {
    .program = "kvstore",
    .usage = "[OPTION]...",
    .summary = "Serves an elastic store by the Redis protocol: every value on disk, as many as memory is "
               "worth in memory.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

static bool check_primary(const struct kvstore_options *o, struct error *e)
{
    char host[RESP_REPLICA_HOST];
    unsigned port;
    bool own = o->primary_cert != NULL;
    if (own != (o->primary_key != NULL) || (own && o->primary_ca == NULL)) {
        error_set(e, "--replica-cert, --replica-key: expected both or none, and --replica-ca with them");
        return false;
    }
    if (o->primary_user != NULL && o->primary_password_file == NULL) {
        error_set(e, "--masteruser: needs --masterauth-file");
        return false;
    }
    if (o->primary != NULL && o->load != NULL) {
        error_set(e, "--load: not with --replicaof: the primary's data would replace what was loaded");
        return false;
    }
    return o->primary == NULL || kvstore_replica_parse(o->primary, host, &port, e);
}

static bool others_reach(const char *text)
{
    struct net_addr addr;
    return text != NULL && net_addr_parse(text, &addr, NULL) && !net_addr_is_loopback(&addr);
}

bool kvstore_options_need_password(const struct kvstore_options *o)
{
    return others_reach(o->listen) ||
           (others_reach(o->tls_listen) && o->tls_auth_clients != TLS_CLIENTS_REQUIRED);
}

// As Redis's protected mode: nothing is open to other machines without a password or certificates.
static bool check_protection(const struct kvstore_options *o, struct error *e)
{
    if (o->password_file != NULL || !kvstore_options_need_password(o))
        return true;
    if (others_reach(o->listen))
        error_set(
            e,
            "--listen: found %s, which other machines can reach, expected a loopback address, unix:PATH, "
            "or a password (--password-file)",
            o->listen);
    else
        error_set(e,
                  "--tls-listen: found %s, which other machines can reach, expected a password "
                  "(--password-file) or --tls-auth-clients yes",
                  o->tls_listen);
    return false;
}

static bool check_tls(const struct kvstore_options *o, struct error *e)
{
    struct net_addr addr;
    if (o->tls_listen == NULL)
        return true;
    if (!net_addr_parse_option("tls-listen", o->tls_listen, &addr, e))
        return false;
    if (o->tls_cert == NULL || o->tls_key == NULL) {
        error_set(e, "--tls-listen: needs --tls-cert and --tls-key");
        return false;
    }
    if (o->tls_ca == NULL && o->tls_auth_clients != TLS_CLIENTS_NONE) {
        error_set(e, "--tls-listen: needs --tls-ca, or --tls-auth-clients no");
        return false;
    }
    return true;
}

bool kvstore_options_check(const struct kvstore_options *o, struct error *e)
{
    const struct scaler_settings *s = &o->elastic;
    struct net_addr listen, admin;
    if (!net_addr_parse_option("listen", o->listen, &listen, e) || !check_tls(o, e) ||
        !check_protection(o, e) || !net_addr_parse_option("admin", o->admin, &admin, e) ||
        !check_primary(o, e) || !scaler_options_policy(s, NULL, NULL, e))
        return false;
    bool has_tls = s->scaleup_cert != NULL && s->scaleup_key != NULL && s->scaleup_ca != NULL;
    if (scaler_options_need_tls(s) && !has_tls) {
        error_set(e, "--scaleup: %s needs --scaleup-cert, --scaleup-key and --scaleup-ca", s->scaleup);
        return false;
    }
    return true;
}
