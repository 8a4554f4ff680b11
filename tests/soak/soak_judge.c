// Asking about a worker's own keys and judging the answers against the model.
#include "tests/soak/soak_check.h"

#include <inttypes.h>

// What is judged: one answer about one key.
struct point {
    struct soak_worker *worker;
    struct soak_run *run;
    const struct soak_item *item;
    const struct soak_result *result;
    struct soak_key *key;
    struct soak_window window;
    uint64_t now;
    enum soak_op op;
    uint32_t flags;
};

static void wrong(const struct point *p, const char *what)
{
    const struct soak_result *r = p->result;
    soak_differ(p->run, p->item->key,
                "%s%s: answered %s, len %" PRIu64 ", digest %016" PRIx64 ", version %" PRIu64
                ", expiry %" PRIu64 "; clock %" PRIu64 " to %" PRIu64 ", latest %" PRIu64 "; store says: %s",
                soak_op_names[p->op], what,
                r->status <= KV_BAD_FORMAT ? kv_status_text((enum kv_status)r->status) : "?", r->len,
                r->digest, r->version, r->expire_ms, p->window.low_ms, p->window.high_ms, p->window.top_ms,
                p->worker->answer.error);
}

static void expect(const struct point *p, enum soak_judgement judgement, const char *what)
{
    if (judgement != SOAK_FINE)
        wrong(p, what);
}

static void expect_gone(const struct point *p)
{
    expect(p, soak_judge_gone(p->key, &p->window, p->now), ": the key should be there");
}

static void expect_there(const struct point *p)
{
    expect(p, soak_judge_there(p->key, &p->window, p->now), ": the key should not be there");
}

// ---- writes

static struct soak_state new_state(const struct soak_item *item)
{
    return (struct soak_state){.id = item->id, .len = item->len, .expire_ms = item->expire_ms};
}

// Before a write is sent: what is no longer certain for scans.
static void begin_write(struct soak_key *key, const struct soak_item *item, enum soak_op op)
{
    if (op == SOAK_PUT || op == SOAK_PUT_BATCH)
        atomic_store(&key->absent_since, 0);
    if (op == SOAK_DELETE || item->expire_ms != 0)
        atomic_store(&key->present_since, 0);
}

// The write may have happened or not.
static void maybe(struct soak_run *run, struct soak_key *key, const struct soak_item *item, enum soak_op op)
{
    bool room = true;
    key->version = 0;
    if (op == SOAK_DELETE)
        room = soak_key_add(key, (struct soak_state){0});
    if (op == SOAK_PUT || op == SOAK_PUT_BATCH)
        room = soak_key_add(key, new_state(item));
    for (uint32_t i = 0, count = key->count; op == SOAK_SET_EXPIRY && i < count && room; i++) {
        struct soak_state state = key->states[i];
        state.expire_ms = item->expire_ms;
        room = state.id == 0 || soak_key_add(key, state);
    }
    if (!room)
        soak_differ(run, item->key, "the checker cannot keep so many states of a key");
}

// What a disk that is full or fails may answer. True: that was it.
static bool tolerated(const struct point *p)
{
    enum kv_status status = (enum kv_status)p->result->status;
    bool known = status == KV_FULL || status == KV_IO || status == KV_READ_ONLY || status == KV_NO_MEMORY;
    if (!p->run->options.tolerate || !known)
        return false;
    atomic_fetch_add(&p->run->counts.tolerated, 1);
    if (p->worker->answer.error[0] == '\0' && status != KV_NO_MEMORY && p->op != SOAK_PUT_BATCH)
        wrong(p, ": no words for the error");
    if (status == KV_IO)
        maybe(p->run, p->key, p->item, p->op);
    soak_note_presence(p->key, p->now);
    return true;
}

static void judge_put(const struct point *p)
{
    if (p->result->status == KV_EXISTS && (p->flags & KV_PUT_IF_ABSENT) != 0) {
        expect_there(p);
        soak_note_presence(p->key, p->now);
    } else if (p->result->status == KV_OK) {
        if ((p->flags & KV_PUT_IF_ABSENT) != 0)
            expect_gone(p);
        soak_version_ends(p->key);
        soak_key_set(p->key, new_state(p->item));
        soak_note_presence(p->key, p->now);
    } else if (!tolerated(p)) {
        wrong(p, "");
    }
}

static void judge_delete(const struct point *p)
{
    if (p->result->status == KV_OK) {
        expect_there(p);
        soak_version_ends(p->key);
        soak_key_set(p->key, (struct soak_state){0});
    } else if (p->result->status == KV_NOT_FOUND) {
        expect_gone(p);
    } else if (!tolerated(p)) {
        wrong(p, "");
    }
    soak_note_presence(p->key, p->now);
}

static void judge_set_expiry(const struct point *p)
{
    if (p->result->status == KV_OK) {
        expect_there(p);
        for (uint32_t i = 0; i < p->key->count; i++)
            p->key->states[i].expire_ms = p->item->expire_ms;
    } else if (p->result->status == KV_NOT_FOUND) {
        expect_gone(p);
    } else if (!tolerated(p)) {
        wrong(p, "");
    }
    soak_note_presence(p->key, p->now);
}

// ---- reads

static void judge_get(const struct point *p)
{
    const struct soak_result *r = p->result;
    if (r->status == KV_TOO_LARGE) {
        bool fits = r->len <= p->item->len;
        expect(p, fits ? SOAK_WRONG : soak_judge_len(p->key, &p->window, p->now, r->len), ": wrong length");
    } else if (r->status == KV_OK && r->len <= p->item->len) {
        expect(p, soak_judge_value(p->key, &p->window, p->now, r->len, r->digest), ": wrong value");
    } else {
        wrong(p, "");
    }
}

