// The requests a load generator sends, built before the clock starts, and the judgement of their answers.
//
// A pool holds, for every site certificate and method, a number of different requests whose right answers it
// can tell: an RSA premaster secret is known; an RSA signature (PKCS#1 v1.5, deterministic) is
// verified once against the certificate and compared from then on; an ECDSA signature is verified each time
// it is asked to be. A site and a method are a kind of their own in reports; of more than LOAD_KINDS_MAX those
// with keys of one size are one kind. A pool belongs to one thread.
#ifndef MEC_EDGE_SIM_LOAD_REQUESTS_H
#define MEC_EDGE_SIM_LOAD_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/report.h"
#include "edge-sim/ski_message.h"

#define LOAD_KINDS_MAX         64
#define LOAD_REQUESTS_PER_KIND 64   // of one site and method
#define LOAD_REQUESTS_MAX      8192 // in all, but one at least for each site and method

enum load_method { LOAD_RSA, LOAD_ECDHE, LOAD_MIX };

struct load_pool;
struct load_request; // one request: its bytes and what is known of its answer

// files: PEM certificates. method RSA leaves EC sites out. authority: for the Host field. NULL and *e set on
// failure, or when no site can do the method.
struct load_pool *load_pool_create(char *const *files, size_t count, enum load_method method,
                                   const char *authority, struct error *e);
void load_pool_destroy(struct load_pool **pool);

unsigned load_pool_kinds(const struct load_pool *pool);
// "site.pem" or "10000 sites", "RSA-2048", "ECDHE": for reports.
const char *load_kind_file(const struct load_pool *pool, unsigned kind);
const char *load_kind_key(const struct load_pool *pool, unsigned kind);
const char *load_kind_method(const struct load_pool *pool, unsigned kind);

// The n-th request of a run: sites alternate.
struct load_request *load_pool_get(struct load_pool *pool, uint64_t n);
const char *load_request_wire(const struct load_request *request, size_t *len);
unsigned load_request_kind(const struct load_request *request);

enum load_verdict { LOAD_RIGHT, LOAD_UNCHECKED, LOAD_WRONG };

// Judges a SKI_OK answer. verify: ECDSA signatures are to be verified (others always are).
enum load_verdict load_request_check(struct load_request *request, const struct ski_answer *answer,
                                     bool verify);

#endif
