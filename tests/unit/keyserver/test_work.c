// What crypto threads do with batches: the same answers as one by one, for every method, hash and padding; right answers
// also where a lane gives none, and the alarm; operations that are late or do not fit take no lane.
#include "kit.h"
#include "rsa_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secmem.h"
#include "keyserver/keyop_run.h"
#include "keyserver/loop.h"
#include "keyserver/work.h"

static struct stats stats;
static const struct keyring ring = {.engine_form = true}; // the operations come with their keys
static struct work work = {.ring = &ring};
static struct loop loop; // its mailbox, where finished operations go
static struct keyop ops[ENGINE_LANES];
static unsigned bad_lanes;        // a bit for each lane that is to fail
static enum rsa8_status bad_with; // how
static unsigned runs;

static void run(enum rsa8_impl impl, struct rsa8_scratch *scratch, struct rsa8_op *op, unsigned count)
{
    assert_int_equal((uintptr_t)scratch % RSA8_ALIGN, 0);
    runs++;
    rsa8_run(impl, scratch, op, count);
    for (unsigned i = 0; i < count; i++)
        if (bad_lanes >> i & 1) {
            memset(op[i].out, 0, rsa8_bits(op[i].key) / 8);
            op[i].status = bad_with;
        }
}

static int setup(void **state)
{
    (void)state;
    struct error e;
    struct engine_settings settings = {.threads = 2, .stats = &stats, .run = run};
    kit_dir_create();
    assert_true(log_setup("keyserver", LOG_LEVEL_INFO, kit_path("log"), &e));
    assert_true(stats_setup(&stats, &e));
    assert_true(engine_pick(ENGINE_PORTABLE, false, &settings.pick, &e));
    work.engine = engine_create(&settings, &e);
    assert_non_null(work.engine);
    (void)pthread_mutex_init(&loop.lock, NULL);
    loop.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop.completed_tail = &loop.completed;
    bad_lanes = runs = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engine_destroy(&work.engine);
    assert_null(work.engine);
    stats_teardown(&stats);
    (void)close(loop.wake_fd);
    (void)pthread_mutex_destroy(&loop.lock);
    log_teardown();
    kit_dir_remove();
    return 0;
}

static int release_keys(void **state)
{
    (void)state;
    kit_release();
    return 0;
}

// The key as a keyring with an engine gives it: in the engine's form, if the engine takes it.
static struct ks_key *key_of_der(const char *name, const uint8_t *der, size_t len)
{
    struct keyrecord_key record = {.type = KEYRECORD_RSA, .der = secmem_alloc(len), .der_len = len};
    assert_non_null(record.der);
    memcpy(record.der, der, len);
    assert_null(rsa_der_read(record.der, record.der_len, &record.rsa));
    record.bits = rsa8_key_bits(&record.rsa);
    struct ks_key *key = NULL;
    assert_int_equal(ks_key_from_record(name, 1, &record, &key), KEYRECORD_OK);
    return key;
}

