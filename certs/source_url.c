// redis://[user[:password]@]host[:port][/db]
#include <stdio.h>
#include <string.h>

#include "certs/source.h"
#include "common/hex.h"
#include "common/units.h"

static bool fail(struct error *e, const char *what)
{
    error_set(e,
              "the address of Redis: %s; expected redis[s]://[USER[:PASSWORD]@]HOST[:PORT][/DB] or unix:PATH",
              what);
    return false;
}

// With %XX undone.
static bool copy(const char *from, size_t len, char *to, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < len; i++, used++) {
        int c = (unsigned char)from[i];
        if (c == '%') {
            if (i + 2 >= len || hex_digit(from[i + 1]) < 0 || hex_digit(from[i + 2]) < 0)
                return false;
            c = hex_digit(from[i + 1]) << 4 | hex_digit(from[i + 2]);
            i += 2;
        }
        if (c == '\0' || used + 1 >= room)
            return false;
        to[used] = (char)c;
    }
    to[used] = '\0';
    return true;
}

static bool parse_user(const char *text, size_t len, struct source_url *url)
{
    const char *colon = memchr(text, ':', len);
    size_t user_len = colon != NULL ? (size_t)(colon - text) : len;
    url->has_user = user_len != 0;
    url->has_password = colon != NULL;
    return copy(text, user_len, url->user, sizeof url->user) &&
           (colon == NULL || copy(colon + 1, len - user_len - 1, url->password, sizeof url->password));
}

static bool parse_host(const char *text, size_t len, struct source_url *url)
{
    const char *end = text + len, *port = NULL;
    uint64_t number;
    if (len != 0 && *text == '[') {
        const char *close = memchr(text, ']', len);
        if (close == NULL || (close + 1 != end && close[1] != ':'))
            return false;
        port = close + 1 != end ? close + 2 : NULL;
        if (!copy(text + 1, (size_t)(close - text - 1), url->host, sizeof url->host))
            return false;
    } else {
        const char *colon = memchr(text, ':', len);
        port = colon != NULL ? colon + 1 : NULL;
        if (!copy(text, colon != NULL ? (size_t)(colon - text) : len, url->host, sizeof url->host))
            return false;
    }
    (void)snprintf(url->port, sizeof url->port, "6379");
    if (port != NULL && !copy(port, (size_t)(end - port), url->port, sizeof url->port))
        return false;
    return url->host[0] != '\0' && units_parse_uint(url->port, &number) && number >= 1 && number <= 65535;
}

bool source_url_parse(const char *text, struct source_url *url, struct error *e)
{
    uint64_t db = 0;
    memset(url, 0, sizeof *url);
    if (strncmp(text, "unix:", 5) == 0)
        return (text[5] != '\0' && strlen(text + 5) < sizeof url->path &&
                snprintf(url->path, sizeof url->path, "%s", text + 5) > 0) ||
               fail(e, "no path, or too long a one");
    url->tls = strncmp(text, "rediss://", 9) == 0;
    if (!url->tls && strncmp(text, "redis://", 8) != 0)
        return fail(e, "another beginning");
    text += url->tls ? 9 : 8;
    const char *slash = strchr(text, '/'), *end = slash != NULL ? slash : text + strlen(text), *at = NULL;
    for (const char *p = text; p < end; p++)
        if (*p == '@')
            at = p;
    if (at != NULL && !parse_user(text, (size_t)(at - text), url))
        return fail(e, "a user or password that is too long or wrongly written");
    text = at != NULL ? at + 1 : text;
    if (!parse_host(text, (size_t)(end - text), url))
        return fail(e, "no host, or no port from 1 to 65535");
    if (slash != NULL && slash[1] != '\0' && (!units_parse_uint(slash + 1, &db) || db > 1000000))
        return fail(e, "no number of a database");
    url->db = (unsigned)db;
    return true;
}
