#include "certs/pairing.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "certs/table.h"

bool pairing_init(struct pairing *pairing)
{
    memset(pairing, 0, sizeof *pairing);
    pairing->by_spki = table_create();
    pairing->by_sha1 = table_create();
    pairing->by_place = table_create();
    return pairing->by_spki != NULL && pairing->by_sha1 != NULL && pairing->by_place != NULL;
}

void pairing_deinit(struct pairing *pairing)
{
    for (size_t i = 0; i < pairing->count; i++) {
        free(pairing->all[i]->name);
        free(pairing->all[i]);
    }
    free(pairing->all);
    table_destroy(&pairing->by_spki);
    table_destroy(&pairing->by_sha1);
    table_destroy(&pairing->by_place);
    memset(pairing, 0, sizeof *pairing);
}

// The length of a path without an ending that tells the form of the file. Other endings stay:
// "www.example.org" and "www.example.com" have nothing to do with each other.
static size_t stem_len(const char *path)
{
    static const char *const endings[] = {"pem", "crt", "cer", "cert", "der", "key"};
    const char *dot = strrchr(path, '.');
    if (dot == NULL || strchr(dot, '/') != NULL)
        return strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return (size_t)(dot - path);
    return strlen(path);
}

// The first certificate of a file is found under its path and under its stem.
static bool remember_place(struct pairing *pairing, const char *file, struct paired_cert *cert)
{
    const size_t lens[] = {strlen(file), stem_len(file)};
    for (size_t i = 0; i < 2; i++)
        if (table_get(pairing->by_place, file, lens[i]) == NULL &&
            !table_put(pairing->by_place, file, lens[i], cert))
            return false;
    return true;
}

static bool append(struct pairing *pairing, struct paired_cert *cert)
{
    if (pairing->count == pairing->room) {
        size_t room = pairing->room == 0 ? 64 : pairing->room * 2;
        struct paired_cert **all = realloc(pairing->all, room * sizeof *all);
        if (all == NULL)
            return false;
        pairing->all = all;
        pairing->room = room;
    }
    pairing->all[pairing->count++] = cert;
    return true;
}

// Puts it behind the other certificates of its key.
static bool chain_up(struct pairing *pairing, const char *spki, struct paired_cert *cert)
{
    struct paired_cert *at = pairing_find(pairing, spki);
    if (at == NULL)
        return table_put(pairing->by_spki, spki, KEYRECORD_NAME_LEN, cert);
    while (at->next != NULL)
        at = at->next;
    at->next = cert;
    return true;
}

bool pairing_add(struct pairing *pairing, const struct certinfo *info, const char *file)
{
    if (table_get(pairing->by_sha1, info->entry.sha1, sizeof info->entry.sha1) != NULL)
        return true;
    struct paired_cert *cert = calloc(1, sizeof *cert);
    char *name = strdup(info->entry.name);
    if (cert == NULL || name == NULL || !append(pairing, cert)) {
        free(name);
        free(cert);
        return false;
    }
    cert->name = name;
    cert->file = file;
    cert->not_after = info->entry.not_after;
    memcpy(cert->sha1, info->entry.sha1, sizeof cert->sha1);
    cert->usual_form = info->usual_form;
    cert->ca = info->ca;
    return table_put(pairing->by_sha1, cert->sha1, sizeof cert->sha1, cert) &&
           remember_place(pairing, file, cert) &&
           (info->spki[0] == '\0' || chain_up(pairing, info->spki, cert));
}

struct paired_cert *pairing_find(const struct pairing *pairing, const char *spki)
{
    return table_get(pairing->by_spki, spki, KEYRECORD_NAME_LEN);
}

const struct paired_cert *pairing_neighbour(const struct pairing *pairing, const char *file)
{
    const struct paired_cert *same = table_get(pairing->by_place, file, strlen(file));
    size_t len = strlen(file), stem = stem_len(file);
    if (same != NULL && strcmp(same->file, file) == 0)
        return same;
    return len == stem + 4 && strcasecmp(file + stem, ".key") == 0 ? table_get(pairing->by_place, file, stem)
                                                                   : NULL;
}
