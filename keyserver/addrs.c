#include "keyserver/addrs.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>
#include <xxhash.h>

struct entry {
    struct entry *next;
    uint8_t ip[16];
    size_t count;
};

struct addrs {
    pthread_mutex_t lock;
    uint64_t seed;
    size_t mask;
    struct entry *buckets[];
};

struct addrs *addrs_create(size_t max_connections)
{
    size_t buckets = 64;
    while (buckets < max_connections && buckets < 65536)
        buckets *= 2;
    struct addrs *addrs = calloc(1, sizeof *addrs + buckets * sizeof(struct entry *));
    if (addrs == NULL)
        return NULL;
    addrs->mask = buckets - 1;
    (void)RAND_bytes((unsigned char *)&addrs->seed, sizeof addrs->seed); // only against chosen collisions
    (void)pthread_mutex_init(&addrs->lock, NULL);
    return addrs;
}

void addrs_destroy(struct addrs **addrs)
{
    if (*addrs == NULL)
        return;
    for (size_t i = 0; i <= (*addrs)->mask; i++)
        for (struct entry *e = (*addrs)->buckets[i], *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    (void)pthread_mutex_destroy(&(*addrs)->lock);
    free(*addrs);
    *addrs = NULL;
}

// IPv4 in its mapped form; an IPv6 host has a whole /64 to choose from, so that is what counts.
static void address_bytes(const struct net_addr *addr, uint8_t ip[16])
{
    memset(ip, 0, 16);
    if (addr->ss.ss_family == AF_INET) {
        memset(ip + 10, 0xff, 2);
        memcpy(ip + 12, &((const struct sockaddr_in *)&addr->ss)->sin_addr, 4);
    } else if (addr->ss.ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&addr->ss)->sin6_addr;
        memcpy(ip, v6, IN6_IS_ADDR_V4MAPPED(v6) ? 16 : 8);
    }
}

static struct entry **find(struct addrs *addrs, const uint8_t ip[16])
{
    struct entry **link = &addrs->buckets[XXH3_64bits_withSeed(ip, 16, addrs->seed) & addrs->mask];
    while (*link != NULL && memcmp((*link)->ip, ip, 16) != 0)
        link = &(*link)->next;
    return link;
}

bool addrs_add(struct addrs *addrs, const struct net_addr *addr, size_t limit)
{
    uint8_t ip[16];
    address_bytes(addr, ip);
    (void)pthread_mutex_lock(&addrs->lock);
    struct entry **link = find(addrs, ip);
    if (*link == NULL && (*link = calloc(1, sizeof **link)) != NULL)
        memcpy((*link)->ip, ip, 16);
    bool room = *link != NULL && (*link)->count < limit;
    if (room)
        (*link)->count++;
    (void)pthread_mutex_unlock(&addrs->lock);
    return room;
}

void addrs_remove(struct addrs *addrs, const struct net_addr *addr)
{
    uint8_t ip[16];
    address_bytes(addr, ip);
    (void)pthread_mutex_lock(&addrs->lock);
    struct entry **link = find(addrs, ip), *e = *link;
    if (e != NULL && --e->count == 0) {
        *link = e->next;
        free(e);
    }
    (void)pthread_mutex_unlock(&addrs->lock);
}