static void judge_value(const struct point *p)
{
    const struct soak_result *r = p->result;
    expect(p, soak_judge_value(p->key, &p->window, p->now, r->len, r->digest), ": wrong value");
    expect(p, soak_judge_version(p->key, r->version), ": the version is one of an older value");
}

static void judge_view(const struct point *p)
{
    judge_value(p);
    expect(p, soak_judge_expiry(p->key, &p->window, p->now, p->result->expire_ms), ": wrong expiry");
}

static void judge_batch_get(const struct point *p)
{
    judge_get(p);
    if (p->result->status == KV_OK)
        expect(p, soak_judge_version(p->key, p->result->version), ": the version is one of an older value");
}

static void judge_version(const struct point *p)
{
    expect_there(p);
    expect(p, soak_judge_version(p->key, p->result->version), ": the version is one of an older value");
}

static void judge_get_expiry(const struct point *p)
{
    expect(p, soak_judge_expiry(p->key, &p->window, p->now, p->result->expire_ms), ": wrong expiry");
}

static void judge_read(const struct point *p)
{
    typedef void (*judge_fn)(const struct point *p);
    static const judge_fn judges[SOAK_OPS] = {
        [SOAK_GET] = judge_get,       [SOAK_GET_ALLOC] = judge_value, [SOAK_VIEW] = judge_view,
        [SOAK_HOLD] = judge_view,     [SOAK_GET_ASYNC] = judge_view,  [SOAK_GET_BATCH] = judge_batch_get,
        [SOAK_EXISTS] = expect_there, [SOAK_VERSION] = judge_version, [SOAK_GET_EXPIRY] = judge_get_expiry,
    };
    enum kv_status status = (enum kv_status)p->result->status;
    bool too_large = status == KV_TOO_LARGE && (p->op == SOAK_GET || p->op == SOAK_GET_BATCH);
    if (status == KV_NOT_FOUND)
        expect_gone(p);
    else if (status == KV_OK || too_large)
        judges[p->op](p);
    else if (!(p->run->options.tolerate && (status == KV_NO_MEMORY || status == KV_IO)))
        wrong(p, "");
}

// ---- one request

static bool is_write(enum soak_op op)
{
    return op == SOAK_PUT || op == SOAK_PUT_BATCH || op == SOAK_DELETE || op == SOAK_SET_EXPIRY;
}

static void judge_one(const struct point *p)
{
    if (p->op == SOAK_PUT || p->op == SOAK_PUT_BATCH)
        judge_put(p);
    else if (p->op == SOAK_DELETE)
        judge_delete(p);
    else if (p->op == SOAK_SET_EXPIRY)
        judge_set_expiry(p);
    else
        judge_read(p);
    p->worker->answers_checked++;
}

static void remember(struct soak_worker *worker, uint32_t i, bool answered)
{
    struct soak_run *run = worker->run;
    const struct soak_item *item = &worker->request.items[i];
    const struct soak_result *r = &worker->answer.results[i];
    struct soak_past past = {.at_us = soak_now_us() - run->began_us,
                             .op = (uint8_t)worker->request.op,
                             .id = item->id,
                             .len = item->len,
                             .arg = item->expire_ms,
                             .status = SOAK_ABSENT};
    if (answered) {
        past.status = (uint8_t)r->status;
        if (!is_write(worker->request.op)) {
            past.len = (uint32_t)r->len;
            past.arg = r->version != 0 ? r->version : r->expire_ms;
        }
    }
    soak_remember(&run->keys[item->key], past);
}

static void begin(struct soak_worker *worker)
{
    const struct soak_request *request = &worker->request;
    for (uint32_t i = 0; i < request->count && is_write(request->op); i++) {
        begin_write(&worker->run->keys[request->items[i].key], &request->items[i], request->op);
        worker->recent[worker->recent_count++ % 256] = request->items[i].key;
    }
}

static void lost(struct soak_worker *worker)
{
    const struct soak_request *request = &worker->request;
    for (uint32_t i = 0; i < request->count; i++) {
        remember(worker, i, false);
        if (is_write(request->op))
            maybe(worker->run, &worker->run->keys[request->items[i].key], &request->items[i], request->op);
    }
}

bool soak_ask_and_judge(struct soak_worker *worker)
{
    struct soak_run *run = worker->run;
    uint64_t mark;
    struct soak_window window = soak_window_open(run, &mark);
    begin(worker);
    if (!soak_ask(worker)) {
        lost(worker);
        return false;
    }
    soak_window_close(run, &window, mark);
    uint64_t now = atomic_fetch_add(&run->tick, 1);
    const struct soak_request *request = &worker->request;
    if (worker->answer.status == SOAK_ABSENT ||
        (request->count > 0 && worker->answer.results[0].status == SOAK_ABSENT)) {
        atomic_store(&run->have[request->op], false);
        return true;
    }
    for (uint32_t i = 0; i < request->count; i++) {
        struct point p = {worker,
                          run,
                          &request->items[i],
                          &worker->answer.results[i],
                          NULL,
                          window,
                          now,
                          (enum soak_op)request->op,
                          request->flags};
        p.key = &run->keys[p.item->key];
        remember(worker, i, true);
        judge_one(&p);
    }
    return true;
}
