// The threads that write the parts of a block, so that two large writes are under way while the next block is being filled.
#include "kvstore/kv_internal.h"

#include <errno.h>

bool kv_parts_init(struct kv_part_writers *parts)
{
    return pthread_mutex_init(&parts->lock, NULL) == 0 && pthread_cond_init(&parts->work, NULL) == 0 &&
           pthread_cond_init(&parts->done, NULL) == 0;
}

// A direct write that the file system refuses, or that came back short in the middle of a sector, goes through the page
// cache after all.
static int write_part(const struct kv_part *part)
{
    int error = kv_io_write(part->fd, part->bytes, part->len, part->offset);
    if (error == EINVAL && part->fd != part->buffered_fd)
        error = kv_io_write(part->buffered_fd, part->bytes, part->len, part->offset);
    return error;
}

static void *part_writer_main(void *arg)
{
    struct kv_part_writers *parts = arg;
    (void)pthread_mutex_lock(&parts->lock);
    for (;;) {
        while (parts->count == 0 && !parts->stop)
            (void)pthread_cond_wait(&parts->work, &parts->lock);
        if (parts->count == 0)
            break;
        struct kv_part part = parts->queue[parts->first];
        parts->first = (parts->first + 1) % KV_PARTS;
        parts->count--;
        parts->busy++;
        (void)pthread_mutex_unlock(&parts->lock);
        int error = write_part(&part);
        (void)pthread_mutex_lock(&parts->lock);
        parts->busy--;
        if (parts->error == 0)
            parts->error = error;
        (void)pthread_cond_broadcast(&parts->done);
    }
    (void)pthread_mutex_unlock(&parts->lock);
    return NULL;
}

// Starts the threads once. parts->lock is held. False: there is none.
static bool have_threads(struct kv_part_writers *parts)
{
    while (parts->started < KV_PART_THREADS &&
           pthread_create(&parts->threads[parts->started], NULL, part_writer_main, parts) == 0)
        parts->started++;
    return parts->started > 0;
}

void kv_parts_write(struct kv_part_writers *parts, const struct kv_part *part)
{
    (void)pthread_mutex_lock(&parts->lock);
    if (!have_threads(parts)) {
        int error = write_part(part);
        parts->error = parts->error == 0 ? error : parts->error;
        (void)pthread_mutex_unlock(&parts->lock);
        return;
    }
    while (parts->count == KV_PARTS)
        (void)pthread_cond_wait(&parts->done, &parts->lock);
    parts->queue[(parts->first + parts->count++) % KV_PARTS] = *part;
    (void)pthread_cond_signal(&parts->work);
    (void)pthread_mutex_unlock(&parts->lock);
}

int kv_parts_wait(struct kv_part_writers *parts)
{
    (void)pthread_mutex_lock(&parts->lock);
    while (parts->count + parts->busy > 0)
        (void)pthread_cond_wait(&parts->done, &parts->lock);
    int error = parts->error;
    parts->error = 0;
    (void)pthread_mutex_unlock(&parts->lock);
    return error;
}

void kv_parts_destroy(struct kv_part_writers *parts)
{
    (void)pthread_mutex_lock(&parts->lock);
    parts->stop = true;
    (void)pthread_cond_broadcast(&parts->work);
    (void)pthread_mutex_unlock(&parts->lock);
    for (unsigned i = 0; i < parts->started; i++)
        (void)pthread_join(parts->threads[i], NULL);
    (void)pthread_cond_destroy(&parts->done);
    (void)pthread_cond_destroy(&parts->work);
    (void)pthread_mutex_destroy(&parts->lock);
}
