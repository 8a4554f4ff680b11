// How far the replica was: a record of the server's own (db.h) that a clean stop leaves. It says what the store holds exactly, or it is not there.
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "kvstore/kv_bytes.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/replica_parts.h"

#define NAME        "\0mec:db\0\0replica"
#define NAME_LEN    (sizeof NAME - 1)
#define FORMAT      1u
#define HEAD        (1 + RESP_REPLID + 8 + 1 + 2) // format, id, offset, the stream's database, port; then the host
#define RECORD_MOST (HEAD + RESP_REPLICA_HOST)

static void use(struct resp_replica *r, const uint8_t *record, size_t len)
{
    if (len <= HEAD || len >= RECORD_MOST || record[0] != FORMAT || record[HEAD - 3] >= RESP_DATABASES)
        return;
    memcpy(r->id, record + 1, RESP_REPLID);
    atomic_store(&r->offset, kv_get64(record + 1 + RESP_REPLID));
    r->session.db = record[HEAD - 3];
}

bool resp_replica_load_record(struct resp_replica *r, struct error *e)
{
    uint8_t record[RECORD_MOST];
    size_t len = sizeof record;
    struct kv_store *store = r->shared->store;
    enum kv_status status = kv_get(store, NAME, NAME_LEN, record, &len);
    if (status == KV_NOT_FOUND)
        return true;
    if (status == KV_OK && r->host[0] != '\0') // another history's primary will say so itself
        use(r, record, len);
    // Before anything of the stream is carried out: from then on it is not true.
    status = kv_delete(store, NAME, NAME_LEN, 0);
    if (status == KV_OK)
        status = kv_sync(store);
    if (status == KV_OK || status == KV_NOT_FOUND)
        return true;
    error_set(e, "replica: the record of how far it was cannot be removed: %s", kv_status_text(status));
    return false;
}

void resp_replica_save_record(struct resp_replica *r)
{
    uint8_t record[RECORD_MOST] = {FORMAT};
    size_t host_len = strlen(r->host);
    if (r->host[0] == '\0' || r->id[0] == '\0' || r->in_transaction)
        return;
    memcpy(record + 1, r->id, RESP_REPLID);
    kv_put64(record + 1 + RESP_REPLID, atomic_load(&r->offset));
    record[HEAD - 3] = (uint8_t)r->session.db;
    record[HEAD - 2] = (uint8_t)r->port;
    record[HEAD - 1] = (uint8_t)(r->port >> 8);
    memcpy(record + HEAD, r->host, host_len);
    enum kv_status status = kv_put(r->shared->store, NAME, NAME_LEN, record, HEAD + host_len, 0, 0);
    if (status == KV_OK)
        status = kv_sync(r->shared->store);
    if (status != KV_OK)
        log_warn("replica_record_failed", "error=\"%s\" note=\"the next resync is a full one\"",
                 kv_status_text(status));
}
