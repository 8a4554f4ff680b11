// The table of commands: bits of strings.
#include "kvstore/resp/table.h"

#define KEYS_FROM_2 2, -1, 1

static const struct resp_command commands[] = {
    CMD("bitcount", -2, R, ONE_KEY, "bitmap", "2.6.0", "Count set bits in a string",
        "key [start end [BYTE|BIT]]", "O(N)", resp_cmd_bitcount),
    CMD("bitfield", -2, W | OOM, ONE_KEY, "bitmap", "3.2.0",
        "Perform arbitrary bitfield integer operations on strings",
        "key [GET encoding offset|[OVERFLOW WRAP|SAT|FAIL] <SET encoding offset value|INCRBY encoding offset "
        "increment> ...]",
        "O(1) for each subcommand specified", resp_cmd_bitfield),
    CMD("bitfield_ro", -2, R | F, ONE_KEY, "bitmap", "6.0.0",
        "Perform arbitrary bitfield integer operations on strings. Read-only variant of BITFIELD",
        "key [GET encoding offset [GET encoding offset ...]]", "O(1) for each subcommand specified",
        resp_cmd_bitfield_ro),
    CMD("bitop", -4, W | OOM, KEYS_FROM_2, "bitmap", "2.6.0", "Perform bitwise operations between strings",
        "operation destkey key [key ...]", "O(N)", resp_cmd_bitop),
    CMD("bitpos", -3, R, ONE_KEY, "bitmap", "2.8.7", "Find first bit set or clear in a string",
        "key bit [start [end [BYTE|BIT]]]", "O(N)", resp_cmd_bitpos),
    CMD("getbit", 3, R | F, ONE_KEY, "bitmap", "2.2.0",
        "Returns the bit value at offset in the string value stored at key", "key offset", "O(1)",
        resp_cmd_getbit),
    CMD("setbit", 4, W | OOM, ONE_KEY, "bitmap", "2.2.0",
        "Sets or clears the bit at offset in the string value stored at key", "key offset value", "O(1)",
        resp_cmd_setbit),
};
TABLE(resp_table_bits);
