// The store process of kvsoak: a thread for each connection, and nothing of what is right or wrong.
#include "tests/soak/soak.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool answer(struct soak_conn *conn)
{
    return send(conn->fd, &conn->answer, soak_answer_size(&conn->answer), MSG_NOSIGNAL) > 0;
}

static void *serve(void *arg)
{
    struct soak_conn *conn = arg;
    conn->key = malloc(KV_KEY_MAX);
    conn->scratch = malloc(KV_KEY_MAX);
    while (conn->key != NULL && conn->scratch != NULL &&
           recv(conn->fd, &conn->request, sizeof conn->request, 0) > 0) {
        bool alone = conn->request.op == SOAK_OPEN || conn->request.op == SOAK_CLOSE;
        (void)(alone ? pthread_rwlock_wrlock : pthread_rwlock_rdlock)(&conn->shared->lock);
        soak_perform(conn);
        (void)pthread_rwlock_unlock(&conn->shared->lock);
        if (!answer(conn))
            break;
    }
    free(conn->key);
    free(conn->scratch);
    return NULL;
}

static bool start_workers(struct soak_store *shared, int count, char **fds)
{
    for (int i = 0; i < count && i < 64; i++) {
        static struct soak_conn conns[64];
        struct soak_conn *conn = &conns[i];
        pthread_t thread;
        *conn = (struct soak_conn){.shared = shared, .fd = atoi(fds[i])};
        if (pthread_create(&thread, NULL, serve, conn) != 0)
            return false;
        (void)pthread_detach(thread);
    }
    return true;
}

int soak_store_main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGXFSZ, SIG_IGN); // a limit on file sizes shall be an error, not an end
    // Without this glibc learns from the first large values that are freed to keep the next ones.
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    static struct soak_store shared;
    shared.dir = argv[2];
    (void)pthread_rwlock_init(&shared.lock, NULL);
    void *page = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, atoi(argv[3]), 0);
    if (page == MAP_FAILED)
        return 2;
    shared.clock = page;
    static struct soak_conn control;
    control = (struct soak_conn){.shared = &shared, .fd = atoi(argv[4])};
    if (!start_workers(&shared, argc - 5, argv + 5)) {
        (void)fprintf(stderr, "kvsoak: store process: cannot start its threads\n");
        return 2;
    }
    (void)serve(&control);
    exit(0); // the checker has gone; a sanitizer looks for leaks now
}
