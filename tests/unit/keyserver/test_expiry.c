// What expires: what is told of it, when, and never too often.
#include "kit.h"

#include <string.h>

#include "common/tls.h"
#include "keyserver/expiry.h"
#include "tests/unit/common/test_pki.h"

#define DAY 86400

static struct expiry *expiry;
static const struct expiry_days usual = {.count = 3, .days = {30, 7, 1}};
static const int64_t start = 1800000000;

static int set_up(void **state)
{
    (void)state;
    expiry = expiry_create(&usual, NULL);
    return expiry == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    expiry_destroy(&expiry);
    expiry_destroy(&expiry); // NULL is fine
    return 0;
}

static void thresholds(void **state)
{
    static const char *const bad[] = {"",     "0",   "401",
                                      "30,",  ",30", "30, 7",
                                      "x",    "-1",  "1,2,3,4,5,6,7,8,9",
                                      "30;7", "1e2", "99999999999999999999999"};
    struct expiry_days days;
    struct error e;
    (void)state;
    assert_true(expiry_days_parse("7,30,1", &days, &e));
    assert_int_equal(days.count, 3);
    assert_true(days.days[0] == 30 && days.days[1] == 7 && days.days[2] == 1);
    assert_true(expiry_days_parse("400", &days, &e));
    assert_true(days.count == 1 && days.days[0] == 400);
    assert_true(expiry_days_parse(NULL, &days, &e));
    assert_int_equal(days.count, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (expiry_days_parse(bad[i], &days, &e))
            fail_msg("taken: \"%s\"", bad[i]);
        assert_non_null(strstr(e.text, "--expiry-warning-days"));
    }
}

// Looked at every minute from `from` to `to` days before the end; how many lines came.
static unsigned lines(int64_t end, int from, int to)
{
    unsigned count = 0;
    for (int64_t now = end - (int64_t)from * DAY; now < end - (int64_t)to * DAY; now += 60)
        count += expiry_tick(expiry, now);
    return count;
}

// A line at each threshold and one a day: in all one a day from 30 days on.
static void a_year_of_a_certificate(void **state)
{
    int64_t end = start + (int64_t)365 * DAY;
    (void)state;
    expiry_add(expiry, EXPIRY_SERVER, "server", start, end);
    assert_int_equal(lines(end, 365, 31), 0);
    assert_int_equal(lines(end, 31, 30), 0);
    assert_int_equal(lines(end, 30, 29), 1);
    unsigned rest = lines(end, 29, 0);
    assert_true(rest >= 28 && rest <= 31);
    assert_int_equal(expiry_tick(expiry, end + 1), 1); // it has expired
    unsigned after = lines(end, -1, -10);
    assert_true(after >= 8 && after <= 10);
}

// A list that is renewed each week is none of the 30 days' business, nor of the seven's.
static void what_lives_for_a_week(void **state)
{
    int64_t end = start + (int64_t)7 * DAY;
    (void)state;
    expiry_add(expiry, EXPIRY_CRL, "ca", start, end);
    assert_int_equal(lines(end, 7, 2), 0);
    assert_int_equal(lines(end, 1, 0), 1);
    expiry_destroy(&expiry);
    expiry = expiry_create(&usual, NULL);
    expiry_add(expiry, EXPIRY_SERVER, "hours", start, start + 3600);
    assert_int_equal(expiry_tick(expiry, start + 3599), 0);
    assert_int_equal(expiry_tick(expiry, start + 3601), 1);
}

