// Lines of the audit log: what is taken for a line has members in range and within its bytes, and ends just as the writer ends a line;
// a body that came from anywhere is read back as the line that it was made.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/audit_chain.h"

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct audit_hasher *hasher;

static void check_line(const char *text, size_t len, const struct audit_line *line)
{
    char made[AUDIT_LINE_MAX];
    REQUIRE(line->seq > 0 && (unsigned)line->event <= AUDIT_OTHER);
    REQUIRE(line->event == AUDIT_HEAD || (!line->closes && line->signed_len == 0));
    REQUIRE(!line->stops || line->closes);
    REQUIRE(!line->has_torn || (line->event != AUDIT_OPERATION && line->torn_bytes > 0));
    REQUIRE(line->signed_len < len);
    // The same body, number and hash before give the same bytes again, up to the signature.
    struct audit_chain chain = {.seq = line->seq - 1};
    memcpy(chain.hash, line->prev, sizeof chain.hash);
    size_t body = (line->signed_len != 0 ? line->signed_len : len) - 6; // the text looked for has 7 bytes
    while (body > 0 && memcmp(text + body - 1, ",\"seq\":", 7) != 0)
        body--;
    REQUIRE(body > 0);
    if (body - 1 > AUDIT_BODY_MAX)
        return;
    size_t made_len = audit_chain_append(&chain, hasher, NULL, text, body - 1, made);
    size_t same = line->signed_len != 0 ? line->signed_len : len;
    REQUIRE(made_len > same && memcmp(made, text, same) == 0);
}

// A line of any body: read back or refused, but with its own number and hash.
static void check_body(const uint8_t *data, size_t len)
{
    struct audit_chain chain = {.seq = 6};
    struct audit_line line;
    char made[AUDIT_LINE_MAX];
    if (len > AUDIT_BODY_MAX)
        return;
    memset(chain.hash, 0xa5, sizeof chain.hash);
    size_t made_len = audit_chain_append(&chain, hasher, NULL, (const char *)data, len, made);
    REQUIRE(made_len > 0 && made[made_len - 1] == '\n');
    if (!audit_line_parse(made, made_len - 1, &line))
        return;
    REQUIRE(line.seq == 7 && line.prev[0] == 0xa5 && line.signed_len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct audit_line line;
    if (hasher == NULL)
        hasher = audit_hasher_create();
    REQUIRE(hasher != NULL);
    if (audit_line_parse((const char *)data, len, &line))
        check_line((const char *)data, len, &line);
    check_body(data, len);
    return 0;
}
