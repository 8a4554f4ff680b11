// When what the server relies on expires: its own certificate, that one's chain, the edges' authorities, the CRLs; and the
// certificates of stored keys, as far as expiry_keys.h has counted them. Shown by /status and metrics, and warned of in
// the log: when a threshold of --expiry-warning-days is passed, and then once a day.
//
// A threshold that is more than a third of a certificate's (or CRL's) whole time is not looked at: what is renewed every
// week is no news when it has six days left.
//
// The main thread's alone.
#ifndef MEC_KEYSERVER_EXPIRY_H
#define MEC_KEYSERVER_EXPIRY_H

#include <jansson.h>
#include <openssl/ssl.h>

#include "common/metrics.h"
#include "common/report.h"
#include "keyserver/access.h"
#include "keyserver/expiry_keys.h"

enum expiry_kind { EXPIRY_SERVER, EXPIRY_CHAIN, EXPIRY_CLIENT_CA, EXPIRY_CRL, EXPIRY_KINDS };

#define EXPIRY_DAYS_MAX  8
#define EXPIRY_ITEMS_MAX 64 // of more, those that expire first

struct expiry_days { // descending
    unsigned count;
    unsigned days[EXPIRY_DAYS_MAX];
};
// "30,7,1" in any order, each from 1 to EXPIRY_KEYS_DAYS; NULL: none. False and *e set ("--expiry-warning-days: ...").
bool expiry_days_parse(const char *text, struct expiry_days *days, struct error *e);

struct expiry;

// keys may be NULL; borrowed.
struct expiry *expiry_create(const struct expiry_days *days,
                             const struct expiry_keys *keys); // NULL: no memory
void expiry_destroy(struct expiry **expiry);

// Begins anew with what the context and the policy (may be NULL) hold; what has been told of them is remembered.
void expiry_collect(struct expiry *expiry, SSL_CTX *ctx, const struct access_policy *policy);
// One more thing that expires, for expiry_collect() and tests. Unix seconds.
void expiry_add(struct expiry *expiry, enum expiry_kind kind, const char *name, int64_t not_before,
                int64_t not_after);

// Writes to the log what is to be told now; cheap enough for every second. Returns how many lines.
unsigned expiry_tick(struct expiry *expiry, int64_t now_s);

// {"items":[{"kind","name","not_after","days_left"}...],"keys":{...}}, soonest first; a new object for the caller.
json_t *expiry_json(const struct expiry *expiry, int64_t now_s);
// Declares the gauges.
bool expiry_metrics(struct expiry *expiry, struct metrics *metrics);

#endif
