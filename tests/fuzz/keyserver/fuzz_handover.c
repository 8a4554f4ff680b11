// Messages between a key server and its successor: what was read is written and read again the same.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/handover_message.h"

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require_same(const struct handover_message *a, const struct handover_message *b)
{
    REQUIRE(a->say == b->say && a->watchdog_us == b->watchdog_us && a->count == b->count);
    REQUIRE(strcmp(a->version, b->version) == 0);
    for (unsigned i = 0; i < a->count; i++) {
        REQUIRE(strcmp(a->sockets[i].name, b->sockets[i].name) == 0);
        REQUIRE(strcmp(a->sockets[i].addr, b->sockets[i].addr) == 0);
        REQUIRE(a->sockets[i].keeps_file == b->sockets[i].keeps_file);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct handover_message message, again;
    char line[HANDOVER_LINE_MAX];
    struct error why;
    if (len > HANDOVER_LINE_MAX || !handover_parse((const char *)data, len, &message, &why))
        return 0;
    REQUIRE(message.count <= HANDOVER_SOCKETS);
    size_t written = handover_format(&message, line);
    if (written == 0)
        return 0; // eight long addresses, every character escaped
    REQUIRE(written <= sizeof line && line[written - 1] == '\n');
    REQUIRE(memchr(line, '\n', written - 1) == NULL);
    REQUIRE(handover_parse(line, written - 1, &again, &why));
    require_same(&message, &again);
    return 0;
}
