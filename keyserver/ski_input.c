#include "keyserver/ski_input.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RANDOMS_LEN      64
#define PARAMS_HEAD      4 // curve type, curve (2), length of the point
#define CURVE_TYPE_NAMED 3 // RFC 8422 section 5.4; explicit curves are refused

#define RSA_INPUT_MIN 10 // what the Java reference asks; the key's own length is checked later

static const char cv_context[] =
    "TLS 1.3, server CertificateVerify"; // with its NUL, which is part of the content

#define CURVES 5

static struct curve {
    unsigned id; // RFC 8422 section 5.1.1
    int nid; // 0: Montgomery curves, where every string of the right length is a point (RFC 7748 section 5)
    unsigned point_len;
    EC_GROUP *group;
} curves[CURVES] = {
    {23, NID_X9_62_prime256v1, 65, NULL},
    {24, NID_secp384r1, 97, NULL},
    {25, NID_secp521r1, 133, NULL},
    {29, 0, 32, NULL},
    {30, 0, 56, NULL},
};

// What a thread computes with, made at its first request and kept: else each point would take ten allocations.
struct scratch {
    BN_CTX *numbers;
    EC_POINT *points[CURVES];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static bool has_key;

static void free_scratch(void *arg)
{
    struct scratch *scratch = arg;
    for (size_t i = 0; i < CURVES; i++)
        EC_POINT_free(scratch->points[i]);
    BN_CTX_free(scratch->numbers);
    free(scratch);
}

static void set_up(void)
{
    has_key = pthread_key_create(&scratch_key, free_scratch) == 0;
    for (size_t i = 0; i < CURVES; i++)
        if (curves[i].nid != 0)
            curves[i].group = EC_GROUP_new_by_curve_name(curves[i].nid);
}

// The calling thread's; NULL without memory.
static struct scratch *own_scratch(void)
{
    struct scratch *scratch = has_key ? pthread_getspecific(scratch_key) : NULL;
    if (scratch != NULL || !has_key)
        return scratch;
    scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL)
        return NULL;
    scratch->numbers = BN_CTX_new();
    if (scratch->numbers != NULL && pthread_setspecific(scratch_key, scratch) == 0)
        return scratch;
    free_scratch(scratch);
    return NULL;
}

static bool point_is_on_curve(size_t which, const uint8_t *bytes)
{
    const struct curve *curve = &curves[which];
    if (curve->nid == 0)
        return true;
    struct scratch *scratch = own_scratch();
    if (bytes[0] != POINT_CONVERSION_UNCOMPRESSED || curve->group == NULL || scratch == NULL)
        return false;
    EC_POINT **point = &scratch->points[which];
    if (*point == NULL)
        *point = EC_POINT_new(curve->group);
    bool on_curve = *point != NULL &&
                    EC_POINT_oct2point(curve->group, *point, bytes, curve->point_len, scratch->numbers) == 1;
    if (!on_curve)
        ERR_clear_error();
    return on_curve;
}

static bool check_ecdhe(const uint8_t *input, size_t len)
{
    if (len < RANDOMS_LEN + PARAMS_HEAD)
        return false;
    const uint8_t *params = input + RANDOMS_LEN;
    unsigned id = (unsigned)params[1] << 8 | params[2];
    if (params[0] != CURVE_TYPE_NAMED)
        return false;
    (void)pthread_once(&once, set_up);
    for (size_t i = 0; i < CURVES; i++)
        if (curves[i].id == id)
            return params[3] == curves[i].point_len &&
                   len == RANDOMS_LEN + PARAMS_HEAD + curves[i].point_len &&
                   point_is_on_curve(i, params + PARAMS_HEAD);
    return false;
}

static bool check_certificate_verify(const uint8_t *input, size_t len)
{
    uint8_t spaces[64];
    if (len < sizeof spaces + sizeof cv_context)
        return false;
    memset(spaces, 0x20, sizeof spaces);
    size_t hash_len = len - sizeof spaces - sizeof cv_context;
    return memcmp(input, spaces, sizeof spaces) == 0 &&
           memcmp(input + sizeof spaces, cv_context, sizeof cv_context) == 0 &&
           (hash_len == 32 || hash_len == 48);
}

bool ski_input_check(const struct ski_request *request)
{
    if (request->method == SKI_METHOD_RSA)
        return request->protocol != SKI_TLS_1_3 && request->input_len >= RSA_INPUT_MIN;
    if (request->protocol == SKI_TLS_1_3)
        return check_certificate_verify(request->input, request->input_len);
    return check_ecdhe(request->input, request->input_len);
}
