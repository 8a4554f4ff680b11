// Accounts in a hash table of fixed width, under one lock that requests never take. Counters are atomic.
#include "keyserver/edges.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>
#include <xxhash.h>

#define BUCKETS 1024

#define KEPT_PER_SECOND 0.95 // of a score: what was asked 14 seconds ago counts half
#define SWAPS           4    // names given away in one tick
#define HEAD_START      10   // what an edge must be ahead of one that is connected, to take its name

struct edge_account {
    struct edges *edges;
    _Atomic uint64_t requests, errors;
    _Atomic uint64_t in_flight, connections;

    // Under the lock.
    struct edge_account *next; // in its bucket
    unsigned refs;
    bool named;
    uint64_t seen_requests,
        seen_errors; // at the last tick: the others have what an edge without a name asked till then
    uint64_t base_requests, base_errors; // when it was named
    double score, requests_per_s, errors_per_s;
    char name[EDGES_NAME_MAX];
};

struct edges {
    pthread_mutex_t lock;
    uint64_t seed; // nobody chooses names that fall into one bucket
    unsigned named;
    struct edge_view other;
    uint64_t other_seen_requests, other_seen_errors; // at the last tick
    struct edge_account *buckets[BUCKETS];
};

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

struct edges *edges_create(void)
{
    struct edges *edges = calloc(1, sizeof *edges);
    if (edges == NULL)
        return NULL;
    (void)pthread_mutex_init(&edges->lock, NULL);
    (void)RAND_bytes((unsigned char *)&edges->seed, sizeof edges->seed);
    (void)strcpy(edges->other.name, EDGES_OTHER);
    return edges;
}

void edges_destroy(struct edges **edges_ptr)
{
    struct edges *edges = *edges_ptr;
    if (edges == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct edge_account *a = edges->buckets[i], *next; a != NULL; a = next) {
            next = a->next;
            free(a);
        }
    (void)pthread_mutex_destroy(&edges->lock);
    free(edges);
    *edges_ptr = NULL;
}

// ---- accounts; lock held

static struct edge_account **bucket_of(struct edges *edges, const char *name)
{
    return &edges->buckets[XXH3_64bits_withSeed(name, strlen(name), edges->seed) % BUCKETS];
}

// What it has asked since the last look, without a name, is the others'.
static void settle(struct edge_account *a)
{
    uint64_t requests = load(&a->requests), errors = load(&a->errors);
    if (!a->named) {
        a->edges->other.requests += requests - a->seen_requests;
        a->edges->other.errors += errors - a->seen_errors;
    }
    a->seen_requests = requests;
    a->seen_errors = errors;
}

static void forget(struct edge_account *a)
{
    struct edge_account **at = bucket_of(a->edges, a->name);
    settle(a);
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    free(a);
}

static void give_name(struct edge_account *a)
{
    settle(a);
    a->base_requests = a->seen_requests;
    a->base_errors = a->seen_errors;
    a->named = true;
    a->edges->named++;
}

// It may be gone afterwards.
static void take_name(struct edge_account *a)
{
    settle(a);
    a->named = false;
    a->edges->named--;
    if (a->refs == 0)
        forget(a);
}

static bool may_be_named(const struct edge_account *a)
{
    return strcmp(a->name, EDGES_OTHER) != 0;
}

static struct edge_account *find_or_add(struct edges *edges, const char *name)
{
    struct edge_account **bucket = bucket_of(edges, name);
    for (struct edge_account *a = *bucket; a != NULL; a = a->next)
        if (strcmp(a->name, name) == 0)
            return a;
    struct edge_account *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->edges = edges;
    (void)strcpy(a->name, name);
    a->next = *bucket;
    *bucket = a;
    if (edges->named < EDGES_NAMED && may_be_named(a))
        give_name(a);
    return a;
}

// ---- references

struct edge_account *edges_join(struct edges *edges, const char *name)
{
    char cut[EDGES_NAME_MAX];
    if (edges == NULL)
        return NULL;
    size_t len = strnlen(name, sizeof cut - 1);
    memcpy(cut, name, len);
    cut[len] = '\0';
    (void)pthread_mutex_lock(&edges->lock);
    struct edge_account *a = find_or_add(edges, cut);
    if (a != NULL)
        a->refs++;
    (void)pthread_mutex_unlock(&edges->lock);
    return a;
}

void edge_hold(struct edge_account *account)
{
    if (account == NULL)
        return;
    (void)pthread_mutex_lock(&account->edges->lock);
    account->refs++;
    (void)pthread_mutex_unlock(&account->edges->lock);
}

void edge_release(struct edge_account **account)
{
    struct edge_account *a = *account;
    *account = NULL;
    if (a == NULL)
        return;
    struct edges *edges = a->edges;
    (void)pthread_mutex_lock(&edges->lock);
    if (--a->refs == 0 && !a->named)
        forget(a);
    (void)pthread_mutex_unlock(&edges->lock);
}