static struct ks_key *engine_key(EVP_PKEY *pkey)
{
    char name[KEYRECORD_NAME_LEN + 1];
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    assert_true(len > 0);
    assert_true(keyrecord_name(pkey, name));
    struct ks_key *key = key_of_der(name, der, (size_t)len);
    assert_non_null(key->rsa8);
    OPENSSL_clear_free(der, (size_t)len);
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

// As the first stage leaves it.
static struct keyop *make_op(unsigned i, struct ks_key *key, const struct ski_request *request)
{
    struct keyop *op = &ops[i];
    memset(op, 0, sizeof *op);
    op->loop = &loop;
    op->request = *request;
    op->looked_up = true;
    op->key = ks_key_ref(key);
    op->key_type = key->type;
    op->key_bits = key->bits;
    op->received_ns = op->ready_ns = clock_ns();
    op->deadline_ns = op->received_ns + UINT64_C(600000000000);
    return op;
}

// Takes the first `count` of ops through a batch; all come back, without their keys.
static void run_batch(unsigned count)
{
    struct keyop *batch[ENGINE_LANES];
    for (unsigned i = 0; i < count; i++)
        batch[i] = &ops[i];
    work_run_batch(&work, 1, batch, count);
    unsigned back = 0;
    for (struct keyop *op = loop.completed; op != NULL; op = op->next, back++) {
        assert_null(op->key);
        assert_true(op->finished_ns >= op->started_ns && op->started_ns >= op->ready_ns);
    }
    assert_int_equal(back, count);
    loop.completed = NULL;
    loop.completed_tail = &loop.completed;
}

static struct ski_request decryption(const struct ks_key *key)
{
    struct ski_request r;
    memset(&r, 0, sizeof r);
    r.method = SKI_METHOD_RSA;
    r.protocol = r.client_version = SKI_TLS_1_2;
    r.input_len = key->size;
    assert_int_equal(RAND_bytes(r.input, (int)key->size), 1);
    r.input[0] &= 0x7f;
    return r;
}

static struct ski_request good_decryption(EVP_PKEY *pkey, uint8_t premaster[static 48])
{
    struct ski_request r;
    memset(&r, 0, sizeof r);
    r.method = SKI_METHOD_RSA;
    r.protocol = r.client_version = SKI_TLS_1_2;
    r.input_len = SKI_INPUT_MAX;
    assert_int_equal(RAND_bytes(premaster, 48), 1);
    premaster[0] = premaster[1] = 3;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_encrypt(ctx, r.input, &r.input_len, premaster, 48), 1);
    EVP_PKEY_CTX_free(ctx);
    return r;
}

static struct ski_request signature(enum ski_hash hash, enum ski_padding padding)
{
    struct ski_request r;
    memset(&r, 0, sizeof r);
    r.method = SKI_METHOD_ECDHE;
    r.protocol = hash == SKI_MD5_SHA1 ? SKI_TLS_1_0 : SKI_TLS_1_2;
    r.hash = hash;
    r.padding = padding;
    r.input_len = kit_ecdhe_input(&kit_curves[0], r.input);
    return r;
}

static void assert_same_as_single(const struct keyop *op, struct ks_key *key)
{
    uint8_t output[SKI_OUTPUT_MAX];
    size_t len;
    assert_int_equal(keyop_run(&op->request, key, output, &len), op->status);
    assert_int_equal(op->output_len, len);
    assert_memory_equal(op->output, output, len);
}

static bool verifies_pss(EVP_PKEY *pkey, const char *md, const struct keyop *op)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx;
    assert_int_equal(EVP_DigestVerifyInit_ex(ctx, &key_ctx, md, NULL, NULL, pkey, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST), 1);
    bool good =
        EVP_DigestVerify(ctx, op->output, op->output_len, op->request.input, op->request.input_len) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static uint64_t batches(unsigned bits, unsigned fill)
{
    return metric_value(stats.rsa_batches[engine_size_of(bits)][fill - 1]);
}

static void same_answers_as_single(unsigned bits)
{
    EVP_PKEY *pkeys[2] = {kit_rsa(bits, 0), kit_rsa(bits, 1)};
    struct ks_key *keys[2] = {engine_key(pkeys[0]), engine_key(pkeys[1])};
    uint8_t premaster[48];
    struct ski_request r = good_decryption(pkeys[0], premaster);
    (void)make_op(0, keys[0], &r);
    r = decryption(keys[1]);
    (void)make_op(1, keys[1], &r);
    memset(r.input, 0xff, r.input_len); // out of range: a fallback
    (void)make_op(2, keys[0], &r);
    memset(r.input, 0, r.input_len);
    (void)make_op(3, keys[1], &r);
    static const enum ski_hash hashes[] = {SKI_MD5_SHA1, SKI_SHA1, SKI_SHA256, SKI_SHA512};
    for (unsigned i = 0; i < 4; i++) {
        r = signature(hashes[i], SKI_PKCS1);
        (void)make_op(4 + i, keys[i % 2], &r);
    }
    run_batch(8);
    assert_int_equal(batches(bits, 8), 1);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(ops[i].status, SKI_OK);
        assert_same_as_single(&ops[i], keys[i < 4 ? i % 2 : (i - 4) % 2]);
    }
    assert_memory_equal(ops[0].output, premaster, 48);
    for (unsigned k = 0; k < 2; k++)
        ks_key_unref(&keys[k]);
}

