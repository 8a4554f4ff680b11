#include "certs/import.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "certs/certinfo.h"
#include "certs/import_parts.h"
#include "certs/input.h"
#include "certs/keycheck.h"
#include "certs/pairing.h"
#include "certs/progress.h"

#define BATCH_WAIT_S 1 // a key that was read is reported within about this time

// ---- pass 1: certificates

static void collect_cert(void *arg, X509 *cert)
{
    struct import *im = arg;
    struct certinfo info;
    if (certinfo_read(cert, &info) && !pairing_add(&im->pairing, &info, im->file))
        im->out_of_memory = true;
}

static void collect_certs(struct import *im, const struct input_files *files)
{
    const struct input_sink sink = {.arg = im, .cert = collect_cert};
    progress_begin("reading certificates", files->count);
    for (size_t i = 0; i < files->count && !im->out_of_memory; i++) {
        struct file_bytes bytes;
        im->file = files->items[i].path;
        progress_at(i);
        if (files->items[i].fault != NULL || !files_read(im->file, &bytes, NULL))
            continue; // told in the second pass
        input_parse(bytes.data, bytes.len, &im->options->passphrase, &sink);
        files_free(&bytes);
    }
    progress_end();
}

// ---- pass 2: keys

void import_refuse(struct import *im, const char *why)
{
    import_tell(&im->report, IMPORT_REFUSED, im->file, why);
}

static bool has_ended(const struct import *im, const struct paired_cert *cert)
{
    return cert->not_after < im->options->now;
}

static void refuse_expired(struct import *im, const struct paired_cert *cert, const char *what)
{
    char date[CERTINFO_TIME_LEN];
    struct error e;
    error_set(&e, "%s (%s) ended on %s; --allow-expired takes it all the same", what, cert->name,
              certinfo_date(cert->not_after, date));
    import_tell(&im->report, IMPORT_REFUSED, cert->file, e.text);
}

static void add_cert(struct import *im, const struct paired_cert *cert)
{
    if (im->info.cert_count == KEYRECORD_MAX_CERTS)
        return;
    struct keyrecord_cert *entry = &im->info.certs[im->info.cert_count++];
    memcpy(entry->sha1, cert->sha1, sizeof entry->sha1);
    entry->not_after = cert->not_after;
    (void)snprintf(entry->name, sizeof entry->name, "%s", cert->name);
    if (!cert->usual_form)
        import_warn(&im->report, cert->file,
                    "the certificate writes its public key in an unusual form; edges find the key by the "
                    "certificate's SHA-1 only");
}

// Fills im->info with the certificates that go with the key. False: the key was refused.
static bool take_certs(struct import *im, struct paired_cert *certs)
{
    bool all = im->options->allow_expired;
    unsigned total = 0, usable = 0;
    for (const struct paired_cert *c = certs; c != NULL; c = c->next) {
        total++;
        usable += all || !has_ended(im, c);
    }
    for (struct paired_cert *c = certs; c != NULL; c = c->next) {
        if (all || !has_ended(im, c))
            add_cert(im, c);
        else if (usable > 0 && !c->told)
            refuse_expired(im, c, "a certificate");
        c->told = true;
    }
    if (total == 0 || usable > 0)
        return true;
    char date[CERTINFO_TIME_LEN];
    struct error e;
    error_set(&e, "the key's certificate (%s) ended on %s; --allow-expired takes it all the same",
              certs->name, certinfo_date(certs->not_after, date));
    import_refuse(im, e.text);
    return false;
}

// A key that no certificate goes with is taken, but not when somebody clearly meant one to.
static bool check_neighbour(struct import *im)
{
    const struct paired_cert *cert = pairing_neighbour(&im->pairing, im->file);
    if (cert == NULL)
        return true;
    struct error e;
    bool same = strcmp(cert->file, im->file) == 0;
    error_set(&e, "the private key does not belong to the certificate (%s) in %s", cert->name,
              same ? "the same file" : cert->file);
    import_refuse(im, e.text);
    return false;
}

// A record of the Java key server is named by its certificate's SHA-1, and that is all it says of it.
static void add_own(struct import *im)
{
    if (im->own == NULL || im->info.cert_count == KEYRECORD_MAX_CERTS)
        return;
    for (unsigned i = 0; i < im->info.cert_count; i++)
        if (memcmp(im->info.certs[i].sha1, im->own->sha1, sizeof im->own->sha1) == 0)
            return;
    im->info.certs[im->info.cert_count++] = *im->own;
}

