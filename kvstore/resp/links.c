#include "kvstore/resp/links.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TABLE_MIN 64u

// ---- hash tables of nodes

static bool table_init(struct resp_link_table *table)
{
    *table =
        (struct resp_link_table){.buckets = calloc(TABLE_MIN, sizeof *table->buckets), .size = TABLE_MIN};
    return table->buckets != NULL;
}

static struct resp_link_node **bucket(const struct resp_link_table *table, uint64_t hash)
{
    return &table->buckets[hash & (table->size - 1)];
}

// Without memory the table stays as it is: slower, not wrong.
static void table_resize(struct resp_link_table *table, size_t size)
{
    struct resp_link_table resized = {.buckets = calloc(size, sizeof *table->buckets), .size = size};
    if (resized.buckets == NULL)
        return;
    for (size_t i = 0; i < table->size; i++) {
        for (struct resp_link_node *node = table->buckets[i], *next; node != NULL; node = next) {
            next = node->next;
            node->next = *bucket(&resized, node->hash);
            *bucket(&resized, node->hash) = node;
        }
    }
    free(table->buckets);
    table->buckets = resized.buckets;
    table->size = size;
}

static void table_add(struct resp_link_table *table, struct resp_link_node *node)
{
    if (++table->used > table->size)
        table_resize(table, table->size * 2);
    node->next = *bucket(table, node->hash);
    *bucket(table, node->hash) = node;
}

static void table_remove(struct resp_link_table *table, struct resp_link_node *node)
{
    struct resp_link_node **at = bucket(table, node->hash);
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    if (--table->used < table->size / 8 && table->size > TABLE_MIN)
        table_resize(table, table->size / 2);
}

static void table_free(struct resp_link_table *table)
{
    for (size_t i = 0; i < table->size; i++) {
        for (struct resp_link_node *node = table->buckets[i], *next; node != NULL; node = next) {
            next = node->next;
            free(node);
        }
    }
    free(table->buckets);
}

// ---- hashes

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

// Keyed, so that a peer cannot choose names that meet in one bucket.
static uint64_t hash_name(const struct resp_links *links, unsigned space, const uint8_t *data, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u ^ links->seed ^ space;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 0x100000001b3u;
    return mixed(hash ^ len);
}

static uint64_t hash_link(const struct resp_link_name *name, const struct resp_holder *holder)
{
    return mixed(name->node.hash + (uint64_t)(uintptr_t)holder);
}

// ---- names

bool resp_links_init(struct resp_links *links)
{
    *links = (struct resp_links){0};
    if (getrandom(&links->seed, sizeof links->seed, 0) != (ssize_t)sizeof links->seed ||
        !table_init(&links->names))
        return false;
    if (table_init(&links->links))
        return true;
    table_free(&links->names);
    return false;
}

void resp_links_deinit(struct resp_links *links)
{
    table_free(&links->links);
    table_free(&links->names);
}

struct resp_link_name *resp_links_name(const struct resp_links *links, unsigned space, const void *data,
                                       size_t len)
{
    uint64_t hash = hash_name(links, space, data, len);
    for (struct resp_link_node *node = *bucket(&links->names, hash); node != NULL; node = node->next) {
        struct resp_link_name *name = (struct resp_link_name *)node;
        if (node->hash == hash && name->space == space && name->len == len &&
            (len == 0 || memcmp(name->data, data, len) == 0))
            return name;
    }
    return NULL;
}

static struct resp_link_name *add_name(struct resp_links *links, unsigned space, const void *data, size_t len)
{
    struct resp_link_name *name = malloc(sizeof *name + len);
    if (name == NULL)
        return NULL;
    *name = (struct resp_link_name){.node.hash = hash_name(links, space, data, len),
                                    .prev = links->spaces[space].last,
                                    .len = len,
                                    .space = space};
    if (len != 0)
        memcpy(name->data, data, len);
    if (name->prev != NULL)
        name->prev->next = name;
    else
        links->spaces[space].first = name;
    links->spaces[space].last = name;
    links->spaces[space].names++;
    links->bytes += sizeof *name + len;
    table_add(&links->names, &name->node);
    return name;
}

