// Each test that changes the whole process (allocator, limits) runs in a child, whose exit status tells.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "common/secmem.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                            \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static void run_in_child(void (*body)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool is_zero(const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != 0)
            return false;
    return true;
}

// Without a heap (as in most tests) the memory is ordinary, zeroed, and still freed through the same door.
static void works_before_setup(void **state)
{
    (void)state;
    unsigned char *secret = secmem_alloc(100);
    assert_non_null(secret);
    assert_true(is_zero(secret, 100));
    memset(secret, 7, 100);
    assert_int_equal(secmem_used(), 0);
    secmem_free(&secret, 100);
    assert_null(secret);
    secmem_free(&secret, 100); // NULL is fine
}

static void heap_body(void)
{
    bool locked = false;
    struct error e = {{0}};
    CHECK(secmem_setup(100000, &locked, &e));
    CHECK(secmem_used() == 0);

    unsigned char *secret = secmem_alloc(1000);
    CHECK(secret != NULL && CRYPTO_secure_allocated(secret));
    CHECK(is_zero(secret, 1000));
    CHECK(secmem_used() >= 1000);
    memset(secret, 0xaa, 1000);
    const volatile unsigned char *after = secret;
    secmem_free(&secret, 1000);
    CHECK(secret == NULL);
    CHECK(secmem_used() == 0);
    // The block is back on the heap's free list, whose links lie in its first bytes; the rest shows the
    // wiping.
    for (size_t i = 64; i < 1000; i++)
        CHECK(after[i] == 0);

    // A full heap says so; it never hands out ordinary memory.
    size_t count = 0;
    void *blocks[64] = {0};
    while (count < 64 && (blocks[count] = secmem_alloc(16384)) != NULL)
        count++;
    CHECK(count > 0 && count <= 8);
    CHECK(secmem_alloc((size_t)1 << 30) == NULL);
    while (count > 0)
        secmem_free(&blocks[--count], 16384);
    CHECK(secmem_used() == 0);

    CHECK(!secmem_setup(100000, &locked, &e));
    CHECK(strstr(e.text, "set up already") != NULL);
}

static void the_heap_gives_wipes_and_refuses(void **state)
{
    (void)state;
    run_in_child(heap_body);
}

static void realloc_body(void)
{
    bool locked;
    CHECK(secmem_setup(65536, &locked, NULL));
    // Through OpenSSL's own functions, which now are ours: contents survive growing and shrinking, and what a
    // shrink cuts off is gone.
    unsigned char *p = OPENSSL_realloc(NULL, 4000);
    CHECK(p != NULL);
    memset(p, 0x5a, 4000);
    p = OPENSSL_realloc(p, 3000);
    CHECK(p != NULL && p[0] == 0x5a && p[2999] == 0x5a);
    p = OPENSSL_realloc(p, 100000);
    CHECK(p != NULL && p[0] == 0x5a && p[2999] == 0x5a);
    memset(p, 0x5b, 100000);
    p = OPENSSL_realloc(p, 10);
    CHECK(p != NULL && p[9] == 0x5b);
    CHECK(OPENSSL_realloc(p, 0) == NULL);
    OPENSSL_free(NULL);
    // And OpenSSL works on them.
    unsigned char digest[32];
    CHECK(EVP_Digest("abc", 3, digest, NULL, EVP_sha256(), NULL) == 1);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    CHECK(key != NULL);
    EVP_PKEY_free(key);
}

static void openssl_runs_on_the_wiping_allocator(void **state)
{
    (void)state;
    run_in_child(realloc_body);
}

// Between begin and end OpenSSL's memory is the secure heap's; it stays there when it grows, and the ordinary heap is there when
// it is full.
static void scope_body(void)
{
    bool locked = false;
    CHECK(secmem_setup(65536, &locked, NULL));
    secmem_begin();
    unsigned char *secret = OPENSSL_malloc(100), *large = OPENSSL_malloc(200000);
    secmem_end();
    unsigned char *plain = OPENSSL_malloc(100);
    CHECK(secret != NULL && CRYPTO_secure_allocated(secret));
    CHECK(large != NULL && !CRYPTO_secure_allocated(large));
    CHECK(plain != NULL && !CRYPTO_secure_allocated(plain));
    memset(secret, 0x5a, 100);
    secret = OPENSSL_realloc(secret, 5000);
    CHECK(secret != NULL && CRYPTO_secure_allocated(secret) && secret[99] == 0x5a);
    CHECK(secmem_used() >= 5000);
    OPENSSL_free(secret);
    CHECK(secmem_used() == 0);
    OPENSSL_free(large);
    OPENSSL_free(plain);
    secmem_hide_stack();
}

static void a_scope_takes_from_the_secure_heap(void **state)
{
    (void)state;
    run_in_child(scope_body);
}

static void late_body(void)
{
    void *used = OPENSSL_malloc(10); // OpenSSL refuses another allocator from now on
    bool locked;
    struct error e = {{0}};
    CHECK(used != NULL);
    CHECK(!secmem_setup(65536, &locked, &e));
    CHECK(strstr(e.text, "OpenSSL was used before") != NULL);
    CHECK(!secmem_setup(65536, &locked, NULL));
    OPENSSL_free(used);
}

static void setup_after_first_use_is_an_error(void **state)
{
    (void)state;
    run_in_child(late_body);
}

static void small_limit_body(void)
{
    const struct rlimit none = {0, 0};
    bool locked = true;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
    if (geteuid() == 0) // root may lock whatever the limit says
        CHECK(setuid(65534) == 0);
    CHECK(secmem_setup(1 << 20, &locked, NULL));
    CHECK(!locked);
    void *secret = secmem_alloc(32);
    CHECK(secret != NULL);
    secmem_free(&secret, 32);
}

// A small RLIMIT_MEMLOCK does not stop the program, but it can tell.
static void an_unlocked_heap_is_reported(void **state)
{
    (void)state;
    run_in_child(small_limit_body);
}

static void harden_body(void)
{
    struct rlimit core;
    CHECK(process_harden(NULL));
    CHECK(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void a_hardened_process_leaves_no_core(void **state)
{
    (void)state;
    run_in_child(harden_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(works_before_setup),
        cmocka_unit_test(the_heap_gives_wipes_and_refuses),
        cmocka_unit_test(openssl_runs_on_the_wiping_allocator),
        cmocka_unit_test(a_scope_takes_from_the_secure_heap),
        cmocka_unit_test(setup_after_first_use_is_an_error),
        cmocka_unit_test(an_unlocked_heap_is_reported),
        cmocka_unit_test(a_hardened_process_leaves_no_core),
    };
    return cmocka_run_group_tests_name("secmem", tests, NULL, NULL);
}
