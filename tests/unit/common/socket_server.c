#include "socket_server.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct client {
    struct socket_server *server;
    int fd;
};

static void *serve_client(void *arg)
{
    struct client *client = arg;
    client->server->serve(client->server->arg, client->fd);
    (void)close(client->fd);
    free(client);
    return NULL;
}

static void *accept_clients(void *arg)
{
    struct socket_server *server = arg;
    for (int fd; (fd = accept(server->listener, NULL, NULL)) >= 0;) {
        struct client *client = malloc(sizeof *client);
        unsigned n = atomic_fetch_add(&server->connections, 1);
        if (client == NULL || n >= SOCKET_SERVER_CLIENTS)
            abort();
        *client = (struct client){server, fd};
        if (pthread_create(&server->clients[n], NULL, serve_client, client) != 0)
            abort();
    }
    return NULL;
}

void socket_server_start(struct socket_server *server, void (*serve)(void *arg, int fd), void *arg)
{
    struct net_addr any;
    *server = (struct socket_server){.serve = serve, .arg = arg};
    assert_true(net_addr_parse("127.0.0.1:0", &any, NULL));
    server->listener = net_listen(&any, 64, &server->addr, NULL);
    assert_true(server->listener >= 0);
    // net_listen() makes it non-blocking; the thread wants to wait
    assert_int_equal(fcntl(server->listener, F_SETFL, 0), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, accept_clients, server), 0);
}

void socket_server_stop(struct socket_server *server)
{
    (void)shutdown(server->listener, SHUT_RDWR);
    (void)pthread_join(server->thread, NULL);
    for (unsigned i = 0; i < server->connections; i++)
        (void)pthread_join(server->clients[i], NULL);
    (void)close(server->listener);
}

void socket_server_send(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}
