// A book that is the input: as it is, or (first byte 's') as the inner object of one whose sum holds. What is accepted can be written and read again
// and is the same, and a broker that begins with it comes to rest without breaking its own rules.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>

#include "scaleup/book.h"
#include "scaleup/broker.h"

static char *seal(const char *body, size_t body_len, size_t *len)
{
    static const char middle[] = "\",\"book\":";
    unsigned char sum[EVP_MAX_MD_SIZE];
    char *whole = malloc(body_len + 128);
    if (whole == NULL || EVP_Digest(body, body_len, sum, NULL, EVP_sha256(), NULL) != 1)
        abort();
    size_t n = (size_t)sprintf(whole, "{\"sha256\":\"");
    for (size_t i = 0; i < 32; i++)
        n += (size_t)sprintf(whole + n, "%02x", sum[i]);
    memcpy(whole + n, middle, sizeof middle - 1);
    n += sizeof middle - 1;
    memcpy(whole + n, body, body_len);
    memcpy(whole + n + body_len, "}\n", 2);
    *len = n + body_len + 2;
    return whole;
}

static void on_send(void *arg, uint64_t session, const struct message *message)
{
    (void)arg, (void)session, (void)message;
}

static void on_close(void *arg, uint64_t session)
{
    (void)arg, (void)session;
}

static void on_apply(void *arg, size_t vnf, uint64_t id, uint64_t bytes)
{
    uint64_t *applied = arg;
    if (vnf > 1)
        abort(); // only what is configured has a back-end
    applied[2 * vnf] = id;
    applied[2 * vnf + 1] = bytes;
}

static bool on_record(void *arg, const struct book *book)
{
    (void)arg, (void)book;
    return true;
}

static void begin_with(const struct book *book)
{
    const struct broker_vnf vnfs[] = {
        {.name = "ks1", .backend = "sim", .min_bytes = 100, .max_bytes = 900, .priority = 5},
        {.name = "ks2", .backend = "sim", .min_bytes = 250, .priority = 7},
    };
    const struct broker_options options = {.pool_bytes = 1000,
                                           .granularity = 50,
                                           .lease_ms = 1000,
                                           .deadline_ms = 1000,
                                           .vnfs = vnfs,
                                           .vnf_count = 2};
    uint64_t applied[4] = {0};
    const struct broker_effects effects = {on_send, on_close, on_apply, on_record, NULL, applied};
    struct broker *broker = broker_create(&options, &effects, book, 0, NULL);
    if (broker == NULL)
        abort();
    for (uint64_t now = 0; now < 5000; now += 500) {
        (void)broker_tick(broker, now);
        for (size_t i = 0; i < 2; i++) {
            struct backend_report report = {.change_id = applied[2 * i],
                                            .outcome = BACKEND_DONE,
                                            .actual_bytes = applied[2 * i + 1],
                                            .detail = ""};
            broker_report(broker, i, &report, now);
        }
        if (broker_check(broker) != NULL)
            abort();
    }
    broker_destroy(&broker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct book book, again;
    struct error e;
    size_t n = len, n2;
    char *bytes = len > 0 && data[0] == 's' ? seal((const char *)data + 1, len - 1, &n) : NULL;
    bool good = book_parse(bytes != NULL ? bytes : (const char *)data, n, &book, &e);
    free(bytes);
    if (!good)
        return 0;
    bytes = book_format(&book, &n2);
    if (bytes == NULL || !book_parse(bytes, n2, &again, &e) || again.count != book.count ||
        memcmp(again.vnfs, book.vnfs, book.count * sizeof *book.vnfs) != 0)
        abort();
    begin_with(&book);
    free(bytes);
    book_release(&again);
    book_release(&book);
    return 0;
}
