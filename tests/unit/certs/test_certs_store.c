// The store behind one interface: the same calls do the same on a folder and through a running server's
// socket, and a connection that breaks leaves no write in doubt.
#include "fixtures.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "certs/store.h"
#include "kvstore/kv.h"
#include "kvstore/resp/server.h"

#define SOON_MS ((uint64_t)4102444800000) // 2100

static char folder[256];
static struct kv_store *kv;
static struct resp_server *server;

static int setup(void **state)
{
    (void)state;
    fixture_folder(folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_folder_remove(folder);
    return 0;
}

static void start_server(void)
{
    const struct kv_options options = {.limit_bytes = 16 << 20, .fsync = KV_FSYNC_ALWAYS, .create = true};
    struct resp_server_options serve = {.fsync = KV_FSYNC_ALWAYS};
    struct error e = {""};
    char address[400], why[300] = "";
    if (kv_open(folder, &options, &kv, why, sizeof why) != KV_OK)
        fail_msg("%s", why);
    (void)snprintf(address, sizeof address, "unix:%s/" STORE_SOCKET, folder);
    assert_true(net_addr_parse(address, &serve.listen, &e));
    server = resp_server_create(kv, &serve, &e);
    assert_non_null(server);
    assert_true(resp_server_start(server, &e));
}

static void stop_server(void)
{
    resp_server_destroy(&server);
    assert_int_equal(kv_close(&kv), KV_OK);
}

static bool count_keys(void *arg, const char *key, size_t len)
{
    (void)key;
    (void)len;
    (*(unsigned *)arg)++;
    return true;
}

static bool stop_at_once(void *arg, const char *key, size_t len)
{
    (void)count_keys(arg, key, len);
    return false;
}

static void expect_stored(struct store *store, const char *key, const char *want, uint64_t want_expire_ms)
{
    uint8_t *value = NULL;
    size_t len = 0;
    uint64_t expire_ms = 1;
    struct error e = {""};
    enum store_status status = store_get(store, key, strlen(key), &value, &len, &expire_ms, &e);
    if (want == NULL) {
        assert_int_equal(status, STORE_NOT_FOUND);
        assert_null(value);
        return;
    }
    if (status != STORE_OK)
        fail_msg("%s: %s", key, e.text);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(value, want, len);
    assert_true(expire_ms == want_expire_ms);
    store_value_free(&value, len);
    assert_null(value);
}

static void put_text(struct store *store, const char *key, const char *value, uint64_t expire_ms,
                     struct error *e)
{
    store_put(store, key, strlen(key), (const uint8_t *)value, strlen(value), expire_ms, e);
}

static void watch_both(struct store *store)
{
    struct error e = {""};
    assert_true(store_watch(store, "w1", 2, &e));
    assert_true(store_watch(store, "w2", 2, &e));
}

// Changes that depend on what was read, with nobody else about.
static void use_watched(struct store *store)
{
    struct error e = {""};
    bool changed = true;
    watch_both(store);
    expect_stored(store, "w1", NULL, 0);
    put_text(store, "w1", "first", 0, &e);
    put_text(store, "w2", "second", SOON_MS, &e);
    assert_true(store_commit(store, &changed));
    assert_false(changed);
    assert_string_equal(e.text, "");
    expect_stored(store, "w1", "first", 0);
    expect_stored(store, "w2", "second", SOON_MS);
    changed = true;
    watch_both(store);
    assert_true(store_commit(store, &changed)); // nothing to write
    assert_false(changed);
    assert_true(store_commit(store, &changed)); // nothing watched
    put_text(store, "w1", "alone", 0, &e);      // and no transaction is left open
    assert_true(store_flush(store));
    expect_stored(store, "w1", "alone", 0);
}

static void use(struct store *store)
{
    struct error e = {""};
    put_text(store, "a", "one", 0, &e);
    put_text(store, "b", "", SOON_MS, &e);
    put_text(store, "c", "three", 0, &e);
    assert_true(store_flush(store));
    assert_string_equal(e.text, "");
    expect_stored(store, "a", "one", 0);
    expect_stored(store, "b", "", SOON_MS);
    store_expire(store, "a", 1, SOON_MS, &e);
    store_expire(store, "b", 1, 0, &e);
    store_delete(store, "c", 1, &e);
    store_delete(store, "never was", 9, &e);
    assert_true(store_flush(store));
    assert_string_equal(e.text, "");
    expect_stored(store, "a", "one", SOON_MS);
    expect_stored(store, "b", "", 0);
    expect_stored(store, "c", NULL, 0);
    for (unsigned i = 0; i < 2000; i++) {
        char key[20];
        (void)snprintf(key, sizeof key, "key%u", i);
        put_text(store, key, key, 0, &e);
    }
    assert_true(store_flush(store));
    unsigned count = 0;
    assert_true(store_scan(store, count_keys, &count, &e));
    assert_true(count >= 2002);
    count = 0;
    assert_true(store_scan(store, stop_at_once, &count, &e));
    assert_int_equal(count, 1);
    assert_true(store_flush(store)); // nothing queued: fine
    use_watched(store);
}

static void folder_does_all(void **state)
{
    (void)state;
    struct error e = {""};
    assert_null(store_open(folder, false, &e)); // there is none, and none is made
    assert_string_not_equal(e.text, "");
    struct store *store = store_open(folder, true, &e);
    assert_non_null(store);
    assert_false(store_online(store));
    use(store);
    store_close(&store);
    assert_null(store);
    store_close(&store);
    store = store_open(folder, false, &e);
    assert_non_null(store);
    expect_stored(store, "a", "one", SOON_MS);
    store_close(&store);
}

static void socket_does_all(void **state)
{
    (void)state;
    struct error e = {""};
    start_server();
    struct store *store = store_open(folder, false, &e);
    if (store == NULL)
        fail_msg("%s", e.text);
    assert_true(store_online(store));
    use(store);
    store_close(&store);
    stop_server();
    // And the folder has what the socket was told.
    store = store_open(folder, false, &e);
    expect_stored(store, "a", "one", SOON_MS);
    store_close(&store);
}

// Somebody else changes, deletes or makes a watched key between the reads and the commit: nothing is written.
static void changed_by_somebody_else(void **state)
{
    (void)state;
    struct error e = {""}, theirs = {""};
    start_server();
    struct store *store = store_open(folder, false, &e), *other = store_open(folder, false, &e);
    assert_true(store != NULL && other != NULL);
    for (int what = 0; what < 3; what++) {
        bool changed = false;
        put_text(store, "w1", "one", 0, &e);
        store_delete(store, "w2", 2, &e);
        assert_true(store_flush(store));
        watch_both(store);
        expect_stored(store, "w1", "one", 0);
        if (what == 0)
            put_text(other, "w1", "theirs", 0, &theirs);
        else if (what == 1)
            store_delete(other, "w1", 2, &theirs);
        else
            put_text(other, "w2", "theirs", 0, &theirs);
        assert_true(store_flush(other));
        put_text(store, "w1", "ours", 0, &e);
        put_text(store, "w3", "ours", 0, &e);
        (void)store_commit(store, &changed);
        assert_true(changed);
        assert_string_equal(e.text, "");
        expect_stored(store, "w1", what == 0 ? "theirs" : what == 1 ? NULL : "one", 0);
        expect_stored(store, "w3", NULL, 0);
        watch_both(store); // and once more, with nobody about
        put_text(store, "w1", "ours", 0, &e);
        assert_true(store_commit(store, &changed));
        assert_false(changed);
        expect_stored(store, "w1", "ours", 0);
    }
    assert_string_equal(theirs.text, "");
    store_close(&other);
    store_close(&store);
    stop_server();
}

static void locked_without_socket_says_so(void **state)
{
    (void)state;
    const struct kv_options options = {.limit_bytes = 16 << 20, .create = true};
    struct error e = {""};
    assert_int_equal(kv_open(folder, &options, &kv, NULL, 0), KV_OK);
    assert_null(store_open(folder, true, &e));
    if (strstr(e.text, "in use by another process") == NULL)
        fail_msg("%s", e.text);
    assert_int_equal(kv_close(&kv), KV_OK);
}

// A folder whose path does not fit in a socket address.
static void long_folder_names(void **state)
{
    (void)state;
    char base[256];
    struct error e = {""};
    strcpy(base, folder);
    for (unsigned i = 0; i < 3; i++) {
        strcat(folder, "/0123456789012345678901234567890123456789");
        assert_int_equal(mkdir(folder, 0700), 0);
    }
    const struct kv_options options = {.limit_bytes = 16 << 20, .create = true};
    assert_int_equal(kv_open(folder, &options, &kv, NULL, 0), KV_OK);
    assert_null(store_open(folder, true, &e));
    assert_non_null(strstr(e.text, "has no control socket"));
    assert_int_equal(kv_close(&kv), KV_OK);
    strcpy(folder, base);
}

// ---- a server that goes away

struct fake {
    int listener;
    unsigned answers; // "+OK" before it hangs up
    const char *last; // sent then; may be NULL
};

static void *fake_main(void *arg)
{
    const struct fake *fake = arg;
    int fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
    char buf[4096];
    size_t commands = 0, wanted = fake->answers + (fake->last != NULL);
    ssize_t n;
    // Each command begins with '*'; the values here have none.
    while (commands < wanted && (n = read(fd, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] == '*' && commands++ < fake->answers)
                assert_int_equal(write(fd, "+OK\r\n", 5), 5);
    if (fake->last != NULL)
        assert_int_equal(write(fd, fake->last, strlen(fake->last)), (ssize_t)strlen(fake->last));
    (void)shutdown(fd, SHUT_RDWR);
    (void)close(fd);
    return NULL;
}

static void with_fake(unsigned answers, const char *last, void (*check)(struct store *))
{
    const struct kv_options options = {.limit_bytes = 16 << 20, .create = true};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct fake fake = {
        .listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .answers = answers, .last = last};
    struct error e = {""};
    pthread_t thread;
    assert_int_equal(kv_open(folder, &options, &kv, NULL, 0), KV_OK);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.80s/" STORE_SOCKET, folder);
    assert_int_equal(bind(fake.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fake.listener, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, fake_main, &fake), 0);
    struct store *store = store_open(folder, true, &e);
    assert_non_null(store);
    check(store);
    store_close(&store);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)close(fake.listener);
    assert_int_equal(unlink(address.sun_path), 0);
    assert_int_equal(kv_close(&kv), KV_OK);
}

static void check_break(struct store *store)
{
    struct error outcome[5] = {{""}};
    memset(outcome, 0, sizeof outcome);
    for (unsigned i = 0; i < 5; i++)
        put_text(store, "key", "value", 0, &outcome[i]);
    assert_false(store_flush(store));
    // Acknowledged is acknowledged; all else says why.
    for (unsigned i = 0; i < 5; i++) {
        if (i < 3)
            assert_string_equal(outcome[i].text, "");
        else
            assert_non_null(strstr(outcome[i].text, "connection to the key server broke"));
    }
    struct error later = {""};
    put_text(store, "key", "value", 0, &later);
    assert_false(store_flush(store));
    assert_non_null(strstr(later.text, "broke"));
    uint8_t *value = NULL;
    size_t len = 0;
    assert_int_equal(store_get(store, "key", 3, &value, &len, NULL, &later), STORE_FAILED);
    unsigned count = 0;
    assert_false(store_scan(store, count_keys, &count, &later));
}

static void check_refusal(struct store *store)
{
    struct error outcome = {""};
    put_text(store, "key", "value", 0, &outcome);
    assert_false(store_flush(store));
    assert_string_equal(outcome.text, "the key server refused: MISCONF no space left");
}

// Answers to WATCH, MULTI and one of two SETs; then the connection breaks, and no write is known to have been done.
static void check_break_of_commit(struct store *store)
{
    struct error watch = {""}, outcome[2];
    bool changed = true;
    memset(outcome, 0, sizeof outcome);
    assert_true(store_watch(store, "key", 3, &watch));
    for (unsigned i = 0; i < 2; i++)
        put_text(store, "key", "value", 0, &outcome[i]);
    assert_false(store_commit(store, &changed));
    assert_false(changed);
    for (unsigned i = 0; i < 2; i++)
        assert_non_null(strstr(outcome[i].text, "connection to the key server broke"));
    assert_false(store_watch(store, "key", 3, &watch));
    assert_non_null(strstr(watch.text, "broke"));
}

// A commit of one SET that is not done, and not because somebody changed the key: what is said of the SET.
static void commit_in_vain(struct store *store, struct error *outcome)
{
    struct error watch = {""};
    bool changed = true;
    *outcome = (struct error){""};
    assert_true(store_watch(store, "key", 3, &watch));
    put_text(store, "key", "value", 0, outcome);
    assert_false(store_commit(store, &changed));
    assert_false(changed);
}

// The answers up to EXEC are +OK here; then EXEC is refused, or its answer is of another kind.
static void check_refused_commit(struct store *store)
{
    struct error outcome;
    commit_in_vain(store, &outcome);
    assert_string_equal(outcome.text, "the key server refused: EXECABORT no");
}

static void check_strange_commit(struct store *store)
{
    struct error outcome;
    commit_in_vain(store, &outcome);
    assert_non_null(strstr(outcome.text, "unexpected type"));
}

static void check_write_refused_in_commit(struct store *store)
{
    struct error outcome;
    commit_in_vain(store, &outcome);
    assert_string_equal(outcome.text, "the key server refused: MISCONF full");
}

static void check_nonsense(struct store *store)
{
    struct error outcome = {""};
    put_text(store, "key", "value", 0, &outcome);
    assert_false(store_flush(store));
    assert_non_null(strstr(outcome.text, "broke"));
}

static void broken_connection_and_refusals(void **state)
{
    (void)state;
    with_fake(3, NULL, check_break);
    with_fake(0, "-MISCONF no space left\r\n", check_refusal);
    with_fake(0, "?what\r\n", check_nonsense);
    with_fake(3, NULL, check_break_of_commit);
    with_fake(3, "-EXECABORT no\r\n", check_refused_commit);
    with_fake(3, "+OK\r\n", check_strange_commit);
    with_fake(3, "*1\r\n-MISCONF full\r\n", check_write_refused_in_commit);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folder_does_all, setup, teardown),
        cmocka_unit_test_setup_teardown(socket_does_all, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_by_somebody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(locked_without_socket_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(long_folder_names, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_connection_and_refusals, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
