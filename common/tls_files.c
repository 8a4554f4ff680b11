#include "tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "common/secmem.h"
#include "common/tls.h"

#define MAX_KEY_FILE ((off_t)64 * 1024)

// A key file with a passphrase is an error, not a prompt in the middle of a service's start.
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

// True at the end of the PEM blocks: what the reader says when it finds no further one.
static bool at_end_of_pem(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

static bool read_blocks(BIO *in, STACK_OF(X509) * certs, const char *path, struct error *e)
{
    ERR_clear_error();
    for (;;) {
        X509 *cert = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
        if (cert == NULL)
            break;
        if (sk_X509_push(certs, cert) <= 0) {
            X509_free(cert);
            error_set(e, "%s: out of memory", path);
            return false;
        }
    }
    if (!at_end_of_pem()) {
        error_set_openssl(e, "%s: certificate %d", path, sk_X509_num(certs) + 1);
        return false;
    }
    ERR_clear_error();
    if (sk_X509_num(certs) > 0)
        return true;
    error_set(e, "%s: found no certificate, expected PEM (-----BEGIN CERTIFICATE-----)", path);
    return false;
}

STACK_OF(X509) * tls_read_certs(const char *path, struct error *e)
{
    BIO *in = BIO_new_file(path, "r");
    if (in == NULL) {
        error_set(e, "%s: open: %s", path, strerror(errno));
        ERR_clear_error();
        return NULL;
    }
    STACK_OF(X509) *certs = sk_X509_new_null();
    if (certs == NULL || !read_blocks(in, certs, path, e)) {
        sk_X509_pop_free(certs, X509_free);
        certs = NULL;
    }
    (void)BIO_free(in);
    return certs;
}

static bool read_exactly(int fd, char *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = read(fd, buf + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno; // the file became shorter
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

// The whole file in secret memory; *len bytes. stdio would leave a copy in its buffer.
static char *read_secret_file(const char *path, size_t *len, struct error *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        error_set(e, "%s: open: %s", path, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    char *text = NULL;
    if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > MAX_KEY_FILE) {
        error_set(e, "%s: expected a file of 1 to %lld bytes with a private key", path,
                  (long long)MAX_KEY_FILE);
    } else if ((text = secmem_alloc((size_t)st.st_size)) == NULL) {
        error_set(e, "%s: out of secret memory", path);
    } else if (!read_exactly(fd, text, (size_t)st.st_size)) {
        error_set(e, "%s: read: %s", path, strerror(errno));
        secmem_free(&text, (size_t)st.st_size);
    }
    *len = (size_t)st.st_size;
    (void)close(fd);
    return text;
}

EVP_PKEY *tls_read_key(const char *path, struct error *e)
{
    size_t len = 0;
    char *text = read_secret_file(path, &len, e);
    if (text == NULL)
        return NULL;
    ERR_clear_error();
    EVP_PKEY *key = NULL;
    BIO *in = BIO_new_mem_buf(text, (int)len);
    if (in != NULL)
        key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
    if (key == NULL)
        error_set_openssl(e, "%s: expected a PEM private key without a passphrase", path);
    (void)BIO_free(in);
    secmem_free(&text, len);
    return key;
}
