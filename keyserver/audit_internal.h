// The parts of the audit log behind its front (audit.h): one line, the thread that writes, its files, alarms.
#ifndef MEC_KEYSERVER_AUDIT_INTERNAL_H
#define MEC_KEYSERVER_AUDIT_INTERNAL_H

#include <stdatomic.h>
#include <sys/types.h>

#include "keyserver/audit.h"
#include "keyserver/audit_chain.h"

// ---- one line (audit_format.c). Bodies: without the closing brace, which comes with the chain. 0: does not fit.

// The member that tells requests of the migration listener from others, or nothing.
const char *audit_listener(const struct keyop *op);
size_t audit_format_operation(const struct keyop *op, char body[static AUDIT_BODY_MAX]);
// {"time":...,"event":"EVENT", the torn bytes if there are any, then ,MEMBERS (printf).
size_t audit_format_event(char body[static AUDIT_BODY_MAX], const char *event, const struct audit_torn *torn,
                          const char *members, ...) __attribute__((format(printf, 4, 5)));

// ---- the file (audit_file.c), the writer thread's alone

struct audit_file {
    const char *path;
    int fd;
    bool regular;  // else a device or a pipe: no tail, no rotation
    uint64_t size; // of a regular one
    bool mid_line; // it does not end with a newline
    bool ended;    // the chain that was found there had been closed by a head
    struct audit_chain chain;
    struct audit_torn torn;    // bytes that no line accounts for yet
    char copy[AUDIT_LINE_MAX]; // the head that the file has to begin with; copy_len 0: it does
    size_t copy_len;
};

// Opens path (made with mode 0640), locks it, and finds where its chain stands; one that does not exist goes on from
// the newest file of its rotation. False and *e: also when another process has it, or when there is something in it that
// is no chain.
bool audit_file_open(struct audit_file *file, const char *path, struct audit_hasher *hasher, struct error *e);
void audit_file_close(struct audit_file *file);
// Puts the present file aside as PATH.<seq, 12 digits> and begins a new one. The chain's last line is the
// head that the new one begins with. False and *e: the present one stays in use.
bool audit_file_rotate(struct audit_file *file, struct error *e);
// The file that is at the path now, if it is another one, for audit_file_replace(); -1: it is not. -2 and *e: cannot be
// used. Made when there is none.
int audit_file_renewed(const struct audit_file *file, struct error *e);
void audit_file_replace(struct audit_file *file, int fd);

// ---- the writer (audit_writer.c)

struct audit_counts {
    _Atomic uint64_t lines, dropped, refused, failures, writes, heads, rotations;
    _Atomic uint64_t waiting; // lines in the ring
    _Atomic uint64_t head_seq, seq;
    _Atomic bool failing;
};

struct audit_writer;

// settings are copied; path is not NULL. NULL and *e.
struct audit_writer *audit_writer_create(const struct audit_settings *settings, struct audit_counts *counts,
                                         struct error *e);
// Writes what waits and a last head.
void audit_writer_destroy(struct audit_writer **writer);
// Takes a copy of the body. op, unless NULL, is the writer's until settings.complete() gives it back: audited, or
// refused. False: the ring is full. Any thread, never waits for the file.
bool audit_writer_push(struct audit_writer *writer, const char *body, size_t len, struct keyop *op);
void audit_writer_reopen(struct audit_writer *writer);
void audit_writer_flush(struct audit_writer *writer);
// As audit_ask() and audit_stuck().
void audit_writer_ask(struct audit_writer *writer);
bool audit_writer_stuck(const struct audit_writer *writer);

// The operation ends as a fault of ours; its result is wiped.
void audit_refuse(struct keyop *op);

// ---- alarms (audit_alarm.c)

enum audit_alarm_kind {
    AUDIT_CIPHERTEXT_AGAIN,
    AUDIT_CIPHERTEXT_OTHER_EDGE,
    AUDIT_ERROR_SHARE,
    AUDIT_ALARMS
};

struct audit_alarm;
struct audit_alarm *audit_alarm_create(uint64_t window_ns, struct error *e);
void audit_alarm_destroy(struct audit_alarm **alarm);
// Looks at a finished operation. Returns the alarms that it raises, a bit each (1 << kind). Any thread.
unsigned audit_alarm_note(struct audit_alarm *alarm, const struct keyop *op, uint64_t now_ns);
const char *audit_alarm_word(enum audit_alarm_kind kind);

#endif
