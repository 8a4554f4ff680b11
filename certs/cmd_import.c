#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <openssl/provider.h>

#include "certs/cli.h"
#include "certs/commands.h"
#include "certs/files.h"
#include "certs/import.h"

struct options {
    char *store, *master_key, *master_key_fd, *passphrase_file;
    char *from_rdb, *from_redis, *password_file, *ca, *cert, *key;
    struct config_list labels;
    unsigned encoding;
    bool plain, expire, allow_expired, force, json;
};

static const struct config_option table[] = {
    CLI_STORE(struct options),
    CLI_MASTER(
        struct options,
        "The master key file (see certs master-key) under which the keys are sealed. Mode 0600 or 0400."),
    {.name = "plain",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, plain),
     .help = "Store the keys unsealed. Whoever reads the store's files then has the keys: for tests only."},
    CLI_ENCODING(
        struct options, .preset = "pkcs8",
        .help =
            "How new keys are kept. compact: RSA keys as their primes, which takes a quarter of the space; "
            "they are had back byte "
            "for byte. Keys that are in the store already keep their encoding (certs recode changes it)."),
    {.name = "label",
     .type = CONFIG_LIST,
     .offset = offsetof(struct options, labels),
     .arg = "NAME",
     .help =
         "A label for the keys, by which the key server's access policy (--policy) may go: up to 32 letters, "
         "digits, '-', '_' and '.'. May be given up to 8 times. Keys that are in the store get these instead "
         "of those that they have; without it they keep theirs."},
    {.name = "passphrase-file",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, passphrase_file),
     .arg = "FILE",
     .help = "A file whose first line is the passphrase of encrypted input; /dev/fd/N reads it from an open "
             "descriptor."},
    {.name = "from-rdb",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, from_rdb),
     .arg = "FILE",
     .help =
         "Also import the private keys in a Redis database file, as the Java key server keeps them: under "
         "the SHA-1 of the certificate, Base64 of PKCS#8 DER, or PEM. Other records are counted and named."},
    {.name = "from-redis",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, from_redis),
     .arg = "redis[s]://[USER@]HOST[:PORT][/DB]|unix:PATH",
     .help =
         "The same from a running Redis; rediss is TLS. A password in the address is seen by all users of "
         "this machine: prefer --redis-password-file."},
    {.name = "redis-password-file",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, password_file),
     .arg = "FILE",
     .help = "A file whose first line is the password of Redis; /dev/fd/N reads it from an open descriptor."},
    {.name = "redis-ca",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, ca),
     .arg = "FILE",
     .help = "Authorities that may have signed the certificate of Redis (rediss). Default: the system's."},
    {.name = "redis-cert",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, cert),
     .arg = "FILE",
     .help = "Our certificate, for a Redis that asks for one; needs --redis-key and --redis-ca."},
    {.name = "redis-key",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, key),
     .arg = "FILE",
     .help = "The key of --redis-cert."},
    {.name = "expire",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, expire),
     .help = "Let each key leave the store by itself when the last of its certificates ends."},
    {.name = "allow-expired",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, allow_expired),
     .help = "Take keys and certificates whose time has ended. Without it they are refused."},
    {.name = "force",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, force),
     .help = "Replace records of the same keys that are sealed under another master key."},
    CLI_JSON(struct options, "Print one JSON object a line: each key or file, then the summary."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage =
        "import --store DIR --master-key FILE [OPTION]... [--from-rdb FILE|--from-redis ADDRESS] [PATH]...",
    .summary = "Imports private keys and their certificates from files and folders: PEM (PKCS#8, PKCS#1, "
               "SEC1, plain or encrypted), DER and "
               "PKCS#12; keys and certificates are paired by public key across all of them. A key that is "
               "reported as imported is durable. A bad "
               "file is refused and the rest goes on; the exit status is 1 when anything was refused.",
    .options = table,
    .option_count = CLI_COUNT(table),
    .positional = true,
};

// Old PKCS#12 and PEM files use RC2, RC4 and DES, which OpenSSL 3 keeps in a provider of its own. Only
// reading needs them. When the provider is missing such files are refused one by one.
static void allow_old_ciphers(OSSL_PROVIDER *providers[static 2])
{
    providers[0] = OSSL_PROVIDER_load(NULL, "default"); // naming one switches the automatic loading off
    providers[1] = OSSL_PROVIDER_load(NULL, "legacy");
}

