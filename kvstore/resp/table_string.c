// The table of commands: strings.
#include "kvstore/resp/table.h"

#define PAIRS    1, -1, 2
#define TWO_KEYS 1, 2, 1

static const struct resp_command commands[] = {
    CMD("append", 3, W | OOM | F, ONE_KEY, "string", "2.0.0", "Append a value to a key", "key value",
        "O(1). The amortized time complexity is O(1) assuming the appended value is small and the already "
        "present value is of any size, since the dynamic string library used by Redis will double the free "
        "space available on every reallocation.",
        resp_cmd_append),
    CMD("decr", 2, W | OOM | F, ONE_KEY, "string", "1.0.0", "Decrement the integer value of a key by one",
        "key", "O(1)", resp_cmd_decr),
    CMD("decrby", 3, W | OOM | F, ONE_KEY, "string", "1.0.0",
        "Decrement the integer value of a key by the given number", "key decrement", "O(1)", resp_cmd_decrby),
    CMD("get", 2, R | F, ONE_KEY, "string", "1.0.0", "Get the value of a key", "key", "O(1)", resp_cmd_get),
    CMD("getdel", 2, W | F, ONE_KEY, "string", "6.2.0", "Get the value of a key and delete the key", "key",
        "O(1)", resp_cmd_getdel),
    CMD("getex", -2, W | F, ONE_KEY, "string", "6.2.0",
        "Get the value of a key and optionally set its expiration",
        "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]", "O(1)",
        resp_cmd_getex),
    CMD("getrange", 4, R, ONE_KEY, "string", "2.4.0", "Get a substring of the string stored at a key",
        "key start end",
        "O(N) where N is the length of the returned string. The complexity is ultimately determined by the "
        "returned length, but because creating a substring from an existing string is very cheap, it can be "
        "considered O(1) for small strings.",
        resp_cmd_getrange),
    CMD("getset", 3, W | OOM | F, ONE_KEY, "string", "1.0.0",
        "Set the string value of a key and return its old value", "key value", "O(1)", resp_cmd_getset),
    CMD("incr", 2, W | OOM | F, ONE_KEY, "string", "1.0.0", "Increment the integer value of a key by one",
        "key", "O(1)", resp_cmd_incr),
    CMD("incrby", 3, W | OOM | F, ONE_KEY, "string", "1.0.0",
        "Increment the integer value of a key by the given amount", "key increment", "O(1)", resp_cmd_incrby),
    CMD("incrbyfloat", 3, W | OOM | F, ONE_KEY, "string", "2.6.0",
        "Increment the float value of a key by the given amount", "key increment", "O(1)",
        resp_cmd_incrbyfloat),
    CMD("lcs", -3, R | SLOW, TWO_KEYS, "string", "7.0.0", "Find longest common substring",
        "key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]",
        "O(N*M) where N and M are the lengths of s1 and s2, respectively", resp_cmd_lcs),
    CMD("mget", -2, R | F, ALL_KEYS, "string", "1.0.0", "Get the values of all the given keys",
        "key [key ...]", "O(N) where N is the number of keys to retrieve.", resp_cmd_mget),
    CMD("mset", -3, W | OOM, PAIRS, "string", "1.0.1", "Set multiple keys to multiple values",
        "key value [key value ...]", "O(N) where N is the number of keys to set.", resp_cmd_mset),
    CMD("msetnx", -3, W | OOM, PAIRS, "string", "1.0.1",
        "Set multiple keys to multiple values, only if none of the keys exist", "key value [key value ...]",
        "O(N) where N is the number of keys to set.", resp_cmd_msetnx),
    CMD("psetex", 4, W | OOM, ONE_KEY, "string", "2.6.0",
        "Set the value and expiration in milliseconds of a key", "key milliseconds value", "O(1)",
        resp_cmd_psetex),
    CMD("set", -3, W | OOM, ONE_KEY, "string", "1.0.0", "Set the string value of a key",
        "key value [NX|XX] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT "
        "unix-time-milliseconds|KEEPTTL]",
        "O(1)", resp_cmd_set),
    CMD("setex", 4, W | OOM, ONE_KEY, "string", "2.0.0", "Set the value and expiration of a key",
        "key seconds value", "O(1)", resp_cmd_setex),
    CMD("setnx", 3, W | OOM | F, ONE_KEY, "string", "1.0.0",
        "Set the value of a key, only if the key does not exist", "key value", "O(1)", resp_cmd_setnx),
    CMD("setrange", 4, W | OOM, ONE_KEY, "string", "2.2.0",
        "Overwrite part of a string at key starting at the specified offset", "key offset value",
        "O(1), not counting the time taken to copy the new string in place. Usually, this string is very "
        "small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the length of "
        "the value argument.",
        resp_cmd_setrange),
    CMD("strlen", 2, R | F, ONE_KEY, "string", "2.2.0", "Get the length of the value stored in a key", "key",
        "O(1)", resp_cmd_strlen),
    CMD("substr", 4, R, ONE_KEY, "string", "1.0.0", "Get a substring of the string stored at a key",
        "key start end",
        "O(N) where N is the length of the returned string. The complexity is ultimately determined by the "
        "returned length, but because creating a substring from an existing string is very cheap, it can be "
        "considered O(1) for small strings.",
        resp_cmd_getrange),
};
TABLE(resp_table_string);
