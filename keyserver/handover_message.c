#include "keyserver/handover_message.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define PROTOCOL 1

static const char *const words[] = {
    [HANDOVER_ASK] = "ask", [HANDOVER_OFFER] = "offer", [HANDOVER_GO] = "go", [HANDOVER_DONE] = "done"};
enum { WORDS = sizeof words / sizeof words[0] };

// A string that fits, without control characters: it is going to be a name or an address in the log.
static bool take_text(const json_t *object, const char *member, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(object, member));
    if (value == NULL || strlen(value) >= size)
        return false;
    for (const char *at = value; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return false;
    (void)snprintf(text, size, "%s", value);
    return true;
}

static bool take_say(const json_t *object, enum handover_say *say)
{
    const char *value = json_string_value(json_object_get(object, "say"));
    for (int i = 0; value != NULL && i < WORDS; i++)
        if (strcmp(words[i], value) == 0) {
            *say = (enum handover_say)i;
            return true;
        }
    return false;
}

static bool take_sockets(const json_t *object, struct handover_message *m)
{
    const json_t *list = json_object_get(object, "sockets");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > HANDOVER_SOCKETS)
        return false;
    for (m->count = 0; m->count < count; m->count++) {
        const json_t *item = json_array_get(list, m->count);
        struct handover_socket *socket = &m->sockets[m->count];
        if (!take_text(item, "name", socket->name, sizeof socket->name) || socket->name[0] == '\0' ||
            !take_text(item, "addr", socket->addr, sizeof socket->addr))
            return false;
        socket->keeps_file = json_is_true(json_object_get(item, "keeps_file"));
    }
    return true;
}

static bool take_offer(const json_t *object, struct handover_message *m)
{
    const json_t *watchdog = json_object_get(object, "watchdog_us");
    if (!json_is_integer(watchdog) || json_integer_value(watchdog) < 0)
        return false;
    m->watchdog_us = (uint64_t)json_integer_value(watchdog);
    if (json_object_get(object, "master_key") != NULL &&
        !take_text(object, "master_key", m->master_key, sizeof m->master_key))
        return false;
    return take_sockets(object, m);
}

static bool take_message(const json_t *object, struct handover_message *m, struct error *e)
{
    const json_t *protocol = json_object_get(object, "handover");
    *m = (struct handover_message){0};
    if (!json_is_integer(protocol))
        error_set(e, "hand-over: found no message of a key server");
    else if (json_integer_value(protocol) != PROTOCOL)
        error_set(e, "hand-over: found protocol %lld, expected %d", (long long)json_integer_value(protocol),
                  PROTOCOL);
    else if (!take_say(object, &m->say) ||
             (m->say <= HANDOVER_OFFER && !take_text(object, "version", m->version, sizeof m->version)) ||
             (m->say == HANDOVER_OFFER && !take_offer(object, m)))
        error_set(e, "hand-over: found a malformed message");
    else
        return true;
    return false;
}

bool handover_parse(const char *line, size_t len, struct handover_message *m, struct error *e)
{
    json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    bool good = take_message(object, m, e);
    json_decref(object);
    return good;
}

// ---- writing

static json_t *sockets_json(const struct handover_message *m)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < m->count; i++) {
        const struct handover_socket *socket = &m->sockets[i];
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "name", socket->name, "addr",
                                                    socket->addr, "keeps_file", (int)socket->keeps_file));
    }
    return list;
}

static json_t *message_json(const struct handover_message *m)
{
    const char *word = words[m->say];
    if (m->say == HANDOVER_ASK)
        return json_pack("{s:i, s:s, s:s}", "handover", PROTOCOL, "say", word, "version", m->version);
    if (m->say == HANDOVER_OFFER)
        return json_pack("{s:i, s:s, s:s, s:I, s:s, s:o}", "handover", PROTOCOL, "say", word, "version",
                         m->version, "watchdog_us", (json_int_t)m->watchdog_us, "master_key", m->master_key,
                         "sockets", sockets_json(m));
    return json_pack("{s:i, s:s}", "handover", PROTOCOL, "say", word);
}

size_t handover_format(const struct handover_message *m, char line[static HANDOVER_LINE_MAX])
{
    json_t *object = message_json(m);
    size_t len = object != NULL ? json_dumpb(object, line, HANDOVER_LINE_MAX - 1, JSON_COMPACT) : 0;
    json_decref(object);
    if (len == 0 || len > HANDOVER_LINE_MAX - 1)
        return 0;
    line[len] = '\n';
    return len + 1;
}
