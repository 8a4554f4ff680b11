// Addresses and listening sockets.
#ifndef MEC_COMMON_NET_H
#define MEC_COMMON_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "common/report.h"

#define NET_ADDR_TEXT 128

struct net_addr {
    struct sockaddr_storage ss;
    socklen_t len;
};

// "127.0.0.1:8443", "[::1]:8443", "localhost:8443", "*:8443" (any IPv4 and IPv6 address), "unix:/path". Port
// 0 is allowed. Names are resolved (may block).
bool net_addr_parse(const char *text, struct net_addr *addr, struct error *e);

// The same for the value of an option, with "--OPTION: " in front of the error. A text that is
// NULL is fine, as the option was not given: *addr is zeroed.
bool net_addr_parse_option(const char *option, const char *text, struct net_addr *addr, struct error *e);

// "127.0.0.1:8443" or "unix:/path"; returns buf.
char *net_addr_format(const struct sockaddr *sa, socklen_t len, char buf[static NET_ADDR_TEXT]);

// Whether only this machine can reach it: 127.0.0.0/8, ::1 and its IPv4-mapped kin, Unix sockets.
bool net_addr_is_loopback(const struct net_addr *addr);

// A non-blocking, close-on-exec listening socket (SO_REUSEADDR; a Unix socket gets mode 0600 and replaces a
// dead one), or -1 with *e set. *bound (may be NULL) gets the real address, with the port chosen when it was
// 0.
int net_listen(const struct net_addr *addr, int backlog, struct net_addr *bound, struct error *e);

// A connected socket, or -1. Blocking connect with a timeout; the socket is left blocking. TCP_NODELAY set.
int net_connect(const struct net_addr *addr, unsigned timeout_ms, struct error *e);

// Splits "https://HOST:PORT" (port optional: 443; IPv6 in brackets) into host (without brackets) and
// "host:port" form.
bool net_url_parse(const char *url, char *host, size_t host_len, char *host_port, size_t host_port_len,
                   struct error *e);

#endif
