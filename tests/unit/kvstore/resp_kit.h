// Commands on a fake store (fake_store.h): what their tests share.
#ifndef MEC_TESTS_RESP_KIT_H
#define MEC_TESTS_RESP_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kvstore/resp/batch.h"
#include "kvstore/resp/command.h"
#include "tests/unit/kvstore/fake_store.h"

#define NOW 1700000000000u

struct resp_kit {
    struct kv_store *store;
    struct resp_shared shared;
    struct resp_session session;
    struct resp_buffer query;
    struct resp_parser parser;
    struct resp_reply reply;
    char *text; // of the last replies
    unsigned changes;
    void (*on_change)(void *arg, const void *key, size_t len); // what shared.on_change is to begin with
};
extern struct resp_kit kit;

// For cmocka: a fresh kit.
int resp_kit_setup(void **state);
int resp_kit_teardown(void **state);

// Runs all that the bytes hold as batches; the replies as text, valid until the next run.
const char *resp_kit_run_bytes(const char *bytes, size_t len);
// An inline command.
const char *resp_kit_run(const char *line);

#define EXPECT(line, reply) assert_string_equal(resp_kit_run(line), reply)
#define NIL                 "$-1\r\n"
#define OK                  "+OK\r\n"

#endif
