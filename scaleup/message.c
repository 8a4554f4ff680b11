// Parsing. The table of message_fields.c says what may come; everything else is here once.
#include "scaleup/message.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/message_fields.h"

#define SHOWN    64 // bytes of what was received that an error repeats
#define VNFS_MAX 1024

bool message_name_is_good(const char *text)
{
    size_t len = strlen(text);
    return len >= 1 && len <= MESSAGE_NAME_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

// ---- errors

static const char *kind_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

// What was received, cut and in printable ASCII.
static const char *shown(const char *text, char buf[static SHOWN + 4])
{
    size_t i = 0;
    for (; i < SHOWN && text[i] != '\0'; i++)
        buf[i] = text[i] >= ' ' && text[i] <= '~' && text[i] != '"' ? text[i] : '?';
    memcpy(buf + i, text[i] != '\0' ? "..." : "", text[i] != '\0' ? 4 : 1);
    return buf;
}

static bool expected(struct error *e, const char *message, const struct message_field *field,
                     const json_t *found, const char *what)
{
    char buf[SHOWN + 4];
    if (json_is_string(found))
        error_set(e, "%s: %s: found \"%s\", expected %s", message, field->name,
                  shown(json_string_value(found), buf), what);
    else if (json_is_integer(found))
        error_set(e, "%s: %s: found %" JSON_INTEGER_FORMAT ", expected %s", message, field->name,
                  json_integer_value(found), what);
    else
        error_set(e, "%s: %s: found %s, expected %s", message, field->name, kind_name(found), what);
    return false;
}

// ---- one member

static bool take_number(const struct message_field *field, const json_t *value, void *to)
{
    json_int_t n = json_integer_value(value);
    uint64_t max = field->max != 0 ? field->max : MESSAGE_NUMBER_MAX;
    if (!json_is_integer(value) || n < 0 || (uint64_t)n > max)
        return false;
    *(uint64_t *)to = (uint64_t)n;
    return true;
}

// NUL inside is refused by jansson.
static bool take_text(const json_t *value, char *to, size_t max)
{
    const char *text = json_string_value(value);
    if (text == NULL || json_string_length(value) > max || !message_text_is_clean(text))
        return false;
    memcpy(to, text, json_string_length(value) + 1);
    return true;
}

static bool take_name(const json_t *value, char *to)
{
    if (!json_is_string(value) || !message_name_is_good(json_string_value(value)))
        return false;
    memcpy(to, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool take_change(const char *word, char to[static 8])
{
    if (strcmp(word, "raise") != 0 && strcmp(word, "return") != 0 && strcmp(word, "none") != 0)
        return false;
    memcpy(to, word, strlen(word) + 1);
    return true;
}

static bool take_word(int index, void *to)
{
    if (index >= 0)
        *(unsigned *)to = (unsigned)index; // enums of ours are unsigned
    return index >= 0;
}

static int role_by_name(const char *name)
{
    return strcmp(name, "vnf") == 0 ? ROLE_VNF : strcmp(name, "operator") == 0 ? ROLE_OPERATOR : -1;
}

static bool take_object(const char *message, const struct message_field *fields, size_t count,
                        const json_t *object, void *to, struct error *e);

static bool take_vnfs(const char *message, const json_t *list, struct message *to, struct error *e)
{
    size_t count = json_array_size(list);
    to->vnfs = calloc(count + 1, sizeof *to->vnfs);
    if (to->vnfs == NULL) {
        error_set(e, "%s: out of memory", message);
        return false;
    }
    to->vnf_count = count;
    for (size_t i = 0; i < count; i++)
        if (!take_object(message, message_vnf_fields, message_vnf_field_count, json_array_get(list, i),
                         &to->vnfs[i], e))
            return false;
    return true;
}

static bool take_member(const char *message, const struct message_field *field, const json_t *value,
                        void *target, struct error *e)
{
    void *to = (char *)target + field->offset;
    const char *word = json_is_string(value) ? json_string_value(value) : "";
    switch (field->kind) {
    case FIELD_NAME:
        return take_name(value, to) ||
               expected(e, message, field, value, "1 to 64 characters of A-Z a-z 0-9 . _ -");
    case FIELD_TEXT:
        return take_text(value, to, MESSAGE_TEXT_MAX) ||
               expected(e, message, field, value, "a string of at most 256 bytes without control characters");
    case FIELD_NUMBER:
        return take_number(field, value, to) ||
               expected(e, message, field, value,
                        field->max == 9 ? "an integer from 0 to 9" : "an integer from 0 to 2^53 - 1");
    case FIELD_FLAG:
        *(bool *)to = json_is_true(value);
        return json_is_boolean(value) || expected(e, message, field, value, "true or false");
    case FIELD_ROLE:
        return take_word(role_by_name(word), to) || expected(e, message, field, value, "vnf or operator");
    case FIELD_STATE:
        return take_word(message_state_by_name(word), to) || expected(e, message, field, value, "a state");
    case FIELD_CODE:
        return take_word(message_code_by_name(word), to) ||
               expected(e, message, field, value, "an error code");
    case FIELD_CHANGE:
        return take_change(word, to) || expected(e, message, field, value, "raise, return or none");
    case FIELD_VNFS:
        if (!json_is_array(value) || json_array_size(value) > VNFS_MAX)
            return expected(e, message, field, value, "an array of at most 1024 VNFs");
        return take_vnfs(message, value, target, e);
    }
    return false;
}

static bool take_object(const char *message, const struct message_field *fields, size_t count,
                        const json_t *object, void *to, struct error *e)
{
    if (!json_is_object(object)) {
        error_set(e, "%s: found %s, expected an object", message, kind_name(object));
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct message_field *field = &fields[i];
        const json_t *value = json_object_get(object, field->name);
        if (value != NULL && !take_member(message, field, value, to, e))
            return false;
        if (value == NULL && field->required) {
            error_set(e, "%s: %s is missing", message, field->name);
            return false;
        }
        if (value == NULL && field->kind == FIELD_NUMBER)
            *(uint64_t *)((char *)to + field->offset) = field->preset;
        if (field->has != FIELD_NO_FLAG)
            *(bool *)((char *)to + field->has) = value != NULL;
    }
    return true;
}

// ---- the whole

static const struct message_kind *kind_of(const char *name, const json_t *object)
{
    for (size_t i = 0; i < message_kind_count; i++) {
        const struct message_kind *kind = &message_kinds[i];
        bool answer =
            json_object_get(object, "pool_bytes") != NULL; // tells a status from the question for it
        if (strcmp(kind->name, name) == 0 && (kind->type != MESSAGE_STATUS_ASK || !answer) &&
            (kind->type != MESSAGE_STATUS || answer))
            return kind;
    }
    return NULL;
}

static bool check(const struct message *m, struct error *e)
{
    bool fine = true;
    if (m->type == MESSAGE_HELLO && (m->role == ROLE_VNF) != (m->vnf[0] != '\0')) {
        error_set(e, "hello: a VNF says which one it is (member vnf), an operator does not");
        fine = false;
    } else if (m->type == MESSAGE_HELLO && m->version == 0) {
        error_set(e, "hello: version: found 0, expected 1 or more");
        fine = false;
    } else if (m->type == MESSAGE_RESPONSE &&
               (m->state == STATE_REFUSED || m->final != message_state_is_final(m->state))) {
        error_set(e, "response: found state %s with final %s", message_state_name(m->state),
                  m->final ? "true" : "false");
        fine = false;
    } else if (m->type == MESSAGE_RECLAIMING && m->state != STATE_ACCEPTED && m->state != STATE_PARTIAL &&
               m->state != STATE_REFUSED) {
        error_set(e, "reclaiming: found state %s, expected accepted, partial or refused",
                  message_state_name(m->state));
        fine = false;
    } else if ((m->type == MESSAGE_WELCOME || m->type == MESSAGE_RESPONSE || m->type == MESSAGE_GRANT) &&
               m->granularity == 0) {
        error_set(e, "granularity: found 0, expected 1 or more");
        fine = false;
    } else if (m->type == MESSAGE_WELCOME && (m->version == 0 || m->lease_ms == 0)) {
        error_set(e, "welcome: %s: found 0, expected 1 or more", m->version == 0 ? "version" : "lease_ms");
        fine = false;
    }
    return fine;
}

static bool take_message(const json_t *object, struct message *message, struct error *e)
{
    const json_t *type = json_object_get(object, "type");
    if (!json_is_object(object) || !json_is_string(type)) {
        error_set(e, "found %s, expected an object with a type", kind_name(object));
        return false;
    }
    const struct message_kind *kind = kind_of(json_string_value(type), object);
    if (kind == NULL) {
        char buf[SHOWN + 4];
        message->type = MESSAGE_UNKNOWN;
        (void)strncpy(message->detail, shown(json_string_value(type), buf), sizeof message->detail - 1);
        return true;
    }
    message->type = kind->type;
    if (take_object(kind->name, kind->fields, kind->count, object, message, e) && check(message, e))
        return true;
    message_release(message);
    return false;
}

bool message_parse(const char *line, size_t len, struct message *message, struct error *e)
{
    json_error_t why;
    *message = (struct message){0};
    if (len + 1 > MESSAGE_ANSWER_MAX) {
        error_set(e, "found a line of %zu bytes, expected at most %d", len + 1, MESSAGE_ANSWER_MAX);
        return false;
    }
    if (len > 0 && line[len - 1] == '\r')
        len--;
    json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL) { // why.text repeats up to 20 bytes of the line
        char buf[SHOWN + 4];
        error_set(e, "not JSON: column %d: %s", why.column, shown(why.text, buf));
        return false;
    }
    bool good = take_message(object, message, e);
    json_decref(object);
    return good;
}

void message_release(struct message *message)
{
    free(message->vnfs);
    message->vnfs = NULL;
    message->vnf_count = 0;
}
