// The client against a real TLS server on loopback that behaves well and badly: every call ends exactly once,
// with the right status, in bounded time.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "edge-sim/ski_client.h"
#include "edge-sim/ski_conn.h"
#include "fakeserver.h"
#include "common/clock.h"

#define PATIENT_MS 120000 // of calls that are answered, however slow the machine

static struct kit_pki pki;
static struct kit_keyserver keys;
static struct fake_server *server;
static struct ski_client *client;
static EVP_PKEY *ec;
static const uint8_t input[133] = {1, 2, 3};

static int make_pki(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    kit_pki_create(&pki);
    ec = kit_ec_key("P-256");
    X509 *cert = kit_cert(ec, "site", "DNS:site.example", NULL, NULL);
    kit_keyserver_add(&keys, cert, ec);
    X509_free(cert);
    return 0;
}

static int remove_pki(void **state)
{
    (void)state;
    kit_keyserver_clear(&keys);
    EVP_PKEY_free(ec);
    kit_pki_remove(&pki);
    return 0;
}

static int start_server(void **state)
{
    (void)state;
    server = fake_server_start(&pki, &keys);
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    ski_client_destroy(&client);
    fake_server_stop(&server);
    return 0;
}

static void open_client(unsigned connections, unsigned in_flight, unsigned timeout_ms)
{
    struct error e = {{0}};
    struct tls_files files = kit_edge_files(&pki);
    struct ski_client_config config = {.connections = connections,
                                       .in_flight = in_flight,
                                       .timeout_ms = timeout_ms,
                                       .connect_timeout_ms = PATIENT_MS};
    client = ski_client_create(fake_server_url(server), &files, &config, &e);
    if (client == NULL)
        fail_msg("%s", e.text);
}

static struct ski_call *new_call(void)
{
    struct ski_call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    call->request = (struct ski_request){.protocol = "TLS 1.2",
                                         .spki = keys.spki[0],
                                         .method = SKI_METHOD_ECDHE,
                                         .hash = "SHA-256",
                                         .input = input,
                                         .input_len = sizeof input};
    return call;
}

static enum ski_status ask(void)
{
    struct ski_call *call = new_call();
    enum ski_status status = ski_client_call(client, call);
    if (status == SKI_OK) {
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        assert_int_equal(EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, ec), 1);
        assert_int_equal(EVP_DigestVerify(md, call->output, call->output_len, input, sizeof input), 1);
        EVP_MD_CTX_free(md);
    } else {
        assert_int_equal(call->output_len, 0);
    }
    free(call);
    return status;
}

// A call brings the key server's signature; errors of the key server come back as such.
static void test_answers(void **state)
{
    (void)state;
    open_client(1, 8, PATIENT_MS);
    assert_int_equal(ask(), SKI_OK);
    struct ski_call *call = new_call();
    call->request.spki = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_int_equal(ski_client_call(client, call), SKI_NOT_FOUND);
    call->request.input_len = 0; // cannot even be printed
    assert_int_equal(ski_client_call(client, call), SKI_MALFORMED);
    free(call);
    keys.fault = KIT_REFUSE;
    assert_int_equal(ask(), SKI_DENIED);
    keys.fault = KIT_NO_FAULT;
    fake_server_behave(server, FAKE_BUSY, 0);
    assert_int_equal(ask(), SKI_BUSY);
    fake_server_behave(server, FAKE_NOT_JSON, 0);
    assert_int_equal(ask(), SKI_BAD_ANSWER);
    fake_server_behave(server, FAKE_GOOD, 0);
    assert_int_equal(ask(), SKI_OK);
    assert_int_equal(fake_server_connections(server), 1);
}

struct batch {
    struct ski_call *calls[256];
    _Atomic unsigned done, by_status[SKI_STATUS_COUNT];
};

static void count_done(struct ski_call *call)
{
    struct batch *batch = call->arg;
    batch->by_status[call->status]++;
    batch->done++;
}

static void submit_batch(struct batch *batch, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        batch->calls[i] = new_call();
        batch->calls[i]->done = count_done;
        batch->calls[i]->arg = batch;
        ski_client_submit(client, batch->calls[i]);
    }
}

static void wait_batch(struct batch *batch, unsigned n)
{
    for (unsigned i = 0; i < 12000 && batch->done < n; i++)
        (void)usleep(10000);
    assert_true(batch->done >= n);
}

