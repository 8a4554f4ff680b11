#include "kvstore/rdb/rdb_layout.h"

#include <inttypes.h>
#include <stdio.h>

#include "kvstore/rdb/rdb_format.h"

#define TYPES 26

// By the number that Redis gave the type. What "packed" means in their names (ziplists, listpacks, intsets)
// does not matter here: it is one string. Entries of streams: listpacks by id; length and ids; consumer
// groups, each with its pending entries (id, time, count) and consumers (name, times, ids).
static const struct rdb_layout types[TYPES] = {
    [RDB_TYPE_STRING] = {"KV", true, RDB_STRING},
    [1] = {"K(s)", true, RDB_LIST},
    [2] = {"K(s)", true, RDB_SET},
    [3] = {"K(sd)", true, RDB_ZSET},
    [4] = {"K(ss)", true, RDB_HASH},
    [5] = {"K(s8)", true, RDB_ZSET}, // scores in binary
    [RDB_TYPE_OLD_MODULE] = {NULL, true, RDB_MODULE},
    [7] = {"Klm", true, RDB_MODULE},
    [9] = {"Ks", true, RDB_HASH}, // zipmap
    [10] = {"Ks", true, RDB_LIST},
    [11] = {"Ks", true, RDB_SET}, // intset
    [12] = {"Ks", true, RDB_ZSET},
    [13] = {"Ks", true, RDB_HASH},
    [14] = {"K(s)", true, RDB_LIST}, // quicklist of ziplists
    [15] = {"K(ss)lll(sll(i8l)(s8(i)))", true, RDB_STREAM},
    [16] = {"Ks", true, RDB_HASH},
    [17] = {"Ks", true, RDB_ZSET},
    [18] = {"K(ls)", true, RDB_LIST},                             // quicklist of listpacks and large elements
    [19] = {"K(ss)llllllll(slll(i8l)(s8(i)))", true, RDB_STREAM}, // 7.0: first id, last deleted, counters
    [20] = {"Ks", true, RDB_SET},
    [21] = {"K(ss)llllllll(slll(i8l)(s88(i)))", true, RDB_STREAM}, // 7.2: when a consumer was last active
    [22] = {"K(lss)", true, RDB_HASH}, // 7.4: expiry, field, value; 22 and 23 of its release candidates
    [23] = {"Ks", true, RDB_HASH},
    [24] = {"K8(lss)", true, RDB_HASH}, // first the earliest expiry
    [25] = {"K8s", true, RDB_HASH},
};

static const struct rdb_layout opcodes[] = {
    [RDB_OP_SLOT_INFO - RDB_OP_SLOT_INFO] = {"lll", false, 0}, // slot, keys, expiring keys
    [RDB_OP_FUNCTION - RDB_OP_SLOT_INFO] = {"s", false, 0},
    [RDB_OP_FUNCTION_RC - RDB_OP_SLOT_INFO] = {"ss(s)s", false, 0}, // name, engine, none or one text, code
    [RDB_OP_MODULE_AUX - RDB_OP_SLOT_INFO] = {"lllm", false, 0},    // module, "a number follows", when
    [RDB_OP_IDLE - RDB_OP_SLOT_INFO] = {"l", false, 0},
    [RDB_OP_FREQ - RDB_OP_SLOT_INFO] = {"1", false, 0},
    [RDB_OP_AUX - RDB_OP_SLOT_INFO] = {"KV", false, 0},
    [RDB_OP_RESIZE_DB - RDB_OP_SLOT_INFO] = {"Ll", false, 0},
    [RDB_OP_EXPIRES_MS - RDB_OP_SLOT_INFO] = {"8", false, 0},
    [RDB_OP_EXPIRES_S - RDB_OP_SLOT_INFO] = {"4", false, 0},
    [RDB_OP_SELECT_DB - RDB_OP_SLOT_INFO] = {"l", false, 0},
    [RDB_OP_END - RDB_OP_SLOT_INFO] = {"8", false, 0}, // the checksum
};

const struct rdb_layout *rdb_layout_of(uint8_t first)
{
    if (first >= RDB_OP_SLOT_INFO)
        return &opcodes[first - RDB_OP_SLOT_INFO];
    if (first >= TYPES || (types[first].items == NULL && first != RDB_TYPE_OLD_MODULE))
        return NULL;
    return &types[first];
}

static const char *const names[RDB_KINDS][2] = {
    [RDB_STRING] = {"string", "strings"},
    [RDB_LIST] = {"list", "lists"},
    [RDB_SET] = {"set", "sets"},
    [RDB_ZSET] = {"sorted set", "sorted sets"},
    [RDB_HASH] = {"hash", "hashes"},
    [RDB_STREAM] = {"stream", "streams"},
    [RDB_MODULE] = {"value of a module", "values of modules"},
};

const char *rdb_kind_name(enum rdb_kind kind, uint64_t count)
{
    return names[kind][count != 1];
}

char *rdb_kind_others(const uint64_t counts[RDB_KINDS], char *buf, size_t size)
{
    size_t used = 0;
    if (size == 0)
        return buf;
    buf[0] = '\0';
    for (unsigned kind = RDB_STRING + 1; kind < RDB_KINDS && used < size; kind++) {
        if (counts[kind] != 0)
            used += (size_t)snprintf(buf + used, size - used, "%s%" PRIu64 " %s", used != 0 ? ", " : "",
                                     counts[kind], rdb_kind_name(kind, counts[kind]));
    }
    return buf;
}
