// Keys that every worker writes. What a read may say follows from when things began and ended: it may give a
// write that
// had begun before the read ended, unless another write began after that one had ended and itself ended
// before the read began. A read
// that gives a write shows besides that the write had happened when the read ended.
#include "tests/soak/soak_check.h"

#include <inttypes.h>

void soak_shared_init(struct soak_run *run)
{
    for (uint32_t i = 0; i < SOAK_SHARED_KEYS; i++) {
        (void)pthread_mutex_init(&run->shared[i].lock, NULL);
        run->shared[i].count = 1;
        run->shared[i].writes[0] = (struct soak_write){0};
    }
}

static bool overwritten(const struct soak_shared_key *key, uint32_t i, uint64_t before)
{
    for (uint32_t j = 0; j < key->count; j++)
        if (key->writes[j].begun > key->writes[i].ended && key->writes[j].ended < before)
            return true;
    return false;
}

// Drops what no read under way can give any more.
static void prune(struct soak_run *run, struct soak_shared_key *key)
{
    uint64_t horizon = UINT64_MAX;
    for (uint32_t i = 0; i < run->options.workers; i++) {
        uint64_t since = atomic_load(&run->workers[i].since);
        horizon = since < horizon ? since : horizon;
    }
    uint32_t kept = 0;
    struct soak_write left[SOAK_WRITES];
    for (uint32_t i = 0; i < key->count; i++)
        if (!overwritten(key, i, horizon))
            left[kept++] = key->writes[i];
    for (uint32_t i = 0; i < kept; i++)
        key->writes[i] = left[i];
    key->count = kept;
}

static bool begin_write(struct soak_run *run, struct soak_shared_key *key, struct soak_write write)
{
    (void)pthread_mutex_lock(&key->lock);
    if (key->count == SOAK_WRITES)
        prune(run, key);
    key->full = key->full || key->count == SOAK_WRITES;
    bool ok = !key->full;
    if (ok)
        key->writes[key->count++] = write;
    (void)pthread_mutex_unlock(&key->lock);
    return ok;
}

static struct soak_write *find(struct soak_shared_key *key, uint64_t begun)
{
    for (uint32_t i = 0; i < key->count; i++)
        if (key->writes[i].begun == begun)
            return &key->writes[i];
    return NULL;
}

// The write of that begin happened (until: when it ended) or did not (0).
static void end_write(struct soak_shared_key *key, uint64_t begun, uint64_t until)
{
    (void)pthread_mutex_lock(&key->lock);
    struct soak_write *write = find(key, begun);
    if (write != NULL && until != 0)
        write->ended = until < write->ended ? until : write->ended;
    else if (write != NULL)
        *write = key->writes[--key->count];
    (void)pthread_mutex_unlock(&key->lock);
}

// What a read saw.
struct seen {
    uint64_t begun, ended, digest, len;
    enum { NOTHING, SOMETHING, VALUE } what;
};

static bool gives(const struct soak_write *write, const struct seen *seen)
{
    if (seen->what == NOTHING)
        return write->id == 0;
    if (write->id == 0)
        return false;
    return seen->what == SOMETHING ||
           (write->len == seen->len && soak_value_digest(write->id, write->len) == seen->digest);
}

static bool judge_read(struct soak_shared_key *key, const struct seen *seen)
{
    bool fine = false;
    (void)pthread_mutex_lock(&key->lock);
    for (uint32_t i = 0; i < key->count && !fine; i++) {
        struct soak_write *write = &key->writes[i];
        fine = write->begun < seen->ended && gives(write, seen) && !overwritten(key, i, seen->begun);
        if (fine && seen->what == VALUE && seen->len >= SOAK_MARK && write->ended > seen->ended)
            write->ended = seen->ended;
    }
    (void)pthread_mutex_unlock(&key->lock);
    return fine;
}

static void report(struct soak_worker *worker, uint32_t index, const char *what)
{
    struct soak_shared_key *key = &worker->run->shared[index - worker->run->owned];
    const struct soak_result *r = &worker->answer.results[0];
    soak_differ(worker->run, UINT32_MAX,
                "shared key %u, %s: %s: answered status %u, len %" PRIu64 ", digest %016" PRIx64 "; %s",
                index, soak_op_names[worker->request.op], what, r->status, r->len, r->digest,
                worker->answer.error);
    (void)pthread_mutex_lock(&key->lock);
    for (uint32_t i = 0; i < key->count; i++)
        (void)fprintf(stderr, "  write %" PRIx64 " len %u from %" PRIu64 " to %" PRIu64 "\n",
                      key->writes[i].id, key->writes[i].len, key->writes[i].begun, key->writes[i].ended);
    (void)pthread_mutex_unlock(&key->lock);
}

static bool ask(struct soak_worker *worker, struct seen *seen)
{
    seen->begun = atomic_fetch_add(&worker->run->tick, 1);
    atomic_store(&worker->since, seen->begun);
    bool alive = soak_ask(worker);
    atomic_store(&worker->since, UINT64_MAX);
    seen->ended = atomic_fetch_add(&worker->run->tick, 1);
    seen->digest = worker->answer.results[0].digest;
    seen->len = worker->answer.results[0].len;
    worker->answers_checked++;
    return alive;
}