static void free_batch(struct batch *batch)
{
    for (unsigned i = 0; i < 256; i++)
        free(batch->calls[i]);
}

// Many calls at once go out pipelined, never more than the bound, and each gets its own answer.
static void test_pipelining(void **state)
{
    (void)state;
    struct batch batch = {.done = 0};
    open_client(2, 16, PATIENT_MS);
    assert_int_equal(ask(), SKI_OK);
    fake_server_behave(server, FAKE_COLLECTS, 0); // a client that waits for each answer waits for ever
    submit_batch(&batch, 200);
    wait_batch(&batch, 200);
    assert_int_equal(batch.by_status[SKI_OK], 200);
    assert_true(fake_server_most_waiting(server) > 1);
    assert_true(fake_server_most_waiting(server) <= 16);
    for (unsigned i = 0; i < 12000 && fake_server_connections(server) < 2; i++)
        (void)usleep(10000);
    assert_int_equal(fake_server_connections(server), 2);
    free_batch(&batch);
}

// A deadline that passes ends the call with SKI_TIMEOUT, not before, and not only when the answer comes; a late answer is
// not taken for that of a later call.
static void test_deadline(void **state)
{
    (void)state;
    open_client(1, 8, PATIENT_MS);
    assert_int_equal(ask(), SKI_OK);
    fake_server_behave(server, FAKE_HOLDS, 0);
    struct ski_call *slow = new_call();
    slow->timeout_ms = 100;
    uint64_t begin = clock_ns();
    assert_int_equal(ski_client_call(client, slow), SKI_TIMEOUT);
    uint64_t spent_ms = (clock_ns() - begin) / 1000000;
    assert_true(spent_ms >= 99);
    free(slow);
    fake_server_behave(server, FAKE_GOOD, 0);
    assert_int_equal(ask(), SKI_OK);
}

// A server that takes requests and says nothing: the deadline ends the call and the connection is replaced.
static void test_silent_server(void **state)
{
    (void)state;
    struct ski_client_stats stats;
    open_client(1, 8, PATIENT_MS);
    assert_int_equal(ask(), SKI_OK);
    fake_server_behave(server, FAKE_SILENT, 0);
    struct ski_call *unheard = new_call();
    unheard->timeout_ms = 200;
    assert_int_equal(ski_client_call(client, unheard), SKI_TIMEOUT);
    free(unheard);
    fake_server_behave(server, FAKE_GOOD, 0);
    assert_int_equal(ask(), SKI_OK);
    ski_client_stats(client, &stats);
    assert_true(stats.connected >= 2);
    assert_int_equal(stats.unanswered, fake_server_connections(server) >= 2 ? stats.unanswered : 0);
}

// A connection that dies before the answer: the call is sent once more and succeeds.
static void test_retry(void **state)
{
    (void)state;
    struct ski_client_stats stats;
    open_client(2, 8, PATIENT_MS);
    assert_int_equal(ask(), SKI_OK);
    fake_server_behave(server, FAKE_CLOSE_ONCE, 0);
    assert_int_equal(ask(), SKI_OK);
    ski_client_stats(client, &stats);
    assert_int_equal(stats.retried, 1);
    assert_int_equal(stats.unanswered, 0);
}

// It is sent once more, not for ever; and not when half an answer had come.
static void test_no_endless_retry(void **state)
{
    (void)state;
    struct ski_client_stats stats;
    open_client(1, 8, PATIENT_MS);
    assert_int_equal(ask(), SKI_OK);
    fake_server_behave(server, FAKE_CLOSE_BEFORE, 0);
    assert_int_equal(ask(), SKI_UNREACHABLE);
    ski_client_stats(client, &stats);
    assert_int_equal(stats.retried, 1);
    assert_int_equal(fake_server_requests(server), 3);
    fake_server_behave(server, FAKE_CLOSE_MID, 0);
    assert_int_equal(ask(), SKI_UNREACHABLE);
    ski_client_stats(client, &stats);
    assert_int_equal(stats.retried, 1);
    fake_server_behave(server, FAKE_GOOD, 0);
    assert_int_equal(ask(), SKI_OK);
}

// What is no HTTP, or more answers than requests, costs the connection and no more.
static void test_nonsense(void **state)
{
    (void)state;
    open_client(1, 8, PATIENT_MS);
    assert_int_equal(ask(), SKI_OK);
    fake_server_behave(server, FAKE_GARBAGE, 0);
    assert_int_equal(ask(), SKI_UNREACHABLE);
    fake_server_behave(server, FAKE_TWICE, 0);
    enum ski_status status = ask();
    assert_true(status == SKI_OK || status == SKI_UNREACHABLE);
    (void)usleep(50000);
    fake_server_behave(server, FAKE_GOOD, 0);
    assert_int_equal(ask(), SKI_OK);
}

