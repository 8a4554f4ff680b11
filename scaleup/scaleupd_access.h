// Who may speak for what: rules such as "uid:1000,gid:50,cert:ks1.example", held against what the kernel (Unix socket) or the TLS handshake says of a
// peer. No rule, no access.
#ifndef MEC_SCALEUP_SCALEUPD_ACCESS_H
#define MEC_SCALEUP_SCALEUPD_ACCESS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/report.h"

enum { ACCESS_CERT_MAX = 255 };

// One or the other: a peer on a Unix socket has credentials, one with TLS a certificate's name.
struct access_peer {
    bool has_user;
    uid_t uid;
    gid_t gid;
    gid_t *groups; // supplementary; NULL: none
    size_t group_count;
    char cert[ACCESS_CERT_MAX + 2]; // one more than a rule's, so that a name that was cut fits none; "": none
};

enum access_kind { ACCESS_USER, ACCESS_GROUP, ACCESS_CERT };

struct access_rule {
    enum access_kind kind;
    unsigned long id; // user, group
    char *cert;
};

struct access_list {
    struct access_rule *rules;
    size_t count;
};

// Adds the rules of a text to the list: uid:NUMBER|NAME, gid:NUMBER|NAME, cert:NAME, separated by commas. False and *e set, the list unchanged: another word, an
// unknown user or group, an empty text, no memory. Looks names up (may block).
bool access_add(struct access_list *list, const char *text, struct error *e);
bool access_add_user(struct access_list *list, uid_t uid);
void access_release(struct access_list *list);

bool access_allows(const struct access_list *list, const struct access_peer *peer);
bool access_names_user(const struct access_list *list, uid_t uid); // a rule is about this user
// A rule is about another user than this one, or about a group.
bool access_names_others(const struct access_list *list, uid_t uid);

// The peer of a connected Unix socket (SO_PEERCRED, SO_PEERGROUPS). False: the kernel does not say.
bool access_peer_of_socket(int fd, struct access_peer *peer);
void access_peer_of_tls(const SSL *ssl, struct access_peer *peer);
void access_peer_release(struct access_peer *peer);
// "uid:1000" or "cert:ks1.example", for logs: printable ASCII. Returns buf.
char *access_peer_format(const struct access_peer *peer, char *buf, size_t len);

#endif
