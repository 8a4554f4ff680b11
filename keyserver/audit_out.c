#include "keyserver/audit_out.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define RETRY_NS 1000000000u // while writing fails

// ---- a batch

// Begins where the file stands.
static void begin(struct audit_out *w)
{
    struct batch *b = &w->batch;
    b->len = b->count = b->skip = 0;
    b->drops_told = 0;
    b->chain = w->file.chain;
    if (w->file.mid_line) {
        b->bytes[b->len++] = '\n';
        b->skip = 1;
    }
}

static void add_mark(struct batch *b, enum mark_kind kind, size_t len)
{
    b->len += len;
    b->marks[b->count++] = (struct mark){.kind = kind, .end = b->len - 1, .after = b->chain};
}

// False: it cannot be made, for want of memory.
static bool add_line(struct audit_out *w, enum mark_kind kind, const char *body, size_t body_len)
{
    struct batch *b = &w->batch;
    EVP_PKEY *key = kind == MARK_HEAD ? w->key : NULL;
    size_t len =
        body_len > 0 ? audit_chain_append(&b->chain, w->hasher, key, body, body_len, b->bytes + b->len) : 0;
    if (len == 0)
        return false;
    add_mark(b, kind, len);
    return true;
}

static bool tells_already(const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->marks[i].tells_torn)
            return true;
    return false;
}

// The torn bytes, for the first line of an event.
static const struct audit_torn *torn_to_tell(const struct audit_out *w)
{
    return w->file.torn.bytes > 0 && !tells_already(&w->batch) ? &w->file.torn : NULL;
}

static bool add_event(struct audit_out *w, enum mark_kind kind, const char *body, size_t len,
                      const struct audit_torn *torn)
{
    if (!add_line(w, kind, body, len))
        return false;
    w->batch.marks[w->batch.count - 1].tells_torn = torn != NULL;
    return true;
}

static bool add_start(struct audit_out *w)
{
    char body[AUDIT_BODY_MAX];
    const struct audit_torn *torn = torn_to_tell(w);
    size_t len =
        audit_format_event(body, "start", torn, "\"version\":\"%s\",\"mode\":\"%s\",\"after\":\"%s\"",
                           MEC_VERSION, w->settings.mode == AUDIT_STRICT ? "strict" : "lossy",
                           w->file.chain.seq == 0 ? "nothing"
                           : w->file.ended        ? "head"
                                                  : "line");
    return add_event(w, MARK_START, body, len, torn);
}

static bool add_dropped(struct audit_out *w, uint64_t lines)
{
    char body[AUDIT_BODY_MAX];
    const struct audit_torn *torn = torn_to_tell(w);
    size_t len = audit_format_event(body, "dropped", torn, "\"lines\":%" PRIu64, lines);
    w->batch.drops_told = lines;
    return add_event(w, MARK_DROPPED, body, len, torn);
}

static bool add_head(struct audit_out *w, const char *why)
{
    char body[AUDIT_BODY_MAX];
    const struct audit_torn *torn = torn_to_tell(w);
    size_t len = audit_format_event(body, "head", torn, "\"why\":\"%s\",\"signer\":\"%s\"", why, w->signer);
    return add_event(w, MARK_HEAD, body, len, torn);
}

// The head that the file before ended with is not a new line.
static void add_copy(struct audit_out *w)
{
    struct batch *b = &w->batch;
    memcpy(b->bytes + b->len, w->file.copy, w->file.copy_len);
    add_mark(b, MARK_COPY, w->file.copy_len);
}

bool audit_out_first(struct audit_out *w, uint64_t dropped)
{
    begin(w);
    if (w->file.copy_len > 0)
        add_copy(w);
    if (w->start_due && !add_start(w))
        return false;
    return w->file.torn.bytes == 0 || tells_already(&w->batch) || add_dropped(w, dropped);
}

bool audit_out_line(struct audit_out *w, const char *body, size_t len)
{
    return add_line(w, MARK_SLOT, body, len);
}

bool audit_out_dropped(struct audit_out *w, uint64_t dropped)
{
    return dropped == 0 || w->batch.drops_told != 0 || add_dropped(w, dropped);
}

// After a failure that left nothing else to be told, a head is what is tried.
bool audit_out_head_if_due(struct audit_out *w, uint64_t now_ns)
{
    size_t lines = w->lines_since_head + w->batch.count;
    bool due =
        lines > 0 && (lines >= w->settings.head_lines || (w->head_due_ns != 0 && now_ns >= w->head_due_ns));
    if (!due && !(w->retry_ns != 0 && w->batch.count == 0))
        return true;
    return add_head(w, "interval");
}

