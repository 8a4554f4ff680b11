// The blocking forms: asking, and sleeping until the session's thread has the final answer, which it always has in the end.
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "scaleup/rescale_internal.h"

// On the stack of who waits. The last that the session's thread does with it is to unlock.
struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
    struct response response;
    struct message *status; // where the answer goes
    struct error why;       // "": there is one
};

static void waiter_init(struct waiter *w)
{
    memset(w, 0, sizeof *w);
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->wake, NULL);
}

static void waiter_wait(struct waiter *w)
{
    (void)pthread_mutex_lock(&w->lock);
    while (!w->done)
        (void)pthread_cond_wait(&w->wake, &w->lock);
    (void)pthread_mutex_unlock(&w->lock);
}

static void waiter_deinit(struct waiter *w)
{
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
}

static void on_response(void *arg, const struct response *response)
{
    struct waiter *w = arg;
    if (!response->final)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->response = *response;
    w->done = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

static void on_status(void *arg, struct message *answer, const char *why)
{
    struct waiter *w = arg;
    (void)pthread_mutex_lock(&w->lock);
    if (answer != NULL)
        *w->status = *answer;
    else
        error_set(&w->why, "%s", why);
    w->done = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

static struct response not_accepted(const struct rescale_request *request, const char *why)
{
    struct response response = {.state = STATE_ERROR, .final = true, .granularity = 1};
    if (request->id != NULL && message_name_is_good(request->id))
        (void)snprintf(response.id, sizeof response.id, "%s", request->id);
    (void)snprintf(response.detail, sizeof response.detail, "not accepted: %s", why);
    return response;
}

static struct response ask(struct rescale_session *session, const char *vnf,
                           const struct rescale_request *request)
{
    struct error e = {""};
    struct waiter w;
    if (rescale_is_own_thread(session))
        return not_accepted(request, "called by the session's own thread");
    struct rescale_item *item = rescale_item_create(vnf, request, &e);
    if (item == NULL)
        return not_accepted(request, e.text);
    waiter_init(&w);
    item->done = on_response;
    item->arg = &w;
    if (rescale_submit(session, item, &e))
        waiter_wait(&w);
    else
        w.response = not_accepted(request, e.text);
    waiter_deinit(&w);
    return w.response;
}

struct response rescale(struct rescale_session *session, const struct rescale_request *request)
{
    if (rescale_is_operator(session))
        return not_accepted(request, "an operator says whose memory it is");
    return ask(session, NULL, request);
}

struct response rescale_vnf(struct rescale_session *session, const char *vnf,
                            const struct rescale_request *request)
{
    if (!rescale_is_operator(session) || vnf == NULL)
        return not_accepted(request, "only operators rescale others' memory, and say whose");
    return ask(session, vnf, request);
}

bool rescale_status(struct rescale_session *session, const char *vnf, unsigned timeout_ms,
                    struct message *status, struct error *e)
{
    struct waiter w;
    memset(status, 0, sizeof *status);
    if (!rescale_is_operator(session) || rescale_is_own_thread(session)) {
        error_set(e, "status: only for operators, and not from the session's own thread");
        return false;
    }
    waiter_init(&w);
    w.status = status;
    struct rescale_item *item = rescale_item_create_status(vnf, timeout_ms, &w.why);
    if (item != NULL) {
        item->status = on_status;
        item->arg = &w;
    }
    if (item != NULL && rescale_submit(session, item, &w.why))
        waiter_wait(&w);
    waiter_deinit(&w);
    bool answered = w.done && w.why.text[0] == '\0';
    if (!answered)
        error_set(e, "status: %s", w.why.text);
    return answered;
}
