// Who may: only whom a rule names; what a rule may say; and what the kernel says of a peer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scaleup/scaleupd_access.h"

static struct access_list list;
static struct error why;

static void clear(void)
{
    access_release(&list);
}

static struct access_peer user(uid_t uid, gid_t gid)
{
    return (struct access_peer){.has_user = true, .uid = uid, .gid = gid};
}

static struct access_peer cert(const char *name)
{
    struct access_peer peer = {0};
    (void)snprintf(peer.cert, sizeof peer.cert, "%s", name);
    return peer;
}

static bool allows(struct access_peer peer)
{
    return access_allows(&list, &peer);
}

static void nobody_without_a_rule(void **state)
{
    (void)state;
    assert_false(allows(user(0, 0)));
    assert_false(allows(user(getuid(), getgid())));
    assert_false(allows(cert("ks1.example")));
    assert_false(allows(cert("")));
}

static void each_kind_of_rule(void **state)
{
    (void)state;
    assert_true(access_add(&list, "uid:1000,gid:50,cert:ks1.example", &why));
    assert_true(access_add(&list, "cert:spiffe://edge/ks2", &why)); // several texts add up
    assert_int_equal(list.count, 4);
    assert_true(allows(user(1000, 1)));
    assert_true(allows(user(7, 50)));
    assert_false(allows(user(7, 1000))); // the numbers of users and groups are not each other's
    assert_false(allows(user(50, 7)));
    assert_true(allows(cert("ks1.example")));
    assert_true(allows(cert("spiffe://edge/ks2")));
    assert_false(allows(cert("ks1.example.org")));
    assert_false(allows(cert("ks1")));
    assert_false(allows(cert("")));
    clear();
}

// A peer without credentials must not pass as user 0, nor one with them by a certificate's name.
static void kinds_of_peers_do_not_mix(void **state)
{
    (void)state;
    assert_true(access_add(&list, "uid:0,gid:0,cert:a", &why));
    assert_true(allows(cert("a")));
    assert_false(allows(cert("b")));
    struct access_peer odd = user(5, 5);
    (void)strcpy(odd.cert, "a");
    assert_false(allows(odd));
    clear();
}

static void supplementary_groups(void **state)
{
    (void)state;
    gid_t groups[] = {10, 50, 60};
    struct access_peer peer = user(7, 7);
    assert_true(access_add(&list, "gid:50", &why));
    assert_false(access_allows(&list, &peer));
    peer.groups = groups;
    peer.group_count = 3;
    assert_true(access_allows(&list, &peer));
    clear();
}

static void names_of_users(void **state)
{
    (void)state;
    assert_true(access_add(&list, "uid:root,gid:root", &why));
    assert_true(allows(user(0, 5)));
    assert_true(allows(user(5, 0)));
    clear();
}

static void refused_rules(void **state)
{
    static const char *const bad[] = {
        "",
        ",",
        "uid:",
        "uid:-1",
        "uid:4294967295",
        "uid:99999999999",
        "uid:no-such-user-here",
        "gid:x y",
        "uid:1,",
        ",uid:1",
        "uid:1,,gid:2",
        "user:1",
        "1000",
        "cert:",
        "cert:-",
        "cert:a?b",
        "cert:a b",
        "uid:1;gid:2",
        "CERT:a",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why.text[0] = '\0';
        if (access_add(&list, bad[i], &why))
            fail_msg("taken: %s", bad[i]);
        assert_int_not_equal(why.text[0], '\0');
        assert_int_equal(list.count, 0); // all of a text or nothing
    }
}

// A certificate's name is cut to what a peer holds: a rule must never be met by the beginning of a longer name.
static void long_names(void **state)
{
    char text[5 + ACCESS_CERT_MAX + 2];
    (void)state;
    memcpy(text, "cert:", 5);
    memset(text + 5, 'a', ACCESS_CERT_MAX);
    text[5 + ACCESS_CERT_MAX] = '\0';
    assert_true(access_add(&list, text, &why));
    assert_true(allows(cert(text + 5)));
    struct access_peer longer = {0};
    memset(longer.cert, 'a', sizeof longer.cert - 1);
    assert_false(access_allows(&list, &longer));
    clear();
    text[5 + ACCESS_CERT_MAX] = 'a';
    text[6 + ACCESS_CERT_MAX] = '\0';
    assert_false(access_add(&list, text, &why));
}

static void who_else_is_named(void **state)
{
    (void)state;
    assert_false(access_names_others(&list, 1000));
    assert_true(access_add(&list, "uid:1000,cert:ks1", &why));
    assert_false(access_names_others(&list, 1000)); // certificates need no Unix socket
    assert_true(access_add(&list, "gid:50", &why));
    assert_true(access_names_others(&list, 1000));
    assert_true(access_names_user(&list, 1000));
    assert_false(access_names_user(&list, 50)); // that is a group
    clear();
    assert_true(access_add_user(&list, 7));
    assert_true(access_names_others(&list, 1000));
    clear();
}

static void peer_of_a_socket(void **state)
{
    int pair[2];
    struct access_peer peer;
    char text[64], expected[64];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_true(access_peer_of_socket(pair[0], &peer));
    assert_int_equal(peer.uid, geteuid());
    assert_int_equal(peer.gid, getegid());
    (void)snprintf(expected, sizeof expected, "uid:%lu", (unsigned long)geteuid());
    assert_string_equal(access_peer_format(&peer, text, sizeof text), expected);
    access_peer_release(&peer);
    (void)close(pair[0]);
    (void)close(pair[1]);
    int inet = socket(AF_INET, SOCK_STREAM, 0);
    if (inet >= 0) {
        if (access_peer_of_socket(inet, &peer)) // whatever the kernel says of TCP, it is no user's right
            assert_int_equal(peer.group_count, 0);
        access_peer_release(&peer);
        (void)close(inet);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_without_a_rule),
        cmocka_unit_test(each_kind_of_rule),
        cmocka_unit_test(kinds_of_peers_do_not_mix),
        cmocka_unit_test(supplementary_groups),
        cmocka_unit_test(names_of_users),
        cmocka_unit_test(refused_rules),
        cmocka_unit_test(long_names),
        cmocka_unit_test(who_else_is_named),
        cmocka_unit_test(peer_of_a_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
