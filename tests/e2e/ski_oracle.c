// Sends good and malformed RSA ciphertexts of every kind to a running key server, pipelined, and checks that
// nobody could tell them apart: the same HTTP status, the same number of bytes, a 48-byte premaster with the
// expected version; the same ciphertext gives the same answer again. Good ones must decrypt. The ciphertexts
// come from a seed, so that a second run, after a restart of the server, can compare every answer with the
// first run's.
//
//   ski_oracle --connect HOST:PORT --ca PEM --cert PEM --key PEM --site CERT --count N --seed N --answers FILE [--compare]
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/report.h"
#include "oracle_kit.h"

#define WINDOW 64

struct expected {
    enum oracle_kind kind;
    uint8_t premaster[ORACLE_PREMASTER_LEN];
};

static void check_answer(const struct expected *e, const uint8_t got[ORACLE_PREMASTER_LEN])
{
    bool same = memcmp(e->premaster, got, ORACLE_PREMASTER_LEN) == 0;
    if (got[0] != 3 || got[1] != 3)
        oracle_die("an answer carries another version");
    if (e->kind == ORACLE_GOOD && !same)
        oracle_die("a good ciphertext was not decrypted");
    if (e->kind != ORACLE_GOOD && memcmp(e->premaster + 2, got + 2, ORACLE_PREMASTER_LEN - 2) == 0)
        oracle_die("the bytes of a malformed block came back");
}

// One pass over `count` ciphertexts from the seed; answers[i] is filled.
static void pass(struct oracle *o, uint64_t seed, size_t count, uint8_t (*answers)[ORACLE_PREMASTER_LEN])
{
    struct expected window[WINDOW];
    uint8_t ciphertext[ORACLE_MODULUS_MAX];

    o->random = seed;
    for (size_t sent = 0, answered = 0; answered < count;) {
        if (sent < count && sent - answered < WINDOW) {
            struct expected *e = &window[sent % WINDOW];
            // Half are good, the rest of every kind in turn.
            e->kind = sent % 2 == 0 ? ORACLE_GOOD : (enum oracle_kind)(1 + (sent / 2) % (ORACLE_KINDS - 1));
            oracle_ciphertext(o, e->kind, ciphertext, e->premaster);
            oracle_ask(o, ciphertext);
            sent++;
        } else {
            oracle_answer(o, answers[answered]);
            check_answer(&window[answered % WINDOW], answers[answered]);
            answered++;
        }
    }
}

static void save_or_compare(const char *path, bool compare, uint8_t (*answers)[ORACLE_PREMASTER_LEN],
                            size_t count)
{
    FILE *f = fopen(path, compare ? "rb" : "wb");
    if (f == NULL)
        oracle_die("--answers: cannot open the file");
    if (!compare) {
        if (fwrite(answers, ORACLE_PREMASTER_LEN, count, f) != count)
            oracle_die("--answers: cannot write the file");
    } else {
        uint8_t before[ORACLE_PREMASTER_LEN];
        for (size_t i = 0; i < count; i++)
            if (fread(before, ORACLE_PREMASTER_LEN, 1, f) != 1 ||
                memcmp(before, answers[i], ORACLE_PREMASTER_LEN) != 0)
                oracle_die("an answer differs from the one before the restart");
    }
    if (fclose(f) != 0)
        oracle_die("--answers: cannot write the file");
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"connect", 1, NULL, 'c'}, {"ca", 1, NULL, 'a'},    {"cert", 1, NULL, 'e'}, {"key", 1, NULL, 'k'},
        {"site", 1, NULL, 's'},    {"count", 1, NULL, 'n'}, {"seed", 1, NULL, 'd'}, {"answers", 1, NULL, 'f'},
        {"compare", 0, NULL, 'p'}, {NULL, 0, NULL, 0},
    };
    static struct oracle o;
    struct tls_files files = {0};
    const char *connect = NULL, *site = NULL, *answers_file = NULL;
    size_t count = 0;
    uint64_t seed = 1;
    bool compare = false;

    report_set_program("ski_oracle");
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            connect = optarg;
            break;
        case 'a':
            files.ca_file = optarg;
            break;
        case 'e':
            files.cert_file = optarg;
            break;
        case 'k':
            files.key_file = optarg;
            break;
        case 's':
            site = optarg;
            break;
        case 'n':
            count = strtoul(optarg, NULL, 10);
            break;
        case 'd':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            answers_file = optarg;
            break;
        case 'p':
            compare = true;
            break;
        default:
            return EXIT_USAGE;
        }
    }
    if (connect == NULL || site == NULL || count == 0 || answers_file == NULL)
        return EXIT_USAGE;
    oracle_use_certificate(&o, site);
    oracle_connect(&o, connect, &files);

    uint8_t(*answers)[ORACLE_PREMASTER_LEN] = calloc(2 * count, ORACLE_PREMASTER_LEN);
    if (answers == NULL)
        oracle_die("out of memory");
    pass(&o, seed, count, answers);
    // Once more, a tenth: the same ciphertexts give the same answers.
    size_t again = count / 10 + 1;
    pass(&o, seed, again < count ? again : count, answers + count);
    if (memcmp(answers, answers + count, (again < count ? again : count) * ORACLE_PREMASTER_LEN) != 0)
        oracle_die("the same ciphertext was answered differently");
    save_or_compare(answers_file, compare, answers, count);
    printf("%zu ciphertexts of %d kinds: one status, one length (%zu bytes), repeatable\n", count,
           (int)ORACLE_KINDS, o.answer_len);

    free(answers);
    oracle_release(&o);
    return EXIT_DONE;
}
