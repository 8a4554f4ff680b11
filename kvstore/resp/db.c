#include "kvstore/resp/db.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/kv.h"

static const uint8_t prefix[RESP_DB_PREFIX - 1] = {0, 'm', 'e', 'c', ':', 'd', 'b', 0};

static bool has_prefix(const void *name, size_t len)
{
    return len >= sizeof prefix && memcmp(name, prefix, sizeof prefix) == 0;
}

bool resp_db_name(const struct resp_shared *shared, unsigned db, const struct resp_arg *key,
                  struct resp_db_name *name)
{
    unsigned laid = resp_db_laid(shared, db);
    name->allocated = NULL;
    name->data = key->data;
    name->len = key->len;
    name->laid = laid;
    if (laid == 0 && key->len != 0)
        return key->len <= KV_KEY_MAX && !has_prefix(key->data, key->len);
    if (key->len > KV_KEY_MAX - RESP_DB_PREFIX)
        return false;
    uint8_t *at = name->small;
    name->len = RESP_DB_PREFIX + key->len;
    if (name->len > sizeof name->small && (at = name->allocated = malloc(name->len)) == NULL)
        return false;
    memcpy(at, prefix, sizeof prefix);
    at[sizeof prefix] = (uint8_t)laid;
    if (key->len != 0)
        memcpy(at + RESP_DB_PREFIX, key->data, key->len);
    name->data = at;
    return true;
}

// Of database 0.
static bool is_empty_key(const void *name, size_t len)
{
    return len == RESP_DB_PREFIX && has_prefix(name, len) && ((const uint8_t *)name)[sizeof prefix] == 0;
}

void resp_db_name_free(struct resp_db_name *name)
{
    free(name->allocated);
    name->allocated = NULL;
}

unsigned resp_db_laid_of(const void *name, size_t len)
{
    const uint8_t *bytes = name;
    if (len < RESP_DB_PREFIX || !has_prefix(name, len) || bytes[sizeof prefix] >= RESP_DATABASES)
        return 0;
    return bytes[sizeof prefix];
}

bool resp_db_of(const struct resp_shared *shared, const void *name, size_t len, unsigned *db,
                struct resp_arg *key)
{
    unsigned laid = resp_db_laid_of(name, len);
    *key = (struct resp_arg){name, len};
    if (laid != 0 || is_empty_key(name, len))
        *key = (struct resp_arg){key->data + RESP_DB_PREFIX, len - RESP_DB_PREFIX};
    else if (has_prefix(name, len))
        return false;
    for (*db = 0; *db < RESP_DATABASES; (*db)++)
        if (resp_db_laid(shared, *db) == laid)
            return true;
    return false;
}
