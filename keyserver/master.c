#include "keyserver/master.h"

#include <string.h>

#include "common/log.h"
#include "common/masterkey.h"

bool master_load(struct server *server, struct error *e)
{
    const struct options *o = server->options;
    if (o->master_key == NULL)
        return true;
    server->master = master_key_load(o->master_key, o->master_key_fd, e);
    if (server->master == NULL || o->new_master_key == NULL)
        return server->master != NULL;
    struct seal_key *other = master_key_load(o->new_master_key, o->new_master_key_fd, e);
    if (other == NULL)
        return false;
    seal_key_accept(server->master, &other);
    return true;
}

static bool knows(const struct seal_key *key, const char *id)
{
    char known[17];
    for (; key != NULL; key = seal_key_next(key)) {
        seal_key_id(key, known);
        if (strcmp(known, id) == 0)
            return true;
    }
    return false;
}

static void take(struct server *server, struct seal_key **other)
{
    char id[17];
    if (*other == NULL)
        return;
    seal_key_id(*other, id);
    if (!knows(server->master, id))
        log_info("master_key_accepted", "id=%s", id);
    seal_key_accept(server->master, other);
}

static bool is_same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

// A file that was read at the start is not read again where it has a passphrase, which came once.
static bool load(const char *source, const char *known, const char *known_fd, struct seal_key **key,
                 struct error *e)
{
    *key = NULL;
    if (source == NULL || (known_fd != NULL && is_same(source, known)))
        return true;
    *key = master_key_load(source, NULL, e);
    return *key != NULL;
}

bool master_reload(struct server *server, const struct options *fresh, struct error *e)
{
    const struct options *o = server->options;
    struct seal_key *first = NULL, *second = NULL;
    if (server->master == NULL) {
        if (fresh->master_key == NULL && fresh->new_master_key == NULL)
            return true;
        error_set(e, "--master-key: the server was started without one: restart it");
        return false;
    }
    if ((!is_same(fresh->master_key, o->master_key) &&
         !load(fresh->master_key, o->new_master_key, o->new_master_key_fd, &first, e)) ||
        !load(fresh->new_master_key, o->new_master_key, o->new_master_key_fd, &second, e)) {
        seal_key_destroy(&first);
        return false;
    }
    take(server, &first);
    take(server, &second);
    return true;
}
