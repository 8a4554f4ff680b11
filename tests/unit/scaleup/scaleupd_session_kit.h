// The daemon's sockets with an owner that writes down what it hears, and clients of them. One thread: the clients turn the server's loop while they wait.
#ifndef MEC_TESTS_SCALEUPD_SESSION_KIT_H
#define MEC_TESTS_SCALEUPD_SESSION_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "scaleup/scaleupd_server.h"

#define HELLO_VNF      "{\"type\":\"hello\",\"version\":1,\"role\":\"vnf\",\"vnf\":\"ks1\"}\n"
#define HELLO_OPERATOR "{\"type\":\"hello\",\"version\":1,\"role\":\"operator\"}\n"
#define PING           "{\"type\":\"ping\"}\n"
#define KIT_HEARD      (1 << 16)

struct kit_owner {
    bool operators, refuse, strangers, often; // answers
    enum message_error_code code;
    unsigned hellos, messages, gone;
    uint64_t session; // of the last hello
    enum message_type type;
};
extern struct kit_owner owner;
extern char address[64]; // "unix:/...", of the server
extern struct scaleupd_server *server;
extern struct scaleupd_server_stats stats;
extern char heard[KIT_HEARD]; // what the server has said, NUL-terminated
extern size_t heard_len;

int kit_make_folder(void **state);
int kit_remove_folder(void **state);
void kit_start(uint64_t max_connections, uint64_t hello_timeout_ms);
void kit_stop(void);
void kit_turn(void); // the loop, once
int kit_dial(void);  // returns when it has been accepted
void kit_say_bytes(int fd, const char *text, size_t len);
void kit_say(int fd, const char *text);
// Reads what has come; true: there will be no more.
bool kit_end_of(int fd);
// All that the server says until it closes.
const char *kit_last_words(int fd);
bool kit_hears(int fd, const char *text);
bool kit_has_ended(void); // no connection is left

// Turns the loop until the condition holds. Turns are counted, of a millisecond, not time: a machine that stood still has not turned it.
#define UNTIL(condition)                                                                                     \
    do {                                                                                                     \
        for (unsigned turns = 0; !(condition); turns++) {                                                    \
            assert_true(turns < 60000);                                                                      \
            kit_turn();                                                                                      \
        }                                                                                                    \
    } while (0)

#define REFUSED(fd, code)                                                                                    \
    do {                                                                                                     \
        const char *words_ = kit_last_words(fd);                                                             \
        if (strstr(words_, "\"code\":\"" code "\"") == NULL)                                                 \
            fail_msg("expected %s, heard: %s", code, words_);                                                \
    } while (0)

#endif
