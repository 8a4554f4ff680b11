// Who may use the server.
//
// A Unix socket: the user the server runs as, and root. The socket file's mode says the same; this holds also when somebody changed the mode, or handed the connection on.
//
// A password: there is one user, "default". Kept is only its salted SHA-256; what peers offer is compared in constant time. While there is none, everyone is who they say.
// Who has not authenticated has RESP_PASSWORD_TRIES on a connection; from RESP_PASSWORD_FREE_TRIES on the answer takes a moment. Waiting keeps a worker, so only one waits.
#ifndef MEC_KVSTORE_RESP_ACCESS_H
#define MEC_KVSTORE_RESP_ACCESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/report.h"

#define RESP_PASSWORD_MAX        512u // bytes
#define RESP_PASSWORD_TRIES      10u
#define RESP_PASSWORD_FREE_TRIES 3u
#define RESP_PASSWORD_DELAY_MS   100u
#define RESP_SALT_BYTES          16u
#define RESP_DIGEST_BYTES        32u

// Of a server; a zeroed one has no password. In struct resp_shared.
struct resp_access {
    pthread_mutex_t lock; // a leaf; guards salt and digest
    uint8_t salt[RESP_SALT_BYTES], digest[RESP_DIGEST_BYTES];
    _Atomic bool has_password;
    _Atomic bool delaying; // somebody waits for the answer to a wrong password
    _Atomic bool
        needs_password; // an address that others reach leans on it: it can be changed, not taken away
};

// The rule alone.
bool resp_access_allowed(uid_t peer, uid_t own);

// The rule applied to a connected socket: false also when the system does not say who the peer is. *peer gets
// the peer's uid, (uid_t)-1 when unknown. Sockets that are no Unix sockets pass: they have no such
// credentials, and are guarded otherwise.
bool resp_access_check(int fd, uid_t *peer);

bool resp_access_init(struct resp_access *access);
void resp_access_deinit(struct resp_access *access); // wipes

enum resp_access_status {
    RESP_ACCESS_OK,
    RESP_ACCESS_NEEDED,   // none is not allowed: needs_password
    RESP_ACCESS_TOO_LONG, // over RESP_PASSWORD_MAX
    RESP_ACCESS_FAILED,   // no randomness, no memory
};
// From now on; len 0: none. Connections that have authenticated, or came when there was none, stay as they are. On failure all stays as it was. Any thread; the text is the
// caller's, who wipes it.
enum resp_access_status resp_access_set_password(struct resp_access *access, const void *password,
                                                 size_t len);
// Also true while there is none. Any thread.
bool resp_access_password_is(struct resp_access *access, const void *password, size_t len);
// The digest in hexadecimal, for ACL LIST; false: there is no password.
bool resp_access_digest(struct resp_access *access, char hex[static 2 * RESP_DIGEST_BYTES + 1]);

// Sets the password that the file holds: its first line, not empty. The file must be the own user's or root's and for nobody else to read or write (no mode bits for others;
// the group may read). False and *e set, naming the file and never its text.
bool resp_access_load_password(struct resp_access *access, const char *path, struct error *e);

// Bytes as hexadecimal digits, with a NUL.
void resp_hex(const uint8_t *bytes, size_t len, char *text);

#endif
