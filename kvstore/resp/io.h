// The bytes of a connection, in clear or over TLS. Never waits.
#ifndef MEC_KVSTORE_RESP_IO_H
#define MEC_KVSTORE_RESP_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/ssl.h>

#include "kvstore/resp/out.h"

enum resp_io_status {
    RESP_IO_DONE,
    RESP_IO_WAIT_READ,  // until the socket is readable
    RESP_IO_WAIT_WRITE, // or writable
    RESP_IO_END,        // the peer sends no more
    RESP_IO_FAILED,
};

struct resp_io {
    int fd;
    SSL *ssl;    // NULL: in clear
    bool shaken; // the TLS handshake is done
};

// Takes over fd. ctx NULL: in clear. False without memory; fd is then still the caller's.
bool resp_io_init(struct resp_io *io, int fd, SSL_CTX *ctx);
void resp_io_close(struct resp_io *io); // says goodbye in TLS, without waiting

// The handshake, as far as it goes now. In clear: done.
enum resp_io_status resp_io_handshake(struct resp_io *io);

// DONE: *got bytes, at least one. len is a TLS record at least, so that none is left where no event of the socket tells of it.
enum resp_io_status resp_io_read(struct resp_io *io, void *buf, size_t len, size_t *got);
// Writes what is at the front and drops it. DONE: nothing is left.
enum resp_io_status resp_io_write(struct resp_io *io, struct resp_out *out);

#endif
