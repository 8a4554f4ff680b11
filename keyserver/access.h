// The access policy: which edges may use which keys, by which methods and protocols, how fast, from where
// (ACCESS.md). Deny unless a rule allows.
//
// A policy never changes after it is loaded, but for its token buckets; it is shared by reference among threads. A
// connection holds a pass: the rules of a policy that can concern its edge. Decisions are pure functions of pass,
// request and key.
#ifndef MEC_KEYSERVER_ACCESS_H
#define MEC_KEYSERVER_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/x509.h>

#include "common/keyrecord.h"
#include "common/net.h"
#include "common/report.h"
#include "keyserver/access_edge.h"
#include "keyserver/ski.h"

#define ACCESS_RULES_MAX 1024
#define ACCESS_FILE_MAX  (1u << 20) // bytes

struct access_policy;
struct access_pass;

// Reads a policy file and the lists that it names. ca_file: PEM, whose authorities may have signed the CRLs. NULL and *e
// set on any fault: "FILE:LINE: found ..., expected ...". One reference for the caller. Logs CRLs that are out of
// date, and a file that others can change.
struct access_policy *access_load(const char *path, const char *ca_file, struct error *e);
// The same from text, without lists: a `crl` line is only checked for its form. name: what errors call the file.
struct access_policy *access_parse(const char *name, const char *text, size_t len, struct error *e);

// References: any thread. NULL is fine.
struct access_policy *access_ref(struct access_policy *policy);
void access_unref(struct access_policy **policy);

size_t access_rule_count(const struct access_policy *policy);
size_t access_revocation_count(const struct access_policy *policy); // revoked keys and entries of CRLs

// Visits the CRLs: who issued it (as logs name it), lastUpdate and nextUpdate (NULL: it has none).
void access_each_crl(const struct access_policy *policy,
                     void (*each)(void *arg, const char *issuer, const ASN1_TIME *last,
                                  const ASN1_TIME *next),
                     void *arg);

// Whether a certificate or one of its chain (may be NULL) is revoked. Any thread.
bool access_is_revoked(const struct access_policy *policy, X509 *cert, STACK_OF(X509) * chain);

// ---- the pass

// What the policy has to say to this edge at this address. addr NULL: at any, conditions on addresses are not looked
// at. Holds a reference to the policy. NULL without memory.
struct access_pass *access_pass_create(struct access_policy *policy, const struct access_edge *edge,
                                       const struct net_addr *addr);
void access_pass_destroy(struct access_pass **pass); // NULL inside is fine

// ---- decisions

enum access_outcome { ACCESS_ALLOW, ACCESS_DENY, ACCESS_UNDECIDED };

// Why a request is denied: which condition no allow rule fulfilled (the one that got furthest counts), a deny rule, or
// its rate.
enum access_reason {
    ACCESS_BY_EDGE,
    ACCESS_BY_ADDRESS,
    ACCESS_BY_METHOD,
    ACCESS_BY_PROTOCOL,
    ACCESS_BY_KEY,
    ACCESS_BY_RULE,
    ACCESS_BY_RATE,
    ACCESS_REASONS
};
const char *access_reason_word(enum access_reason reason); // "edge", ..., "rate": static

struct access_ask {
    enum ski_method method;
    enum ski_protocol protocol;
    const char *spki; // normalised (keyrecord_normalise()), or empty
};

struct access_key {                        // a key that was found
    const char *name;                      // of its record
    const struct keyrecord_traits *traits; // NULL: neither names nor labels
};

struct access_verdict {
    enum access_outcome outcome;
    enum access_reason reason; // of ACCESS_DENY
    unsigned line;             // of the rule that decided; 0: none did
    unsigned rule;             // its number, for access_take()
};

// key NULL: it has not been looked up; only then the outcome may be ACCESS_UNDECIDED. An outcome without the key is the
// outcome with it, and so is the line of an ACCESS_ALLOW. Any thread; takes no token.
struct access_verdict access_decide(const struct access_pass *pass, const struct access_ask *ask,
                                    const struct access_key *key);

// Takes a token for a request that was allowed, where its rule has a rate. None left: *verdict becomes a denial.
void access_take(const struct access_pass *pass, struct access_verdict *verdict, uint64_t now_ns);

#endif
