// Settings of a back-end: "KEY=VALUE KEY=VALUE", blanks between them, no quotes.
#include "scaleup/backend.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "scaleup/backend_settings.h"

#define BLANKS " \t"

struct word {
    const char *key, *value;
    size_t key_len, value_len;
};

// The next word at *at; false at the end. A word without '=' has value NULL.
static bool next_word(const char **at, struct word *word)
{
    const char *start = *at + strspn(*at, BLANKS);
    size_t len = strcspn(start, BLANKS);
    *at = start + len;
    if (len == 0)
        return false;
    const char *equals = memchr(start, '=', len);
    word->key = start;
    word->key_len = equals ? (size_t)(equals - start) : len;
    word->value = equals ? equals + 1 : NULL;
    word->value_len = equals ? len - word->key_len - 1 : 0;
    return true;
}

static bool key_is(const struct word *word, const char *key)
{
    return strlen(key) == word->key_len && memcmp(word->key, key, word->key_len) == 0;
}

bool backend_setting(const char *settings, const char *key, char *value, size_t len)
{
    const char *at = settings ? settings : "";
    struct word word;
    while (next_word(&at, &word)) {
        if (!word.value || !key_is(&word, key) || word.value_len >= len)
            continue;
        memcpy(value, word.value, word.value_len);
        value[word.value_len] = '\0';
        return true;
    }
    return false;
}

// At *to, of which *room bytes are left, the NUL included.
static bool append(char **to, size_t *room, const char *text, bool encode)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = !encode || (c > ' ' && c <= '~' && c != '%');
        size_t need = plain ? 1 : 3;
        if (*room <= need)
            return false;
        char *at = *to;
        at[0] = plain ? (char)c : '%';
        if (!plain) {
            at[1] = hex[c >> 4];
            at[2] = hex[c & 15];
        }
        *to += need;
        *room -= need;
    }
    **to = '\0';
    return true;
}

bool backend_target(const struct backend_class *backend, const char *settings, char *target, size_t len)
{
    const char *start = target;
    if (len == 0)
        return false;
    *target = '\0';
    for (const struct backend_identity *one = backend->identity; one != NULL && one->key != NULL; one++) {
        char value[BACKEND_VALUE_MAX];
        if (!backend_setting(settings, one->key, value, sizeof value) || strcmp(value, one->preset) == 0)
            continue;
        if (!append(&target, &len, target == start ? "" : " ", false) ||
            !append(&target, &len, one->key, false) || !append(&target, &len, "=", false) ||
            !append(&target, &len, value, true))
            return false;
    }
    return true;
}

// The word as it may be shown: quoted, cut.
static const char *shown(const struct word *word, char *buf, size_t len)
{
    char text[64];
    size_t n = word->value ? word->key_len + 1 + word->value_len : word->key_len;
    (void)snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), word->key);
    return log_quote(text, buf, len);
}

static bool is_known(const struct word *word, const char *const *keys)
{
    for (; *keys; keys++)
        if (key_is(word, *keys))
            return true;
    return false;
}

bool backend_settings_known(const char *settings, const char *const *keys, struct error *e)
{
    const char *at = settings ? settings : "";
    struct word word;
    char quoted[160];
    while (next_word(&at, &word)) {
        if (!word.value || word.value_len == 0) {
            error_set(e, "back-end settings: found %s, expected KEY=VALUE",
                      shown(&word, quoted, sizeof quoted));
            return false;
        }
        if (!is_known(&word, keys)) {
            error_set(e, "back-end settings: %s: unknown key", shown(&word, quoted, sizeof quoted));
            return false;
        }
        if (word.value_len >= BACKEND_VALUE_MAX) {
            error_set(e, "back-end settings: %s: a value longer than %d bytes",
                      shown(&word, quoted, sizeof quoted), BACKEND_VALUE_MAX - 1);
            return false;
        }
        const char *later = at;
        struct word other;
        while (next_word(&later, &other)) {
            if (other.key_len == word.key_len && memcmp(other.key, word.key, word.key_len) == 0) {
                error_set(e, "back-end settings: %s: the key comes twice",
                          shown(&other, quoted, sizeof quoted));
                return false;
            }
        }
    }
    return true;
}

static bool wrong(const char *key, const char *text, const char *expected, struct error *e)
{
    char quoted[160];
    error_set(e, "back-end settings: %s: found %s, expected %s", key, log_quote(text, quoted, sizeof quoted),
              expected);
    return false;
}

bool backend_setting_size(const char *settings, const char *key, uint64_t *bytes, struct error *e)
{
    char text[BACKEND_VALUE_MAX];
    if (!backend_setting(settings, key, text, sizeof text))
        return true;
    return units_parse_size(text, bytes) || wrong(key, text, "a size such as 16mb", e);
}

bool backend_setting_ms(const char *settings, const char *key, uint64_t *ms, struct error *e)
{
    char text[BACKEND_VALUE_MAX];
    uint64_t us;
    if (!backend_setting(settings, key, text, sizeof text))
        return true;
    if (!units_parse_duration(text, &us) || us > 86400000000ull)
        return wrong(key, text, "a duration such as 200ms, at most a day", e);
    *ms = (us + 999) / 1000;
    return true;
}

bool backend_setting_uint(const char *settings, const char *key, uint64_t max, uint64_t *value,
                          struct error *e)
{
    char text[BACKEND_VALUE_MAX], expected[64];
    uint64_t number;
    if (!backend_setting(settings, key, text, sizeof text))
        return true;
    if (!units_parse_uint(text, &number) || number > max) {
        (void)snprintf(expected, sizeof expected, "a number from 0 to %llu", (unsigned long long)max);
        return wrong(key, text, expected, e);
    }
    *value = number;
    return true;
}
