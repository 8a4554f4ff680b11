// Reads line by line and follows the chain. After a fault it goes on from the line that it found, so that one change is one
// or two faults and not thousands.
#include "keyserver/audit_verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/report.h"
#include "keyserver/audit_chain.h"

#define FAULTS_TOLD 100

struct place {
    const char *file;
    uint64_t line;
};

struct check {
    const struct audit_verify_settings *settings;
    struct audit_hasher *hasher;
    EVP_PKEY *key;
    uint8_t expected_head[AUDIT_HASH_LEN];
    bool head_found;

    struct place at;
    bool started, file_begun; // a line of the chain was seen: at all; in this file
    uint64_t behind_first;    // lines in this file behind its first
    struct audit_chain chain; // at the last line
    struct audit_line last;
    struct place last_at;
    struct audit_torn torn; // bytes since, that are no line
    struct place torn_at;

    uint64_t first_seq, lines, heads, since_head, faults, notes;
    bool failed; // OpenSSL did
};

static void tell(struct check *c, struct place at, bool fault, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void tell(struct check *c, struct place at, bool fault, const char *format, ...)
{
    va_list args;
    uint64_t *count = fault ? &c->faults : &c->notes;
    if (++*count > FAULTS_TOLD)
        return;
    (void)fprintf(c->settings->out, "%s:%" PRIu64 ": %s", at.file, at.line, fault ? "" : "note: ");
    va_start(args, format);
    (void)vfprintf(c->settings->out, format, args);
    va_end(args);
    (void)fputc('\n', c->settings->out);
}

// ---- one line

static bool same(const uint8_t a[static AUDIT_HASH_LEN], const uint8_t b[static AUDIT_HASH_LEN])
{
    return memcmp(a, b, AUDIT_HASH_LEN) == 0;
}

// A log begins with a server's first start, or with the head that ended the file before.
static void check_first(struct check *c, const struct audit_line *line)
{
    static const uint8_t none[AUDIT_HASH_LEN];
    c->first_seq = line->seq;
    if (line->seq == 1 && line->event == AUDIT_START) {
        if (!same(line->prev, none))
            tell(c, c->at, true, "found a first line with a line before it, expected \"prev\" of zeros");
    } else if (line->event == AUDIT_HEAD && line->closes) {
        tell(c, c->at, false,
             "begins behind line %" PRIu64 " of the chain; what is before is in files not given",
             line->seq - 1);
    } else {
        tell(c, c->at, true,
             "found line %" PRIu64
             " of the chain first, expected line 1 or the head of the file before: lines are missing",
             line->seq);
    }
}

static void check_link(struct check *c, const struct audit_line *line)
{
    char found[2 * AUDIT_HASH_LEN + 1], expected[2 * AUDIT_HASH_LEN + 1];
    uint64_t next = c->chain.seq + 1;
    if (line->seq > next) {
        tell(c, c->at, true, "found line %" PRIu64 " of the chain, expected %" PRIu64 ": %" PRIu64 " missing",
             line->seq, next, line->seq - next);
    } else if (line->seq < next) {
        tell(c, c->at, true,
             "found line %" PRIu64 " of the chain, expected %" PRIu64 ": it was moved or copied", line->seq,
             next);
    } else if (!same(line->prev, c->chain.hash)) {
        audit_hex(c->chain.hash, AUDIT_HASH_LEN, found);
        audit_hex(line->prev, AUDIT_HASH_LEN, expected);
        tell(c, c->last_at, true,
             "found a line with hash %s, expected %s by the line behind it: it was changed", found, expected);
    } else if (line->event == AUDIT_START && !c->last.closes) {
        tell(c, c->at, false,
             "a server began where the one before had not closed its log: it was killed, or lines behind its "
             "last head "
             "were cut off");
    }
}

// Torn bytes are told by the next line of the chain.
static void check_torn(struct check *c, const struct audit_line *line)
{
    uint8_t hash[AUDIT_HASH_LEN];
    if (c->torn.bytes == 0 && !line->has_torn)
        return;
    if (c->torn.bytes > 0 && !audit_torn_hash(&c->torn, hash))
        c->failed = true;
    else if (c->torn.bytes == 0)
        tell(c, c->at, true, "tells of %" PRIu64 " torn bytes before it, found none", line->torn_bytes);
    else if (!line->has_torn)
        tell(c, c->torn_at, true, "found %" PRIu64 " bytes that are no line of the chain", c->torn.bytes);
    else if (line->torn_bytes != c->torn.bytes || !same(line->torn_hash, hash))
        tell(c, c->torn_at, true,
             "found %" PRIu64 " bytes that are no line, expected %" PRIu64
             " by the line behind them, or they were changed",
             c->torn.bytes, line->torn_bytes);
    else
        tell(c, c->torn_at, false, "a torn line of %" PRIu64 " bytes, which the line behind it tells of",
             c->torn.bytes);
    audit_torn_reset(&c->torn);
}

static void check_head(struct check *c, const struct audit_line *line, const char *bytes)
{
    c->heads++;
    c->since_head = 0;
    if (c->key == NULL)
        return;
    if (line->signed_len == 0)
        tell(c, c->at, true, "found a head without a signature, expected one");
    else if (!audit_signature_holds(c->key, bytes, line->signed_len, line->sig))
        tell(c, c->at, true, "found a head whose signature does not hold, or is by another key");
}

// The first line of a file is that of the file before, to the byte.
static bool is_copy(const struct check *c, const uint8_t hash[static AUDIT_HASH_LEN])
{
    return c->started && !c->file_begun && c->last.closes && same(hash, c->chain.hash);
}

static void take_line(struct check *c, const struct audit_line *line, const char *bytes, size_t len)
{
    uint8_t hash[AUDIT_HASH_LEN];
    if (!audit_hash(c->hasher, bytes, len, hash)) {
        c->failed = true;
        return;
    }
    bool copy = is_copy(c, hash), first = !c->started;
    c->behind_first += c->file_begun;
    c->file_begun = true;
    if (copy)
        return;
    if (first)
        check_first(c, line);
    else
        check_link(c, line);
    if (!first || line->has_torn || line->event != AUDIT_HEAD)
        check_torn(c, line);
    c->started = true;
    c->since_head++;
    if (line->event == AUDIT_HEAD)
        check_head(c, line, bytes);
    c->head_found |= c->settings->expect_head != NULL && same(hash, c->expected_head);
    c->chain.seq = line->seq;
    memcpy(c->chain.hash, hash, sizeof hash);
    c->last = *line;
    c->last_at = c->at;
    c->lines++;
}

static void take_bytes(struct check *c, const char *bytes, size_t len, bool too_long)
{
    struct audit_line line;
    if (too_long) {
        tell(c, c->at, true, "found more than %d bytes without a newline, expected a line", AUDIT_LINE_MAX);
    } else if (audit_line_parse(bytes, len, &line)) {
        take_line(c, &line, bytes, len);
    } else if (len > 0) {
        if (c->torn.bytes == 0)
            c->torn_at = c->at;
        if (!audit_torn_add(&c->torn, bytes, len))
            c->failed = true;
    } else {
        tell(c, c->at, true, "found an empty line");
    }
}

// ---- files

// False: it cannot be read.
static bool check_file(struct check *c, const char *path)
{
    char line[AUDIT_LINE_MAX];
    size_t len = 0;
    bool too_long = false;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        report("%s: %s", path, strerror(errno));
        return false;
    }
    c->at = (struct place){.file = path, .line = 1};
    c->file_begun = false;
    c->behind_first = 0;
    for (int ch; (ch = getc_unlocked(file)) != EOF;) {
        if (ch == '\n') {
            take_bytes(c, line, len, too_long);
            c->at.line++;
            len = 0;
            too_long = false;
        } else if (len < sizeof line) {
            line[len++] = (char)ch;
        } else {
            too_long = true;
        }
    }
    if (len > 0)
        take_bytes(c, line, len, too_long);
    bool good = ferror(file) == 0;
    if (!good)
        report("%s: read: %s", path, strerror(errno));
    (void)fclose(file);
    return good;
}

