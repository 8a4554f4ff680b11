#include "keyserver/ski_json.h"

// A member that must be a non-empty string when it is there. False: it is there and is not.
static bool get_string(const json_t *object, const char *name, struct ski_text *text)
{
    const json_t *member = json_object_get(object, name);
    *text = (struct ski_text){NULL, 0};
    if (member == NULL)
        return true;
    *text = (struct ski_text){json_string_value(member), json_string_length(member)};
    return text->len > 0;
}

bool ski_json_read(const char *body, size_t len, struct ski_members *members, json_t **json)
{
    static const char *const names[SKI_MEMBER_COUNT] = SKI_MEMBER_NAMES;
    json_error_t error;

    *json = json_loadb(body, len, 0, &error); // duplicate members: the last one wins
    if (!json_is_object(*json))
        return false;
    for (int m = 0; m < SKI_MEMBER_COUNT; m++)
        if (!get_string(*json, names[m], &members->text[m]))
            return false;
    return true;
}
