// Alarms over what edges ask, in memory that does not grow: ciphertexts by a keyed hash, so that the table tells nobody
// which ones came; edges by name. Both are spread over shards, a mutex each; what finds no room takes the place of
// what was seen longest ago.
//
// A TLS handshake has one ciphertext, once: a server that is shown the same one again is asked to decrypt what somebody has
// recorded, or probes for how padding is answered (Bleichenbacher 1998).
#include "keyserver/audit_internal.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "keyserver/peer.h"

enum {
    SHARDS = 16,
    SHARD_SETS = 512, // of WAYS ciphertexts: 65,536 in all
    WAYS = 8,
    SHARD_EDGES = 64, // 1,024 in all
    SECRET_LEN = 32,
    LEAST_OPERATIONS = 50, // of an edge in a window, before its share says anything
    LEAST_SHARE = 500,     // per mille of errors: less is no alarm
    JUMP = 3               // times its usual share
};

struct ciphertext {
    uint64_t id[2]; // of key and ciphertext; {0, 0}: the place is free
    uint64_t edge;
    uint64_t seen_ns;
};

struct edge {
    uint64_t id; // 0: free
    uint64_t seen_ns, window_ns;
    uint32_t operations, errors; // in this window
    uint32_t usual;              // share of errors in the windows before, per mille, smoothed
    bool told;                   // in this window
};

struct shard {
    pthread_mutex_t mutex;
    struct ciphertext ciphertexts[SHARD_SETS][WAYS];
    struct edge edges[SHARD_EDGES];
};

struct audit_alarm {
    uint64_t window_ns;
    EVP_MD *md;
    uint8_t *secret; // SECRET_LEN bytes
    struct shard shards[SHARDS];
};

static const char *const words[AUDIT_ALARMS] = {"ciphertext_again", "ciphertext_other_edge", "error_share"};

const char *audit_alarm_word(enum audit_alarm_kind kind)
{
    return words[kind];
}

struct audit_alarm *audit_alarm_create(uint64_t window_ns, struct error *e)
{
    struct audit_alarm *alarm = calloc(1, sizeof *alarm);
    if (alarm != NULL) {
        for (int i = 0; i < SHARDS; i++)
            (void)pthread_mutex_init(&alarm->shards[i].mutex, NULL);
        alarm->window_ns = window_ns;
        alarm->md = EVP_MD_fetch(NULL, "SHA256", NULL);
        alarm->secret = OPENSSL_malloc(SECRET_LEN);
    }
    if (alarm != NULL && alarm->md != NULL && alarm->secret != NULL &&
        RAND_bytes(alarm->secret, SECRET_LEN) == 1)
        return alarm;
    audit_alarm_destroy(&alarm);
    error_set(e, "audit alarms: out of memory or of random numbers");
    return NULL;
}

void audit_alarm_destroy(struct audit_alarm **alarm_ptr)
{
    struct audit_alarm *alarm = *alarm_ptr;
    if (alarm == NULL)
        return;
    OPENSSL_clear_free(alarm->secret, SECRET_LEN);
    EVP_MD_free(alarm->md);
    for (int i = 0; i < SHARDS; i++)
        (void)pthread_mutex_destroy(&alarm->shards[i].mutex);
    free(alarm);
    *alarm_ptr = NULL;
}

// Keyed hash of two pieces: the secret first, and only the first half of the hash is used.
static bool keyed(const struct audit_alarm *alarm, const void *a, size_t a_len, const void *b, size_t b_len,
                  uint64_t id[2])
{
    uint8_t in[SECRET_LEN + KEYRECORD_NAME_LEN + 1 + SKI_INPUT_MAX], hash[AUDIT_HASH_LEN];
    memcpy(in, alarm->secret, SECRET_LEN);
    memcpy(in + SECRET_LEN, a, a_len);
    memcpy(in + SECRET_LEN + a_len, b, b_len);
    bool good = EVP_Digest(in, SECRET_LEN + a_len + b_len, hash, NULL, alarm->md, NULL) == 1;
    OPENSSL_cleanse(in, SECRET_LEN);
    memcpy(id, hash, 2 * sizeof id[0]);
    return good;
}