// A server that rotates begins the next file with the head that ends this one: a file of nothing but that has lost what it had.
static void check_end(struct check *c)
{
    bool closed = c->last.closes && c->torn.bytes == 0 && (c->last.stops || c->behind_first > 0);
    if (!c->started) {
        tell(c, c->at, true, "found no line of an audit chain");
        return;
    }
    if (c->torn.bytes > 0)
        tell(c, c->torn_at, !c->settings->open,
             "found %" PRIu64 " bytes at the end that are no line: the end is torn", c->torn.bytes);
    else if (!closed)
        tell(c, c->last_at, !c->settings->open,
             "the end is no head that closes the log: a server writes it or was killed, or lines are cut "
             "off; %" PRIu64 " lines stand behind the last head",
             c->since_head);
    else if (!c->last.stops)
        tell(c, c->last_at, false, "ends with a head that another file goes on from; it is not given");
    if (c->settings->expect_head != NULL && !c->head_found)
        tell(c, c->last_at, true, "found no line with hash %s up to here: it is cut off or changed",
             c->settings->expect_head);
}

static void summarise(const struct check *c)
{
    FILE *out = c->settings->out;
    char hash[2 * AUDIT_HASH_LEN + 1];
    audit_hex(c->chain.hash, AUDIT_HASH_LEN, hash);
    if (c->faults > FAULTS_TOLD)
        (void)fprintf(out, "and %" PRIu64 " more\n", c->faults - FAULTS_TOLD);
    (void)fprintf(
        out, "%" PRIu64 " lines, %" PRIu64 " to %" PRIu64 " of the chain; %" PRIu64 " heads, signatures %s\n",
        c->lines, c->first_seq, c->chain.seq, c->heads,
        c->key != NULL ? "checked" : "not checked (no --audit-public)");
    (void)fprintf(out, "last line %s\n", hash);
    if (c->faults == 0)
        (void)fputs("whole\n", out);
    else
        (void)fprintf(out, "BROKEN: %" PRIu64 " faults\n", c->faults);
}

