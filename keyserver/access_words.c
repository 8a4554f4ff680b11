#include "keyserver/access_words.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

void access_words_init(struct access_words *w, const char *name, const char *text, size_t len,
                       struct error *e)
{
    w->name = name;
    w->at = text;
    w->end = text + len;
    w->error = e;
    w->line = 0;
    w->more = false;
    w->text[0] = '\0';
    w->next = w->text;
}

bool access_words_fail(const struct access_words *w, unsigned line, const char *found, const char *expected)
{
    char quoted[120];
    error_set(w->error, "%s:%u: found %s, expected %s", w->name, line,
              log_quote(found, quoted, sizeof quoted), expected);
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

// Ends the line at a comment: a '#' at its beginning or behind a blank, not in quotes. False: a quote does not end.
static bool cut_comment(char *text)
{
    bool quoted = false;
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '"')
            quoted = !quoted;
        if (*c == '#' && !quoted && (c == text || is_blank(c[-1]))) {
            *c = '\0';
            return true;
        }
    }
    return !quoted;
}

static void skip_blanks(struct access_words *w)
{
    while (is_blank(*w->next))
        w->next++;
}

static bool take_line(struct access_words *w)
{
    const char *end = memchr(w->at, '\n', (size_t)(w->end - w->at));
    size_t len = (size_t)((end != NULL ? end : w->end) - w->at);
    w->line++;
    if (len >= sizeof w->text)
        return access_words_fail(w, w->line, "a longer line", "at most 4095 bytes");
    if (memchr(w->at, '\0', len) != NULL)
        return access_words_fail(w, w->line, "a NUL byte", "text");
    memcpy(w->text, w->at, len);
    w->text[len] = '\0';
    w->at = end != NULL ? end + 1 : w->end;
    w->next = w->text;
    w->more = is_blank(w->text[0]);
    return cut_comment(w->text) || access_words_fail(w, w->line, w->text, "a quote that ends on its line");
}

int access_words_line(struct access_words *w)
{
    do {
        if (w->at == w->end)
            return 0;
        if (!take_line(w))
            return -1;
        skip_blanks(w);
    } while (*w->next == '\0');
    return 1;
}

char *access_words_next(struct access_words *w)
{
    skip_blanks(w);
    if (*w->next == '\0')
        return NULL;
    char *word = w->next;
    for (bool quoted = false; *w->next != '\0' && (quoted || !is_blank(*w->next)); w->next++)
        quoted ^= *w->next == '"';
    if (*w->next != '\0')
        *w->next++ = '\0';
    return word;
}

char *access_words_alternative(struct access_words *w, char **list)
{
    char *text = *list;
    if (text == NULL || *text == '\0')
        return NULL;
    char *end = text + strcspn(text, ",");
    if (*text == '"') {
        end = text + 1 + strcspn(text + 1, "\""); // the quotes of a line are in pairs
        text++;
        if (*end != '\0')
            *end++ = '\0';
    }
    bool last = *end == '\0';
    if ((!last && *end != ',') || (!last && end[1] == '\0') || *text == '\0' || end == text) {
        (void)access_words_fail(w, w->line, *text == '\0' || end == text ? "an empty value" : end,
                                "values with a comma between them, those with commas or blanks in quotes");
        *list = NULL;
        return NULL;
    }
    *end = '\0';
    if (strchr(text, '"') != NULL) {
        (void)access_words_fail(w, w->line, text, "quotes around a whole value");
        *list = NULL;
        return NULL;
    }
    *list = last ? end : end + 1;
    return text;
}