static bool run_in(struct store *store, const struct config_list *paths, struct import_options *io)
{
    struct error e = {""};
    struct input_files files;
    struct import_counts counts = {0};
    OSSL_PROVIDER *providers[2];
    allow_old_ciphers(providers);
    bool ok = files_collect(paths, &files);
    if (!ok)
        error_set(&e, "import: out of memory");
    ok = ok && import_run(store, &files, io, &counts, &e);
    files_release(&files);
    for (size_t i = 0; i < 2; i++)
        if (providers[i] != NULL)
            (void)OSSL_PROVIDER_unload(providers[i]);
    if (!ok)
        report("%s", e.text);
    return ok && counts.refused == 0;
}

static bool run(const struct options *o, const struct config_list *paths)
{
    struct error e = {""};
    struct passphrase password = {NULL, 0};
    struct seal_key *master = NULL;
    struct store *store = NULL;
    time_t now = time(NULL);
    struct import_options io = {.encoding = (enum keyrecord_encoding)o->encoding,
                                .expire = o->expire,
                                .allow_expired = o->allow_expired,
                                .force = o->force,
                                .json = o->json,
                                .labels = &o->labels,
                                .now = now < 0 ? 0 : (uint64_t)now,
                                .out = stdout};
    bool ok = cli_load_master(o->master_key, o->master_key_fd, &master);
    io.master = master;
    const struct source source = {.each = o->from_rdb != NULL ? source_rdb : source_redis,
                                  .from = o->from_rdb != NULL ? o->from_rdb : o->from_redis,
                                  .ca = o->ca,
                                  .cert = o->cert,
                                  .key = o->key,
                                  .password = &password,
                                  .now_ms = io.now * 1000};
    if (source.from != NULL)
        io.source = &source;
    if (ok && o->password_file != NULL && !passphrase_load(o->password_file, &password, &e)) {
        report("%s", e.text);
        ok = false;
    }
    if (ok && o->passphrase_file != NULL && !passphrase_load(o->passphrase_file, &io.passphrase, &e)) {
        report("%s", e.text);
        ok = false;
    }
    ok = ok && (store = cli_open_store(o->store, true)) != NULL;
    ok = ok && run_in(store, paths, &io);
    store_close(&store);
    passphrase_wipe(&io.passphrase);
    passphrase_wipe(&password);
    seal_key_destroy(&master);
    return ok;
}

static const char *check_labels(const struct config_list *labels)
{
    if (labels->count > KEYRECORD_MAX_LABELS)
        return "more than 8 times --label";
    for (size_t i = 0; i < labels->count; i++)
        if (!keyrecord_label_valid(labels->items[i], strlen(labels->items[i])))
            return "--label: expected up to 32 letters, digits, '-', '_' and '.'";
    return NULL;
}

int cmd_import(int argc, char *const *argv)
{
    struct options o = {0};
    struct config_list paths = {NULL, 0};
    int status = cli_read(&spec, argc, argv, &o, &paths);
    if (status >= 0)
        return status;
    const char *wrong = NULL;
    struct error e;
    struct source_url url;
    bool tls = o.ca != NULL || o.cert != NULL || o.key != NULL;
    if (paths.count == 0 && o.from_rdb == NULL && o.from_redis == NULL)
        wrong = "no PATH to import";
    else if (o.from_rdb != NULL && o.from_redis != NULL)
        wrong = "--from-rdb and --from-redis exclude each other";
    else if ((tls || o.password_file != NULL) && o.from_redis == NULL)
        wrong = "--redis-... without --from-redis";
    else if ((o.cert != NULL) != (o.key != NULL) || (o.cert != NULL && o.ca == NULL))
        wrong = "--redis-cert, --redis-key and --redis-ca go together";
    else if (o.from_redis != NULL && !source_url_parse(o.from_redis, &url, &e))
        wrong = e.text;
    else if (o.from_redis != NULL && tls && !url.tls)
        wrong = "--redis-ca, -cert, -key are for rediss://";
    else if (o.master_key == NULL && !o.plain)
        wrong = "no --master-key: keys at rest are sealed (--plain stores them unsealed)";
    else if (o.master_key != NULL && o.plain)
        wrong = "--plain and --master-key exclude each other";
    else
        wrong = check_labels(&o.labels);
    explicit_bzero(&url, sizeof url);
    if (wrong != NULL) {
        report("import: %s", wrong);
        status = EXIT_USAGE;
    } else {
        status = run(&o, &paths) ? EXIT_DONE : EXIT_FAILED;
    }
    config_release(&spec, &o, &paths);
    return status;
}
