#include "tests/unit/kvstore/resp_server_kit.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct resp_server_kit t;

static void on_change(void *arg, const void *key, size_t len)
{
    (void)arg;
    (void)key;
    assert_true(len != 0);
    atomic_fetch_add(&t.changes, 1);
}

static void open_store(enum kv_fsync fsync)
{
    struct kv_options options = {.limit_bytes = 16 << 20, .fsync = fsync, .create = true};
    char error[256] = "", store_dir[96];
    (void)snprintf(store_dir, sizeof store_dir, "%s/store", t.dir);
    if (kv_open(store_dir, &options, &t.store, error, sizeof error) != KV_OK)
        fail_msg("kv_open: %s", error);
    t.options.fsync = fsync;
}

void server_kit_reopen(enum kv_fsync fsync)
{
    assert_int_equal(kv_close(&t.store), KV_OK);
    open_store(fsync);
}

int server_kit_setup(void **state)
{
    char listen[128];
    (void)state;
    memset(&t, 0, sizeof t);
    (void)strcpy(t.dir, "/tmp/test_resp_XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    (void)snprintf(t.path, sizeof t.path, "%s/control.sock", t.dir);
    open_store(KV_FSYNC_ALWAYS);
    (void)snprintf(listen, sizeof listen, "unix:%s", t.path);
    assert_true(net_addr_parse(listen, &t.options.listen, NULL));
    t.options.on_change = on_change;
    return 0;
}

void server_kit_start(void)
{
    struct error e = {""};
    t.server = resp_server_create(t.store, &t.options, &e);
    if (t.server == NULL || !resp_server_start(t.server, &e))
        fail_msg("server: %s", e.text);
}

int server_kit_teardown(void **state)
{
    char command[96];
    (void)state;
    resp_server_destroy(&t.server);
    assert_int_equal(kv_close(&t.store), KV_OK);
    (void)snprintf(command, sizeof command, "rm -rf %s", t.dir);
    return system(command);
}

int server_kit_connect(void)
{
    struct net_addr addr;
    char text[128];
    (void)snprintf(text, sizeof text, "unix:%s", t.path);
    assert_true(net_addr_parse(text, &addr, NULL));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr.ss, addr.len), 0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){60, 0}, sizeof(struct timeval)), 0);
    return fd;
}

void server_kit_send(int fd, const char *bytes, size_t len)
{
    while (len != 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

// Reads exactly these bytes.
void server_kit_expect(int fd, const char *bytes)
{
    char got[512];
    size_t len = strlen(bytes);
    assert_true(len < sizeof got);
    ssize_t n = recv(fd, got, len, MSG_WAITALL);
    got[n > 0 ? n : 0] = '\0';
    assert_string_equal(got, bytes);
}
