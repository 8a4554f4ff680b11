#include "audit_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct peer audit_kit_peer;
_Atomic unsigned audit_kit_completed, audit_kit_writes;
_Atomic long audit_kit_room;
const char *audit_kit_expect_head;
static char key_path[4200], public_path[4200];

static void make_key(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    FILE *file = fopen(key_path, "w");
    assert_true(key != NULL && file != NULL);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(key_path, 0600), 0);
    file = fopen(public_path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PUBKEY(file, key), 1);
    assert_int_equal(fclose(file), 0);
    EVP_PKEY_free(key);
}

int audit_kit_setup(void **state)
{
    (void)state;
    kit_dir_create();
    (void)snprintf(key_path, sizeof key_path, "%s", kit_path("audit.key"));
    (void)snprintf(public_path, sizeof public_path, "%s", kit_path("audit.pub"));
    make_key();
    memset(&audit_kit_peer, 0, sizeof audit_kit_peer);
    (void)snprintf(audit_kit_peer.name, sizeof audit_kit_peer.name, "edge1.example");
    (void)snprintf(audit_kit_peer.addr, sizeof audit_kit_peer.addr, "10.1.2.3:51234");
    audit_kit_completed = 0;
    audit_kit_writes = 0;
    audit_kit_room = -1;
    audit_kit_expect_head = NULL;
    return 0;
}

int audit_kit_teardown(void **state)
{
    (void)state;
    kit_dir_remove();
    return 0;
}

void audit_kit_op(struct keyop *op)
{
    memset(op, 0, sizeof *op);
    op->peer = &audit_kit_peer;
    op->is_operation = op->parsed = op->done = true;
    op->received_ns = 1000000;
    op->started_ns = 3500000;
    op->finished_ns = 10000000;
    op->key_type = KEYRECORD_RSA;
    op->key_bits = 2048;
    op->request.method = SKI_METHOD_RSA;
    op->request.protocol = SKI_TLS_1_2;
    (void)snprintf(op->request.spki, sizeof op->request.spki, AUDIT_KIT_SPKI);
    op->request.input_len = 256;
    assert_int_equal(RAND_bytes(op->request.input, sizeof op->request.input), 1);
    op->output_len = 48;
    assert_int_equal(RAND_bytes(op->output, sizeof op->output), 1);
}

void audit_kit_complete(struct keyop *op)
{
    (void)op;
    (void)atomic_fetch_add(&audit_kit_completed, 1);
}

ssize_t audit_kit_write(int fd, const void *bytes, size_t len)
{
    long room = atomic_load(&audit_kit_room);
    (void)atomic_fetch_add(&audit_kit_writes, 1);
    if (room == 0) {
        errno = ENOSPC;
        return -1;
    }
    ssize_t n = write(fd, bytes, room < 0 || (size_t)room > len ? len : (size_t)room);
    if (room > 0 && n > 0)
        (void)atomic_compare_exchange_strong(&audit_kit_room, &room, room - n);
    return n;
}

struct audit_settings audit_kit_settings(const char *name)
{
    static char paths[8][4200]; // of the last so many
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s", kit_path(name));
    return (struct audit_settings){.path = path,
                                   .key_file = key_path,
                                   .head_lines = 1000,
                                   .head_us = 3600000000u,
                                   .complete = audit_kit_complete,
                                   .write = audit_kit_write};
}

struct audit *audit_kit_open(const struct audit_settings *settings)
{
    struct error e;
    struct audit *audit = audit_create(settings, &e);
    if (audit == NULL)
        fail_msg("%s", e.text);
    return audit;
}

// ---- the verifier

static const char *verify(int expected, bool open, const char *name, va_list more)
{
    static char text[65536];
    char paths[16][4200];
    const char *files[16];
    size_t count = 0;
    for (; name != NULL; name = va_arg(more, const char *)) {
        assert_true(count < 16);
        (void)snprintf(paths[count], sizeof paths[count], "%s", kit_path(name));
        files[count] = paths[count];
        count++;
    }
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    int found = audit_verify(&(struct audit_verify_settings){.files = files,
                                                             .count = count,
                                                             .public_file = public_path,
                                                             .expect_head = audit_kit_expect_head,
                                                             .open = open,
                                                             .out = out});
    long len = ftell(out);
    (void)fclose(out);
    text[len >= 0 && len < (long)sizeof text ? len : 0] = '\0';
    if (found != expected)
        fail_msg("verify returned %d, expected %d:\n%s", found, expected, text);
    return text;
}

const char *audit_kit_verify(int expected, const char *name, ...)
{
    va_list more;
    va_start(more, name);
    const char *text = verify(expected, false, name, more);
    va_end(more);
    return text;
}

const char *audit_kit_verify_open(int expected, const char *name, ...)
{
    va_list more;
    va_start(more, name);
    const char *text = verify(expected, true, name, more);
    va_end(more);
    return text;
}

// ---- files

void audit_kit_read(const char *name, struct audit_kit_lines *lines)
{
    char *text = kit_read_file(kit_path(name));
    lines->count = 0;
    for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        assert_true(lines->count < sizeof lines->line / sizeof lines->line[0]);
        lines->line[lines->count++] = strndup(at, (size_t)(end - at));
    }
    free(text);
}

void audit_kit_put(const char *name, const struct audit_kit_lines *lines)
{
    FILE *file = fopen(kit_path(name), "w");
    assert_non_null(file);
    for (size_t i = 0; i < lines->count; i++)
        assert_true(fprintf(file, "%s\n", lines->line[i]) > 0);
    assert_int_equal(fclose(file), 0);
}

void audit_kit_put_text(const char *name, const char *text, size_t len)
{
    FILE *file = fopen(kit_path(name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

void audit_kit_free(struct audit_kit_lines *lines)
{
    while (lines->count > 0)
        free(lines->line[--lines->count]);
}

void audit_kit_write_ops(struct keyop *op, struct audit *audit, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_true(audit_write(audit, op));
    audit_flush(audit);
}

unsigned audit_kit_count(const char *name, const char *text)
{
    struct audit_kit_lines lines;
    unsigned count = 0;
    audit_kit_read(name, &lines);
    for (size_t i = 0; i < lines.count; i++)
        count += strstr(lines.line[i], text) != NULL;
    audit_kit_free(&lines);
    return count;
}

void audit_kit_rename_log(const char *to)
{
    char from[4200];
    (void)snprintf(from, sizeof from, "%s", kit_path("log"));
    assert_int_equal(rename(from, kit_path(to)), 0);
}
