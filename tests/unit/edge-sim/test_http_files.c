// The users' requests as read, and the border of the served folder.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge-sim/file_root.h"
#include "edge-sim/http_request.h"
#include "testkit.h"

static enum http_result parse(const char *text, struct http_request *r, size_t *used)
{
    size_t len = strlen(text);
    char *exact = malloc(len + 1);
    memcpy(exact, text, len);
    enum http_result result = http_request_read(exact, len, r, used);
    free(exact);
    return result;
}

// Ordinary requests: method, decoded path, persistence, presence of a body.
static void test_good_requests(void **state)
{
    (void)state;
    struct http_request r;
    size_t used;
    static const char get[] = "GET /a%20b/c.html?x=1%zz HTTP/1.1\r\nHost: h\r\n\r\nGET /next";
    assert_int_equal(parse(get, &r, &used), HTTP_REQUEST_OK);
    assert_int_equal(used, strlen(get) - 9);
    assert_int_equal(r.method, HTTP_GET);
    assert_string_equal(r.path, "/a b/c.html");
    assert_string_equal(r.raw_path, "/a%20b/c.html");
    assert_true(r.keep_alive);
    assert_false(r.has_body);
    for (size_t cut = 0; cut < used; cut++)
        assert_int_equal(http_request_read(get, cut, &r, &used), HTTP_REQUEST_MORE);
    assert_int_equal(parse("HEAD / HTTP/1.0\r\n\r\n", &r, &used), HTTP_REQUEST_OK);
    assert_int_equal(r.method, HTTP_HEAD);
    assert_false(r.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.1\r\nhost: h\r\nConnection: foo, Close\r\n\r\n", &r, &used),
                     HTTP_REQUEST_OK);
    assert_false(r.keep_alive);
    assert_int_equal(parse("GET https://h:1/x HTTP/1.1\r\nHost: h\r\n\r\n", &r, &used), HTTP_REQUEST_OK);
    assert_string_equal(r.path, "/x");
    assert_int_equal(parse("POST /f HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", &r, &used),
                     HTTP_REQUEST_OK);
    assert_int_equal(r.method, HTTP_OTHER);
    assert_true(r.has_body);
}

// Whatever is not HTTP/1.1 to the letter is refused.
static void test_bad_requests(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum http_result result;
    } cases[] = {
        {"\x16\x03\x01", HTTP_REQUEST_BAD},
        {"GET /\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", HTTP_REQUEST_VERSION},
        {"GET / HTTP/1.1\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_REQUEST_BAD},
        {"GET / HTTP/1.1\r\nHost: \x01\r\n\r\n", HTTP_REQUEST_BAD},
    };
    struct http_request r;
    size_t used;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(parse(cases[i].text, &r, &used), cases[i].result);
    static char big[HTTP_HEAD_MAX + 64];
    memset(big, 'a', sizeof big - 1);
    memcpy(big, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 28);
    assert_int_equal(parse(big, &r, &used), HTTP_REQUEST_LARGE);
    char path[HTTP_PATH_MAX + 64];
    int n = snprintf(path, sizeof path, "GET /%0*d HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_PATH_MAX, 0);
    assert_true(n > HTTP_PATH_MAX);
    assert_int_equal(parse(path, &r, &used), HTTP_REQUEST_URI);
    char many[HTTP_HEAD_MAX] = "GET / HTTP/1.1\r\nHost: h\r\n";
    for (unsigned i = 0; i < HTTP_FIELD_MAX; i++)
        strcat(many, "A: b\r\n");
    strcat(many, "\r\n");
    assert_int_equal(parse(many, &r, &used), HTTP_REQUEST_LARGE);
}

static char *dir;

static void put(const char *name, const char *text)
{
    free(kit_write_file(dir, name, text, strlen(text)));
}

static void make(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void linked(const char *name, const char *target)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(symlink(target, path), 0);
}

static int make_tree(void **state)
{
    (void)state;
    char path[512];
    dir = kit_make_dir();
    put("secret.txt", "outside");
    make("root");
    put("root/index.html", "<p>hello");
    put("root/a b.css", "b{}");
    put("root/.hidden", "x");
    make("root/sub");
    put("root/sub/index.html", "sub");
    make("root/empty");
    make("root/.well-known");
    put("root/.well-known/token", "t");
    linked("root/inside", "sub/index.html");
    linked("root/outside", "../secret.txt");
    linked("root/absolute", "/etc/passwd");
    linked("root/up", "..");
    (void)snprintf(path, sizeof path, "%s/root/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    kit_remove_dir(&dir);
    return 0;
}

typedef enum file_result (*finder)(const struct file_root *, const char *, struct file *);

static enum file_result find(finder f, const struct file_root *root, const char *path, off_t size)
{
    struct file file = {.fd = -1};
    enum file_result result = f(root, path, &file);
    if (result == FILE_FOUND) {
        assert_int_equal(file.size, size);
        (void)close(file.fd);
    }
    return result;
}

// Files and folders inside are found; nothing outside is, by dots, links, hidden names or odd paths; a FIFO
// does not block.
static void test_border(void **state)
{
    (void)state;
    char path[512];
    struct error e = {{0}};
    (void)snprintf(path, sizeof path, "%s/root", dir);
    struct file_root *root = file_root_open(path, &e);
    assert_non_null(root);
    const finder finders[] = {file_root_find, file_root_find_stepwise};
    for (size_t i = 0; i < 2; i++) {
        finder f = finders[i];
        assert_int_equal(find(f, root, "/", 8), FILE_FOUND);
        assert_int_equal(find(f, root, "/index.html", 8), FILE_FOUND);
        assert_int_equal(find(f, root, "/a b.css", 3), FILE_FOUND);
        assert_int_equal(find(f, root, "/sub/", 3), FILE_FOUND);
        assert_int_equal(find(f, root, "/sub", 0), FILE_ADD_SLASH);
        assert_int_equal(find(f, root, "/.well-known/token", 1), FILE_FOUND);
        assert_int_equal(find(f, root, "/inside", 3), i == 0 ? FILE_FOUND : FILE_MISSING);
        static const char *const missing[] = {
            "/empty/",
            "/none",
            "/.hidden",
            "/outside",
            "/absolute",
            "/up/secret.txt",
            "/../secret.txt",
            "/sub/../index.html",
            "/./index.html",
            "//index.html",
            "/sub//index.html",
            "/index.html/",
            "/fifo",
            "",
            "index.html",
            "/..",
        };
        for (size_t k = 0; k < sizeof missing / sizeof missing[0]; k++)
            assert_int_equal(find(f, root, missing[k], 0), FILE_MISSING);
    }
    file_root_close(&root);
    assert_null(file_root_open("/nonexistent/folder", &e));
    assert_non_null(strstr(e.text, "/nonexistent/folder"));
    assert_string_equal(file_content_type("/x/y.HTML"), "text/html; charset=utf-8");
    assert_string_equal(file_content_type("/x.html/y"), "application/octet-stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_requests),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test_setup_teardown(test_border, make_tree, remove_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