static void many_at_once_are_few_lines(void **state)
{
    char name[16];
    (void)state;
    for (int i = 0; i < 3 * EXPIRY_ITEMS_MAX; i++) {
        (void)snprintf(name, sizeof name, "ca-%d", i);
        expiry_add(expiry, EXPIRY_CLIENT_CA, name, start, start + (int64_t)(1000 - i) * DAY);
    }
    json_t *json = expiry_json(expiry, start);
    json_t *items = json_object_get(json, "items");
    assert_int_equal(json_array_size(items), EXPIRY_ITEMS_MAX); // those that expire first, the first on top
    assert_string_equal(json_string_value(json_object_get(json_array_get(items, 0), "name")), "ca-191");
    assert_string_equal(json_string_value(json_object_get(json_array_get(items, 63), "name")), "ca-128");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(items, 0), "days_left")), 809);
    json_decref(json);
    assert_int_equal(expiry_tick(expiry, start + (int64_t)1000 * DAY), 9);
    assert_int_equal(expiry_tick(expiry, start + (int64_t)1000 * DAY + 60), 0);
}

static void no_warnings(void **state)
{
    const struct expiry_days none = {0};
    (void)state;
    expiry_destroy(&expiry);
    expiry = expiry_create(&none, NULL);
    expiry_add(expiry, EXPIRY_SERVER, "server", start, start + (int64_t)100 * DAY);
    assert_int_equal(lines(start + (int64_t)100 * DAY, 100, -10), 0);
}

// From a context: own certificate, chain, authorities. A reload of the same things tells nothing again; of others it does.
static void collected(void **state)
{
    (void)state;
    kit_dir_create();
    struct test_cert root = test_cert_create(&(struct test_cert_spec){
        .name = "root", .purpose = TEST_CERT_CA, .from_days = -300, .until_days = 20});
    struct test_cert middle = test_cert_create(&(struct test_cert_spec){
        .name = "middle", .purpose = TEST_CERT_CA, .from_days = -10, .until_days = 300, .issuer = &root});
    struct test_cert leaf = test_cert_create(&(struct test_cert_spec){
        .name = "leaf", .purpose = TEST_CERT_SERVER, .from_days = -80, .until_days = 5, .issuer = &middle});
    const struct test_cert *chain[] = {&leaf, &middle}, *ca[] = {&root};
    char cert[600], key[600], authorities[600];
    (void)snprintf(cert, sizeof cert, "%s", kit_path("cert.pem"));
    (void)snprintf(key, sizeof key, "%s", kit_path("key.pem"));
    (void)snprintf(authorities, sizeof authorities, "%s", kit_path("ca.pem"));
    test_cert_write(cert, chain, 2);
    test_cert_write(authorities, ca, 1);
    test_key_write(key, &leaf, NULL);
    struct error e;
    const struct tls_files files = {.cert_file = cert, .key_file = key, .ca_file = authorities};
    SSL_CTX *ctx = tls_server_ctx_create(&files, &e);
    assert_non_null(ctx);

    int64_t now = (int64_t)time(NULL);
    expiry_collect(expiry, ctx, NULL);
    json_t *json = expiry_json(expiry, now), *items = json_object_get(json, "items");
    static const char *const expected[][2] = {{"server", "leaf"}, {"client_ca", "root"}, {"chain", "middle"}};
    assert_int_equal(json_array_size(items), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *item = json_array_get(items, i);
        assert_string_equal(json_string_value(json_object_get(item, "what")), expected[i][0]);
        assert_string_equal(json_string_value(json_object_get(item, "name")), expected[i][1]);
    }
    assert_true(json_is_null(json_object_get(json, "keys")));
    json_decref(json);
    assert_int_equal(expiry_tick(expiry, now), 2);
    expiry_collect(expiry, ctx, NULL);
    assert_int_equal(expiry_tick(expiry, now + 60), 0);
    expiry_add(expiry, EXPIRY_CHAIN, "other", now - (int64_t)300 * DAY, now + DAY);
    assert_int_equal(expiry_tick(expiry, now + 120), 1);

    SSL_CTX_free(ctx);
    test_cert_destroy(&leaf);
    test_cert_destroy(&middle);
    test_cert_destroy(&root);
    kit_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(thresholds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_year_of_a_certificate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_lives_for_a_week, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_at_once_are_few_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_warnings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(collected, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