static bool begin(struct check *c)
{
    const struct audit_verify_settings *s = c->settings;
    struct error e;
    if (s->expect_head != NULL && (strlen(s->expect_head) != 2 * (size_t)AUDIT_HASH_LEN ||
                                   !audit_unhex(s->expect_head, AUDIT_HASH_LEN, c->expected_head))) {
        report("--expect-head: found %s, expected %d hexadecimal digits in lower case", s->expect_head,
               2 * AUDIT_HASH_LEN);
        return false;
    }
    if (s->public_file != NULL && (c->key = audit_public_load(s->public_file, &e)) == NULL) {
        report("%s", e.text);
        return false;
    }
    c->hasher = audit_hasher_create();
    if (c->hasher != NULL && audit_torn_init(&c->torn))
        return true;
    report("--verify-audit: out of memory");
    return false;
}

int audit_verify(const struct audit_verify_settings *settings)
{
    struct check check = {.settings = settings};
    bool readable = begin(&check);
    for (size_t i = 0; i < settings->count && readable; i++)
        readable = check_file(&check, settings->files[i]);
    if (readable && check.failed) {
        report("--verify-audit: OpenSSL failed: out of memory");
        readable = false;
    }
    if (readable) {
        check_end(&check);
        summarise(&check);
    }
    audit_torn_deinit(&check.torn);
    audit_hasher_destroy(&check.hasher);
    EVP_PKEY_free(check.key);
    return !readable ? AUDIT_UNREADABLE : check.faults > 0 ? AUDIT_BROKEN : AUDIT_WHOLE;
}
