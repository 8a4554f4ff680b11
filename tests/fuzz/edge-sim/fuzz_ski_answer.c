// Bytes of a key server to the reader of SKI answers. Besides not crashing: what it consumes lies within the input, more
// bytes behind a whole answer change nothing, and the quick JSON reader agrees with jansson.
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "edge-sim/ski_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

// A body is a success exactly when jansson finds an object with a string "output" that decodes to what was returned.
static void compare_with_jansson(const char *body, size_t len, const struct ski_answer *answer)
{
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    const char *output = json_string_value(json_object_get(root, "output"));
    if (answer->status == SKI_OK) {
        char again[SKI_OUTPUT_MAX * 2];
        if (output == NULL)
            abort();
        int n = EVP_EncodeBlock((unsigned char *)again, answer->output, (int)answer->output_len);
        // Unused bits of the last digit may differ; everything before must not.
        if ((size_t)n != strlen(output) || (n > 4 && memcmp(again, output, (size_t)n - 4) != 0))
            abort();
    } else if (answer->output_len != 0) {
        abort();
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct ski_answer answer, again;
    const char *text = (const char *)data;
    ssize_t used = ski_answer_read(text, len, &answer);
    if (used < -1 || used > (ssize_t)len)
        abort();
    if (used > 0) {
        if (answer.output_len > SKI_OUTPUT_MAX)
            abort();
        if (ski_answer_read(text, (size_t)used, &again) != used || again.status != answer.status ||
            again.output_len != answer.output_len)
            abort();
        if (answer.http_status == 200) {
            const char *body = (const char *)memmem(text, (size_t)used, "\r\n\r\n", 4) + 4;
            compare_with_jansson(body, (size_t)(text + used - body), &answer);
        }
    }
    ski_body_read(text, len, &answer);
    compare_with_jansson(text, len, &answer);
    return 0;
}
