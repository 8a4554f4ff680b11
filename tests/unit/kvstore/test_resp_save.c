// Saving, loading and being a replica: commands and their refusals, on a fake store.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/kvstore/resp_kit.h"

#include "kvstore/resp/rdb_load.h"
#include "kvstore/resp/rdb_save.h"
#include "kvstore/resp/replica.h"

static char folder[64];

static int setup(void **state)
{
    struct error e;
    (void)snprintf(folder, sizeof folder, "/tmp/mec-save.XXXXXX");
    if (resp_kit_setup(state) != 0 || mkdtemp(folder) == NULL)
        return -1;
    return resp_saves_open(&kit.shared, folder, "dump.rdb", &e) ? 0 : -1;
}

static int teardown(void **state)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/dump.rdb", folder);
    (void)unlink(path);
    resp_saves_close(&kit.shared);
    if (rmdir(folder) != 0) // nothing else was left there
        return -1;
    return resp_kit_teardown(state);
}

static const char *file(void)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/dump.rdb", folder);
    return path;
}

static void test_save_and_load(void **state)
{
    struct error e;
    struct stat st;
    (void)state;
    EXPECT("SET a 1", OK);
    EXPECT("SET b 22 PX 100000", OK);
    EXPECT("SELECT 3", OK);
    EXPECT("SET a three", OK);
    EXPECT("SAVE", OK);
    assert_int_equal(stat(file(), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    EXPECT("FLUSHALL", OK);
    EXPECT("SET a other", OK);
    EXPECT("SET kept 1", OK);
    assert_true(resp_load_file(&kit.shared, file(), NULL, NULL, &e));
    EXPECT("GET a", "$5\r\nthree\r\n");
    EXPECT("GET kept", "$1\r\n1\r\n");
    EXPECT("SELECT 0", OK);
    EXPECT("GET a", "$1\r\n1\r\n");
    EXPECT("PTTL b", ":100000\r\n");
    fake.now_ms = NOW + 200000; // b has expired when the file is loaded again
    EXPECT("FLUSHALL", OK);
    assert_true(resp_load_file(&kit.shared, file(), NULL, NULL, &e));
    EXPECT("EXISTS a b", ":1\r\n");
}

static void test_load_refused(void **state)
{
    struct error e;
    (void)state;
    EXPECT("SET a 1", OK);
    EXPECT("SAVE", OK);
    assert_int_equal(truncate(file(), 80), 0);
    assert_false(resp_load_file(&kit.shared, file(), NULL, NULL, &e));
    assert_non_null(strstr(e.text, "rdb: offset "));
    assert_non_null(strstr(e.text, " keys were loaded before"));
    assert_false(resp_load_file(&kit.shared, "/nowhere/at/all", NULL, NULL, &e));
    assert_non_null(strstr(e.text, "No such file"));
    EXPECT("SAVE", OK);
    fake.fail_put = KV_FULL;
    assert_false(resp_load_file(&kit.shared, file(), NULL, NULL, &e));
    assert_non_null(strstr(e.text, "the store: "));
    assert_non_null(strstr(e.text, "; 0 keys were loaded before"));
}

static void test_save_refused(void **state)
{
    (void)state;
    EXPECT("SET a 1", OK);
    EXPECT("SAVE", OK);
    fake.fail_export = KV_CORRUPT;
    assert_non_null(strstr(resp_kit_run("SAVE"), "-ERR The RDB could not be saved: "));
    assert_true(atomic_load(&kit.shared.saves->last_failed));
    assert_int_equal(access(file(), F_OK), 0); // the one before is still there
    fake.fail_export = KV_OK;
    EXPECT("SAVE", OK);
    assert_false(atomic_load(&kit.shared.saves->last_failed));
    EXPECT("BGSAVE nonsense", "-ERR syntax error\r\n");
    atomic_store(&kit.shared.saves->in_progress, true);
    EXPECT("BGSAVE", "-ERR Background save already in progress\r\n");
    EXPECT("SAVE", "-ERR Background save already in progress\r\n");
    atomic_store(&kit.shared.saves->in_progress, false);
}

static void test_bgsave(void **state)
{
    (void)state;
    fake.now_ms = NOW + 5000;
    EXPECT("SET a 1", OK);
    EXPECT("BGSAVE", "+Background saving started\r\n");
    while (atomic_load(&kit.shared.saves->in_progress))
        (void)usleep(1000);
    EXPECT("LASTSAVE", ":1700000005\r\n");
    assert_int_equal(access(file(), F_OK), 0);
}

static void test_sync(void **state)
{
    (void)state;
    EXPECT("REPLCONF", OK);
    EXPECT("REPLCONF capa eof capa psync2 listening-port 1", OK);
    EXPECT("REPLCONF ack 1", "");
    EXPECT("REPLCONF rdb-only x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("REPLCONF x y", "-ERR Unrecognized REPLCONF option: x\r\n");
    EXPECT("REPLCONF x", "-ERR syntax error\r\n");
    EXPECT("PSYNC ? x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("SYNC", "-ERR This server gives away no RDB\r\n"); // the kit's session is nobody's connection
}

static void test_replica_commands(void **state)
{
    const struct resp_replica_options options = {.timeout_ms = 1000};
    struct error e;
    (void)state;
    EXPECT("REPLICAOF a 1", "-ERR This server cannot be a replica\r\n");
    EXPECT("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    assert_true(resp_replica_open(&kit.shared, &options, &e)); // not started: no link
    EXPECT("REPLICAOF a x", "-ERR Invalid master port\r\n");
    EXPECT("REPLICAOF a 65536", "-ERR Invalid master port\r\n");
    EXPECT("SET k v", OK);
    EXPECT("REPLICAOF Host 7000", OK);
    EXPECT("REPLICAOF host 7000", "+OK Already connected to specified master\r\n");
    EXPECT("ROLE", "*5\r\n$5\r\nslave\r\n$4\r\nHost\r\n:7000\r\n$7\r\nconnect\r\n:-1\r\n");
    EXPECT("SET k w", "-READONLY You can't write against a read only replica.\r\n");
    EXPECT("GET k", "$1\r\nv\r\n");
    atomic_fetch_or(&kit.shared.replica_gate, RESP_REPLICA_LOADING);
    EXPECT("GET k", "-LOADING Redis is loading the dataset in memory\r\n");
    EXPECT("PING", "+PONG\r\n");
    atomic_fetch_and(&kit.shared.replica_gate, ~(unsigned)RESP_REPLICA_LOADING);
    kit.session.from_primary = true;
    EXPECT("SET k w", OK);
    kit.session.from_primary = false;
    EXPECT("SLAVEOF no One", OK);
    EXPECT("SET k x", OK);
    EXPECT("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    resp_replica_close(&kit.shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_save_and_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bgsave, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replica_commands, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
