#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <openssl/bio.h>
#include <openssl/pem.h>

#include "certs/cli.h"
#include "certs/commands.h"
#include "certs/files.h"
#include "certs/names.h"
#include "certs/text.h"

struct options {
    char *store, *master_key, *master_key_fd, *out;
    bool force, json;
};

static const struct config_option table[] = {
    CLI_STORE(struct options),
    CLI_MASTER(struct options, "The master key file that opens sealed keys."),
    {.name = "out",
     .type = CONFIG_STRING,
     .offset = offsetof(struct options, out),
     .arg = "FILE",
     .help = "The file to make, mode 0600; \"-\" writes to standard output. Default: "
             "key-XXXXXXXXXXXXXXXX.pem in the current folder, with the "
             "first digits of the fingerprint in hex."},
    {.name = "force",
     .type = CONFIG_FLAG,
     .offset = offsetof(struct options, force),
     .help = "Overwrite an existing file."},
    CLI_JSON(struct options, "Print what was written where as JSON (not with --out -)."),
};

static const struct config_spec spec = {
    .program = "certs",
    .usage = "export --store DIR --master-key FILE [--out FILE] [OPTION]... KEY",
    .summary = "Writes one private key as unencrypted PKCS#8 PEM. KEY is a fingerprint (SHA-256 of the "
               "public key in Base64 or hex, or SHA-1 of a "
               "certificate in hex) or the file of a certificate.",
    .options = table,
    .option_count = CLI_COUNT(table),
    .positional = true,
};

// Not through stdio, whose buffer would keep the key.
static bool write_stdout(const char *data, size_t len, struct error *e)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_set(e, "standard output: write: %s", strerror(errno));
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void default_path(const char *name, char *path, size_t len)
{
    unsigned char hash[48];
    (void)EVP_DecodeBlock(hash, (const unsigned char *)name, (int)strlen(name) & ~3);
    int n = snprintf(path, len, "key-");
    for (size_t i = 0; i < 8; i++)
        n += snprintf(path + n, len - (size_t)n, "%02x", hash[i]);
    (void)snprintf(path + n, len - (size_t)n, ".pem");
}

static bool write_pem(const struct options *o, const char *name, EVP_PKEY *key, struct error *e)
{
    char generated[32], shown[TEXT_PATH_LEN], *data = NULL;
    const char *path = o->out;
    if (path == NULL) {
        default_path(name, generated, sizeof generated);
        path = generated;
    }
    BIO *bio = BIO_new(BIO_s_secmem());
    if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
        error_set_openssl(e, "%s: encode the key", name);
        BIO_free(bio);
        return false;
    }
    size_t len = (size_t)BIO_get_mem_data(bio, &data);
    bool to_stdout = strcmp(path, "-") == 0;
    bool ok =
        to_stdout ? write_stdout(data, len, e) : files_write(path, data, len, FILES_SECRET, o->force, e);
    BIO_free(bio);
    if (ok && !to_stdout && o->json)
        (void)text_json_line(stdout, json_pack("{s:s, s:o}", "spki", name, "file", text_json(path)));
    else if (ok && !to_stdout)
        (void)printf("exported %s to %s\n", name, text_printable(path, shown));
    return ok;
}

static bool export_key(struct store *store, const struct options *o, const struct seal_key *master,
                       const char *what, struct error *e)
{
    char name[KEYRECORD_NAME_LEN + 1];
    struct record record;
    EVP_PKEY *key = NULL;
    if (!names_resolve(store, what, false, name, e))
        return false;
    enum store_status found = record_get(store, name, &record, e);
    if (found == STORE_NOT_FOUND)
        error_set(e, "%s is not in the store", record.name);
    if (found != STORE_OK)
        return false;
    enum keyrecord_status status = keyrecord_open(record.name, record.value, record.len, master, &key, NULL);
    if (status != KEYRECORD_OK)
        error_set(e, "%s: %s", record.name, keyrecord_status_text(status));
    bool ok = status == KEYRECORD_OK && write_pem(o, record.name, key, e);
    EVP_PKEY_free(key);
    record_release(&record);
    return ok;
}

static bool run(const struct options *o, const char *what)
{
    struct error e = {""};
    struct seal_key *master = NULL;
    struct store *store = NULL;
    bool ok = cli_load_master(o->master_key, o->master_key_fd, &master) && (store = cli_open_store(o->store, false)) != NULL;
    if (ok && !export_key(store, o, master, what, &e)) {
        report("export: %s", e.text);
        ok = false;
    }
    store_close(&store);
    seal_key_destroy(&master);
    return cli_finish_output() && ok;
}

int cmd_export(int argc, char *const *argv)
{
    struct options o = {0};
    struct config_list what = {NULL, 0};
    int status = cli_read(&spec, argc, argv, &o, &what);
    if (status >= 0)
        return status;
    if (what.count != 1) {
        report("export: expected one KEY, found %zu", what.count);
        status = EXIT_USAGE;
    } else {
        status = run(&o, what.items[0]) ? EXIT_DONE : EXIT_FAILED;
    }
    config_release(&spec, &o, &what);
    return status;
}
