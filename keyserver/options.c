#include "keyserver/options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/daemon.h"
#include "common/sandbox.h"
#include "keyserver/audit_verify.h"
#include "keyserver/engine.h"

#define AT(field)         offsetof(struct options, field)
#define AT_ELASTIC(field) AT(elastic.field)
// With bounds: sizes, times and counts.
#define NUMBER(name_, field_, type_, arg_, preset_, min_, max_, help_)                                       \
    {                                                                                                        \
        .name = (name_), .type = (type_), .offset = AT(field_), .arg = (arg_), .preset = (preset_),          \
        .min = (min_), .max = (max_), .help = (help_)                                                        \
    }

static const struct config_option table[] = {
    DAEMON_OPTION_CONFIG(AT),
    {.name = "listen",
     .type = CONFIG_STRING,
     .offset = AT(listen),
     .arg = "ADDR:PORT",
     .required = true,
     .help = "Where edges connect (mutual TLS). Port 0 takes a free one, which the log names."},
    {.name = "store",
     .type = CONFIG_STRING,
     .offset = AT(store),
     .arg = "DIR",
     .required = true,
     .help = "Folder of the key store, filled by `certs import`. Made when it is not there."},
    {.name = "master-key",
     .type = CONFIG_STRING,
     .offset = AT(master_key),
     .arg = "FILE|credential:NAME",
     .help = "Master key that stored keys are sealed with: a file of `certs master-key` (mode 0600), or a "
             "credential of the service manager. Without it only plain records can be served."},
    {.name = "master-key-passphrase-fd",
     .type = CONFIG_STRING,
     .offset = AT(master_key_fd),
     .arg = "N",
     .help = "Open descriptor whose first line is the passphrase that protects the master key. Default: none "
             "does."},
    {.name = "new-master-key",
     .type = CONFIG_STRING,
     .offset = AT(new_master_key),
     .arg = "FILE|credential:NAME",
     .help = "Open what this master key has sealed as well, so that `certs rekey` can change master keys "
             "while the server runs. Read by SIGHUP, too."},
    {.name = "new-master-key-passphrase-fd",
     .type = CONFIG_STRING,
     .offset = AT(new_master_key_fd),
     .arg = "N",
     .help = "Likewise for that key; at start only: SIGHUP takes no new key that has a passphrase."},
    {.name = "cert",
     .type = CONFIG_STRING,
     .offset = AT(cert),
     .arg = "PEM",
     .required = true,
     .help = "The server's certificate, then its intermediates."},
    {.name = "key",
     .type = CONFIG_STRING,
     .offset = AT(key),
     .arg = "PEM",
     .required = true,
     .help = "The private key of that certificate."},
    {.name = "client-ca",
     .type = CONFIG_STRING,
     .offset = AT(client_ca),
     .arg = "PEM",
     .required = true,
     .help = "Certification authorities of the edges: who shows no certificate of theirs does not get past "
             "the handshake."},
    {.name = "policy",
     .type = CONFIG_STRING,
     .offset = AT(policy),
     .arg = "FILE",
     .help =
         "Which edges may use which keys, by which methods, how fast, from where, and who is revoked: see "
         "policy.sample.conf. What no rule allows is denied. Read again on SIGHUP. Default: none, and every "
         "edge may use every key."},
    {.name = "migration-listen",
     .type = CONFIG_STRING,
     .offset = AT(migration_listen),
     .arg = "ADDR:PORT",
     .help =
         "Where clients of the Java server connect until they have certificates: TLS, but they are known by "
         "their address alone. POST / only. Needs a --policy with a rule for edge=migration, that names "
         "addresses, keys and methods. Sends exactly one certificate. Default: none."},
    {.name = "server-chain",
     .type = CONFIG_ENUM,
     .offset = AT(server_chain),
     .choices = "full|leaf",
     .preset = "full",
     .help = "Send the chain of --cert, or exactly one certificate, as clients of the Java server need."},
    {.name = "expiry-warning-days",
     .type = CONFIG_STRING,
     .offset = AT(expiry_warning_days),
     .arg = "N,...",
     .preset = "30,7,1",
     .help = "Warn in the log when the server's certificate, its chain, an authority of edges, a CRL or the "
             "certificate of a stored key has so many days left, and daily from then on. Not looked at is "
             "what is "
             "more than a third of the whole time. Empty: no warnings."},
    {.name = "admin",
     .type = CONFIG_STRING,
     .offset = AT(admin),
     .arg = "ADDR:PORT",
     .help = "Plain HTTP for operators: a live page at /, /metrics /healthz /readyz /status. Keep it on "
             "loopback."},
    {.name = "control",
     .type = CONFIG_STRING,
     .offset = AT(control),
     .arg = "unix:PATH|off",
     .help = "Unix socket by which `certs` works on the store while the server runs. Default: control.sock "
             "inside the store's folder."},
    {.name = "upgrade",
     .type = CONFIG_STRING,
     .offset = AT(upgrade),
     .arg = "unix:PATH|off",
     .help = "Unix socket by which another keyserver, started with --take-over by the same user or root, "
             "takes the place "
             "of this one without a failed request. Default: upgrade.sock inside the store's folder."},
    {.name = "take-over",
     .type = CONFIG_FLAG,
     .action = true,
     .offset = AT(take_over),
     .help =
         "If a server runs on the store: check everything, take its listening sockets, have it answer what "
         "is in "
         "flight and end, and serve in its place. On any fault before it has ended it goes on as before."},
    {.name = "redis-listen",
     .type = CONFIG_STRING,
     .offset = AT(redis_listen),
     .arg = "ADDR:PORT|unix:PATH",
     .help = "Where Redis tools get at the store, with the password of --redis-password-file; records are "
             "sealed. A loopback address, or a Unix socket (for the server's own user and root). Needs "
             "--master-key. Default: none."},
    {.name = "redis-password-file",
     .type = CONFIG_STRING,
     .offset = AT(redis_password_file),
     .arg = "FILE",
     .help = "Its first line is the password of the user \"default\" (AUTH) there. Only the server's user or "
             "root may own it, nobody else read it. Read again on SIGHUP. Connections that have "
             "authenticated stay."},
    SCALER_OPTION_ROWS(AT_ELASTIC, "Default: --cert.", "Default: --key.", "Default: --client-ca."),
    {.name = "fsync",
     .type = CONFIG_ENUM,
     .offset = AT(fsync),
     .choices = "always|interval|never",
     .preset = "always",
     .help = "When writes to the store reach the device. always: what was acknowledged survives power "
             "failure; interval: a power failure loses at most a second of imports; never: the kernel "
             "decides. kill -9 loses nothing with any."},
    NUMBER("key-cache", key_cache, CONFIG_UINT, "N", "10000", 16, 10000000,
           "Decoded private keys kept ready, at most."),
    NUMBER("secret-memory", secret_memory, CONFIG_SIZE, "SIZE", "64mb", 1 << 20, 1ull << 36,
           "Locked memory for decoded keys (an RSA-4096 key takes about 4kb, with the RSA engine up to "
           "8kb). Raise RLIMIT_MEMLOCK "
           "accordingly."),
    {.name = "io-threads",
     .type = CONFIG_UINT,
     .offset = AT(io_threads),
     .arg = "N",
     .preset = "0",
     .max = 256,
     .help = "Event loops that serve connections. 0: a third of the processors."},
    {.name = "crypto-threads",
     .type = CONFIG_UINT,
     .offset = AT(crypto_threads),
     .arg = "N",
     .preset = "0",
     .max = 1024,
     .help = "Threads that compute key operations. 0: one per processor."},
    {.name = "rsa-engine",
     .type = CONFIG_ENUM,
     .offset = AT(rsa_engine),
     .choices = ENGINE_CHOICES,
     .preset = "auto",
     .help =
         "What computes RSA-2048, 3072 and 4096. ifma: up to eight operations at once, by AVX-512 IFMA, when "
         "that is cheaper than one by one; openssl: OpenSSL, as all other sizes; auto: ifma where the "
         "processor "
         "has it; portable: the same engine in plain C, slower than OpenSSL, for tests of it."},
    {.name = "rsa-fill-wait",
     .type = CONFIG_DURATION,
     .offset = AT(rsa_fill_wait),
     .arg = "TIME",
     .preset = "200us",
     .max = 10000,
     .help =
         "How long an RSA operation may be held back for others to be computed with, under load, when they "
         "are likely to come. 0: never."},
    NUMBER("queue-limit", queue_limit, CONFIG_UINT, "N", "4096", 1, 10000000,
           "Operations that may wait for a crypto thread; beyond, requests are answered 503 at once."),
    NUMBER("operation-timeout", operation_timeout, CONFIG_DURATION, "TIME", "2s", 1000, 600 * CONFIG_SECOND,
           "An operation that has waited this long is answered 503 instead of being computed; or less "
           "long, where the "
           "request says so (X-Envoy-Expected-Rq-Timeout-Ms)."),
    {.name = "queue-delay",
     .type = CONFIG_DURATION,
     .offset = AT(queue_delay),
     .arg = "TIME",
     .preset = "0",
     .max = 600 * CONFIG_SECOND,
     .help = "How long operations may have to wait for a crypto thread while more is asked for than can be "
             "computed; "
             "what would wait longer is answered 503 at once. Bursts may take four times as long, and 100ms "
             "at least. "
             "0: a few times what operations take, 10ms at least."},
    NUMBER("pipeline", pipeline, CONFIG_UINT, "N", "128", 1, 65536,
           "Requests in flight on one connection; beyond, it is not read from."),
    NUMBER("max-connections", max_connections, CONFIG_UINT, "N", "10000", 1, 1000000,
           "Connections at once; further ones are closed on arrival."),
    NUMBER("max-connections-per-address", max_connections_per_address, CONFIG_UINT, "N", "1024", 1, 1000000,
           "Of these, from one IP address: one flooding host leaves room for the others."),
    NUMBER("migration-max-connections", migration_max_connections, CONFIG_UINT, "N", "512", 1, 1000000,
           "Of these, on --migration-listen; half of them at most from addresses that the policy does not "
           "list."),
    NUMBER("max-connections-per-edge", max_connections_per_edge, CONFIG_UINT, "N", "8000", 1, 1000000,
           "And of one edge, by the name in its certificate; further ones are closed after the handshake."),
    NUMBER("max-in-flight-per-edge", max_in_flight_per_edge, CONFIG_UINT, "N", "8000", 1, 10000000,
           "Requests in flight on all connections of one edge; further ones are answered 503 at once."),
    NUMBER("header-max", header_max, CONFIG_SIZE, "SIZE", "8kb", 512, 1 << 20,
           "Request line and header fields, at most."),
    NUMBER("body-max", body_max, CONFIG_SIZE, "SIZE", "16kb", 2048, 1 << 20,
           "Request body, at most. An RSA-8192 decryption needs 1.6kb."),
    NUMBER("handshake-timeout", handshake_timeout, CONFIG_DURATION, "TIME", "5s", 1000, 600 * CONFIG_SECOND,
           "From connection to the end of the TLS handshake."),
    NUMBER("request-timeout", request_timeout, CONFIG_DURATION, "TIME", "5s", 1000, 600 * CONFIG_SECOND,
           "From a request's first byte to its last."),
    NUMBER("idle-timeout", idle_timeout, CONFIG_DURATION, "TIME", "5m", 1000, 86400 * CONFIG_SECOND,
           "A connection without requests is closed after this long."),
    NUMBER("write-timeout", write_timeout, CONFIG_DURATION, "TIME", "5s", 1000, 600 * CONFIG_SECOND,
           "A peer that does not take its answers is dropped after this long."),
    NUMBER("drain-timeout", drain_timeout, CONFIG_DURATION, "TIME", "10s", 0, 3600 * CONFIG_SECOND,
           "On SIGTERM and when another server takes over, how long requests in flight may take before the "
           "server "
           "stops."),
    NUMBER("drain-grace", drain_grace, CONFIG_DURATION, "TIME", "1s", 0, 3600 * CONFIG_SECOND,
           "Meanwhile, how long connections are kept open for their first request; those that have been "
           "answered before "
           "are closed as soon as they are idle."),
    {.name = "audit-log",
     .type = CONFIG_STRING,
     .offset = AT(audit_log),
     .arg = "FILE",
     .help = "One JSON line per key operation, each with the hash of the one before (AUDIT.md). Reopened on "
             "SIGHUP. "
             "Default: with the log, as event=audit, without hashes."},
    {.name = "audit",
     .type = CONFIG_ENUM,
     .offset = AT(audit),
     .preset = "lossy",
     .choices = "lossy|strict",
     .help =
         "What if the audit log cannot keep up or be written: lossy answers and counts lines as dropped; "
         "strict "
         "lets no result leave before its line is written, and refuses the request otherwise. Strict needs "
         "--audit-log."},
    {.name = "audit-key",
     .type = CONFIG_STRING,
     .offset = AT(audit_key),
     .arg = "FILE",
     .help = "Ed25519 key in PEM (openssl genpkey -algorithm ed25519; mode 0600) that signs the heads of the "
             "audit log. "
             "Without it who can write the log can write all of it anew."},
    {.name = "audit-rotate",
     .type = CONFIG_SIZE,
     .offset = AT(audit_rotate),
     .arg = "SIZE",
     .preset = "0",
     .max = 1ull << 50,
     .help = "An audit log of this size is closed with a head and renamed to FILE.NUMBER, its last line's; a "
             "new one "
             "begins with that head. 0: only on SIGHUP, when something else has renamed it."},
    NUMBER("audit-head-lines", audit_head_lines, CONFIG_UINT, "N", "1000", 1, 1000000000,
           "A head after so many audit lines at most: what is cut off behind the last head does not show."),
    NUMBER("audit-head-time", audit_head_time, CONFIG_DURATION, "TIME", "10s", 1000, 86400 * CONFIG_SECOND,
           "And so long after an audit line at most."),
    {.name = "audit-alarm",
     .type = CONFIG_DURATION,
     .offset = AT(audit_alarm),
     .arg = "TIME",
     .preset = "10m",
     .max = 86400 * CONFIG_SECOND,
     .help = "How long a ciphertext is remembered, and over what an edge's share of errors is taken. 0: no "
             "alarms."},
    {.name = "verify-audit",
     .type = CONFIG_FLAG,
     .action = true,
     .offset = AT(verify_audit),
     .help = "Check the audit logs given as arguments, oldest first, and end: 0 whole, 1 a line was changed, "
             "removed, "
             "moved or cut off, 2 cannot be read."},
    {.name = "audit-public",
     .type = CONFIG_STRING,
     .action = true,
     .offset = AT(audit_public),
     .arg = "FILE",
     .help = "With --verify-audit: the public key that heads must be signed with (openssl pkey -pubout)."},
    {.name = "expect-head",
     .type = CONFIG_STRING,
     .action = true,
     .offset = AT(expect_head),
     .arg = "HASH",
     .help = "With --verify-audit: a line with this SHA-256 must be there, a head that was noted elsewhere."},
    {.name = "audit-open",
     .type = CONFIG_FLAG,
     .action = true,
     .offset = AT(audit_open),
     .help =
         "With --verify-audit: the last file need not end with a head: a server writes it, or was killed."},
    {.name = "user",
     .type = CONFIG_STRING,
     .offset = AT(user),
     .arg = "NAME",
     .help = "Started by root: serve as this user and its groups, without capabilities. Root reads "
             "certificates, keys and the master key before; the store, the logs' folders and what SIGHUP "
             "reads must be the user's. Default: stay who it is."},
    {.name = "sandbox",
     .type = CONFIG_ENUM,
     .offset = AT(sandbox),
     .choices = SANDBOX_CHOICES,
     .preset = "on",
     .help = "System calls that a server has no use for end the process (seccomp), once it has started. log: "
             "only the kernel's log tells of them, but for those that never run, such as execve and ptrace."},
    DAEMON_OPTION_ROWS(
        AT, "Default: standard error. Reopened on SIGHUP.",
        "error: somebody must act now; warn: soon; info; debug: for developers.",
        "Load everything (configuration, certificates, master key, store), say OK or what is wrong, and "
        "end."),
    {.name = "explain",
     .type = CONFIG_FLAG,
     .action = true,
     .offset = AT(explain),
     .help =
         "With the words EDGE KEY METHOD [PROTOCOL [ADDRESS]]: print what --policy says to this request and "
         "the line that decided, and end, with status 0 when it is allowed and 1 when not. EDGE: a "
         "certificate's file, uri:, dns:, subject: or spki: as in the policy, or migration:ADDRESS. KEY: a "
         "fingerprint, a "
         "certificate's file, or name: or label:. PROTOCOL: \"TLS 1.2\" unless given. ADDRESS: any unless "
         "given."},
};

