// Databases on the real engine: counts, the map of SWAPDB and the server's own records across a clean stop, a crash and expiry; SCAN's guarantee while keys come and go.
#include "kvstore/resp/db_count.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvstore/resp/command.h"
#include "tests/unit/kvstore/kv_kit.h"

static char folder[128];
static struct kv_store *store;
static struct resp_shared shared;
static struct resp_session session;
static char *text;

static uint64_t clock_ms(void *arg)
{
    (void)arg;
    return atomic_load(&kit_now_ms);
}

static void begin(void)
{
    struct kv_options options = kit_options();
    struct error e;
    store = kit_open(folder, &options);
    shared = (struct resp_shared){.store = store, .fsync = KV_FSYNC_INTERVAL, .now_ms = clock_ms};
    session = (struct resp_session){0};
    assert_true(resp_shared_init(&shared));
    assert_true(resp_db_open(&shared, &e));
    resp_session_init(&session, &shared);
}

static void end(void)
{
    resp_session_deinit(&session);
    resp_db_close(&shared);
    resp_shared_deinit(&shared);
    kit_close(&store);
}

// As after kill -9, as far as the server's records say: they are not written.
static void crash(void)
{
    (void)pthread_mutex_lock(&shared.dbs->lock);
    shared.dbs->exact = false;
    (void)pthread_mutex_unlock(&shared.dbs->lock);
    end();
}

static int setup(void **state)
{
    (void)state;
    kit_folder(folder);
    begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    end();
    kit_remove(folder);
    free(text);
    text = NULL;
    return 0;
}

// Words parted by blanks; "" is the empty one.
static const char *run(const char *line)
{
    char copy[256], *save = NULL;
    struct resp_arg args[16];
    size_t argc = 0, n = 0;
    struct resp_reply reply;
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        args[argc++] = (struct resp_arg){(const uint8_t *)word, strcmp(word, "\"\"") != 0 ? strlen(word) : 0};
    resp_reply_init(&reply, 0);
    assert_int_equal(resp_command_run(&session, &reply, args, argc, true), RESP_RUN_DONE);
    free(text);
    text = calloc(1, resp_reply_length(&reply) + 1);
    for (struct iovec piece; resp_out_pieces(&reply.out, &piece, 1) == 1; n += piece.iov_len) {
        memcpy(text + n, piece.iov_base, piece.iov_len);
        resp_out_drop(&reply.out, piece.iov_len);
    }
    resp_reply_deinit(&reply);
    return text;
}

#define EXPECT(line, reply) assert_string_equal(run(line), reply)
#define OK                  "+OK\r\n"

static bool there(const char *record)
{
    char name[32] = "\0mec:db\0";
    size_t len = (size_t)snprintf(name + 9, sizeof name - 9, "%s", record);
    return kv_exists(store, name, 9 + len) == KV_OK;
}

static void pause_ms(unsigned ms)
{
    (void)nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static void wait_for_count(unsigned db, uint64_t keys)
{
    for (unsigned i = 0; i < 6000 && resp_db_count(&shared, db).keys != keys; i++)
        pause_ms(10);
    assert_int_equal(resp_db_count(&shared, db).keys, keys);
}

static void fill(unsigned db, unsigned count, const char *options)
{
    char line[128];
    (void)snprintf(line, sizeof line, "select %u", db);
    EXPECT(line, OK);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(line, sizeof line, "set key:%u %u %s", i, i, options);
        EXPECT(line, OK);
    }
}

static void never_used_pays_nothing(void **state)
{
    (void)state;
    fill(0, 3, "");
    EXPECT("select 1", OK);
    EXPECT("del a", ":0\r\n");
    EXPECT("get a", "$-1\r\n");
    assert_false(there("used") || there("map") || there("state"));
    end();
    begin();
    struct kv_stats stats;
    kv_get_stats(store, &stats);
    assert_int_equal(stats.keys, 3);
}

static void clean_stop(void **state)
{
    (void)state;
    fill(0, 3, "");
    fill(1, 5, "");
    fill(15, 7, "ex 1000");
    EXPECT("swapdb 1 0", OK);
    assert_true(there("used") && there("map") && !there("state"));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(resp_db_count(&shared, 0).keys, 5);
        assert_int_equal(resp_db_count(&shared, 1).keys, 3);
        assert_int_equal(resp_db_count(&shared, 15).keys, 7);
        assert_int_equal(resp_db_count(&shared, 15).expiring, 7);
        end();
        begin();
        assert_null(shared.dbs->set); // known, not counted
        assert_false(there("state"));
    }
    EXPECT("get key:4", "$1\r\n4\r\n");
}

static void emptied_is_as_never_used(void **state)
{
    (void)state;
    fill(2, 2, "");
    EXPECT("del key:0 key:1", ":2\r\n");
    end();
    begin();
    assert_false(there("used") || there("state"));
    fill(2, 2, "");
    EXPECT("swapdb 2 3", OK);
    EXPECT("flushall", OK);
    assert_false(there("used") || there("map"));
    assert_int_equal(resp_db_laid(&shared, 2), 2);
    EXPECT("set a 1", OK);
    EXPECT("dbsize", ":1\r\n");
    assert_true(there("used"));
}