static void warn_about(struct import *im)
{
    struct error e;
    if (im->info.type == KEYRECORD_RSA && im->info.cert_count > 1) {
        error_set(&e, "one RSA key serves %u certificates; it is found by each of them", im->info.cert_count);
        import_warn(&im->report, im->file, e.text);
    }
    if (im->options->expire && im->info.cert_count == 0)
        import_warn(&im->report, im->file,
                    "a key without certificate has no end: --expire does nothing to it");
}

static void put_labels(struct import *im)
{
    const struct config_list *labels = im->options->labels;
    for (size_t i = 0; labels != NULL && i < labels->count; i++)
        (void)snprintf(im->info.labels[im->info.label_count++], sizeof im->info.labels[0], "%s",
                       labels->items[i]);
}

void import_take_key(void *arg, EVP_PKEY *key)
{
    struct import *im = arg;
    struct error why = {""};
    char name[KEYRECORD_NAME_LEN + 1];
    im->found++;
    if (!keycheck(key, &why)) {
        import_refuse(im, why.text);
        return;
    }
    if (!keyrecord_name(key, name)) {
        import_refuse(im, "the fingerprint of the key cannot be computed");
        return;
    }
    memset(&im->info, 0, sizeof im->info);
    im->info.imported = im->options->now;
    im->info.encoding = im->options->encoding;
    put_labels(im);
    im->info.type = EVP_PKEY_is_a(key, "RSA") ? KEYRECORD_RSA : KEYRECORD_EC;
    im->info.bits = (unsigned)EVP_PKEY_get_bits(key);
    struct paired_cert *certs = pairing_find(&im->pairing, name);
    if (certs == NULL && im->own == NULL && !check_neighbour(im))
        return;
    if (!take_certs(im, certs))
        return;
    add_own(im);
    warn_about(im);
    import_batch_add(&im->batch, key, name, &im->info, im->file);
}

static void see_cert(void *arg, X509 *cert)
{
    struct import *im = arg;
    (void)cert;
    im->found++;
}

static void see_fault(void *arg, const char *why)
{
    struct import *im = arg;
    im->found++;
    import_refuse(im, why);
}

static void take_file(struct import *im, const struct input_file *file)
{
    const struct input_sink sink = {.arg = im, .cert = see_cert, .key = import_take_key, .fault = see_fault};
    struct file_bytes bytes;
    struct error e = {""};
    im->file = file->path;
    im->found = 0;
    if (file->fault != NULL) {
        import_refuse(im, file->fault);
    } else if (!files_read(file->path, &bytes, &e)) {
        import_refuse(im, e.text);
    } else {
        input_parse(bytes.data, bytes.len, &im->options->passphrase, &sink);
        files_free(&bytes);
        if (im->found == 0)
            import_tell(&im->report, file->named ? IMPORT_REFUSED : IMPORT_SKIPPED, file->path,
                        "holds no certificate and no private key (PEM, DER or PKCS#12)");
    }
}

static void take_keys(struct import *im, const struct input_files *files)
{
    time_t last = time(NULL);
    progress_begin("importing", files->count);
    for (size_t i = 0; i < files->count && !im->report.broken; i++) {
        take_file(im, &files->items[i]);
        progress_at(i + 1);
        time_t now = time(NULL);
        if (now < last || now >= last + BATCH_WAIT_S) {
            import_batch_run(&im->batch);
            last = now;
        }
    }
    import_batch_run(&im->batch);
    progress_end();
}

static void tell_lonely_certs(struct import *im)
{
    for (size_t i = 0; i < im->pairing.count; i++) {
        const struct paired_cert *cert = im->pairing.all[i];
        struct error e;
        if (cert->told)
            continue;
        error_set(&e, "%scertificate %s: no private key for it in the input", cert->ca ? "CA " : "",
                  cert->name);
        import_tell(&im->report, IMPORT_SKIPPED, cert->file, e.text);
    }
}

bool import_run(struct store *store, const struct input_files *files, const struct import_options *options,
                struct import_counts *counts, struct error *e)
{
    struct import *im = calloc(1, sizeof *im);
    bool ok = im != NULL;
    if (ok) {
        im->options = options;
        im->report.options = options;
        ok = pairing_init(&im->pairing) && import_batch_init(&im->batch, store, &im->report);
    }
    if (ok) {
        collect_certs(im, files);
        ok = !im->out_of_memory;
    }
    if (!ok)
        error_set(e, "import: out of memory");
    if (ok) {
        take_keys(im, files);
        ok = options->source == NULL || import_take_source(im, options->source, e);
        tell_lonely_certs(im);
        import_summary(&im->report);
        *counts = im->report.counts;
        if (im->report.broken) {
            error_set(e, "write the results: the output cannot be written");
            ok = false;
        }
    }
    if (im != NULL) {
        import_batch_deinit(&im->batch);
        pairing_deinit(&im->pairing);
    }
    free(im);
    return ok;
}
