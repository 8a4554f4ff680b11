// Formatting, by the same table as parsing.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/message_fields.h"
#include "scaleup/message_text.h"

// Whether the other side would take it: UTF-8 without control characters (also those of two bytes, U+0080 to U+009F, that terminals obey).
static json_t *good_text(const char *text)
{
    return message_text_is_clean(text) ? json_string(text) : NULL;
}

// A reason comes from anywhere and an error text may have been cut within a character. It must not cost the connection.
json_t *message_text_value(const char *text)
{
    json_t *value = good_text(text);
    if (value != NULL)
        return value;
    message_text clean;
    size_t i = 0;
    for (; text[i] != '\0' && i < sizeof clean - 1; i++)
        clean[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    clean[i] = '\0';
    return json_string(clean);
}

static json_t *format_object(const struct message_field *fields, size_t count, const void *from);

static json_t *vnfs_value(const struct message *message)
{
    json_t *list = json_array();
    for (size_t i = 0; i < message->vnf_count; i++)
        if (json_array_append_new(
                list, format_object(message_vnf_fields, message_vnf_field_count, &message->vnfs[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

// NULL with *left_out set: the member is not there.
static json_t *member_value(const struct message_field *field, const void *from, bool *left_out)
{
    const void *at = (const char *)from + field->offset;
    bool has = field->has == FIELD_NO_FLAG || *(const bool *)((const char *)from + field->has);
    *left_out = true;
    switch (field->kind) {
    case FIELD_NAME:
    case FIELD_TEXT:
        if (*(const char *)at == '\0' && !field->required)
            return NULL;
        break;
    case FIELD_NUMBER:
        if (!field->required && (!has || (field->has == FIELD_NO_FLAG && *(const uint64_t *)at == 0)))
            return NULL;
        break;
    default:
        break;
    }
    *left_out = false;
    switch (field->kind) {
    case FIELD_NAME:
    case FIELD_TEXT:
        return message_text_value(at);
    case FIELD_CHANGE:
        return json_string(*(const char *)at != '\0' ? at : "none");
    case FIELD_NUMBER:
        return json_integer((json_int_t)(*(const uint64_t *)at <= MESSAGE_NUMBER_MAX ? *(const uint64_t *)at
                                                                                     : MESSAGE_NUMBER_MAX));
    case FIELD_FLAG:
        return json_boolean(*(const bool *)at);
    case FIELD_ROLE:
        return json_string(*(const enum message_role *)at == ROLE_VNF ? "vnf" : "operator");
    case FIELD_STATE:
        return json_string(message_state_name(*(const enum message_state *)at));
    case FIELD_CODE:
        return json_string(message_error_code_name(*(const enum message_error_code *)at));
    case FIELD_VNFS:
        return vnfs_value(from);
    }
    return NULL;
}

static bool add_members(json_t *object, const struct message_field *fields, size_t count, const void *from)
{
    for (size_t i = 0; i < count; i++) {
        bool left_out;
        json_t *value = member_value(&fields[i], from, &left_out);
        if (!left_out && json_object_set_new(object, fields[i].name, value) != 0)
            return false;
    }
    return true;
}

static json_t *format_object(const struct message_field *fields, size_t count, const void *from)
{
    json_t *object = json_object();
    if (object == NULL || add_members(object, fields, count, from))
        return object;
    json_decref(object);
    return NULL;
}

static char *to_line(const json_t *object, size_t *len)
{
    char *line = json_dumps(object, JSON_COMPACT);
    size_t n = line == NULL ? 0 : strlen(line);
    char *longer = n == 0 || n + 1 > MESSAGE_ANSWER_MAX ? NULL : realloc(line, n + 2);
    if (longer == NULL) {
        free(line);
        return NULL;
    }
    memcpy(longer + n, "\n", 2);
    *len = n + 1;
    return longer;
}

char *message_format(const struct message *message, size_t *len)
{
    if ((size_t)message->type >= message_kind_count)
        return NULL;
    const struct message_kind *kind = &message_kinds[message->type];
    json_t *object = json_object();
    char *line = NULL;
    if (object != NULL && json_object_set_new(object, "type", json_string(kind->name)) == 0 &&
        add_members(object, kind->fields, kind->count, message))
        line = to_line(object, len);
    json_decref(object);
    return line;
}
