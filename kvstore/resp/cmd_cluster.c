// CLUSTER: this server as a cluster of one node that has all slots, for clients that want one. What asks for the shape of the cluster is answered whether or not
// cluster-enabled says yes: who asks is a client of clusters, and finds what it needs. Keys of several slots in one command are never an error: all are here.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/slot.h"
#include "kvstore/resp/store.h"

#define SCAN_BATCH 512u
#define BUS_OFFSET 10000u // Redis's: from a node's port to the one where nodes talk

// Where the peer has reached this node: the address of the socket's own end. Empty and 0 on a Unix socket.
struct endpoint {
    char host[NET_ADDR_TEXT];
    unsigned port;
};

static struct endpoint endpoint_of(const struct resp_session *session)
{
    struct endpoint e = {0};
    const char *colon = strrchr(session->local, ':');
    if (session->local[0] == '/' || colon == NULL)
        return e;
    const char *start = session->local;
    size_t len = (size_t)(colon - start);
    if (len >= 2 && start[0] == '[') { // [::1]:6379
        start++;
        len -= 2;
    }
    (void)snprintf(e.host, sizeof e.host, "%.*s", (int)len, start);
    e.port = (unsigned)strtoul(colon + 1, NULL, 10);
    return e;
}

static void reply_pair(struct resp_reply *reply, const char *name, const char *value)
{
    resp_bulk_text(reply, name);
    resp_bulk_text(reply, value);
}

void resp_cmd_cluster_info(struct resp_call *call)
{
    static const char text[] = "cluster_state:ok\r\n"
                               "cluster_slots_assigned:16384\r\n"
                               "cluster_slots_ok:16384\r\n"
                               "cluster_slots_pfail:0\r\n"
                               "cluster_slots_fail:0\r\n"
                               "cluster_known_nodes:2\r\n"
                               "cluster_size:2\r\n"
                               "cluster_current_epoch:1\r\n"
                               "cluster_my_epoch:1\r\n"
                               "cluster_stats_messages_sent:0\r\n"
                               "cluster_stats_messages_received:0\r\n"
                               "total_cluster_links_buffer_limit_exceeded:0\r\n";
    resp_verbatim(call->reply, text, sizeof text - 1);
}

void resp_cmd_cluster_myid(struct resp_call *call)
{
    resp_bulk_text(call->reply, call->session->shared->node_id);
}

// Of the second entry of CLUSTER NODES.
static void second_id(const struct resp_session *session, char id[static 41])
{
    (void)memcpy(id, session->shared->node_id, 41);
    id[0] = id[0] == '0' ? '1' : '0';
}

// Two masters at the same address: redis-benchmark --cluster refuses a cluster of one node, and to whom a node is its address they are one. Each has all slots, as
// who asks at that address always finds: redis-cli --cluster check takes of each node what it says of itself, and wants all slots to be somebody's.
void resp_cmd_cluster_nodes(struct resp_call *call)
{
    char text[2 * (NET_ADDR_TEXT + 128)], second[41];
    const struct resp_session *session = call->session;
    struct endpoint e = endpoint_of(session);
    unsigned bus = e.port != 0 ? e.port + BUS_OFFSET : 0, last = RESP_SLOTS - 1;
    second_id(session, second);
    int n = snprintf(text, sizeof text,
                     "%s %s:%u@%u myself,master - 0 0 1 connected 0-%u\n"
                     "%s %s:%u@%u master - 0 %" PRIu64 " 2 connected 0-%u\n",
                     session->shared->node_id, e.host, e.port, bus, last, second, e.host, e.port, bus,
                     resp_now_ms(session->shared), last);
    resp_verbatim(call->reply, text, (size_t)n);
}

void resp_cmd_cluster_slots(struct resp_call *call)
{
    struct resp_reply *reply = call->reply;
    struct endpoint e = endpoint_of(call->session);
    resp_array(reply, 1);
    resp_array(reply, 3);
    resp_integer(reply, 0);
    resp_integer(reply, RESP_SLOTS - 1);
    resp_array(reply, 4);
    resp_bulk_text(reply, e.host);
    resp_integer(reply, e.port);
    resp_bulk_text(reply, call->session->shared->node_id);
    resp_map(reply, 0);
}

void resp_cmd_cluster_shards(struct resp_call *call)
{
    struct resp_reply *reply = call->reply;
    struct endpoint e = endpoint_of(call->session);
    resp_array(reply, 1);
    resp_map(reply, 2);
    resp_bulk_text(reply, "slots");
    resp_array(reply, 2);
    resp_integer(reply, 0);
    resp_integer(reply, RESP_SLOTS - 1);
    resp_bulk_text(reply, "nodes");
    resp_array(reply, 1);
    resp_map(reply, 7);
    reply_pair(reply, "id", call->session->shared->node_id);
    resp_bulk_text(reply, "port");
    resp_integer(reply, e.port);
    reply_pair(reply, "ip", e.host);
    reply_pair(reply, "endpoint", e.host);
    reply_pair(reply, "role", "master");
    resp_bulk_text(reply, "replication-offset");
    resp_integer(reply, 0);
    reply_pair(reply, "health", "online");
}

