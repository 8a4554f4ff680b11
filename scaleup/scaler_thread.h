// Between scaler.c (the thread) and scaler_status.c (what it shows).
#ifndef MEC_SCALEUP_SCALER_THREAD_H
#define MEC_SCALEUP_SCALER_THREAD_H

#include <pthread.h>

#include "scaleup/scaler_core.h"
#include "scaleup/scaler_mail.h"

struct scaler_metric; // scaler_status.c

struct scaler {
    // The thread's own; before it starts, of who starts it.
    struct scaler_core *core;
    struct limits *limits;
    struct scaler_store store;
    struct scaler_sample sample;
    struct policy_point curve[POLICY_CURVE_MAX];
    bool curve_due, limits_failed;
    uint64_t grow_to; // what the store was last let grow to
    bool growing;
    // Written before the thread starts.
    struct rescale_session *session; // NULL: alone
    char *address, *vnf;
    pthread_t thread;
    bool running;
    // Under the lock, which is never held while anything else is waited for.
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct scaler_mail mail;
    struct scaler_view view;
    struct policy_config policy; // of a reload, to be taken over
    uint64_t fixed_bytes;
    bool mailed, configured, stop;

    struct scaler_metric *metrics; // owned
};

void scaler_look(struct scaler *scaler, struct scaler_view *view); // any thread

#endif
