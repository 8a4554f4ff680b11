// The controller's book: who has been granted what, on disk. One JSON file, rewritten whole: temporary file, fsync, rename, fsync of the folder. With a
// SHA-256 over its content; locked against a second daemon.
#ifndef MEC_SCALEUP_BOOK_H
#define MEC_SCALEUP_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"
#include "scaleup/message.h"

#define BOOK_IDS        16   // finished requests remembered a VNF
#define BOOK_TARGET_MAX 2303 // characters of a back-end's target

struct book_request {
    message_name id;
    uint64_t target_bytes, min_bytes;
    enum message_state state; // its final one
};

struct book_vnf {
    message_name name;
    message_name backend;             // what its bytes were given by; "": not known (a book of version 1)
    char target[BOOK_TARGET_MAX + 1]; // and where (backend_target()); with a back-end only
    uint64_t granted_bytes;
    uint64_t committed_bytes;               // the most that the back-end may have been told: P3
    struct book_request finished[BOOK_IDS]; // the oldest first
    size_t finished_count;
    struct book_request pending; // id "": none under way
};

struct book {
    uint64_t pool_bytes, granularity;
    struct book_vnf *vnfs;
    size_t count;
};

struct book_file;

// Opens or makes the book's file (mode 0600; its folder must be the process's own) and locks it. *book gets its content (count 0: new), to be released with book_release().
// NULL and *e set: another daemon has it, it does not read, its sum does not hold.
struct book_file *book_open(const char *path, struct book *book, struct error *e);
// Durable when it returns true. False: *e; the old content stands.
bool book_write(struct book_file *file, const struct book *book, struct error *e);
void book_close(struct book_file **file);
void book_release(struct book *book);

// The file's bytes, for tests and fuzzing: pure.
char *book_format(const struct book *book, size_t *len);
bool book_parse(const char *bytes, size_t len, struct book *book, struct error *e);

#endif
