// Compact forms of RSA keys. One that decodes gives DER that the strict reader takes; a key that has a compact form is had back from
// it byte for byte, whichever of the two came first.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/rsa/rsa_compact.h"
#include "keyserver/rsa/rsa_der.h"

#define MOST 700 // of input: larger primes take longer and show nothing else

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(int good)
{
    if (!good)
        abort();
}

// Whether the DER has a compact form; if so it must give the DER again.
static int round_trip(const uint8_t *der, size_t len)
{
    static uint8_t again[RSA_COMPACT_DER_ROOM(RSA_COMPACT_DER_ROOM(MOST))];
    uint8_t *form = malloc(len + 1);
    size_t form_len = 0, again_len = 0;
    const char *why = NULL;
    must(form != NULL);
    enum rsa_compact_status status = rsa_compact_encode(der, len, form, &form_len, &why);
    must(status == RSA_COMPACT_OK || (status == RSA_COMPACT_WHOLE && why != NULL));
    if (status == RSA_COMPACT_OK) {
        must(form_len < len);
        must(rsa_compact_decode(form, form_len, again, &again_len) == RSA_COMPACT_OK);
        must(again_len == len && memcmp(again, der, len) == 0);
    }
    free(form);
    return status == RSA_COMPACT_OK;
}

static int divisor_is_one(const uint8_t *form)
{
    return form[6] == 0 && form[7] == 0 && form[8] == 0 && form[9] == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t der[RSA_COMPACT_DER_ROOM(MOST)];
    size_t der_len = 0;
    struct rsa_der key;
    if (len == 0 || len > MOST)
        return 0;
    (void)round_trip(data, len);
    enum rsa_compact_status status = rsa_compact_decode(data, len, der, &der_len);
    must(status == RSA_COMPACT_OK || status == RSA_COMPACT_MALFORMED);
    if (status != RSA_COMPACT_OK)
        return 0;
    must(rsa_der_read(der, der_len, &key) == NULL);
    // A divisor other than 1 and the greatest common divisor is never written.
    must(round_trip(der, der_len) || !divisor_is_one(data));
    return 0;
}