// ---- the write

// Returns how many bytes went out; fewer than all means an error, in errno.
static size_t write_out(struct audit_out *w)
{
    const struct batch *b = &w->batch;
    size_t done = 0;
    while (done < b->len) {
        ssize_t n = w->settings.write(w->file.fd, b->bytes + done, b->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    (void)atomic_fetch_add(&w->counts->writes, 1);
    return done;
}

// Where the chain stands, for the program's log: what somebody notes elsewhere.
static void tell_place(const struct audit_out *w, const char *event)
{
    char hash[2 * AUDIT_HASH_LEN + 1];
    audit_hex(w->file.chain.hash, AUDIT_HASH_LEN, hash);
    log_info(event, "file=%s seq=%" PRIu64 " hash=%s", w->file.path, w->file.chain.seq, hash);
}

static void note_head(struct audit_out *w)
{
    w->lines_since_head = 0;
    w->head_due_ns = 0;
    (void)atomic_fetch_add(&w->counts->heads, 1);
    atomic_store(&w->counts->head_seq, w->file.chain.seq);
}

static void note_line(struct audit_out *w)
{
    if (w->lines_since_head++ == 0)
        w->head_due_ns = clock_ns() + w->settings.head_us * 1000;
}

// All bytes of a line are in the file.
static void settle_line(struct audit_out *w, const struct mark *mark)
{
    w->file.chain = mark->after;
    if (mark->tells_torn)
        audit_torn_reset(&w->file.torn);
    switch (mark->kind) {
    case MARK_COPY:
        w->file.copy_len = 0;
        return;
    case MARK_HEAD:
        note_head(w);
        break;
    case MARK_START:
        w->start_due = false;
        note_line(w);
        break;
    case MARK_SLOT:
    case MARK_DROPPED:
        note_line(w);
        break;
    }
    (void)atomic_fetch_add_explicit(&w->counts->lines, 1, memory_order_relaxed);
    atomic_store_explicit(&w->counts->seq, w->file.chain.seq, memory_order_relaxed);
}

static void tell_failure(struct audit_out *w, int error)
{
    uint64_t now = clock_ns();
    (void)atomic_fetch_add(&w->counts->failures, 1);
    atomic_store(&w->counts->failing, true);
    w->retry_ns = now + RETRY_NS;
    if (w->told_ns != 0 && now - w->told_ns < RETRY_NS)
        return;
    w->told_ns = now;
    w->told = true;
    log_error("audit_failing", "file=%s reason=\"%s\" dropped=%" PRIu64 " refused=%" PRIu64 " note=\"%s\"",
              w->file.path, strerror(error), atomic_load(&w->counts->dropped),
              atomic_load(&w->counts->refused),
              w->settings.mode == AUDIT_STRICT ? "strict: results are refused" : "lossy: answers go on");
}

static void tell_recovery(struct audit_out *w)
{
    if (!atomic_exchange(&w->counts->failing, false))
        return;
    w->retry_ns = 0;
    if (w->told)
        log_warn("audit_recovered", "file=%s dropped=%" PRIu64 " refused=%" PRIu64, w->file.path,
                 atomic_load(&w->counts->dropped), atomic_load(&w->counts->refused));
    w->told = false;
}

size_t audit_out_write(struct audit_out *w, bool made)
{
    struct batch *b = &w->batch;
    size_t done = b->count > 0 ? write_out(w) : 0, whole = 0, from = b->skip;
    int error = errno;
    while (whole < b->count && b->marks[whole].end <= done) {
        settle_line(w, &b->marks[whole]);
        from = b->marks[whole].end + 1;
        whole++;
    }
    if (b->count > 0 && done > from && whole < b->count)
        (void)audit_torn_add(&w->file.torn, b->bytes + from, done - from);
    if (b->count > 0 && done > 0)
        w->file.mid_line = b->bytes[done - 1] != '\n';
    w->file.size += done;
    if (!made || (b->count > 0 && done < b->len))
        tell_failure(w, made ? error : ENOMEM);
    else if (b->count > 0)
        tell_recovery(w);
    return whole;
}

// A batch of one head. False: it is not in the file.
static bool write_head(struct audit_out *w, const char *why, uint64_t dropped)
{
    bool made = audit_out_first(w, dropped) && audit_out_dropped(w, dropped) && add_head(w, why);
    size_t whole = audit_out_write(w, made);
    return made && whole == w->batch.count;
}

// ---- another file

// The last line of the present file is a head: the next file begins with it, to the byte.
static void keep_copy(struct audit_out *w)
{
    const struct batch *b = &w->batch;
    size_t from = b->count > 1 ? b->marks[b->count - 2].end + 1 : b->skip;
    w->file.copy_len = b->len - from;
    memcpy(w->file.copy, b->bytes + from, w->file.copy_len);
}

// The copy goes out now, so that a file that is there says where it belongs.
static void begin_file(struct audit_out *w)
{
    begin(w);
    add_copy(w);
    (void)audit_out_write(w, true);
    w->rotate_at = w->settings.rotate_bytes;
    (void)atomic_fetch_add(&w->counts->rotations, 1);
    tell_place(w, "audit_rotated");
}

void audit_out_rotate_if_due(struct audit_out *w)
{
    struct error e;
    if (w->settings.rotate_bytes == 0 || !w->file.regular || w->file.size < w->rotate_at ||
        atomic_load(&w->counts->failing))
        return;
    w->rotate_at = w->file.size + w->settings.rotate_bytes; // not at every batch, if it fails
    if (!write_head(w, "rotate", 0))
        return;
    keep_copy(w);
    (void)fdatasync(w->file.fd);
    if (audit_file_rotate(&w->file, &e)) {
        begin_file(w);
        return;
    }
    w->file.copy_len = 0;
    log_error("audit_rotate_failed", "reason=\"%s\" note=\"the present file stays in use\"", e.text);
}

// A head that cannot be written keeps the present file: what is torn in it would be told in another.
void audit_out_reopen(struct audit_out *w)
{
    struct error e;
    if (!w->file.regular)
        return;
    int fd = audit_file_renewed(&w->file, &e);
    if (fd == -1) {
        (void)write_head(w, "asked", 0);
    } else if (fd >= 0 && write_head(w, "reopen", 0)) {
        keep_copy(w);
        (void)fdatasync(w->file.fd);
        audit_file_replace(&w->file, fd);
        begin_file(w);
    } else {
        if (fd >= 0) {
            (void)close(fd);
            error_set(&e, "%s: the present file does not take its head", w->file.path);
        }
        log_error("audit_reopen_failed", "reason=\"%s\" note=\"the present file stays in use\"", e.text);
    }
}

// ---- open and close

// What an operator should know of where the chain goes on.
static void tell_start(const struct audit_out *w)
{
    char hash[2 * AUDIT_HASH_LEN + 1];
    audit_hex(w->file.chain.hash, AUDIT_HASH_LEN, hash);
    if (w->file.chain.seq > 0 && !w->file.ended)
        log_warn("audit_unclosed",
                 "file=%s seq=%" PRIu64 " hash=%s torn_bytes=%" PRIu64
                 " note=\"the last server did not end its log: it was killed, or lines were cut off; going "
                 "on from there\"",
                 w->file.path, w->file.chain.seq, hash, w->file.torn.bytes);
    else
        tell_place(w, "audit_start");
}

bool audit_out_open(struct audit_out *w, const struct audit_settings *settings, struct audit_counts *counts,
                    struct error *e)
{
    w->settings = *settings;
    if (w->settings.write == NULL)
        w->settings.write = write;
    w->counts = counts;
    w->start_due = true;
    w->file.fd = -1;
    w->rotate_at = settings->rotate_bytes;
    if ((w->hasher = audit_hasher_create()) == NULL) {
        error_set(e, "audit log: out of memory");
        return false;
    }
    if (settings->key_file != NULL && (w->key = audit_key_load(settings->key_file, e)) == NULL)
        return false;
    if (w->key != NULL && !audit_signer(w->key, w->signer)) {
        error_set(e, "%s: out of memory", settings->key_file);
        return false;
    }
    if (!audit_file_open(&w->file, settings->path, w->hasher, e))
        return false;
    tell_start(w);
    return true;
}

void audit_out_stop(struct audit_out *w, uint64_t dropped)
{
    if (!write_head(w, "stop", dropped)) {
        log_error("audit_not_closed", "file=%s dropped=%" PRIu64, w->file.path,
                  atomic_load(&w->counts->dropped));
        return;
    }
    if (w->file.regular)
        (void)fdatasync(w->file.fd);
    tell_place(w, "audit_closed");
}

void audit_out_close(struct audit_out *w)
{
    audit_file_close(&w->file);
    audit_hasher_destroy(&w->hasher);
    EVP_PKEY_free(w->key);
    w->key = NULL;
}
