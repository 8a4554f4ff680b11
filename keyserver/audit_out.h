// What goes out to the file of an audit log: a batch of lines that are chained as they are put in, written by one system
// call, and what became of each. The writer thread's alone (audit_writer.c).
//
// A line counts when all its bytes are in the file. What a failed write leaves of a line is torn: it stays, and the next
// line that gets through tells of it.
#ifndef MEC_KEYSERVER_AUDIT_OUT_H
#define MEC_KEYSERVER_AUDIT_OUT_H

#include "keyserver/audit_internal.h"

enum {
    BATCH_LINES = 256, // of the ring; a batch has a few of its own besides
    OWN_LINES = 4      // copy of a head, start, dropped, head
};

enum mark_kind { MARK_SLOT, MARK_COPY, MARK_START, MARK_DROPPED, MARK_HEAD };

// A line in a batch.
struct mark {
    enum mark_kind kind;
    size_t end; // behind it, without its newline
    struct audit_chain after;
    bool tells_torn;
};

struct batch {
    size_t len, count;   // bytes; marks
    size_t skip;         // a newline in front, which ends a half line
    uint64_t drops_told; // by its line about dropped ones
    struct audit_chain chain;
    struct mark marks[BATCH_LINES + OWN_LINES];
    char bytes[1 + (BATCH_LINES + OWN_LINES) * AUDIT_LINE_MAX];
};

struct audit_out {
    struct audit_settings settings;
    struct audit_counts *counts;
    struct audit_file file;
    struct audit_hasher *hasher;
    EVP_PKEY *key;
    char signer[AUDIT_SIGNER_LEN + 1];
    bool start_due;                         // no line says yet that this server began
    uint64_t lines_since_head, head_due_ns; // 0: no line since
    uint64_t rotate_at;                     // bytes
    uint64_t retry_ns;                      // while writing fails: the next try; else 0
    uint64_t told_ns;                       // when the log was told of a failure; 0: never
    bool told;                              // and not yet of its end
    struct batch batch;
};

// *w is zeroed. False and *e; audit_out_close() either way.
bool audit_out_open(struct audit_out *w, const struct audit_settings *settings, struct audit_counts *counts,
                    struct error *e);
void audit_out_close(struct audit_out *w);

// A batch: first what must come before lines (a head's copy, the start, what was torn, with so many dropped lines), then up
// to BATCH_LINES lines, then what is due behind them. False: the line cannot be made (memory); the batch is to be written
// with `made` false.
bool audit_out_first(struct audit_out *w, uint64_t dropped);
bool audit_out_line(struct audit_out *w, const char *body, size_t len);
bool audit_out_dropped(struct audit_out *w, uint64_t dropped);
bool audit_out_head_if_due(struct audit_out *w, uint64_t now_ns);
// Writes it and settles the books. Returns how many of batch.marks are whole lines in the file now.
size_t audit_out_write(struct audit_out *w, bool made);

// Another file when this one is large enough; when asked; and a last head.
void audit_out_rotate_if_due(struct audit_out *w);
void audit_out_reopen(struct audit_out *w);
void audit_out_stop(struct audit_out *w, uint64_t dropped);

#endif
