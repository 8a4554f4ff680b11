#include "keyserver/audit_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hex.h"

#define KEY_FILE_MAX 65536

// Keeps a signature over a head from being one over anything else.
static const char domain[] = "MEC key server audit head 1\n";

// ---- hashes

struct audit_hasher {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
};

struct audit_hasher *audit_hasher_create(void)
{
    struct audit_hasher *hasher = calloc(1, sizeof *hasher);
    if (hasher == NULL)
        return NULL;
    hasher->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->ctx = EVP_MD_CTX_new();
    if (hasher->md == NULL || hasher->ctx == NULL)
        audit_hasher_destroy(&hasher);
    return hasher;
}

void audit_hasher_destroy(struct audit_hasher **hasher)
{
    if (*hasher == NULL)
        return;
    EVP_MD_CTX_free((*hasher)->ctx);
    EVP_MD_free((*hasher)->md);
    free(*hasher);
    *hasher = NULL;
}

bool audit_hash(struct audit_hasher *hasher, const void *bytes, size_t len,
                uint8_t out[static AUDIT_HASH_LEN])
{
    return EVP_DigestInit_ex2(hasher->ctx, hasher->md, NULL) == 1 &&
           EVP_DigestUpdate(hasher->ctx, bytes, len) == 1 && EVP_DigestFinal_ex(hasher->ctx, out, NULL) == 1;
}

bool audit_torn_init(struct audit_torn *torn)
{
    torn->bytes = 0;
    torn->ctx = EVP_MD_CTX_new();
    return torn->ctx != NULL;
}

void audit_torn_deinit(struct audit_torn *torn)
{
    EVP_MD_CTX_free(torn->ctx);
    *torn = (struct audit_torn){0};
}

void audit_torn_reset(struct audit_torn *torn)
{
    torn->bytes = 0;
}

bool audit_torn_add(struct audit_torn *torn, const void *bytes, size_t len)
{
    if (len == 0)
        return true;
    if (torn->bytes == 0) {
        if (EVP_DigestInit_ex2(torn->ctx, EVP_sha256(), NULL) != 1)
            return false;
    } else {
        if (EVP_DigestUpdate(torn->ctx, "\n", 1) != 1)
            return false;
        torn->bytes++;
    }
    torn->bytes += len;
    return EVP_DigestUpdate(torn->ctx, bytes, len) == 1;
}

bool audit_torn_hash(const struct audit_torn *torn, uint8_t out[static AUDIT_HASH_LEN])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    bool good =
        copy != NULL && EVP_MD_CTX_copy_ex(copy, torn->ctx) == 1 && EVP_DigestFinal_ex(copy, out, NULL) == 1;
    EVP_MD_CTX_free(copy);
    return good;
}

