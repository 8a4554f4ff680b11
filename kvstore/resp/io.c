#include "kvstore/resp/io.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>
#include <openssl/err.h>

#define PIECES     64u
#define PIECE_MOST (256u * 1024) // to TLS at once

bool resp_io_init(struct resp_io *io, int fd, SSL_CTX *ctx)
{
    *io = (struct resp_io){.fd = fd, .shaken = ctx == NULL};
    if (ctx == NULL)
        return true;
    io->ssl = SSL_new(ctx);
    if (io->ssl == NULL || SSL_set_fd(io->ssl, fd) != 1) {
        SSL_free(io->ssl);
        ERR_clear_error();
        return false;
    }
    SSL_set_accept_state(io->ssl);
    (void)SSL_set_mode(io->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return true;
}

void resp_io_close(struct resp_io *io)
{
    if (io->ssl != NULL && io->shaken)
        (void)SSL_shutdown(io->ssl);
    SSL_free(io->ssl);
    ERR_clear_error();
    io->ssl = NULL;
    if (io->fd >= 0)
        (void)close(io->fd);
    io->fd = -1;
}

// What a call of OpenSSL that did not succeed means.
static enum resp_io_status status_of(const struct resp_io *io, int result)
{
    int error = SSL_get_error(io->ssl, result);
    ERR_clear_error();
    switch (error) {
    case SSL_ERROR_WANT_READ:
        return RESP_IO_WAIT_READ;
    case SSL_ERROR_WANT_WRITE:
        return RESP_IO_WAIT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return RESP_IO_END;
    default:
        return RESP_IO_FAILED;
    }
}

enum resp_io_status resp_io_handshake(struct resp_io *io)
{
    if (io->shaken)
        return RESP_IO_DONE;
    ERR_clear_error();
    int result = SSL_do_handshake(io->ssl);
    io->shaken = result == 1;
    return io->shaken ? RESP_IO_DONE : status_of(io, result);
}

enum resp_io_status resp_io_read(struct resp_io *io, void *buf, size_t len, size_t *got)
{
    if (io->ssl != NULL) {
        ERR_clear_error();
        int result = SSL_read_ex(io->ssl, buf, len, got);
        return result == 1 ? RESP_IO_DONE : status_of(io, result);
    }
    ssize_t n;
    do
        n = recv(io->fd, buf, len, 0);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return RESP_IO_END;
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? RESP_IO_WAIT_READ : RESP_IO_FAILED;
    *got = (size_t)n;
    return RESP_IO_DONE;
}

static enum resp_io_status write_tls(struct resp_io *io, struct resp_out *out)
{
    struct iovec piece;
    while (resp_out_pieces(out, &piece, 1) == 1) {
        size_t written;
        ERR_clear_error();
        int result = SSL_write_ex(io->ssl, piece.iov_base,
                                  piece.iov_len < PIECE_MOST ? piece.iov_len : PIECE_MOST, &written);
        if (result != 1)
            return status_of(io, result);
        resp_out_drop(out, written);
    }
    return RESP_IO_DONE;
}

enum resp_io_status resp_io_write(struct resp_io *io, struct resp_out *out)
{
    if (io->ssl != NULL)
        return write_tls(io, out);
    struct iovec pieces[PIECES];
    while (out->length != 0) {
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = resp_out_pieces(out, pieces, PIECES)};
        ssize_t n = sendmsg(io->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? RESP_IO_WAIT_WRITE : RESP_IO_FAILED;
        resp_out_drop(out, (size_t)n);
    }
    return RESP_IO_DONE;
}