static uint64_t edge_id(const struct audit_alarm *alarm, const struct peer *peer)
{
    uint64_t id[2] = {0, 0};
    (void)keyed(alarm, "edge", 4, peer->name, strnlen(peer->name, sizeof peer->name), id);
    return id[0] | 1; // never free
}

// ---- ciphertexts

static unsigned note_ciphertext(struct audit_alarm *alarm, const struct keyop *op, uint64_t edge,
                                uint64_t now_ns)
{
    uint64_t id[2];
    if (!keyed(alarm, op->request.spki, KEYRECORD_NAME_LEN + 1, op->request.input, op->request.input_len, id))
        return 0;
    struct shard *shard = &alarm->shards[id[0] % SHARDS];
    struct ciphertext *set = shard->ciphertexts[id[0] / SHARDS % SHARD_SETS], *place = &set[0];
    unsigned raised = 0;

    (void)pthread_mutex_lock(&shard->mutex);
    for (int i = 0; i < WAYS; i++) {
        if (set[i].id[0] == id[0] && set[i].id[1] == id[1]) {
            place = &set[i];
            break;
        }
        if (set[i].seen_ns < place->seen_ns)
            place = &set[i];
    }
    if (place->id[0] == id[0] && place->id[1] == id[1] && now_ns - place->seen_ns <= alarm->window_ns)
        raised = 1u << (place->edge == edge ? AUDIT_CIPHERTEXT_AGAIN : AUDIT_CIPHERTEXT_OTHER_EDGE);
    *place = (struct ciphertext){.id = {id[0], id[1]}, .edge = edge, .seen_ns = now_ns};
    (void)pthread_mutex_unlock(&shard->mutex);
    return raised;
}

// ---- errors

static struct edge *find_edge(struct shard *shard, uint64_t id, uint64_t now_ns)
{
    struct edge *place = &shard->edges[0];
    for (int i = 0; i < SHARD_EDGES; i++) {
        if (shard->edges[i].id == id)
            return &shard->edges[i];
        if (shard->edges[i].seen_ns < place->seen_ns)
            place = &shard->edges[i];
    }
    *place = (struct edge){.id = id, .window_ns = now_ns};
    return place;
}

static uint32_t share(const struct edge *edge)
{
    return (uint32_t)(1000ull * edge->errors / edge->operations);
}

static void begin_window(struct edge *edge, uint64_t now_ns)
{
    if (edge->operations >= LEAST_OPERATIONS)
        edge->usual = (3 * edge->usual + share(edge)) / 4;
    edge->window_ns = now_ns;
    edge->operations = edge->errors = 0;
    edge->told = false;
}

// What the edge has done wrong; that we are busy or broken is not its fault.
static bool is_error(enum ski_status status)
{
    return status == SKI_MALFORMED || status == SKI_NOT_FOUND || status == SKI_DENIED;
}

static unsigned note_share(struct audit_alarm *alarm, const struct keyop *op, uint64_t id, uint64_t now_ns)
{
    struct shard *shard = &alarm->shards[id / 2 % SHARDS];
    (void)pthread_mutex_lock(&shard->mutex);
    struct edge *edge = find_edge(shard, id, now_ns);
    if (now_ns - edge->window_ns > alarm->window_ns)
        begin_window(edge, now_ns);
    edge->seen_ns = now_ns;
    edge->operations++;
    edge->errors += is_error(op->status);
    bool jumped = !edge->told && edge->operations >= LEAST_OPERATIONS && share(edge) >= LEAST_SHARE &&
                  share(edge) >= JUMP * edge->usual;
    edge->told |= jumped;
    (void)pthread_mutex_unlock(&shard->mutex);
    return jumped ? 1u << AUDIT_ERROR_SHARE : 0;
}

unsigned audit_alarm_note(struct audit_alarm *alarm, const struct keyop *op, uint64_t now_ns)
{
    uint64_t edge = edge_id(alarm, op->peer);
    unsigned raised = note_share(alarm, op, edge, now_ns);
    if (op->parsed && op->status == SKI_OK && op->request.method == SKI_METHOD_RSA)
        raised |= note_ciphertext(alarm, op, edge, now_ns);
    return raised;
}
