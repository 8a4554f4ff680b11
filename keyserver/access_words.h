// The text of an access policy as words: lines, comments, quotes. Pure.
#ifndef MEC_KEYSERVER_ACCESS_WORDS_H
#define MEC_KEYSERVER_ACCESS_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/report.h"

#define ACCESS_LINE_MAX 4096

struct access_words {
    const char *name; // of the file, for errors
    const char *at, *end;
    struct error *error;
    unsigned line;              // of the line at hand, from 1
    bool more;                  // it begins with a blank: it goes on with the statement before
    char text[ACCESS_LINE_MAX]; // the line
    char *next;                 // in text: what has not been taken
};

void access_words_init(struct access_words *w, const char *name, const char *text, size_t len,
                       struct error *e);

// Takes the next line that holds a word. 1; 0 at the end of the text; -1 when it cannot be a line (error set).
int access_words_line(struct access_words *w);
// Takes the next word of the line, up to a blank that is not in quotes; NULL at its end. Cut out of w->text.
char *access_words_next(struct access_words *w);
// Takes the next of the alternatives in *list, which a comma parts; in quotes it may hold commas and blanks. NULL at the end, or
// (error set, *list NULL) when there is an empty one, or a quote that does not end.
char *access_words_alternative(struct access_words *w, char **list);

// Sets the error: FILE:LINE: found `found`, expected ... . Always false.
bool access_words_fail(const struct access_words *w, unsigned line, const char *found, const char *expected);

#endif
