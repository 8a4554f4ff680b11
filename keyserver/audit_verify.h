// Checking audit logs (AUDIT.md): that every line is there, in its place and as it was written.
#ifndef MEC_KEYSERVER_AUDIT_VERIFY_H
#define MEC_KEYSERVER_AUDIT_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct audit_verify_settings {
    const char *const *files; // oldest first
    size_t count;
    const char *public_file; // heads must be signed by this key; NULL: signatures are not looked at
    const char *expect_head; // 64 hex digits, of a line that must be there; NULL: none
    bool open;               // the end need not be a head
    FILE *out;               // takes the findings
};

enum { AUDIT_WHOLE = 0, AUDIT_BROKEN = 1, AUDIT_UNREADABLE = 2 };

// Prints each fault as FILE:LINE: what was found, what was expected; notes; and a summary. What cannot be read at
// all is told on stderr.
int audit_verify(const struct audit_verify_settings *settings);

#endif