// "Connection: close" is honoured: the next call uses a new connection, resumed from the session of the old
// one.
static void test_close_and_resumption(void **state)
{
    (void)state;
    open_client(1, 8, PATIENT_MS);
    fake_server_behave(server, FAKE_LAST, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(ask(), SKI_OK);
    assert_true(fake_server_connections(server) >= 4);
    assert_true(fake_server_resumed(server) >= 1);
}

// An edge that the server does not let in, and a server that is not there: the call ends at its deadline.
static void test_unreachable(void **state)
{
    (void)state;
    struct error e = {{0}};
    struct tls_files stranger = kit_edge_files(&pki);
    struct ski_client_config config = {.connections = 1, .timeout_ms = 300};
    stranger.cert_file = pki.stranger_cert;
    stranger.key_file = pki.stranger_key;
    client = ski_client_create(fake_server_url(server), &stranger, &config, &e);
    assert_non_null(client);
    // In TLS 1.3 a client hears that it is refused after its handshake, and may have sent the call by then.
    enum ski_status refused = ask();
    assert_true(refused == SKI_UNREACHABLE || refused == SKI_TIMEOUT);
    ski_client_destroy(&client);
    struct tls_files files = kit_edge_files(&pki);
    client = ski_client_create("https://127.0.0.1:1", &files, &config, &e);
    assert_non_null(client);
    assert_int_equal(ask(), SKI_UNREACHABLE);
    ski_client_destroy(&client);
    // A server whose certificate names somebody else is not talked to.
    char url[64];
    (void)snprintf(url, sizeof url, "https://localhost:%s", strrchr(fake_server_url(server), ':') + 1);
    client = ski_client_create(url, &files, &config, &e);
    assert_non_null(client);
    assert_int_equal(ask(), SKI_UNREACHABLE);
    assert_int_equal(fake_server_requests(server), 0);
    assert_null(ski_client_create("ftp://x", &files, &config, &e));
    files.key_file = "/nonexistent.key";
    assert_null(ski_client_create(fake_server_url(server), &files, &config, &e));
    assert_non_null(strstr(e.text, "/nonexistent.key"));
}

// Destroying the client ends what is under way and what waits, each once.
static void test_stop_with_calls_under_way(void **state)
{
    (void)state;
    struct batch batch = {.done = 0};
    open_client(1, 4, PATIENT_MS);
    assert_int_equal(ask(), SKI_OK);
    fake_server_behave(server, FAKE_SILENT, 0);
    submit_batch(&batch, 50);
    (void)usleep(50000);
    ski_client_destroy(&client);
    assert_int_equal(batch.done, 50);
    assert_int_equal(batch.by_status[SKI_STOPPED], 50);
    free_batch(&batch);
}

// The queue is bounded: beyond it a call is refused at once, not at its deadline.
static void test_bounded_queue(void **state)
{
    (void)state;
    struct error e = {{0}};
    struct batch batch = {.done = 0};
    struct tls_files files = kit_edge_files(&pki);
    struct ski_client_config config = {
        .connections = 1, .in_flight = 2, .timeout_ms = PATIENT_MS, .queue_max = 10};
    client = ski_client_create(fake_server_url(server), &files, &config, &e);
    assert_non_null(client);
    assert_int_equal(ask(), SKI_OK);
    fake_server_behave(server, FAKE_SILENT, 0);
    submit_batch(&batch, 100);
    wait_batch(&batch, 88); // all but two on the way and ten in the queue
    ski_client_destroy(&client);
    assert_int_equal(batch.done, 100);
    assert_in_range(batch.by_status[SKI_BUSY], 88, 90);
    assert_int_equal(batch.by_status[SKI_BUSY] + batch.by_status[SKI_STOPPED], 100);
    free_batch(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_pipelining, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_deadline, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_silent_server, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_retry, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_no_endless_retry, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_nonsense, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_close_and_resumption, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_unreachable, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_stop_with_calls_under_way, start_server, stop_all),
        cmocka_unit_test_setup_teardown(test_bounded_queue, start_server, stop_all),
    };
    return cmocka_run_group_tests(tests, make_pki, remove_pki);
}
