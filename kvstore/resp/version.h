// What HELLO and INFO say we are: clients choose commands and reply forms by it. The Redis whose texts and
// behaviour we have.
#ifndef MEC_KVSTORE_RESP_VERSION_H
#define MEC_KVSTORE_RESP_VERSION_H

#define RESP_REDIS_VERSION "7.0.15"

#endif