// LINKS: to nobody.
void resp_cmd_cluster_links(struct resp_call *call)
{
    resp_array(call->reply, 0);
}

// REPLICAS, SLAVES: there are none.
void resp_cmd_cluster_replicas(struct resp_call *call)
{
    const struct resp_arg *id = &call->args[2];
    const char *own = call->session->shared->node_id;
    char second[41];
    second_id(call->session, second);
    if (id->len == 40 && (memcmp(id->data, own, 40) == 0 || memcmp(id->data, second, 40) == 0))
        resp_array(call->reply, 0);
    else
        resp_error(call->reply, "ERR Unknown node %.*s", (int)(id->len < 128 ? id->len : 128),
                   (const char *)id->data);
}

void resp_cmd_cluster_keyslot(struct resp_call *call)
{
    resp_integer(call->reply, resp_slot(call->args[2].data, call->args[2].len));
}

// ---- the keys of a slot

struct slot_walk {
    struct resp_call *call;
    unsigned slot;
    int64_t most; // -1: only counted
    int64_t count;
    struct resp_reply keys;
};

static bool walk_key(void *arg, const void *name, size_t len, size_t value_len, uint64_t expire_ms)
{
    struct slot_walk *walk = arg;
    struct resp_arg key;
    unsigned db;
    (void)value_len;
    (void)expire_ms;
    if (!resp_db_of(walk->call->session->shared, name, len, &db, &key) || db != walk->call->db ||
        resp_slot(key.data, key.len) != walk->slot || walk->count == walk->most)
        return true;
    walk->count++;
    if (walk->most >= 0)
        resp_bulk(&walk->keys, key.data, key.len);
    return resp_reply_ok(&walk->keys);
}

// Over all keys: the store has no index by slots.
static enum kv_status walk_slot(struct slot_walk *walk)
{
    uint64_t cursor = 0;
    enum kv_status status;
    do
        status = kv_scan(walk->call->session->shared->store, &cursor, SCAN_BATCH, walk_key, walk);
    while (status == KV_OK && cursor != 0 && walk->count != walk->most && resp_reply_ok(&walk->keys));
    return status;
}

// False: an error was replied.
static bool slot_of(struct resp_call *call, int64_t *slot)
{
    if (resp_arg_int64(&call->args[2], slot))
        return true;
    resp_error(call->reply, RESP_NOT_INTEGER);
    return false;
}

void resp_cmd_cluster_countkeysinslot(struct resp_call *call)
{
    int64_t slot;
    if (!slot_of(call, &slot))
        return;
    if (slot < 0 || slot >= (int64_t)RESP_SLOTS) {
        resp_error(call->reply, "ERR Invalid slot");
        return;
    }
    struct slot_walk walk = {.call = call, .slot = (unsigned)slot, .most = -1};
    enum kv_status status = walk_slot(&walk);
    if (status == KV_OK)
        resp_integer(call->reply, walk.count);
    else
        resp_store_error(call, status);
}

void resp_cmd_cluster_getkeysinslot(struct resp_call *call)
{
    struct slot_walk walk = {.call = call};
    int64_t slot;
    if (!slot_of(call, &slot))
        return;
    if (!resp_arg_int64(&call->args[3], &walk.most)) {
        resp_error(call->reply, RESP_NOT_INTEGER);
        return;
    }
    if (slot < 0 || slot >= (int64_t)RESP_SLOTS || walk.most < 0) {
        resp_error(call->reply, "ERR Invalid slot or number of keys");
        return;
    }
    walk.slot = (unsigned)slot;
    if (!resp_list_begin(call->reply, &walk.keys))
        return;
    enum kv_status status = walk_slot(&walk);
    if (status == KV_OK) {
        resp_list_finish(call->reply, &walk.keys, (size_t)walk.count);
        return;
    }
    resp_reply_deinit(&walk.keys);
    resp_store_error(call, status);
}

// ---- what needs other nodes

void resp_cmd_cluster_alone(struct resp_call *call)
{
    resp_error(call->reply,
               "ERR this server is a cluster of one node: it takes no other nodes and gives no slots "
               "away");
}

// READONLY, READWRITE, ASKING: every node that there is may be read and written.
void resp_cmd_readonly(struct resp_call *call)
{
    resp_status(call->reply, "OK");
}
