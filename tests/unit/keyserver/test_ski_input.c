// Nothing is signed but a well-formed structure: each field of each kind of input, right and wrong.
#include "kit.h"

#include <string.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/rand.h>

#include "keyserver/ski_input.h"

static struct ski_request request(enum ski_method method, enum ski_protocol protocol)
{
    struct ski_request r;
    memset(&r, 0, offsetof(struct ski_request, input));
    r.method = method;
    r.protocol = protocol;
    memset(r.input, 0, sizeof r.input);
    return r;
}

static struct ski_request ecdhe(size_t curve)
{
    struct ski_request r = request(SKI_METHOD_ECDHE, SKI_TLS_1_2);
    r.input_len = kit_ecdhe_input(&kit_curves[curve], r.input);
    return r;
}

static bool is_nist(size_t curve)
{
    return curve < 3;
}

static void every_curve_in_every_protocol(void **state)
{
    (void)state;
    for (size_t c = 0; c < KIT_CURVES; c++) {
        struct ski_request r = ecdhe(c);
        for (enum ski_protocol p = SKI_TLS_1_0; p < SKI_PROTOCOLS; p++) {
            r.protocol = p;
            assert_int_equal(ski_input_check(&r), p != SKI_TLS_1_3);
        }
    }
}

static void other_lengths(void **state)
{
    (void)state;
    for (size_t c = 0; c < KIT_CURVES; c++) {
        struct ski_request r = ecdhe(c);
        size_t right = r.input_len;
        for (r.input_len = 0; r.input_len <= 300; r.input_len++)
            assert_int_equal(ski_input_check(&r), r.input_len == right);
        // A length byte that agrees with the wrong length does not help.
        for (int by = -1; by <= 1; by += 2) {
            r = ecdhe(c);
            r.input[67] = (uint8_t)(r.input[67] + by);
            assert_false(ski_input_check(&r));
            r.input_len += (size_t)by;
            assert_false(ski_input_check(&r));
        }
    }
}

static void other_curve_types_and_curves(void **state)
{
    (void)state;
    for (size_t c = 0; c < KIT_CURVES; c++) {
        struct ski_request r = ecdhe(c);
        for (unsigned type = 0; type < 256; type++) { // explicit_prime 1, explicit_char2 2
            r.input[64] = (uint8_t)type;
            assert_int_equal(ski_input_check(&r), type == 3);
        }
        r = ecdhe(c);
        for (unsigned id = 0; id < 65536; id++) { // none but its own: the lengths and points differ
            r.input[65] = (uint8_t)(id >> 8);
            r.input[66] = (uint8_t)id;
            assert_int_equal(ski_input_check(&r), id == kit_curves[c].id);
        }
    }
}

static void points_that_are_not_on_the_curve(void **state)
{
    (void)state;
    for (size_t c = 0; c < KIT_CURVES; c++) {
        struct ski_request good = ecdhe(c);
        for (size_t i = 69; i < good.input_len; i += 7) {
            struct ski_request r = good;
            r.input[i] ^= 1;
            assert_int_equal(ski_input_check(&r), !is_nist(c)); // X25519, X448: every string is a point
        }
        struct ski_request r = good;
        memset(r.input + 69, 0xff, r.input_len - 69); // coordinates beyond the field
        assert_int_equal(ski_input_check(&r), !is_nist(c));
        memset(r.input + 69, 0, r.input_len - 69); // (0, 0)
        assert_int_equal(ski_input_check(&r), !is_nist(c));
    }
}

static void other_forms_of_a_point(void **state)
{
    (void)state;
    static const int nids[] = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};
    for (size_t c = 0; c < 3; c++) {
        struct ski_request good = ecdhe(c);
        for (unsigned form = 0; form < 256; form++) { // 0 infinity, 2 and 3 compressed, 6 and 7 hybrid
            struct ski_request r = good;
            r.input[68] = (uint8_t)form;
            assert_int_equal(ski_input_check(&r), form == 4);
        }
        // A compressed point with a length byte that fits it.
        EC_GROUP *group = EC_GROUP_new_by_curve_name(nids[c]);
        EC_POINT *point = EC_POINT_new(group);
        struct ski_request r = good;
        assert_int_equal(EC_POINT_oct2point(group, point, good.input + 68, good.input_len - 68, NULL), 1);
        size_t n = EC_POINT_point2oct(group, point, POINT_CONVERSION_COMPRESSED, r.input + 68, 200, NULL);
        r.input[67] = (uint8_t)n;
        r.input_len = 68 + n;
        assert_false(ski_input_check(&r));
        // Hybrid, which OpenSSL would take.
        r = good;
        n = EC_POINT_point2oct(group, point, POINT_CONVERSION_HYBRID, r.input + 68, 200, NULL);
        assert_int_equal(68 + n, r.input_len);
        assert_false(ski_input_check(&r));
        // Infinity has one byte.
        r = good;
        r.input[67] = 1;
        r.input[68] = 0;
        r.input_len = 69;
        assert_false(ski_input_check(&r));
        EC_POINT_free(point);
        EC_GROUP_free(group);
    }
}

static void randoms_are_anything(void **state)
{
    (void)state;
    struct ski_request r = ecdhe(0);
    memset(r.input, 0, 64);
    assert_true(ski_input_check(&r));
    memset(r.input, 0xff, 64);
    assert_true(ski_input_check(&r));
}

static void tls13_content(void **state)
{
    (void)state;
    struct ski_request r = request(SKI_METHOD_ECDHE, SKI_TLS_1_3);
    for (size_t hash_len = 0; hash_len <= 64; hash_len++) {
        r.input_len = kit_tls13_input(hash_len, r.input);
        assert_int_equal(ski_input_check(&r), hash_len == 32 || hash_len == 48);
    }
    // Not one byte of the frame may differ: a client's CertificateVerify is not ours to sign.
    r.input_len = kit_tls13_input(32, r.input);
    for (size_t i = 0; i < 64 + 34; i++) {
        r.input[i] ^= 1;
        assert_false(ski_input_check(&r));
        r.input[i] ^= 1;
    }
    assert_true(ski_input_check(&r));
    memcpy(r.input + 64, "TLS 1.3, client CertificateVerify", 34);
    assert_false(ski_input_check(&r));
    for (r.input_len = 0; r.input_len < 64 + 34; r.input_len++)
        assert_false(ski_input_check(&r));
}

static void rsa_ciphertexts(void **state)
{
    (void)state;
    for (enum ski_protocol p = SKI_TLS_1_0; p < SKI_PROTOCOLS; p++) {
        struct ski_request r = request(SKI_METHOD_RSA, p);
        assert_int_equal(RAND_bytes(r.input, sizeof r.input), 1);
        for (r.input_len = 0; r.input_len <= SKI_INPUT_MAX; r.input_len++)
            assert_int_equal(ski_input_check(&r), r.input_len >= 10 && p != SKI_TLS_1_3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_curve_in_every_protocol),
        cmocka_unit_test(other_lengths),
        cmocka_unit_test(other_curve_types_and_curves),
        cmocka_unit_test(points_that_are_not_on_the_curve),
        cmocka_unit_test(other_forms_of_a_point),
        cmocka_unit_test(randoms_are_anything),
        cmocka_unit_test(tls13_content),
        cmocka_unit_test(rsa_ciphertexts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