static void free_name(struct resp_links *links, struct resp_link_name *name)
{
    if (name->prev != NULL)
        name->prev->next = name->next;
    else
        links->spaces[name->space].first = name->next;
    if (name->next != NULL)
        name->next->prev = name->prev;
    else
        links->spaces[name->space].last = name->prev;
    links->spaces[name->space].names--;
    links->bytes -= sizeof *name + name->len;
    table_remove(&links->names, &name->node);
    free(name);
}

// ---- links

static struct resp_link *find_link(const struct resp_links *links, const struct resp_link_name *name,
                                   const struct resp_holder *holder)
{
    for (struct resp_link_node *node = *bucket(&links->links, hash_link(name, holder)); node != NULL;
         node = node->next) {
        struct resp_link *link = (struct resp_link *)node;
        if (link->name == name && link->holder == holder)
            return link;
    }
    return NULL;
}

struct resp_link *resp_links_find(const struct resp_links *links, const struct resp_holder *holder,
                                  unsigned space, const void *data, size_t len)
{
    const struct resp_link_name *name = resp_links_name(links, space, data, len);
    return name != NULL ? find_link(links, name, holder) : NULL;
}

static size_t cost(size_t len) // to a holder, also when it shares the name
{
    return sizeof(struct resp_link) + sizeof(struct resp_link_name) + len;
}

static void enter(struct resp_links *links, struct resp_link *link)
{
    struct resp_link_name *name = link->name;
    struct resp_holder *holder = link->holder;
    link->name_next = name->first;
    if (name->first != NULL)
        name->first->name_prev = link;
    name->first = link;
    name->count++;
    link->prev = holder->last;
    if (holder->last != NULL)
        holder->last->next = link;
    else
        holder->first = link;
    holder->last = link;
    holder->count++;
    holder->bytes += cost(name->len);
    links->bytes += sizeof *link;
    link->node.hash = hash_link(name, holder);
    table_add(&links->links, &link->node);
}

enum resp_link_added resp_links_add(struct resp_links *links, struct resp_holder *holder, unsigned space,
                                    const void *data, size_t len, size_t max_bytes, struct resp_link **link)
{
    struct resp_link_name *name = resp_links_name(links, space, data, len);
    *link = name != NULL ? find_link(links, name, holder) : NULL;
    if (*link != NULL)
        return RESP_LINK_OLD;
    if (max_bytes != 0 && (holder->bytes > max_bytes || cost(len) > max_bytes - holder->bytes))
        return RESP_LINK_TOO_MANY;
    struct resp_link *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL || (name == NULL && (name = add_name(links, space, data, len)) == NULL)) {
        free(fresh);
        return RESP_LINK_NO_MEMORY;
    }
    fresh->name = name;
    fresh->holder = holder;
    enter(links, fresh);
    *link = fresh;
    return RESP_LINK_NEW;
}

void resp_links_remove(struct resp_links *links, struct resp_link *link)
{
    struct resp_link_name *name = link->name;
    struct resp_holder *holder = link->holder;
    table_remove(&links->links, &link->node);
    if (link->name_prev != NULL)
        link->name_prev->name_next = link->name_next;
    else
        name->first = link->name_next;
    if (link->name_next != NULL)
        link->name_next->name_prev = link->name_prev;
    if (link->prev != NULL)
        link->prev->next = link->next;
    else
        holder->first = link->next;
    if (link->next != NULL)
        link->next->prev = link->prev;
    else
        holder->last = link->prev;
    holder->count--;
    holder->bytes -= cost(name->len);
    links->bytes -= sizeof *link;
    free(link);
    if (--name->count == 0)
        free_name(links, name);
}

void resp_links_remove_name(struct resp_links *links, struct resp_link_name *name)
{
    for (size_t count = name->count; count != 0; count--) // the last frees the name
        resp_links_remove(links, name->first);
}

void resp_links_clear(struct resp_links *links, struct resp_holder *holder)
{
    while (holder->first != NULL)
        resp_links_remove(links, holder->first);
}
