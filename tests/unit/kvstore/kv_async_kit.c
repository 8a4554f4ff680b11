#include "kv_async_kit.h"

#include <string.h>

void tally_init(struct tally *tally, struct kv_store *store)
{
    memset(tally, 0, sizeof *tally);
    tally->store = store;
    tally->caller = pthread_self();
    assert_int_equal(pthread_mutex_init(&tally->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&tally->changed, NULL), 0);
}

void tally_done(void *arg, enum kv_status status, const struct kv_view *view)
{
    struct pending *pending = arg;
    struct tally *tally = pending->tally;
    size_t len = pending->len != 0 ? pending->len : read_kit_len(pending->number, LEN);
    bool right = status == KV_OK && view->len == len && view->version != 0 &&
                 read_kit_is_value(pending->number, view->data, view->len);
    if (status == KV_OK) {
        struct kv_view owned = *view;
        kv_view_release(tally->store, &owned);
    }
    (void)pthread_mutex_lock(&tally->lock);
    pending->calls++;
    tally->called++;
    tally->right += right;
    tally->not_found += status == KV_NOT_FOUND;
    tally->failed[status]++;
    tally->on_callers_thread += pthread_equal(pthread_self(), tally->caller) != 0;
    (void)pthread_cond_signal(&tally->changed);
    (void)pthread_mutex_unlock(&tally->lock);
}

void tally_await(struct tally *tally)
{
    (void)pthread_mutex_lock(&tally->lock);
    while (tally->called < tally->pending)
        (void)pthread_cond_wait(&tally->changed, &tally->lock);
    (void)pthread_mutex_unlock(&tally->lock);
}
