// The two readers of a SKI body: what the reader of the usual form reads, the reader of all of JSON reads as well,
// with the same members to the byte.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/ski_json.h"
#include "keyserver/ski_plain.h"

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *body = (const char *)data;
    struct ski_members plain, full;
    json_t *json = NULL;

    memset(&plain, 0xa5, sizeof plain);
    if (!ski_plain_read(body, len, &plain))
        return 0;
    REQUIRE(ski_json_read(body, len, &full, &json));
    for (int m = 0; m < SKI_MEMBER_COUNT; m++) {
        struct ski_text got = plain.text[m], wanted = full.text[m];
        REQUIRE((got.at == NULL) == (wanted.at == NULL) && got.len == wanted.len);
        if (got.at == NULL)
            continue;
        REQUIRE(got.len > 0 && got.at > body && got.at + got.len < body + len); // a slice, within quotes
        REQUIRE(memcmp(got.at, wanted.at, got.len) == 0);
    }
    json_decref(json);
    return 0;
}