static bool read_step(struct soak_worker *worker, uint32_t index)
{
    static const enum soak_op ops[] = {SOAK_VIEW, SOAK_GET_ALLOC, SOAK_GET_BATCH, SOAK_GET_ASYNC,
                                       SOAK_EXISTS};
    enum soak_op op = ops[soak_below(&worker->random, 5)];
    if (!atomic_load(&worker->run->have[op]))
        op = SOAK_VIEW;
    struct seen seen = {.what = op == SOAK_EXISTS ? SOMETHING : VALUE};
    soak_request(worker, op, 0, 0);
    soak_request_item(worker, index)->len = op == SOAK_GET_BATCH ? SOAK_VALUE_MAX : 0;
    if (!ask(worker, &seen))
        return false;
    if (worker->answer.status == SOAK_ABSENT || worker->answer.results[0].status == SOAK_ABSENT) {
        atomic_store(&worker->run->have[op], false);
        return true;
    }
    uint32_t status = worker->answer.results[0].status;
    if (status == KV_NOT_FOUND)
        seen.what = NOTHING;
    if (status != KV_OK && status != KV_NOT_FOUND)
        report(worker, index, "an error");
    else if (!judge_read(&worker->run->shared[index - worker->run->owned], &seen))
        report(worker, index, "no write that it may give");
    return true;
}

static bool write_step(struct soak_worker *worker, uint32_t index)
{
    struct soak_shared_key *key = &worker->run->shared[index - worker->run->owned];
    bool delete = soak_chance(&worker->random, 4);
    soak_request(worker, delete ? SOAK_DELETE : SOAK_PUT,
                 !delete &&soak_chance(&worker->random, 4) ? KV_PUT_IF_ABSENT : 0, 0);
    struct soak_item *item = soak_request_item(worker, index);
    if (!delete) {
        item->id = soak_new_id(worker);
        item->len = soak_value_len(worker);
    }
    struct soak_write write = {.id = item->id, .len = item->len, .ended = UINT64_MAX};
    write.begun = atomic_fetch_add(&worker->run->tick, 1);
    if (!begin_write(worker->run, key, write))
        return true;
    struct seen seen = {.what = delete ? NOTHING : SOMETHING};
    if (!ask(worker, &seen))
        return false; // it may have happened: it stays open
    uint32_t status = worker->answer.results[0].status;
    uint32_t other = delete ? KV_NOT_FOUND : KV_EXISTS;
    bool broken = status == KV_FULL || status == KV_IO || status == KV_READ_ONLY || status == KV_NO_MEMORY;
    if (status == KV_OK) {
        end_write(key, write.begun, seen.ended);
    } else if (status == other && (delete || (worker->request.flags & KV_PUT_IF_ABSENT) != 0)) {
        end_write(key, write.begun, 0);
        if (!judge_read(key, &seen))
            report(worker, index, "the key cannot have been so");
    } else if (!(broken && worker->run->options.tolerate)) {
        report(worker, index, "an error");
    } else if (status != KV_IO) {
        end_write(key, write.begun, 0);
    }
    return true;
}

bool soak_shared_step(struct soak_worker *worker)
{
    uint64_t most = soak_chance(&worker->random, 2) ? 3 : SOAK_SHARED_KEYS; // a few are fought over
    uint32_t index = worker->run->owned + (uint32_t)soak_below(&worker->random, most);
    return soak_chance(&worker->random, 2) ? read_step(worker, index) : write_step(worker, index);
}

bool soak_shared_settle(struct soak_run *run)
{
    struct soak_worker *control = &run->control;
    for (uint32_t i = 0; i < SOAK_SHARED_KEYS; i++) {
        struct soak_shared_key *key = &run->shared[i];
        struct seen seen = {.what = VALUE};
        soak_request(control, SOAK_VIEW, 0, 0);
        (void)soak_request_item(control, run->owned + i);
        if (!ask(control, &seen))
            return false;
        uint32_t status = control->answer.results[0].status, at = 0;
        seen.what = status == KV_NOT_FOUND ? NOTHING : VALUE;
        if ((status != KV_OK && status != KV_NOT_FOUND) || !judge_read(key, &seen)) {
            report(control, run->owned + i, "after a pause, no write that it may give");
            return true;
        }
        while (at < key->count && !(gives(&key->writes[at], &seen) && !overwritten(key, at, seen.begun)))
            at++;
        key->writes[0] = key->writes[at];
        key->writes[0].begun = key->writes[0].ended = seen.begun;
        key->count = 1;
        key->full = false;
    }
    return true;
}

bool soak_shared_is_live(struct soak_run *run, uint64_t id)
{
    for (uint32_t i = 0; i < SOAK_SHARED_KEYS; i++)
        for (uint32_t j = 0; j < run->shared[i].count; j++)
            if (run->shared[i].writes[j].id == id)
                return true;
    return false;
}
