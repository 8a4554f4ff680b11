// Names and who is interested in them: the two-way index behind WATCH (keys), SUBSCRIBE (channels, patterns) and CLIENT TRACKING (keys).
//
//   space 0..15 ─ name "a" ─ link ─ holder      From a name to all its holders, from a holder to all its names, and from both to their
//                         └─ link ─ holder      link: each in O(1). A name exists as long as it has links.
//
// Not thread-safe: the module that owns an index guards it, with its holders, by one lock.
#ifndef MEC_KVSTORE_RESP_LINKS_H
#define MEC_KVSTORE_RESP_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESP_LINK_SPACES 16u

struct resp_link_node { // of a hash table
    struct resp_link_node *next;
    uint64_t hash;
};

struct resp_link_table {
    struct resp_link_node **buckets;
    size_t size, used;
};

struct resp_link_name {
    struct resp_link_node node; // first
    struct resp_link *first;
    struct resp_link_name *next, *prev; // of the space, oldest first
    size_t count;                       // of its links
    size_t len;
    unsigned space;
    uint8_t data[];
};

struct resp_link {
    struct resp_link_node node; // first
    struct resp_link_name *name;
    struct resp_holder *holder;
    struct resp_link *name_next, *name_prev;
    struct resp_link *next, *prev; // of the holder, oldest first
    uint64_t note;                 // the module's, 0 at first
};

struct resp_holder { // zeroed, but for what: no names
    void *what;      // the module's: whose it is
    struct resp_link *first, *last;
    size_t count, bytes;
};

struct resp_links {
    uint64_t seed;
    struct resp_link_table names, links;
    struct {
        struct resp_link_name *first, *last;
        size_t names;
    } spaces[RESP_LINK_SPACES];
    size_t bytes; // of memory, about
};

enum resp_link_added { RESP_LINK_NEW, RESP_LINK_OLD, RESP_LINK_TOO_MANY, RESP_LINK_NO_MEMORY };

// False: no randomness, or no memory; nothing is to be undone.
bool resp_links_init(struct resp_links *links);
// The holders' lists are not touched: they must be of no more use.
void resp_links_deinit(struct resp_links *links);

// Links holder and name; *link is the link, of NEW and OLD. TOO_MANY: the holder's names would take more than max_bytes of memory (0: no limit).
enum resp_link_added resp_links_add(struct resp_links *links, struct resp_holder *holder, unsigned space,
                                    const void *data, size_t len, size_t max_bytes, struct resp_link **link);
struct resp_link *resp_links_find(const struct resp_links *links, const struct resp_holder *holder,
                                  unsigned space, const void *data, size_t len); // NULL: none
struct resp_link_name *resp_links_name(const struct resp_links *links, unsigned space, const void *data,
                                       size_t len); // NULL: nobody is interested

// Frees the link, and with its last one the name.
void resp_links_remove(struct resp_links *links, struct resp_link *link);
void resp_links_remove_name(struct resp_links *links, struct resp_link_name *name); // with all its links
void resp_links_clear(struct resp_links *links, struct resp_holder *holder);        // all of a holder's

#endif
