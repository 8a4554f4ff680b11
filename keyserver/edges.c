#include "keyserver/edges.h"

#include <pthread.h>
#include <stdlib.h>

struct edges {
    pthread_mutex_t lock;
    size_t mask;
    struct edge_account *buckets[];
};

struct edges *edges_create(size_t max_connections)
{
    size_t buckets = 64;
    while (buckets < max_connections && buckets < 16384)
        buckets *= 2;
    struct edges *edges = calloc(1, sizeof *edges + buckets * sizeof(struct edge_account *));
    if (edges == NULL)
        return NULL;
    edges->mask = buckets - 1;
    (void)pthread_mutex_init(&edges->lock, NULL);
    return edges;
}

void edges_destroy(struct edges **edges)
{
    if (*edges == NULL)
        return;
    (void)pthread_mutex_destroy(&(*edges)->lock);
    free(*edges);
    *edges = NULL;
}

static struct edge_account **find(struct edges *edges, uint64_t id)
{
    struct edge_account **link = &edges->buckets[id & edges->mask];
    while (*link != NULL && (*link)->id != id)
        link = &(*link)->next;
    return link;
}

struct edge_account *edges_enter(struct edges *edges, uint64_t id, size_t limit)
{
    (void)pthread_mutex_lock(&edges->lock);
    struct edge_account **link = find(edges, id), *edge = *link;
    if (edge == NULL && limit > 0 && (edge = calloc(1, sizeof *edge)) != NULL) {
        edge->edges = edges;
        edge->id = id;
        *link = edge;
    } else if (edge != NULL && edge->connections >= limit) {
        edge = NULL;
    }
    if (edge != NULL) {
        edge->connections++;
        edge->refs++;
    }
    (void)pthread_mutex_unlock(&edges->lock);
    return edge;
}

void edges_leave(struct edge_account *edge)
{
    if (edge == NULL)
        return;
    (void)pthread_mutex_lock(&edge->edges->lock);
    edge->connections--;
    (void)pthread_mutex_unlock(&edge->edges->lock);
}

struct edge_account *edges_ref(struct edge_account *edge)
{
    if (edge == NULL)
        return NULL;
    (void)pthread_mutex_lock(&edge->edges->lock);
    edge->refs++;
    (void)pthread_mutex_unlock(&edge->edges->lock);
    return edge;
}

void edges_unref(struct edge_account **edge_ptr)
{
    struct edge_account *edge = *edge_ptr;
    *edge_ptr = NULL;
    if (edge == NULL)
        return;
    struct edges *edges = edge->edges;
    (void)pthread_mutex_lock(&edges->lock);
    if (--edge->refs == 0) {
        *find(edges, edge->id) = edge->next;
        free(edge);
    }
    (void)pthread_mutex_unlock(&edges->lock);
}
