// Records of a running Redis, by SCAN. hiredis parses what comes; the bytes go through a socket of our own, in clear or over TLS.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <hiredis/hiredis.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certs/source.h"
#include "common/net.h"
#include "common/tls.h"

#define TIMEOUT_S  30
#define VALUE_MOST "1048575" // the last byte that is fetched
#define AT_ONCE    "256"

struct peer {
    const struct source *source;
    struct source_url url;
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    redisReader *reader;
    uint8_t piece[16384];
    source_take_fn take;
    void *arg;
    bool enough;
    struct error *e;
};

static bool fail(struct peer *p, const char *what, const char *why)
{
    error_set(p->e, "Redis: %s: %s", what, why);
    return false;
}

// ---- bytes

static bool send_all(struct peer *p, const char *data, size_t len)
{
    while (len != 0) {
        size_t sent = 0;
        if (p->ssl != NULL) {
            if (SSL_write_ex(p->ssl, data, len, &sent) != 1)
                return fail(p, "send", "the TLS connection broke");
        } else {
            ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL);
            if (n <= 0)
                return fail(p, "send", "the connection broke, or nothing was taken for 30 s");
            sent = (size_t)n;
        }
        data += sent;
        len -= sent;
    }
    return true;
}

static bool receive(struct peer *p)
{
    size_t got = 0;
    if (p->ssl != NULL) {
        if (SSL_read_ex(p->ssl, p->piece, sizeof p->piece, &got) != 1)
            return fail(p, "receive", "the TLS connection broke");
    } else {
        ssize_t n = recv(p->fd, p->piece, sizeof p->piece, 0);
        if (n <= 0)
            return fail(p, "receive", n == 0 ? "the connection was closed" : "nothing came for 30 s");
        got = (size_t)n;
    }
    int status = redisReaderFeed(p->reader, (const char *)p->piece, got);
    explicit_bzero(p->piece, got);
    return status == REDIS_OK || fail(p, "receive", p->reader->errstr);
}

// ---- commands

static bool ask(struct peer *p, int argc, const char *const *argv, const size_t *lens)
{
    char *command = NULL;
    long long len = redisFormatCommandArgv(&command, argc, (const char **)argv, lens);
    if (len < 0)
        return fail(p, "send", "out of memory");
    bool good = send_all(p, command, (size_t)len);
    explicit_bzero(command, (size_t)len);
    free(command);
    return good;
}

#define ASK(p, ...)                                                                                          \
    ask(p, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__},  \
        NULL)

static redisReply *answer(struct peer *p)
{
    void *reply = NULL;
    while (reply == NULL) {
        if (redisReaderGetReply(p->reader, &reply) != REDIS_OK) {
            (void)fail(p, "an answer", p->reader->errstr);
            return NULL;
        }
        if (reply == NULL && !receive(p))
            return NULL;
    }
    return reply;
}

static void drop(redisReply *reply)
{
    if (reply != NULL && reply->type == REDIS_REPLY_STRING)
        explicit_bzero(reply->str, reply->len);
    freeReplyObject(reply);
}

static bool expect_ok(struct peer *p, const char *what)
{
    redisReply *reply = answer(p);
    if (reply == NULL)
        return false;
    bool good = reply->type == REDIS_REPLY_STATUS;
    if (!good)
        (void)fail(p, what, reply->type == REDIS_REPLY_ERROR ? reply->str : "another answer than OK");
    drop(reply);
    return good;
}

// ---- connecting

static bool begin_tls(struct peer *p)
{
    const struct source *s = p->source;
    const struct tls_files files = {.cert_file = s->cert, .key_file = s->key, .ca_file = s->ca};
    if (s->cert != NULL) {
        p->ctx = tls_client_ctx_create(&files, p->e);
        if (p->ctx == NULL)
            return false;
    } else {
        p->ctx = SSL_CTX_new(TLS_client_method());
        if (p->ctx == NULL || SSL_CTX_set_min_proto_version(p->ctx, TLS1_2_VERSION) != 1 ||
            (s->ca != NULL ? SSL_CTX_load_verify_file(p->ctx, s->ca)
                           : SSL_CTX_set_default_verify_paths(p->ctx)) != 1) {
            error_set_openssl(p->e, "Redis: TLS: %s", s->ca != NULL ? s->ca : "the system's authorities");
            return false;
        }
        SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER, NULL);
    }
    p->ssl = SSL_new(p->ctx);
    if (p->ssl == NULL || SSL_set_fd(p->ssl, p->fd) != 1)
        return fail(p, "TLS", "out of memory");
    if (!tls_client_set_host(p->ssl, p->url.host, p->e))
        return false;
    if (SSL_connect(p->ssl) == 1)
        return true;
    long verdict = SSL_get_verify_result(p->ssl);
    if (verdict != X509_V_OK)
        return fail(p, "TLS", X509_verify_cert_error_string(verdict));
    error_set_openssl(p->e, "Redis: TLS");
    return false;
}

