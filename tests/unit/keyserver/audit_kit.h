// What the tests of the audit log share: operations, a signing key, writes that fail on demand, the verifier's words.
#ifndef MEC_TESTS_KEYSERVER_AUDIT_KIT_H
#define MEC_TESTS_KEYSERVER_AUDIT_KIT_H

#include "kit.h"

#include <stdatomic.h>

#include "keyserver/audit.h"
#include "keyserver/audit_verify.h"
#include "keyserver/peer.h"

#define AUDIT_KIT_SPKI "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="

// For cmocka: a folder (kit.h), in it audit.key and audit.pub; writes are not limited.
int audit_kit_setup(void **state);
int audit_kit_teardown(void **state);

// An RSA decryption that went well, with random input and output, of an edge "edge1.example".
extern struct peer audit_kit_peer;
void audit_kit_op(struct keyop *op);

// For audit_settings.complete: counts, and keeps nothing.
void audit_kit_complete(struct keyop *op);
extern _Atomic unsigned audit_kit_completed;

// For audit_settings.write: what may still be written, in bytes; beyond it errors are ENOSPC, and a write in the middle is
// short. -1: no limit.
ssize_t audit_kit_write(int fd, const void *bytes, size_t len);
extern _Atomic long audit_kit_room;
extern _Atomic unsigned audit_kit_writes;

// A log in the kit's folder: lossy, signed, with all of the above.
struct audit_settings audit_kit_settings(const char *name);
struct audit *audit_kit_open(const struct audit_settings *settings);

// Runs the verifier over files of the folder (a NULL ends them) and checks what it returns. The text is valid until the next
// call. audit_kit_verify(): with the public key, a head at the end expected.
extern const char *audit_kit_expect_head;
const char *audit_kit_verify(int expected, const char *name, ...) __attribute__((sentinel));
const char *audit_kit_verify_open(int expected, const char *name, ...) __attribute__((sentinel));

// Writes this operation so many times and waits until the lines are in the file.
void audit_kit_write_ops(struct keyop *op, struct audit *audit, unsigned count);
// Lines of a file of the folder that contain the text.
unsigned audit_kit_count(const char *name, const char *text);

// Renames the folder's "log".
void audit_kit_rename_log(const char *to);

// A file of the folder, as lines.
struct audit_kit_lines {
    size_t count;
    char *line[2000]; // the caller's to change
};
void audit_kit_read(const char *name, struct audit_kit_lines *lines);
void audit_kit_put(const char *name, const struct audit_kit_lines *lines);
void audit_kit_free(struct audit_kit_lines *lines);
void audit_kit_put_text(const char *name, const char *text, size_t len);

#endif
