// SKI bodies for the tests of their reader.
#ifndef MEC_TESTS_KEYSERVER_SKI_KIT_H
#define MEC_TESTS_KEYSERVER_SKI_KIT_H

#include "kit.h"

#define SKI_KIT_SPKI "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="

// Well-formed inputs and, as JSON strings, their Base64: made by ski_kit_setup(), a group setup.
extern uint8_t ski_kit_ecdhe_input[SKI_INPUT_MAX], ski_kit_rsa_input[256], ski_kit_tls13_input[SKI_INPUT_MAX];
extern char ski_kit_ecdhe_json[1024], ski_kit_rsa_json[1024], ski_kit_tls13_json[1024];
int ski_kit_setup(void **state);

// What the last parse filled.
extern struct ski_request ski_kit_got;
enum ski_status ski_kit_parse(enum ski_dialect dialect, const char *body, size_t len);
bool ski_kit_reads_text(enum ski_dialect dialect, const char *body);

// A request with members as JSON text; NULL leaves one out. `more` is put behind them.
struct ski_kit_members {
    const char *protocol, *spki, *method, *hash, *input, *more;
};
bool ski_kit_reads(enum ski_dialect dialect, struct ski_kit_members members);
struct ski_kit_members ski_kit_ecdhe(void); // good ones, to be changed
struct ski_kit_members ski_kit_rsa(void);

#endif
