// The key store as `certs` sees it: the folder itself when nobody has it open, or the control socket of the
// key server that has. Same calls, same promises either way:
//
//   - Writes queue up until store_flush(); a write whose outcome is still empty after it is durable on the
//   device.
//   - A get or scan after a flush sees what was written.
//
// One thread. After the connection to a key server broke, every call fails with that reason.
#ifndef MEC_CERTS_STORE_H
#define MEC_CERTS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/report.h"

#define STORE_SOCKET "control.sock" // in the store's folder

struct store;

enum store_status { STORE_OK, STORE_NOT_FOUND, STORE_FAILED };

// create: make the folder and its store when there is none. A store that is in use without answering on its
// socket is tried again for a second or two: a key server that is starting, or another `certs`. NULL and *e
// set on failure.
struct store *store_open(const char *dir, bool create, struct error *e);
// Whether a key server is in between.
bool store_online(const struct store *store);
// Whether the server in between opens what the master key with this id (16 hex digits) sealed; true without one. False, *e
// set: it does not, or cannot be asked.
bool store_accepts_key(struct store *store, const char *id, struct error *e);
// Flushes nothing: unflushed writes may be lost. Sets *store to NULL; NULL is fine.
void store_close(struct store **store);

// *value is freed with store_value_free(). expire_ms (may be NULL): Unix milliseconds, 0 never. Nothing may
// be queued.
enum store_status store_get(struct store *store, const char *key, size_t key_len, uint8_t **value,
                            size_t *len, uint64_t *expire_ms, struct error *e);
// Wipes, since a value may be a key in plain form.
void store_value_free(uint8_t **value, size_t len);

// Queue a write. *outcome, which must live until the next flush, gets the reason if it fails and is left
// alone if not, so that several writes may share one. Keys and values are copied.
void store_put(struct store *store, const char *key, size_t key_len, const uint8_t *value, size_t len,
               uint64_t expire_ms, struct error *outcome);
void store_delete(struct store *store, const char *key, size_t key_len,
                  struct error *outcome); // a missing key is fine
void store_expire(struct store *store, const char *key, size_t key_len, uint64_t expire_ms,
                  struct error *outcome);
// Makes all queued writes durable. False when any failed (their outcomes say why).
bool store_flush(struct store *store);

// A change that depends on what a key holds: watch the keys, then read them, then queue the writes, then commit. When anybody else changed
// or deleted a watched key in between, nothing is written and *changed is set: begin again. Otherwise as store_flush(). A folder has no
// other owner. Nothing may be queued at the first store_watch(), and nothing watched at a store_flush().
bool store_watch(struct store *store, const char *key, size_t key_len, struct error *e);
bool store_commit(struct store *store, bool *changed);

// Calls fn for every key, some perhaps twice; fn may not use the store. fn returning false ends the scan
// (true is returned).
typedef bool (*store_scan_fn)(void *arg, const char *key, size_t len);
bool store_scan(struct store *store, store_scan_fn fn, void *arg, struct error *e);

#endif