void audit_hex(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

bool audit_unhex(const char *text, size_t len, uint8_t *out)
{
    for (size_t i = 0; i < 2 * len; i++) {
        int digit = text[i] >= 'A' && text[i] <= 'F' ? -1 : hex_digit(text[i]);
        if (digit < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
    }
    return true;
}

// ---- keys of heads

static BIO *read_file(const char *path, bool secret, struct error *e)
{
    struct stat st;
    BIO *bio = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        error_set(e, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > KEY_FILE_MAX) {
        error_set(e, "%s: not a file of a key", path);
    } else if (secret && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        error_set(e, "%s: the group or others may read or write the key (mode %04o, expected 0600 or 0400)",
                  path, (unsigned)(st.st_mode & 07777));
    } else {
        FILE *file = fdopen(fd, "r");
        if (file != NULL) {
            fd = -1;                              // the file's
            (void)setvbuf(file, NULL, _IONBF, 0); // no copy of a key in a buffer
            if ((bio = BIO_new_fp(file, BIO_CLOSE)) == NULL)
                (void)fclose(file);
        }
        if (bio == NULL)
            error_set(e, "%s: out of memory", path);
    }
    if (fd >= 0)
        (void)close(fd);
    return bio;
}

// Never asks at a terminal.
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static EVP_PKEY *load(const char *path, bool secret, struct error *e)
{
    BIO *bio = read_file(path, secret, e);
    if (bio == NULL)
        return NULL;
    EVP_PKEY *key = secret ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
                           : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (key != NULL && EVP_PKEY_is_a(key, "ED25519") == 1)
        return key;
    error_set(e, "%s: found %s, expected an Ed25519 %s key in PEM", path,
              key != NULL ? "a key of another type" : "no key that can be read",
              secret ? "private" : "public");
    EVP_PKEY_free(key);
    ERR_clear_error();
    return NULL;
}

EVP_PKEY *audit_key_load(const char *path, struct error *e)
{
    return load(path, true, e);
}

EVP_PKEY *audit_public_load(const char *path, struct error *e)
{
    return load(path, false, e);
}

bool audit_signer(const EVP_PKEY *key, char out[static AUDIT_SIGNER_LEN + 1])
{
    uint8_t raw[32], hash[AUDIT_HASH_LEN];
    size_t len = sizeof raw;
    if (EVP_PKEY_get_raw_public_key(key, raw, &len) != 1 ||
        EVP_Digest(raw, len, hash, NULL, EVP_sha256(), NULL) != 1)
        return false;
    audit_hex(hash, AUDIT_SIGNER_LEN / 2, out);
    return true;
}

// What is signed, of a head of len bytes.
static size_t message_of(const char *head, size_t len, uint8_t out[static AUDIT_LINE_MAX + sizeof domain])
{
    memcpy(out, domain, sizeof domain - 1);
    memcpy(out + sizeof domain - 1, head, len);
    return sizeof domain - 1 + len;
}

static bool sign(EVP_PKEY *key, const char *head, size_t len, uint8_t sig[static AUDIT_SIG_LEN])
{
    uint8_t message[AUDIT_LINE_MAX + sizeof domain];
    size_t message_len = message_of(head, len, message), sig_len = AUDIT_SIG_LEN;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(ctx, sig, &sig_len, message, message_len) == 1 && sig_len == AUDIT_SIG_LEN;
    EVP_MD_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    return good;
}

bool audit_signature_holds(EVP_PKEY *key, const char *head, size_t len,
                           const uint8_t sig[static AUDIT_SIG_LEN])
{
    uint8_t message[AUDIT_LINE_MAX + sizeof domain];
    if (len > AUDIT_LINE_MAX)
        return false;
    size_t message_len = message_of(head, len, message);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(ctx, sig, AUDIT_SIG_LEN, message, message_len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    return good;
}

// ---- writing

static size_t put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return len;
}

#define PUT(out, text) put(out, text, sizeof(text) - 1)

static size_t put_number(char *out, uint64_t n)
{
    char digits[20];
    size_t len = 0;
    do
        digits[len++] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    for (size_t i = 0; i < len; i++)
        out[i] = digits[len - 1 - i];
    return len;
}

size_t audit_chain_append(struct audit_chain *chain, struct audit_hasher *hasher, EVP_PKEY *key,
                          const char *body, size_t body_len, char out[static AUDIT_LINE_MAX])
{
    uint8_t sig[AUDIT_SIG_LEN], hash[AUDIT_HASH_LEN];
    if (body_len > AUDIT_BODY_MAX)
        return 0;
    size_t n = put(out, body, body_len);
    n += PUT(out + n, ",\"seq\":");
    n += put_number(out + n, chain->seq + 1);
    n += PUT(out + n, ",\"prev\":\"");
    audit_hex(chain->hash, AUDIT_HASH_LEN, out + n);
    n += 2 * (size_t)AUDIT_HASH_LEN;
    n += PUT(out + n, "\"");
    if (key != NULL) {
        if (!sign(key, out, n, sig))
            return 0;
        n += PUT(out + n, ",\"sig\":\"");
        audit_hex(sig, AUDIT_SIG_LEN, out + n);
        n += 2 * (size_t)AUDIT_SIG_LEN;
        n += PUT(out + n, "\"");
    }
    n += PUT(out + n, "}");
    if (!audit_hash(hasher, out, n, hash))
        return 0;
    chain->seq++;
    memcpy(chain->hash, hash, sizeof hash);
    out[n++] = '\n';
    return n;
}

// ---- reading

// Takes the text off the front of what is between *at and end.
static bool take(const char **at, const char *end, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(end - *at) < len || memcmp(*at, text, len) != 0)
        return false;
    *at += len;
    return true;
}

// The same off the back.
static bool take_back(const char *begin, const char **end, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(*end - begin) < len || memcmp(*end - len, text, len) != 0)
        return false;
    *end -= len;
    return true;
}

