#include "certs/recode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "certs/progress.h"
#include "certs/text.h"

#define BATCH 64 // keys to one sync
#define TRIES 50 // of a batch that others keep changing

enum result { RESULT_NONE, RESULT_RECODED, RESULT_UNCHANGED, RESULT_WHOLE, RESULT_FAULT };

struct item {
    const char *name; // borrowed
    enum result result;
    uint8_t *value; // the new record; NULL: it stays as it is
    size_t len, old_len;
    uint64_t expire_ms;
    const char *whole;
    struct error fault; // empty: none so far
};

struct recode {
    struct store *store;
    const struct recode_options *options;
    struct recode_counts *counts;
    struct item items[BATCH];
    size_t count;
    bool broken; // the output cannot be written
};

// ---- what was done

static void count_reason(struct recode_counts *counts, const char *why)
{
    size_t i = 0;
    while (i < RECODE_REASONS - 1 && counts->reasons[i].why != NULL &&
           strcmp(counts->reasons[i].why, why) != 0)
        i++;
    counts->reasons[i].why = why;
    counts->reasons[i].count++;
}

static void count(struct recode_counts *counts, const struct item *item)
{
    counts->recoded += item->result == RESULT_RECODED;
    counts->unchanged += item->result == RESULT_UNCHANGED;
    counts->whole += item->result == RESULT_WHOLE;
    counts->faults += item->result == RESULT_FAULT;
    if (item->result == RESULT_WHOLE)
        count_reason(counts, item->whole);
    if (item->result == RESULT_RECODED) {
        counts->bytes_before += item->old_len;
        counts->bytes_after += item->len;
    }
}

static const char *const words[] = {[RESULT_RECODED] = "recoded",
                                    [RESULT_UNCHANGED] = "unchanged",
                                    [RESULT_WHOLE] = "whole",
                                    [RESULT_FAULT] = "fault"};

static const char *word_of(const struct recode *r, enum result result)
{
    if (r->options->fresh == NULL)
        return words[result];
    return result == RESULT_RECODED ? "rekeyed" : result == RESULT_WHOLE ? "left" : words[result];
}

static bool tell_json(const struct recode *r, const struct item *item, const char *why)
{
    json_t *line = json_pack("{s:s, s:s}", "result", word_of(r, item->result), "spki", item->name);
    if (line != NULL && why != NULL)
        (void)json_object_set_new(line, "reason", text_json(why));
    if (line != NULL && item->result == RESULT_RECODED && r->options->fresh == NULL) {
        (void)json_object_set_new(line, "bytes_before", json_integer((json_int_t)item->old_len));
        (void)json_object_set_new(line, "bytes", json_integer((json_int_t)item->len));
    }
    return text_json_line(r->options->out, line);
}

static void tell(struct recode *r, const struct item *item)
{
    FILE *out = r->options->out;
    const char *why = item->result == RESULT_FAULT ? item->fault.text : item->whole;
    bool ok;
    progress_hide();
    if (r->options->json)
        ok = tell_json(r, item, why);
    else if (item->result == RESULT_RECODED && r->options->fresh == NULL)
        ok = fprintf(out, "recoded %s: %zu bytes became %zu\n", item->name, item->old_len, item->len) > 0;
    else
        ok = fprintf(out, "%s %s%s%s\n", word_of(r, item->result), item->name, why != NULL ? ": " : "",
                     why != NULL ? why : "") > 0;
    r->broken = !ok || r->broken;
}

// ---- one batch

static void clear(struct item *item)
{
    store_value_free(&item->value, item->len);
    *item = (struct item){.name = item->name};
}

static void recode_value(struct recode *r, struct item *item, const uint8_t *value, size_t len)
{
    char target[KEYRECORD_NAME_LEN + 1];
    if (keyrecord_decode_alias(value, len, target) == KEYRECORD_IS_ALIAS)
        return;
    item->old_len = len;
    const struct recode_options *o = r->options;
    enum keyrecord_status status =
        o->fresh != NULL ? keyrecord_rekey(item->name, value, len, o->master, o->fresh, &item->value,
                                           &item->len, &item->whole)
                         : keyrecord_recode(item->name, value, len, o->master, o->encoding, &item->value,
                                            &item->len, &item->whole);
    if (status != KEYRECORD_OK) {
        item->result = RESULT_FAULT;
        error_set(&item->fault, "%s", keyrecord_status_text(status));
    } else if (item->value != NULL) {
        item->result = RESULT_RECODED;
    } else {
        item->result = item->whole != NULL ? RESULT_WHOLE : RESULT_UNCHANGED;
    }
}

// Reads what stands under a name now, and makes of it what is to stand there.
static void look_up(struct recode *r, struct item *item)
{
    uint8_t *value = NULL;
    size_t len = 0, name_len = strlen(item->name);
    clear(item);
    // What stands under a name of 40 characters is an alias or of the Java key server, and stays.
    bool watched =
        name_len != KEYRECORD_NAME_LEN || store_watch(r->store, item->name, name_len, &item->fault);
    enum store_status found =
        watched ? store_get(r->store, item->name, name_len, &value, &len, &item->expire_ms, &item->fault)
                : STORE_FAILED;
    if (found == STORE_FAILED)
        item->result = RESULT_FAULT;
    else if (found == STORE_OK)
        recode_value(r, item, value, len); // else it was deleted or expired since the names were collected
    store_value_free(&value, len);
}

// Reads, writes and syncs all items once. False: somebody else changed one of them, and nothing was written.
static bool try_batch(struct recode *r)
{
    bool changed = false;
    for (size_t i = 0; i < r->count; i++)
        look_up(r, &r->items[i]);
    for (size_t i = 0; i < r->count; i++) {
        struct item *item = &r->items[i];
        if (item->value != NULL)
            store_put(r->store, item->name, strlen(item->name), item->value, item->len, item->expire_ms,
                      &item->fault);
    }
    (void)store_commit(r->store, &changed); // each fault says whether its write is durable
    return !changed;
}

static void run_batch(struct recode *r)
{
    int tries = 1;
    while (!try_batch(r) && tries <= TRIES)
        tries++;
    for (size_t i = 0; i < r->count; i++) {
        struct item *item = &r->items[i];
        if (item->value != NULL && tries > TRIES)
            error_set(&item->fault,
                      "it, or a key of the same batch, keeps being changed: try again");
        if (item->fault.text[0] != '\0')
            item->result = RESULT_FAULT;
        count(r->counts, item);
        if (item->result != RESULT_NONE)
            tell(r, item);
        clear(item);
    }
    r->broken = fflush(r->options->out) != 0 || r->broken;
    r->count = 0;
}

bool recode_names(struct store *store, const struct names *names, const struct recode_options *options,
                  struct recode_counts *counts, struct error *e)
{
    struct recode *r = calloc(1, sizeof *r);
    memset(counts, 0, sizeof *counts);
    if (r == NULL) {
        error_set(e, "out of memory");
        return false;
    }
    r->store = store;
    r->options = options;
    r->counts = counts;
    progress_begin(options->fresh != NULL ? "rekeying" : "recoding", names->count);
    for (size_t i = 0; i < names->count && !r->broken; i++) {
        r->items[r->count++].name = names->items[i];
        if (r->count == BATCH || i + 1 == names->count)
            run_batch(r);
        progress_at(i + 1);
    }
    progress_end();
    bool ok = !r->broken;
    if (!ok)
        error_set(e, "write the results: the output cannot be written");
    free(r);
    return ok;
}