// ---- counting

static void add(_Atomic uint64_t *value, uint64_t n)
{
    (void)atomic_fetch_add_explicit(value, n, memory_order_relaxed);
}

static bool take(_Atomic uint64_t *value, uint64_t limit)
{
    if (atomic_fetch_add_explicit(value, 1, memory_order_relaxed) < limit)
        return true;
    add(value, (uint64_t)-1);
    return false;
}

bool edge_enter(struct edge_account *account, size_t limit)
{
    return account == NULL || take(&account->connections, limit);
}

void edge_leave(struct edge_account *account)
{
    if (account != NULL)
        add(&account->connections, (uint64_t)-1);
}

bool edge_begin(struct edge_account *account, size_t limit)
{
    return account == NULL || take(&account->in_flight, limit);
}

void edge_end(struct edge_account *account)
{
    if (account != NULL)
        add(&account->in_flight, (uint64_t)-1);
}

void edge_count(struct edge_account *account, bool error)
{
    if (account == NULL)
        return;
    add(&account->requests, 1);
    if (error)
        add(&account->errors, 1);
}

// ---- once a second; lock held

static void rate(struct edge_account *a, double seconds)
{
    double asked = (double)(load(&a->requests) - a->seen_requests);
    a->requests_per_s = asked / seconds;
    a->errors_per_s = (double)(load(&a->errors) - a->seen_errors) / seconds;
    a->score = a->score * KEPT_PER_SECOND + asked;
    settle(a);
}

struct ends {
    struct edge_account *best, *worst; // without a name; with one
};

static void sum_up(struct edges *edges, struct ends *ends)
{
    struct edge_view *other = &edges->other;
    *ends = (struct ends){0};
    other->in_flight = other->connections = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct edge_account *a = edges->buckets[i]; a != NULL; a = a->next) {
            if (a->named) {
                if (ends->worst == NULL || a->score < ends->worst->score)
                    ends->worst = a;
                continue;
            }
            other->in_flight += load(&a->in_flight);
            other->connections += load(&a->connections);
            if (may_be_named(a) && (ends->best == NULL || a->score > ends->best->score))
                ends->best = a;
        }
}

// True: somebody else has a name now.
static bool swap(struct edges *edges, const struct ends *ends)
{
    if (ends->best == NULL)
        return false;
    if (edges->named >= EDGES_NAMED) {
        double ahead = ends->worst->refs > 0 ? HEAD_START : 0;
        if (ends->best->score <= 2 * ends->worst->score + ahead)
            return false;
        take_name(ends->worst);
    }
    give_name(ends->best);
    return true;
}

void edges_tick(struct edges *edges, double seconds)
{
    struct ends ends;
    (void)pthread_mutex_lock(&edges->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct edge_account *a = edges->buckets[i]; a != NULL; a = a->next)
            rate(a, seconds);
    struct edge_view *other = &edges->other; // edges that are gone since are in it, too
    other->requests_per_s = (double)(other->requests - edges->other_seen_requests) / seconds;
    other->errors_per_s = (double)(other->errors - edges->other_seen_errors) / seconds;
    edges->other_seen_requests = other->requests;
    edges->other_seen_errors = other->errors;
    sum_up(edges, &ends);
    for (int i = 0; i < SWAPS && swap(edges, &ends); i++)
        sum_up(edges, &ends);
    (void)pthread_mutex_unlock(&edges->lock);
}

// ---- views

static int busiest_first(const void *a, const void *b)
{
    const struct edge_view *x = a, *y = b;
    if (x->requests_per_s != y->requests_per_s)
        return x->requests_per_s < y->requests_per_s ? 1 : -1;
    if (x->requests != y->requests)
        return x->requests < y->requests ? 1 : -1;
    return strcmp(x->name, y->name);
}

size_t edges_view(struct edges *edges, struct edge_view views[static EDGES_NAMED + 1])
{
    size_t count = 0;
    (void)pthread_mutex_lock(&edges->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct edge_account *a = edges->buckets[i]; a != NULL; a = a->next)
            if (a->named) {
                struct edge_view *view = &views[count++];
                *view = (struct edge_view){.requests = load(&a->requests) - a->base_requests,
                                           .errors = load(&a->errors) - a->base_errors,
                                           .in_flight = load(&a->in_flight),
                                           .connections = load(&a->connections),
                                           .requests_per_s = a->requests_per_s,
                                           .errors_per_s = a->errors_per_s};
                (void)strcpy(view->name, a->name);
            }
    qsort(views, count, sizeof views[0], busiest_first);
    views[count++] = edges->other;
    (void)pthread_mutex_unlock(&edges->lock);
    return count;
}