static bool connect_to(struct peer *p)
{
    const struct source_url *u = &p->url;
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    struct net_addr addr;
    char text[300];
    bool six = strchr(u->host, ':') != NULL;
    if (u->path[0] != '\0')
        (void)snprintf(text, sizeof text, "unix:%s", u->path);
    else
        (void)snprintf(text, sizeof text, six ? "[%s]:%s" : "%s:%s", u->host, u->port);
    if (!net_addr_parse(text, &addr, p->e) || (p->fd = net_connect(&addr, TIMEOUT_S * 1000, p->e)) < 0)
        return false;
    (void)setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    return !u->tls || begin_tls(p);
}

static bool log_in(struct peer *p)
{
    const struct passphrase *file = p->source->password;
    const char *password = file != NULL && file->text != NULL ? file->text : p->url.password;
    bool has = password != p->url.password || p->url.has_password;
    char db[16];
    if (has && !((p->url.has_user ? ASK(p, "AUTH", p->url.user, password) : ASK(p, "AUTH", password)) &&
                 expect_ok(p, "AUTH")))
        return false;
    (void)snprintf(db, sizeof db, "%u", p->url.db);
    return p->url.db == 0 || (ASK(p, "SELECT", db) && expect_ok(p, "SELECT"));
}

// ---- records

static bool ask_for(struct peer *p, const redisReply *name)
{
    const char *const get[] = {"GETRANGE", name->str, "0", VALUE_MOST}, *const ttl[] = {"PTTL", name->str};
    const size_t get_lens[] = {8, name->len, 1, sizeof VALUE_MOST - 1}, ttl_lens[] = {4, name->len};
    return ask(p, 4, get, get_lens) && ask(p, 2, ttl, ttl_lens);
}

static bool take(struct peer *p, const redisReply *name, const redisReply *value, const redisReply *ttl)
{
    struct source_record record = {.name = (const uint8_t *)name->str, .name_len = name->len};
    if (ttl->type == REDIS_REPLY_INTEGER && ttl->integer == -2)
        return true; // gone meanwhile
    if (ttl->type == REDIS_REPLY_INTEGER && ttl->integer > 0)
        record.expires_ms = p->source->now_ms + (uint64_t)ttl->integer;
    if (value->type == REDIS_REPLY_STRING) {
        record.value = (const uint8_t *)value->str;
        record.len = value->len;
    } else if (value->type == REDIS_REPLY_ERROR && strncmp(value->str, "WRONGTYPE", 9) == 0) {
        record.kind = "no string";
    } else {
        return fail(p, "GETRANGE",
                    value->type == REDIS_REPLY_ERROR ? value->str : "another answer than a string");
    }
    p->enough = !p->take(p->arg, &record);
    return true;
}

static bool take_page(struct peer *p, const redisReply *names)
{
    bool good = true;
    for (size_t i = 0; i < names->elements && good; i++)
        good = names->element[i]->type == REDIS_REPLY_STRING ? ask_for(p, names->element[i])
                                                             : fail(p, "SCAN", "another answer than names");
    for (size_t i = 0; i < names->elements && good; i++) {
        redisReply *value = answer(p), *ttl = value != NULL ? answer(p) : NULL;
        good = ttl != NULL && (p->enough || take(p, names->element[i], value, ttl));
        drop(value);
        drop(ttl);
    }
    return good;
}

static bool scan(struct peer *p)
{
    char cursor[32] = "0";
    do {
        redisReply *page = ASK(p, "SCAN", cursor, "COUNT", AT_ONCE) ? answer(p) : NULL;
        if (page == NULL)
            return false;
        bool good = page->type == REDIS_REPLY_ARRAY && page->elements == 2 &&
                    page->element[0]->type == REDIS_REPLY_STRING && page->element[0]->len < sizeof cursor &&
                    page->element[1]->type == REDIS_REPLY_ARRAY;
        if (!good)
            (void)fail(p, "SCAN", page->type == REDIS_REPLY_ERROR ? page->str : "another answer than names");
        else
            (void)snprintf(cursor, sizeof cursor, "%s", page->element[0]->str);
        good = good && take_page(p, page->element[1]);
        freeReplyObject(page);
        if (!good)
            return false;
    } while (strcmp(cursor, "0") != 0 && !p->enough);
    return true;
}

bool source_redis(const struct source *source, source_take_fn take_fn, void *arg, struct error *e)
{
    struct peer *p = calloc(1, sizeof *p);
    if (p == NULL || (p->reader = redisReaderCreate()) == NULL) {
        error_set(e, "Redis: out of memory");
        free(p);
        return false;
    }
    p->source = source;
    p->fd = -1;
    p->take = take_fn;
    p->arg = arg;
    p->e = e;
    bool good = source_url_parse(source->from, &p->url, e) && connect_to(p) && log_in(p) && scan(p);
    if (p->ssl != NULL)
        (void)SSL_shutdown(p->ssl);
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    ERR_clear_error();
    if (p->fd >= 0)
        (void)close(p->fd);
    redisReaderFree(p->reader);
    explicit_bzero(p, sizeof *p);
    free(p);
    return good;
}
