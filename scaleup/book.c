// The book's bytes: {"sha256":"<hex>","book":{...}} and a line feed. The sum is over the bytes of the inner object, as they are in the file.
#include "scaleup/book.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION  2 // 1: without backend and target
#define VNFS_MAX 10000
#define SUM_LEN  64
#define HEAD     "{\"sha256\":\""
#define MIDDLE   "\",\"book\":"
#define TAIL     "}\n"
#define FRONT    (sizeof HEAD - 1 + SUM_LEN + sizeof MIDDLE - 1)
#define COUNT(a) (sizeof(a) / sizeof *(a))

void book_release(struct book *book)
{
    free(book->vnfs);
    *book = (struct book){0};
}

static bool sum_of(const char *bytes, size_t len, char hex[static SUM_LEN + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(bytes, len, sum, &n, EVP_sha256(), NULL) != 1 || n != SUM_LEN / 2)
        return false;
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return true;
}

// ---- writing

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)(n <= MESSAGE_NUMBER_MAX ? n : MESSAGE_NUMBER_MAX));
}

static json_t *request_value(const struct book_request *r, bool ended)
{
    json_t *object = json_pack("{s:s, s:o, s:o}", "id", r->id, "target_bytes", number(r->target_bytes),
                               "min_bytes", number(r->min_bytes));
    if (object != NULL && ended &&
        json_object_set_new(object, "state", json_string(message_state_name(r->state))) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *vnf_value(const struct book_vnf *vnf)
{
    json_t *finished = json_array();
    for (size_t i = 0; i < vnf->finished_count; i++)
        if (json_array_append_new(finished, request_value(&vnf->finished[i], true)) != 0) {
            json_decref(finished);
            return NULL;
        }
    json_t *object =
        json_pack("{s:s, s:o, s:o, s:o}", "name", vnf->name, "granted_bytes", number(vnf->granted_bytes),
                  "committed_bytes", number(vnf->committed_bytes), "finished", finished);
    bool good = object != NULL;
    if (good && vnf->backend[0] != '\0')
        good = json_object_set_new(object, "backend", json_string(vnf->backend)) == 0 &&
               json_object_set_new(object, "target", json_string(vnf->target)) == 0;
    if (good && vnf->pending.id[0] != '\0')
        good = json_object_set_new(object, "pending", request_value(&vnf->pending, false)) == 0;
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

static char *body_of(const struct book *book)
{
    json_t *vnfs = json_array();
    for (size_t i = 0; i < book->count; i++)
        if (json_array_append_new(vnfs, vnf_value(&book->vnfs[i])) != 0) {
            json_decref(vnfs);
            return NULL;
        }
    json_t *object =
        json_pack("{s:i, s:o, s:o, s:o}", "version", VERSION, "pool_bytes", number(book->pool_bytes),
                  "granularity", number(book->granularity), "vnfs", vnfs);
    char *body = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return body;
}

char *book_format(const struct book *book, size_t *len)
{
    char sum[SUM_LEN + 1], *bytes = NULL;
    char *body = body_of(book);
    if (body != NULL && sum_of(body, strlen(body), sum)) {
        int n = asprintf(&bytes, HEAD "%s" MIDDLE "%s" TAIL, sum, body);
        *len = n < 0 ? 0 : (size_t)n;
        bytes = n < 0 ? NULL : bytes;
    }
    free(body);
    return bytes;
}

// ---- reading

static bool wrong(struct error *e, const char *what)
{
    error_set(e, "not a sound book: %s", what);
    return false;
}

// A member that we do not know was written by somebody who meant something by it.
static bool only(const json_t *object, const char *const *names, size_t count)
{
    size_t known = 0;
    for (size_t i = 0; i < count; i++)
        known += json_object_get(object, names[i]) != NULL;
    return json_is_object(object) && json_object_size(object) == known;
}

static bool take_number(const json_t *object, const char *name, uint64_t *to)
{
    const json_t *value = json_object_get(object, name);
    json_int_t n = json_integer_value(value);
    *to = (uint64_t)n;
    return json_is_integer(value) && n >= 0 && (uint64_t)n <= MESSAGE_NUMBER_MAX;
}

static bool take_name(const json_t *object, const char *name, message_name to)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL || !message_name_is_good(text))
        return false;
    memcpy(to, text, strlen(text) + 1);
    return true;
}

static bool take_state(const json_t *object, enum message_state *to)
{
    const char *text = json_string_value(json_object_get(object, "state"));
    for (enum message_state state = STATE_ACCEPTED; text != NULL && state < STATE_REFUSED; state++)
        if (message_state_is_final(state) && strcmp(message_state_name(state), text) == 0) {
            *to = state;
            return true;
        }
    return false;
}

static bool take_request(const json_t *object, bool ended, struct book_request *to, struct error *e)
{
    static const char *const names[] = {"id", "target_bytes", "min_bytes", "state"};
    return (only(object, names, ended ? 4 : 3) && take_name(object, "id", to->id) &&
            take_number(object, "target_bytes", &to->target_bytes) &&
            take_number(object, "min_bytes", &to->min_bytes) && (!ended || take_state(object, &to->state))) ||
           wrong(e, ended ? "a finished request" : "a pending request");
}

// Printable ASCII, as backend_target() makes it: it goes to the log.
static bool take_target(const json_t *object, char to[static BOOK_TARGET_MAX + 1])
{
    const json_t *value = json_object_get(object, "target");
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (text == NULL || len > BOOK_TARGET_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    memcpy(to, text, len + 1);
    return true;
}

// Both or none; a VNF that has come from a book of version 1 and that no configuration has named since has none.
static bool take_backend(const json_t *object, struct book_vnf *to)
{
    if (json_object_get(object, "backend") == NULL && json_object_get(object, "target") == NULL)
        return true;
    return take_name(object, "backend", to->backend) && take_target(object, to->target);
}

static bool take_vnf(const json_t *object, uint64_t version, struct book_vnf *to, struct error *e)
{
    static const char *const names[] = {"name",    "granted_bytes", "committed_bytes", "finished",
                                        "pending", "backend",       "target"};
    size_t known = version == 1 ? COUNT(names) - 2 : COUNT(names);
    const json_t *finished = json_object_get(object, "finished");
    const json_t *pending = json_object_get(object, "pending");
    if (!only(object, names, known) || !take_name(object, "name", to->name))
        return wrong(e, "a VNF's members or name");
    if (!take_backend(object, to))
        return wrong(e, "a VNF's back-end or its target");
    if (!take_number(object, "granted_bytes", &to->granted_bytes) ||
        !take_number(object, "committed_bytes", &to->committed_bytes) ||
        to->granted_bytes > to->committed_bytes)
        return wrong(e, "a VNF's bytes");
    if (!json_is_array(finished) || json_array_size(finished) > BOOK_IDS)
        return wrong(e, "a VNF's finished requests");
    to->finished_count = json_array_size(finished);
    for (size_t i = 0; i < to->finished_count; i++)
        if (!take_request(json_array_get(finished, i), true, &to->finished[i], e))
            return false;
    return pending == NULL || take_request(pending, false, &to->pending, e);
}

static int by_name(const void *a, const void *b)
{
    const struct book_vnf *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static bool names_differ(const struct book *book)
{
    const struct book_vnf **sorted = calloc(book->count + 1, sizeof *sorted);
    bool differ = sorted != NULL;
    for (size_t i = 0; differ && i < book->count; i++)
        sorted[i] = &book->vnfs[i];
    if (differ && book->count > 1)
        qsort(sorted, book->count, sizeof *sorted, by_name);
    for (size_t i = 1; differ && i < book->count; i++)
        differ = strcmp(sorted[i - 1]->name, sorted[i]->name) != 0;
    free(sorted);
    return differ;
}

static bool take_body(const json_t *object, struct book *book, struct error *e)
{
    static const char *const names[] = {"version", "pool_bytes", "granularity", "vnfs"};
    const json_t *vnfs = json_object_get(object, "vnfs");
    uint64_t version;
    if (!take_number(object, "version", &version) || version < 1 || version > VERSION)
        return wrong(e, "its version is neither 1 nor 2");
    if (!only(object, names, COUNT(names)) || !take_number(object, "pool_bytes", &book->pool_bytes) ||
        !take_number(object, "granularity", &book->granularity) || !json_is_array(vnfs) ||
        json_array_size(vnfs) > VNFS_MAX)
        return wrong(e, "its members");
    book->vnfs = calloc(json_array_size(vnfs) + 1, sizeof *book->vnfs);
    if (book->vnfs == NULL)
        return wrong(e, "out of memory");
    book->count = json_array_size(vnfs);
    uint64_t committed = 0;
    for (size_t i = 0; i < book->count; i++) {
        if (!take_vnf(json_array_get(vnfs, i), version, &book->vnfs[i], e))
            return false;
        committed += book->vnfs[i].committed_bytes;
        if (committed > MESSAGE_NUMBER_MAX)
            return wrong(e, "its commitments are beyond all measure");
    }
    return names_differ(book) || wrong(e, "a VNF is there twice, or out of memory");
}

bool book_parse(const char *bytes, size_t len, struct book *book, struct error *e)
{
    char sum[SUM_LEN + 1];
    *book = (struct book){0};
    if (len < FRONT + sizeof TAIL - 1 || memcmp(bytes, HEAD, sizeof HEAD - 1) != 0 ||
        memcmp(bytes + sizeof HEAD - 1 + SUM_LEN, MIDDLE, sizeof MIDDLE - 1) != 0 ||
        memcmp(bytes + len - (sizeof TAIL - 1), TAIL, sizeof TAIL - 1) != 0)
        return wrong(e, "its beginning or its end");
    const char *body = bytes + FRONT;
    size_t body_len = len - FRONT - (sizeof TAIL - 1);
    if (!sum_of(body, body_len, sum) || memcmp(sum, bytes + sizeof HEAD - 1, SUM_LEN) != 0)
        return wrong(e, "its sum does not hold");
    json_t *object = json_loadb(body, body_len, JSON_REJECT_DUPLICATES, NULL);
    bool good = take_body(object, book, e);
    json_decref(object);
    if (!good)
        book_release(book);
    return good;
}