static void every_size(void **state)
{
    (void)state;
    for (unsigned size = 0; size < ENGINE_SIZES; size++)
        same_answers_as_single(engine_size_bits(size));
    assert_int_equal(runs, 3);
    assert_int_equal(metric_value(stats.rsa_faults), 0);
    assert_int_equal(histogram_count(stats.rsa_gathered), 24);
}

static void every_hash_and_padding(void **state)
{
    (void)state;
    static const char *const names[SKI_HASHES] = {
        [SKI_SHA256] = "SHA256", [SKI_SHA384] = "SHA384", [SKI_SHA512] = "SHA512"};
    EVP_PKEY *pkey = kit_rsa(2048, 0);
    struct ks_key *key = engine_key(pkey);
    unsigned count = 0;
    for (enum ski_hash hash = 0; hash < SKI_HASHES; hash++) {
        struct ski_request r = signature(hash, SKI_PKCS1);
        (void)make_op(count++, key, &r);
    }
    run_batch(count);
    assert_int_equal(batches(2048, count), 1);
    for (unsigned i = 0; i < count; i++)
        assert_same_as_single(&ops[i], key);
    count = 0;
    for (enum ski_hash hash = SKI_SHA256; hash <= SKI_SHA512; hash++) {
        struct ski_request r = signature(hash, SKI_PSS);
        (void)make_op(count++, key, &r);
    }
    run_batch(count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(ops[i].status, SKI_OK);
        assert_true(verifies_pss(pkey, names[SKI_SHA256 + i], &ops[i]));
    }
    ks_key_unref(&key);
}

static unsigned log_lines(const char *event)
{
    unsigned n = 0;
    log_flush();
    char *text = kit_read_file(kit_path("log"));
    for (const char *at = text; (at = strstr(at, event)) != NULL; at++)
        n++;
    free(text);
    return n;
}

static void make_eight(struct ks_key *key)
{
    for (unsigned i = 0; i < 8; i++) {
        struct ski_request r = i % 2 == 0 ? decryption(key) : signature(SKI_SHA256, SKI_PKCS1);
        (void)make_op(i, key, &r);
    }
}

// A lane whose result fails its check: OpenSSL's answer leaves, one fault is counted, one line says so.
static void faults(void **state)
{
    (void)state;
    struct ks_key *key = engine_key(kit_rsa(2048, 0));
    bad_with = RSA8_FAULT;
    for (unsigned lane = 0; lane < 8; lane += 3) {
        bad_lanes = 1u << lane;
        make_eight(key);
        run_batch(8);
        for (unsigned i = 0; i < 8; i++) {
            assert_int_equal(ops[i].status, SKI_OK);
            assert_same_as_single(&ops[i], key);
        }
        assert_int_equal(metric_value(stats.rsa_faults), lane / 3 + 1);
    }
    unsigned lines = log_lines(" rsa_engine_fault ");
    assert_in_range(lines, 1, 3); // at most one a second
    char *text = kit_read_file(kit_path("log"));
    char expected[64];
    (void)snprintf(expected, sizeof expected, "key=%.8s faults=1 ", key->name);
    assert_non_null(strstr(text, expected));
    free(text);
    ks_key_unref(&key);
}