static bool take_back_hex(const char *begin, const char **end, uint8_t *out, size_t len)
{
    if ((size_t)(*end - begin) < 2 * len || !audit_unhex(*end - 2 * len, len, out))
        return false;
    *end -= 2 * len;
    return true;
}

// A number as it is written: no leading zero, not 0, below 2^63.
static bool read_number(const char *digits, size_t len, uint64_t *out)
{
    uint64_t n = 0;
    if (len == 0 || len > 18 || digits[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        n = 10 * n + (uint64_t)(digits[i] - '0');
    }
    *out = n;
    return true;
}

static size_t count_digits(const char *at, const char *end)
{
    size_t n = 0;
    while (at + n < end && at[n] >= '0' && at[n] <= '9')
        n++;
    return n;
}

// The members at the end; *end goes in front of them.
static bool parse_tail(const char *line, const char **end, struct audit_line *out)
{
    const char *at = *end;
    if (!take_back(line, &at, "\"}"))
        return false;
    const char *before = at;
    if (take_back_hex(line, &before, out->sig, AUDIT_SIG_LEN) && take_back(line, &before, ",\"sig\":\"") &&
        take_back(line, &before, "\"")) {
        out->signed_len = (size_t)(before + 1 - line);
        at = before;
    }
    if (!take_back_hex(line, &at, out->prev, AUDIT_HASH_LEN) || !take_back(line, &at, ",\"prev\":\""))
        return false;
    const char *digits = at;
    while (digits > line && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    if (!read_number(digits, (size_t)(at - digits), &out->seq))
        return false;
    *end = digits;
    return take_back(line, end, ",\"seq\":");
}

static bool parse_torn(const char **at, const char *end, struct audit_line *out)
{
    if (!take(at, end, ",\"torn_bytes\":"))
        return true;
    size_t digits = count_digits(*at, end);
    if (!read_number(*at, digits, &out->torn_bytes))
        return false;
    *at += digits;
    if (!take(at, end, ",\"torn_sha256\":\"") || (size_t)(end - *at) < 2 * AUDIT_HASH_LEN ||
        !audit_unhex(*at, AUDIT_HASH_LEN, out->torn_hash))
        return false;
    *at += 2 * (size_t)AUDIT_HASH_LEN;
    out->has_torn = true;
    return take(at, end, "\"");
}

// Which event the word behind `"event":"` names.
static bool parse_event(const char **at, const char *end, struct audit_line *out)
{
    if (take(at, end, "start\""))
        out->event = AUDIT_START;
    else if (take(at, end, "head\""))
        out->event = AUDIT_HEAD;
    else if (take(at, end, "dropped\"") || take(at, end, "alarm\""))
        out->event = AUDIT_OTHER;
    else
        return false;
    if (!parse_torn(at, end, out))
        return false;
    if (out->event == AUDIT_HEAD && take(at, end, ",\"why\":\"")) {
        out->stops = take(at, end, "stop\"");
        out->closes = out->stops || take(at, end, "rotate\"") || take(at, end, "reopen\"");
    }
    return true;
}

bool audit_line_parse(const char *line, size_t len, struct audit_line *out)
{
    const char *at = line, *end = line + len;
    *out = (struct audit_line){.event = AUDIT_OPERATION};
    if (memchr(line, '\n', len) != NULL || !take(&at, end, "{\"time\":\"") || !parse_tail(line, &end, out))
        return false;
    if (end - at < 28 || at[27] != '"')
        return false;
    at += 28;
    if (take(&at, end, ",\"event\":\"") && !parse_event(&at, end, out))
        return false;
    return out->signed_len == 0 || out->event == AUDIT_HEAD;
}
