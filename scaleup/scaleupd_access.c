#include "scaleup/scaleupd_access.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/tls.h"
#include "common/units.h"

#define RULE_MAX (ACCESS_CERT_MAX + 8)

// ---- rules

static bool user_id(const char *text, unsigned long *id)
{
    uint64_t number;
    if (units_parse_uint(text, &number)) {
        *id = (unsigned long)number;
        return number < (uid_t)-1; // -1 means "no user" to the kernel
    }
    const struct passwd *user = getpwnam(text);
    if (user != NULL)
        *id = user->pw_uid;
    return user != NULL;
}

static bool group_id(const char *text, unsigned long *id)
{
    uint64_t number;
    if (units_parse_uint(text, &number)) {
        *id = (unsigned long)number;
        return number < (gid_t)-1;
    }
    const struct group *group = getgrnam(text);
    if (group != NULL)
        *id = group->gr_gid;
    return group != NULL;
}

// tls_peer_name() puts '?' for what is not printable and "-" for no name: a rule must not be met by either.
static bool cert_is_good(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > ACCESS_CERT_MAX || strcmp(name, "-") == 0)
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || *c == '?')
            return false;
    return true;
}

static bool parse_rule(const char *text, struct access_rule *rule, struct error *e)
{
    *rule = (struct access_rule){0};
    if (strncmp(text, "uid:", 4) == 0) {
        rule->kind = ACCESS_USER;
        if (user_id(text + 4, &rule->id))
            return true;
        error_set(e, "%.64s: found no such user", text);
    } else if (strncmp(text, "gid:", 4) == 0) {
        rule->kind = ACCESS_GROUP;
        if (group_id(text + 4, &rule->id))
            return true;
        error_set(e, "%.64s: found no such group", text);
    } else if (strncmp(text, "cert:", 5) == 0) {
        rule->kind = ACCESS_CERT;
        if (!cert_is_good(text + 5))
            error_set(e,
                      "%.64s: expected the name of a certificate, 1 to %d printable characters without '?'",
                      text, ACCESS_CERT_MAX);
        else if ((rule->cert = strdup(text + 5)) != NULL)
            return true;
        else
            error_set(e, "out of memory");
    } else {
        error_set(e, "found \"%.64s\", expected uid:USER, gid:GROUP or cert:NAME", text);
    }
    return false;
}

static bool append(struct access_list *list, struct access_rule rule)
{
    struct access_rule *rules = realloc(list->rules, (list->count + 1) * sizeof *rules);
    if (rules == NULL) {
        free(rule.cert);
        return false;
    }
    list->rules = rules;
    rules[list->count++] = rule;
    return true;
}

static void shorten(struct access_list *list, size_t count)
{
    while (list->count > count)
        free(list->rules[--list->count].cert);
}

bool access_add(struct access_list *list, const char *text, struct error *e)
{
    size_t before = list->count;
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        char word[RULE_MAX];
        struct access_rule rule;
        (void)snprintf(word, sizeof word, "%.*s", (int)(len < RULE_MAX ? len : RULE_MAX), at);
        if (!parse_rule(word, &rule, e))
            break;
        if (!append(list, rule)) {
            error_set(e, "out of memory");
            break;
        }
        at += len;
        if (*at == '\0')
            return true;
    }
    shorten(list, before);
    return false;
}

bool access_add_user(struct access_list *list, uid_t uid)
{
    return append(list, (struct access_rule){.kind = ACCESS_USER, .id = uid});
}

void access_release(struct access_list *list)
{
    shorten(list, 0);
    free(list->rules);
    *list = (struct access_list){0};
}

// ---- decisions

static bool in_group(const struct access_peer *peer, unsigned long id)
{
    if (peer->gid == id)
        return true;
    for (size_t i = 0; i < peer->group_count; i++)
        if (peer->groups[i] == id)
            return true;
    return false;
}

static bool rule_allows(const struct access_rule *rule, const struct access_peer *peer)
{
    switch (rule->kind) {
    case ACCESS_USER:
        return peer->has_user && peer->uid == rule->id;
    case ACCESS_GROUP:
        return peer->has_user && in_group(peer, rule->id);
    case ACCESS_CERT:
        return !peer->has_user && strcmp(peer->cert, rule->cert) == 0;
    }
    return false;
}

bool access_allows(const struct access_list *list, const struct access_peer *peer)
{
    for (size_t i = 0; i < list->count; i++)
        if (rule_allows(&list->rules[i], peer))
            return true;
    return false;
}

bool access_names_user(const struct access_list *list, uid_t uid)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->rules[i].kind == ACCESS_USER && list->rules[i].id == uid)
            return true;
    return false;
}

bool access_names_others(const struct access_list *list, uid_t uid)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct access_rule *rule = &list->rules[i];
        if (rule->kind == ACCESS_GROUP || (rule->kind == ACCESS_USER && rule->id != uid))
            return true;
    }
    return false;
}

// ---- peers

// The groups that the peer had when it connected. Without them (an old kernel) only its own group counts.
static void read_groups(int fd, struct access_peer *peer)
{
#ifdef SO_PEERGROUPS
    socklen_t len = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE || len == 0)
        return;
    gid_t *groups = malloc(len);
    if (groups != NULL && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
        peer->groups = groups;
        peer->group_count = len / sizeof *groups;
    } else {
        free(groups);
    }
#else
    (void)fd;
    (void)peer;
#endif
}

bool access_peer_of_socket(int fd, struct access_peer *peer)
{
    struct ucred user;
    socklen_t len = sizeof user;
    *peer = (struct access_peer){0};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &len) != 0 || len != sizeof user ||
        user.uid == (uid_t)-1)
        return false;
    peer->has_user = true;
    peer->uid = user.uid;
    peer->gid = user.gid;
    read_groups(fd, peer);
    return true;
}

void access_peer_of_tls(const SSL *ssl, struct access_peer *peer)
{
    *peer = (struct access_peer){0};
    (void)tls_peer_name(ssl, peer->cert, sizeof peer->cert);
}

void access_peer_release(struct access_peer *peer)
{
    free(peer->groups);
    *peer = (struct access_peer){0};
}

char *access_peer_format(const struct access_peer *peer, char *buf, size_t len)
{
    if (peer->has_user)
        (void)snprintf(buf, len, "uid:%lu", (unsigned long)peer->uid);
    else
        (void)snprintf(buf, len, "cert:%s", peer->cert[0] != '\0' ? peer->cert : "-");
    return buf;
}