// A key whose dp is wrong never gets a lane: OpenSSL computes with it, finds out, and does without dp.
static void a_key_that_does_not_fit_together(void **state)
{
    (void)state;
    struct rsa_kit_key numbers;
    struct rsa_kit_bytes der;
    rsa_kit_key_make(&numbers, rsa_kit_prime(1024, 0), rsa_kit_prime(1024, 1), 65537, true);
    rsa_kit_key_der(&numbers, &der);
    struct ks_key *right = key_of_der("right", der.bytes, der.len);
    assert_non_null(right->rsa8);
    assert_int_equal(BN_sub_word(numbers.number[RSA_KIT_DP], 2), 1);
    rsa_kit_key_der(&numbers, &der);
    struct ks_key *wrong = key_of_der("wrong", der.bytes, der.len);
    assert_null(wrong->rsa8);
    rsa_kit_key_free(&numbers);
    struct ski_request requests[2] = {signature(SKI_SHA256, SKI_PKCS1), decryption(right)};
    for (unsigned i = 0; i < 2; i++) {
        struct keyop *op = make_op(i, wrong, &requests[i]);
        work_run(&work, 0, &op, 1);
        assert_int_equal(op->status, SKI_OK);
        assert_same_as_single(op, right);
    }
    loop.completed = NULL;
    loop.completed_tail = &loop.completed;
    assert_int_equal(runs, 0);
    assert_int_equal(metric_value(stats.rsa_faults), 0);
    ks_key_unref(&right);
    ks_key_unref(&wrong);
    rsa_kit_release();
}

static void all_lanes_fail(void **state)
{
    (void)state;
    static const enum rsa8_status statuses[] = {RSA8_FAULT, RSA8_REFUSED, RSA8_NO_RANDOM};
    struct ks_key *key = engine_key(kit_rsa(2048, 0));
    bad_lanes = 0xff;
    for (unsigned s = 0; s < 3; s++) {
        bad_with = statuses[s];
        make_eight(key);
        run_batch(8);
        for (unsigned i = 0; i < 8; i++)
            assert_same_as_single(&ops[i], key);
    }
    assert_int_equal(metric_value(stats.rsa_faults), 8);
    assert_int_equal(metric_value(stats.rsa_refused), 8);
    assert_int_equal(metric_value(stats.rsa_no_random), 8);
    ks_key_unref(&key);
}

// Nobody waits for them any more, or they do not fit the key: they end, and the others are computed.
static void some_take_no_lane(void **state)
{
    (void)state;
    struct ks_key *key = engine_key(kit_rsa(2048, 0));
    make_eight(key);
    ops[0].deadline_ns = ops[0].ready_ns - 1;
    ops[2].abandoned = true;
    ops[4].request.input_len--; // a decryption of another length
    ops[5].request.scheme_key = KEYRECORD_EC;
    run_batch(8);
    static const enum ski_status expected[] = {SKI_EXPIRED,   SKI_OK,        SKI_BUSY, SKI_OK,
                                               SKI_MALFORMED, SKI_MALFORMED, SKI_OK,   SKI_OK};
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(ops[i].status, expected[i]);
        assert_int_equal(ops[i].busy, i == 2 ? KEYOP_ABANDONED : KEYOP_NOT_BUSY);
        if (expected[i] == SKI_OK)
            assert_same_as_single(&ops[i], key);
        else
            assert_int_equal(ops[i].output_len, 0);
    }
    assert_int_equal(batches(2048, 4), 1);

    make_eight(key);
    for (unsigned i = 0; i < 8; i++)
        ops[i].abandoned = true;
    run_batch(8);
    assert_int_equal(runs, 1); // none left: nothing computed
    ks_key_unref(&key);
}

// One whose turn comes alone is OpenSSL's.
static void one_alone(void **state)
{
    (void)state;
    struct ks_key *key = engine_key(kit_rsa(2048, 0));
    struct ski_request r = decryption(key);
    struct keyop *op = make_op(0, key, &r);
    work_run(&work, 0, &op, 1);
    loop.completed = NULL;
    loop.completed_tail = &loop.completed;
    assert_int_equal(op->status, SKI_OK);
    assert_null(op->key);
    assert_int_equal(runs, 0);
    assert_int_equal(metric_value(stats.rsa_singles[0]), 1);
    assert_same_as_single(op, key);
    ks_key_unref(&key);
}

#define WORK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORK_TEST(every_size),     WORK_TEST(every_hash_and_padding),
        WORK_TEST(faults),         WORK_TEST(a_key_that_does_not_fit_together),
        WORK_TEST(all_lanes_fail), WORK_TEST(some_take_no_lane),
        WORK_TEST(one_alone),
    };
    return cmocka_run_group_tests(tests, NULL, release_keys);
}
