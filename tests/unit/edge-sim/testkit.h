// What the tests of the edge share: keys and certificates made on each run, a key server that holds them and
// answers SKI bodies, and a transport that asks it without a socket.
#ifndef MEC_TESTS_EDGE_SIM_TESTKIT_H
#define MEC_TESTS_EDGE_SIM_TESTKIT_H

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "edge-sim/ski_transport.h"

EVP_PKEY *kit_rsa_key(unsigned bits);
EVP_PKEY *kit_ec_key(const char *curve);
// A certificate for key with the DNS names of `names` ("a.example,DNS:b.example" form: X.509 SAN text).
// issuer NULL: self-signed CA.
X509 *kit_cert(EVP_PKEY *key, const char *cn, const char *san, X509 *issuer, EVP_PKEY *issuer_key);

// A temporary folder, removed with all in it by kit_remove_dir.
char *kit_make_dir(void);
void kit_remove_dir(char **dir);
// Writes a file in dir and returns its path (to be freed).
char *kit_write_file(const char *dir, const char *name, const void *data, size_t len);
char *kit_write_cert(const char *dir, const char *name, X509 *cert);
char *kit_write_key(const char *dir, const char *name, EVP_PKEY *key);

// What the key server does wrong on purpose.
enum kit_fault {
    KIT_NO_FAULT,
    KIT_REFUSE,          // 403
    KIT_WRONG_SIGNATURE, // a bit flipped in the last byte
    KIT_WRONG_VERSION,   // a premaster with another version in front
    KIT_SHORT_PREMASTER,
    KIT_EMPTY_OUTPUT,
};

#define KIT_KEYS 6

struct kit_keyserver {
    EVP_PKEY *keys[KIT_KEYS];
    char spki[KIT_KEYS][SKI_SPKI_TEXT];
    unsigned count;
    _Atomic enum kit_fault fault;
    _Atomic unsigned asked;
    char last_protocol[16], last_hash[16], last_scheme[32], last_client_version[16]; // of the last request
};

void kit_keyserver_add(struct kit_keyserver *server, X509 *cert, EVP_PKEY *key);
void kit_keyserver_clear(struct kit_keyserver *server);
// Answers one JSON body: the HTTP status, and output when 200.
unsigned kit_keyserver_answer(struct kit_keyserver *server, const char *body, size_t len, uint8_t *output,
                              size_t *output_len);

// A transport to it. delay_ms > 0: answers come from another thread that much later.
struct kit_transport {
    struct ski_transport transport;
    struct kit_keyserver *server;
    unsigned delay_ms;
    _Atomic bool held; // answers of the other thread wait until it is false
    _Atomic unsigned under_way;
};

void kit_transport_init(struct kit_transport *transport, struct kit_keyserver *server, unsigned delay_ms);
// Waits until no answer is outstanding.
void kit_transport_drain(struct kit_transport *transport);

#endif
