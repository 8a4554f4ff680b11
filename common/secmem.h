// Memory for secrets: locked into RAM, left out of core dumps, wiped when freed. It is OpenSSL's secure heap,
// so the private numbers of decoded keys live in it as well. Besides, every block that OpenSSL frees on the
// ordinary heap is wiped (premasters inside TLS, PEM buffers, Montgomery forms of primes).
#ifndef MEC_COMMON_SECMEM_H
#define MEC_COMMON_SECMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

// Reserves the heap. Must be the first use of OpenSSL in the process. bytes is rounded up to a power of two.
// True also when the memory could not be locked (a small RLIMIT_MEMLOCK): then *locked is false and the
// caller warns.
bool secmem_setup(size_t bytes, bool *locked, struct error *e);

// No core dumps (RLIMIT_CORE 0; and nothing of its own memory in one, should that be raised), not dumpable (no ptrace by the same user), no new privileges. Warnings go to
// the log; a failure is false.
bool process_harden(struct error *e);

// Zeroed secret memory; NULL when the secure heap is full (never falls back to ordinary memory once it is set
// up; without secmem_setup(), as in tests, ordinary memory that is wiped). len may not be 0. Any thread.
void *secmem_alloc(size_t len);

// Wipes and frees; NULL is fine. Sets *ptr to NULL. len: as allocated.
void secmem_free(void *ptr_to_pointer, size_t len);

// Between the two, what OpenSSL allocates on this thread comes from the secure heap as far as that has room, and stays
// there until it is freed. For what it derives from a private key on the ordinary heap: an RSA operation copies primes
// into Montgomery contexts, which it keeps, and works on powers. They do not nest. A thread keeps up to 64 KiB
// of freed blocks for its next time, wiped, until secmem_release_kept().
void secmem_begin(void);
void secmem_end(void);
void secmem_release_kept(void);
// Leaves this thread's stack out of core dumps: OpenSSL puts copies of exponents there while it computes.
void secmem_hide_stack(void);

size_t secmem_used(void);

// Makes libevent wipe every block it frees. Before the first use of libevent in the process.
void secmem_wrap_libevent(void);

#endif
