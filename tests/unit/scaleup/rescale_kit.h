// For tests of librescale: the other side of its connection, driven line by line by the test, and a recorder of what the session calls back with.
// All waiting ends the test with a failure after a minute in which the machine did not stand still.
#ifndef MEC_TESTS_RESCALE_KIT_H
#define MEC_TESTS_RESCALE_KIT_H

#include <pthread.h>
#include <openssl/ssl.h>

#include "scaleup/rescale.h"

// A scaleupd that says what the test says.
struct kit_server {
    char address[160]; // for rescale_open()
    int listener, fd;  // -1: not there
    SSL_CTX *ctx;      // TLS; NULL: a Unix socket
    SSL *ssl;
    char in[65536];
    size_t in_len;
};

void kit_listen(struct kit_server *server, const char *path);
// On a free port of 127.0.0.1.
void kit_listen_tls(struct kit_server *server, const struct tls_files *files);
void kit_stop(struct kit_server *server);      // connection and listener
void kit_unlisten(struct kit_server *server);  // the listener
void kit_accept(struct kit_server *server);    // the next connection, instead of the one there is
bool kit_handshake(struct kit_server *server); // the next connection's TLS; false: it failed
void kit_hang_up(struct kit_server *server);

// The next line of the client as a message; pings are answered and left out, unless they are what is expected.
struct message kit_expect(struct kit_server *server, enum message_type type);
// The client ends the connection, after what else it says.
void kit_expect_end(struct kit_server *server);
// Nothing but pings comes within so many milliseconds.
void kit_expect_nothing(struct kit_server *server, int ms);
void kit_say(struct kit_server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));
void kit_say_bytes(struct kit_server *server, const void *data, size_t len);
// Accepts, takes the hello and says welcome: 256 MiB granted in blocks of 2 MiB.
struct message kit_welcome(struct kit_server *server, unsigned lease_ms);

struct kit_recorder {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct rescale_event events[256];
    size_t event_count, event_taken;
    struct response responses[1024];
    size_t response_count, response_taken;
};

void kit_recorder_init(struct kit_recorder *recorder);
void kit_on_event(void *arg, const struct rescale_event *event);
void kit_on_response(void *arg, const struct response *response);
// The next event of this type; others before it are passed over.
struct rescale_event kit_event(struct kit_recorder *recorder, enum rescale_event_type type);
struct response kit_response(struct kit_recorder *recorder); // the next one

#endif
