#include "scaleup/qmp_message.h"

#include <stdlib.h>
#include <string.h>

static void copy_printable(char *to, size_t len, const char *from)
{
    size_t i = 0;
    for (; i + 1 < len && from[i]; i++)
        to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    to[i] = '\0';
}

static bool malformed(const char *what, struct error *e)
{
    error_set(e, "QMP: %s", what);
    return false;
}

static bool take_id(const json_t *object, struct qmp_message *m, struct error *e)
{
    const json_t *id = json_object_get(object, "id");
    if (!id)
        return true;
    if (!json_is_integer(id) || json_integer_value(id) < 0)
        return malformed("an id that is not ours", e);
    m->id = (uint64_t)json_integer_value(id);
    return true;
}

static bool take_error(const json_t *object, const json_t *error, struct qmp_message *m, struct error *e)
{
    const char *class = json_string_value(json_object_get(error, "class"));
    const char *text = json_string_value(json_object_get(error, "desc"));
    if (!class || !text)
        return malformed("an error without class or desc", e);
    m->kind = QMP_ERROR;
    copy_printable(m->name, sizeof m->name, class);
    copy_printable(m->text, sizeof m->text, text);
    return take_id(object, m, e);
}

static bool take(const json_t *object, struct qmp_message *m, struct error *e)
{
    json_t *value = NULL;
    if (!json_is_object(object))
        return malformed("not an object", e);
    if ((value = json_object_get(object, "return"))) {
        m->kind = QMP_RETURN;
        if (!take_id(object, m, e))
            return false;
    } else if ((value = json_object_get(object, "error"))) {
        return take_error(object, value, m, e);
    } else if ((value = json_object_get(object, "event"))) {
        if (!json_is_string(value))
            return malformed("an event without a name", e);
        m->kind = QMP_EVENT;
        copy_printable(m->name, sizeof m->name, json_string_value(value));
        value = json_object_get(object, "data");
    } else if (json_is_object(json_object_get(object, "QMP"))) {
        m->kind = QMP_GREETING;
    } else {
        return malformed("neither greeting, answer nor event", e);
    }
    m->value = json_incref(value);
    return true;
}

bool qmp_message_parse(const char *line, size_t len, struct qmp_message *message, struct error *e)
{
    *message = (struct qmp_message){0};
    json_t *object =
        len < QMP_LINE_MAX ? json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL) : NULL;
    bool good = object ? take(object, message, e) : malformed("a line that is not JSON", e);
    json_decref(object);
    return good;
}

void qmp_message_release(struct qmp_message *message)
{
    json_decref(message->value);
    message->value = NULL;
}

char *qmp_command_format(const char *command, json_t *arguments, uint64_t id, size_t *len)
{
    char *line = NULL;
    json_t *object = arguments ? json_pack("{s:s, s:o, s:I}", "execute", command, "arguments", arguments,
                                           "id", (json_int_t)id)
                               : json_pack("{s:s, s:I}", "execute", command, "id", (json_int_t)id);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text) {
        *len = strlen(text) + 1;
        line = realloc(text, *len + 1);
        if (line)
            memcpy(line + *len - 1, "\n", 2);
        else
            free(text);
    }
    return line;
}