// Proves: after a crash the keys are counted anew, exactly, while commands go on changing them.
static void crash_counts_anew(void **state)
{
    (void)state;
    fill(0, 50, "");
    fill(1, 300, "");
    fill(2, 200, "ex 1000");
    crash();
    begin();
    assert_true(there("used"));
    EXPECT("select 1", OK);
    for (unsigned i = 0; i < 200; i++) { // some before the scan has met them, some after
        char line[64];
        (void)snprintf(line, sizeof line, i % 2 == 0 ? "del key:%u" : "set key:%u x", i);
        (void)run(line);
        (void)snprintf(line, sizeof line, "set new:%u x", i);
        (void)run(line);
    }
    wait_for_count(1, 400);
    wait_for_count(2, 200);
    assert_int_equal(resp_db_count(&shared, 2).expiring, 200);
    for (unsigned i = 0; i < 6000 && shared.dbs->running; i++) { // the set goes, and changes count
        (void)pthread_mutex_lock(&shared.dbs->lock);
        bool done = shared.dbs->set == NULL;
        (void)pthread_mutex_unlock(&shared.dbs->lock);
        if (done)
            break;
        pause_ms(10);
    }
    assert_true(shared.dbs->exact);
    EXPECT("del new:1 new:2", ":2\r\n");
    EXPECT("dbsize", ":398\r\n");
    assert_int_equal(resp_db_count(&shared, 0).keys, 50);
    end();
    begin();
    assert_null(shared.dbs->set);
    assert_int_equal(resp_db_count(&shared, 1).keys, 398);
}

// Proves: what the store removes is counted out, also while keys are being counted; what expired while the store was closed is noticed.
static void expiry(void **state)
{
    (void)state;
    fill(1, 20, "px 1000");
    fill(2, 10, "");
    atomic_fetch_add(&kit_now_ms, 1000);
    wait_for_count(1, 0);
    assert_int_equal(resp_db_count(&shared, 1).expiring, 0);
    fill(1, 20, "px 1000");
    crash();
    begin();
    wait_for_count(1, 20);
    atomic_fetch_add(&kit_now_ms, 1000);
    wait_for_count(1, 0);
    fill(3, 20, "px 1000");
    EXPECT("flushall", OK);
    assert_int_equal(resp_db_count(&shared, 3).keys, 0);
    fill(3, 20, "px 1000");
    fill(4, 10, "");
    end();
    atomic_fetch_add(&kit_now_ms, 1000);
    begin();
    wait_for_count(4, 10);
    wait_for_count(3, 0);
}

static void strange_records_are_refused(void **state)
{
    struct error e;
    (void)state;
    resp_db_close(&shared);
    assert_int_equal(kv_put(store, "\0mec:db\0\0map", 12, "0123", 4, 0, 0), KV_OK);
    assert_false(resp_db_open(&shared, &e));
    assert_non_null(strstr(e.text, "SWAPDB"));
    assert_null(shared.dbs);
    assert_int_equal(kv_delete(store, "\0mec:db\0\0map", 12, 0), KV_OK);
    assert_int_equal(kv_put(store, "\0mec:db\0\0state", 14, "nonsense", 8, 0, 0), KV_OK);
    assert_true(resp_db_open(&shared, &e)); // counted anew
    fill(1, 3, "");
    wait_for_count(1, 3);
}

// Proves: keys that are there from the first call of SCAN to the last are returned at least once, while others come and go and the table grows many times over.
static void scan_guarantee(void **state)
{
    enum { STAY = 200 };
    unsigned seen[STAY] = {0}, calls = 0, made = 0;
    unsigned long long cursor = 0;
    (void)state;
    fill(1, STAY, "");
    do {
        char line[64];
        (void)snprintf(line, sizeof line, "scan %llu count 3", cursor);
        (void)run(line);
        cursor = strtoull(strchr(strchr(text, '$'), '\n') + 1, NULL, 10);
        for (const char *at = text; (at = strstr(at, "\r\nkey:")) != NULL; at += 6)
            seen[strtoul(at + 6, NULL, 10)]++;
        for (unsigned i = 0; i < 8; i++, made++) {
            (void)snprintf(line, sizeof line, "set more:%u x", made);
            EXPECT(line, OK);
            (void)snprintf(line, sizeof line, "del more:%u", made / 3);
            (void)run(line);
        }
        (void)snprintf(line, sizeof line, "set key:%u again", calls % STAY); // put again: still there
        EXPECT(line, OK);
    } while (cursor != 0 && ++calls < 20000);
    assert_true(cursor == 0);
    for (unsigned i = 0; i < STAY; i++)
        assert_in_range(seen[i], 1, 3);
}

// Proves: the empty keys are counted as others are, and are there again after a clean stop and after a crash.
static void empty_keys(void **state)
{
    (void)state;
    EXPECT("set \"\" 1", OK);
    assert_false(there("used")); // that of database 0 takes no record
    EXPECT("select 1", OK);
    EXPECT("set \"\" 2", OK);
    for (int stop = 0; stop < 2; stop++) {
        if (stop == 0)
            end();
        else
            crash();
        begin();
        wait_for_count(1, 1);
        assert_int_equal(resp_db_count(&shared, 0).keys, 1);
        EXPECT("select 0", OK);
        EXPECT("get \"\"", "$1\r\n1\r\n");
        EXPECT("keys *", "*1\r\n$0\r\n\r\n");
        EXPECT("select 1", OK);
        EXPECT("get \"\"", "$1\r\n2\r\n");
    }
    EXPECT("pexpire \"\" 1000", ":1\r\n");
    EXPECT("select 0", OK);
    EXPECT("pexpire \"\" 1000", ":1\r\n");
    atomic_fetch_add(&kit_now_ms, 1000);
    wait_for_count(1, 0);
    wait_for_count(0, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(never_used_pays_nothing),     TEST(clean_stop),     TEST(emptied_is_as_never_used),
        TEST(crash_counts_anew),           TEST(expiry),         TEST(empty_keys),
        TEST(strange_records_are_refused), TEST(scan_guarantee),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
