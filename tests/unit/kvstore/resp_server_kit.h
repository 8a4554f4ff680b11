// A RESP server on a real store, on a Unix socket in a folder of its own: what its tests share.
#ifndef MEC_TESTS_RESP_SERVER_KIT_H
#define MEC_TESTS_RESP_SERVER_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kvstore/kv.h"
#include "kvstore/resp/server.h"

struct resp_server_kit {
    char dir[64], path[96];
    struct kv_store *store;
    struct resp_server *server;
    struct resp_server_options options; // set what differs before server_kit_start()
    _Atomic unsigned changes;
};
extern struct resp_server_kit t;

// For cmocka: an open store (16 MiB, fsync always), no server yet; stops it, closes, removes the folder.
int server_kit_setup(void **state);
int server_kit_teardown(void **state);
void server_kit_start(void);
void server_kit_reopen(enum kv_fsync fsync); // before it is started

int server_kit_connect(void); // reads time out after 20 s
void server_kit_send(int fd, const char *bytes, size_t len);
void server_kit_expect(int fd, const char *bytes); // reads exactly these

#endif
