// Addresses as text. Every message starts with the text it is about.
#include "common/net.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "common/units.h"

#define MAX_HOST 256

static bool parse_unix(const char *text, struct net_addr *addr, struct error *e)
{
    const char *path = text + strlen("unix:");
    struct sockaddr_un *un = (struct sockaddr_un *)&addr->ss;
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof un->sun_path) {
        error_set(e, "%s: expected unix:PATH with a path of 1 to %zu characters, found %zu", text,
                  sizeof un->sun_path - 1, len);
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return true;
}

// Splits HOST:PORT or [IPV6]:PORT; *port is where the port's text starts (after the colon), NULL when there
// is none.
static bool split_host_port(const char *text, char *host, size_t host_len, const char **port)
{
    const char *start = text, *end;
    if (text[0] == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (end == NULL || (end[1] != ':' && end[1] != '\0'))
            return false;
        *port = end[1] == ':' ? end + 2 : NULL;
    } else {
        end = strchr(text, ':');
        *port = end != NULL ? end + 1 : NULL;
        if (end == NULL)
            end = text + strlen(text);
        else if (strchr(end + 1, ':') != NULL)
            return false; // an IPv6 address without brackets
    }
    size_t len = (size_t)(end - start);
    if (len == 0 || len >= host_len)
        return false;
    memcpy(host, start, len);
    host[len] = '\0';
    return true;
}

static bool parse_port(const char *text, uint64_t *port)
{
    return units_parse_uint(text, port) && *port <= 65535 && strlen(text) <= 5;
}

static void set_any(uint16_t port, struct net_addr *addr)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr->ss;
    in6->sin6_family = AF_INET6;
    in6->sin6_addr = in6addr_any;
    in6->sin6_port = htons(port);
    addr->len = sizeof *in6;
}

// A name may have several addresses and we keep one: IPv4 before IPv6, since a server on 127.0.0.1 or 0.0.0.0
// is the more common.
static bool resolve(const char *text, const char *host, const char *port, struct net_addr *addr,
                    struct error *e)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0) {
        error_set(e, "%s: resolve %s: %s", text, host, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
        return false;
    }
    const struct addrinfo *chosen = list;
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
        if (ai->ai_family == AF_INET) {
            chosen = ai;
            break;
        }
    memcpy(&addr->ss, chosen->ai_addr, chosen->ai_addrlen);
    addr->len = chosen->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

bool net_addr_parse(const char *text, struct net_addr *addr, struct error *e)
{
    memset(addr, 0, sizeof *addr);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text, addr, e);

    char host[MAX_HOST];
    const char *port_text = NULL;
    uint64_t port = 0;
    if (!split_host_port(text, host, sizeof host, &port_text) || port_text == NULL) {
        error_set(e, "%s: expected HOST:PORT, [IPV6]:PORT, *:PORT or unix:PATH", text);
        return false;
    }
    if (!parse_port(port_text, &port)) {
        error_set(e, "%s: port: found \"%s\", expected 0 to 65535", text, port_text);
        return false;
    }
    if (strcmp(host, "*") != 0)
        return resolve(text, host, port_text, addr, e);
    set_any((uint16_t)port, addr);
    return true;
}

bool net_addr_parse_option(const char *option, const char *text, struct net_addr *addr, struct error *e)
{
    struct error why;
    memset(addr, 0, sizeof *addr);
    if (text == NULL || net_addr_parse(text, addr, &why))
        return true;
    error_set(e, "--%s: %.400s", option, why.text);
    return false;
}

static char *format_unix(const struct sockaddr_un *un, socklen_t len, char buf[static NET_ADDR_TEXT])
{
    size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t path_len = len > start ? len - start : 0;
    if (path_len > 0 && un->sun_path[0] == '\0') // Linux's abstract names
        (void)snprintf(buf, NET_ADDR_TEXT, "unix:@%.*s", (int)path_len - 1, un->sun_path + 1);
    else
        (void)snprintf(buf, NET_ADDR_TEXT, "unix:%.*s", (int)path_len, un->sun_path);
    for (char *p = buf; *p != '\0'; p++) // a peer gives its socket any name; logs have it in quotes
        if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
            *p = '?';
    return buf;
}

char *net_addr_format(const struct sockaddr *sa, socklen_t len, char buf[static NET_ADDR_TEXT])
{
    if (sa->sa_family == AF_UNIX)
        return format_unix((const struct sockaddr_un *)sa, len, buf);

    char host[NET_ADDR_TEXT - 16], port[8];
    if (getnameinfo(sa, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(buf, NET_ADDR_TEXT, "?");
        return buf;
    }
    static const char mapped[] = "::ffff:"; // an IPv4 peer on a socket for both
    if (sa->sa_family == AF_INET)
        (void)snprintf(buf, NET_ADDR_TEXT, "%s:%s", host, port);
    else if (strncmp(host, mapped, sizeof mapped - 1) == 0 && strchr(host, '.') != NULL)
        (void)snprintf(buf, NET_ADDR_TEXT, "%s:%s", host + sizeof mapped - 1, port);
    else
        (void)snprintf(buf, NET_ADDR_TEXT, "[%s]:%s", host, port);
    return buf;
}

// Letters, digits and the few marks of names and addresses: nothing that could change a header or a log line.
static bool host_is_clean(const char *host)
{
    for (const char *p = host; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr(".-_:%", *p) == NULL)
            return false;
    return true;
}

bool net_url_parse(const char *url, char *host, size_t host_len, char *host_port, size_t host_port_len,
                   struct error *e)
{
    static const char scheme[] = "https://";
    char rest[MAX_HOST + 16], name[MAX_HOST];
    const char *port_text = NULL;
    uint64_t port = 443;
    size_t len = strlen(url);
    bool valid = strncasecmp(url, scheme, sizeof scheme - 1) == 0 && len < sizeof rest;
    if (valid) {
        (void)snprintf(rest, sizeof rest, "%s", url + sizeof scheme - 1);
        len = strlen(rest);
        if (len > 0 && rest[len - 1] == '/')
            rest[len - 1] = '\0';
        valid = split_host_port(rest, name, sizeof name, &port_text) && host_is_clean(name) &&
                (rest[0] == '[' || strchr(name, ':') == NULL);
    }
    if (!valid) {
        error_set(e, "%.200s: expected https://HOST:PORT", url);
        return false;
    }
    if (port_text != NULL && (!parse_port(port_text, &port) || port == 0)) {
        error_set(e, "%.200s: port: found \"%s\", expected 1 to 65535", url, port_text);
        return false;
    }
    bool bracket = rest[0] == '[';
    char both[MAX_HOST + 16];
    (void)snprintf(both, sizeof both, "%s%s%s:%u", bracket ? "[" : "", name, bracket ? "]" : "",
                   (unsigned)port);
    if (strlen(name) >= host_len || strlen(both) >= host_port_len) {
        error_set(e, "%.200s: the host name is too long", url);
        return false;
    }
    (void)snprintf(host, host_len, "%s", name);
    (void)snprintf(host_port, host_port_len, "%s", both);
    return true;
}

bool net_addr_is_loopback(const struct net_addr *addr)
{
    const struct in6_addr *six = &((const struct sockaddr_in6 *)&addr->ss)->sin6_addr;
    if (addr->ss.ss_family == AF_UNIX)
        return true;
    if (addr->ss.ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)&addr->ss)->sin_addr.s_addr) >> 24) == 127;
    if (addr->ss.ss_family != AF_INET6)
        return false;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}