static const char summary[] =
    "Answers SKI requests of edge servers over mutual TLS: the one operation of a TLS "
    "handshake that needs the private key.";

const struct config_spec options_spec = {
    .program = "keyserver",
    .usage = "[OPTION]... | --verify-audit [OPTION]... FILE...",
    .summary = summary,
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

const struct config_spec options_explain_spec = {
    .program = "keyserver",
    .usage = "[OPTION]... --explain EDGE KEY METHOD [PROTOCOL [ADDRESS]]",
    .summary = summary,
    .options = table,
    .option_count = sizeof table / sizeof table[0],
    .positional = true,
};

bool options_want_verify(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--verify-audit") == 0)
            return true;
    return false;
}

// The same table, of which nothing is required that serving requires.
int options_verify(int argc, char *const *argv)
{
    struct config_option rows[sizeof table / sizeof table[0]];
    struct config_spec spec = options_spec;
    struct config_list files;
    struct options o = {0};

    memcpy(rows, table, sizeof table);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        rows[i].required = false;
    spec.options = rows;
    spec.positional = true;
    enum config_result result = config_read(&spec, argc, argv, &o, &files);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    int status = EXIT_USAGE;
    if (files.count == 0)
        report("--verify-audit: found no file, expected the audit logs, oldest first");
    else
        status = audit_verify(&(struct audit_verify_settings){.files = (const char *const *)files.items,
                                                              .count = files.count,
                                                              .public_file = o.audit_public,
                                                              .expect_head = o.expect_head,
                                                              .open = o.audit_open,
                                                              .out = stdout});
    config_release(&spec, &o, &files);
    return status;
}
