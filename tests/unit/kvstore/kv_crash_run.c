#include "kv_crash_kit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvstore/kv_internal.h"

struct crash_tally {
    uint64_t states, kills, nested, keys, kinds[KINDS];
    uint64_t snapshots, used; // crash states with an index snapshot, and those opened by it
    uint64_t ops, segments, removed;
    unsigned shown;
};
static struct crash_tally tally;
static bool verbose, any_names;
static const char *allow_list;
static char root[200];

static void show(enum crash_kind kind, uint32_t key, const struct crash_history *h,
                 const struct crash_allowed *a, const struct crash_seen *seen, const struct crash_how *crash,
                 uint64_t t, uint64_t now, const char *where)
{
    if (!crash_is_failure(kind) || !verbose || tally.shown >= 12)
        return;
    tally.shown++;
    fprintf(stderr,
            "%s key %u at %llu (%s%s, unit %u, newest %u%%): status %d value %u expire %llu; now %llu\n  "
            "allowed:",
            crash_kind_names[kind], key, (unsigned long long)t, where, crash->kill9 ? ", kill -9" : "",
            crash->unit, crash->newest, (int)seen->status, seen->value, (unsigned long long)seen->expire,
            (unsigned long long)now);
    for (size_t i = 0; i < a->count; i++)
        fprintf(stderr, "%s %u(%zu bytes)/%llu", i == a->first_new ? " |" : "", a->states[i].value,
                a->states[i].value != 0 ? crash_value_len(a->states[i].value) : 0,
                (unsigned long long)a->states[i].expire);
    fprintf(stderr, "\n  events:");
    size_t from = a->durable > 4 ? a->durable - 4 : 0;
    for (size_t i = from; i < h->count && i < a->durable + 4; i++)
        fprintf(stderr, " %c%u/%llu[%llu,%llu]%s", h->events[i].what, h->events[i].state.value,
                (unsigned long long)h->events[i].state.expire, (unsigned long long)h->events[i].begin,
                h->events[i].end == CRASH_NEVER ? 0ull : (unsigned long long)h->events[i].end,
                h->events[i].waits ? "" : "nw");
    fprintf(stderr, "\n");
}

static struct kv_store *open_left(const char *dir, const struct crash_plan *plan)
{
    struct kv_options options = crash_options(plan);
    char error[300];
    struct kv_store *store;
    if (kv_open(dir, &options, &store, error, sizeof error) == KV_OK)
        return store;
    tally.kinds[OPEN]++;
    if (verbose && tally.shown++ < 12)
        fprintf(stderr, "OPEN: %s\n", error);
    return NULL;
}

static void play_crashes(const struct crash_log *log, const struct crash_history histories[CRASH_KEYS],
                         const struct crash_syncs *syncs, const struct crash_plan *plan, unsigned states,
                         unsigned depth, struct crash_chance *chance);

// A second history on what a crash has left, with crashes of its own.
static void nested(const char *dir, const struct crash_log *log,
                   const struct crash_history histories[CRASH_KEYS], const struct crash_syncs *syncs,
                   const struct crash_plan *plan, uint64_t t, struct crash_chance *chance)
{
    (void)log;
    static struct crash_history later[CRASH_KEYS];
    static struct crash_syncs later_syncs = {.lock = PTHREAD_MUTEX_INITIALIZER};
    memset(later, 0, sizeof later);
    bool usable = true;
    for (uint32_t key = 0; key < CRASH_KEYS; key++) {
        static struct crash_allowed a;
        crash_allow_at(&histories[key], syncs, t, &a);
        usable = usable && a.count <= 64;
        later[key].base_count = a.count < 64 ? a.count : 64;
        memcpy(later[key].base, a.states, later[key].base_count * sizeof a.states[0]);
    }
    struct crash_log later_log = {0};
    if (usable && plan->record(plan, dir, &later_log, later, &later_syncs,
                               crash_roll(chance, 2) == 0 ? 0 : plan->ops / 10, chance->state, false)) {
        tally.nested++;
        play_crashes(&later_log, later, &later_syncs, plan, 6, 0, chance);
    }
    crash_log_free(&later_log);
    for (uint32_t key = 0; key < CRASH_KEYS; key++)
        free(later[key].events);
}

// Which of a key's values are in a folder's segments.
static void find_values(const char *dir, uint32_t key, const struct crash_history *h, bool *found)
{
    struct crash_image images[64];
    size_t count = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL && count < 64;) {
        char path[600];
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (strstr(e->d_name, ".seg") != NULL)
            crash_image_load(&images[count++], path);
    }
    if (d != NULL)
        (void)closedir(d);
    for (size_t i = 0; i < h->count; i++) {
        uint8_t value[CRASH_VALUE_MAX];
        uint32_t number = h->events[i].state.value;
        size_t len = number != 0 ? crash_make_value(key, number, value) : 0;
        found[i] = false;
        for (size_t n = 0; n < count && len >= 32 && number % 41 != 0 && !found[i]; n++)
            found[i] = memmem(images[n].bytes, images[n].size, value, len) != NULL;
    }
    for (size_t n = 0; n < count; n++)
        free(images[n].bytes);
}

// Short values may be the same: empty ones are.
static bool look_alike(uint32_t key, uint32_t one, uint32_t other)
{
    uint8_t bytes[CRASH_VALUE_MAX];
    if (one == other || one == 0 || other == 0)
        return one == other;
    return crash_is_value(key, other, bytes, crash_make_value(key, one, bytes));
}

// Opening by the snapshot gives what reading all segments gives. The twin is the same crash without the file
// INDEX.
static void compare_with_twin(struct kv_store *opened, const char *dir, const char *twin,
                              const struct crash_history histories[CRASH_KEYS], const struct crash_plan *plan,
                              const struct crash_seen seen[CRASH_KEYS], struct crash_chance *chance)
{
    struct kv_store *store = open_left(twin, plan);
    if (store == NULL)
        return;
    for (uint32_t key = 0; key < CRASH_KEYS; key++) {
        static struct crash_allowed none;
        struct crash_seen other;
        (void)crash_judge(key, &histories[key], &none, 0, store, &other);
        bool same = other.status == seen[key].status && look_alike(key, other.value, seen[key].value) &&
                    other.expire == seen[key].expire;
        if (same)
            continue;
        tally.kinds[DIFFER]++;
        if (verbose && tally.shown++ < 12)
            fprintf(stderr, "DIFFER key %u: status %d value %u expire %llu; all read: %d %u %llu\n", key,
                    (int)seen[key].status, seen[key].value, (unsigned long long)seen[key].expire,
                    (int)other.status, other.value, (unsigned long long)other.expire);
    }
    (void)pthread_mutex_lock(&opened->compact_lock); // no files go while they are read
    (void)pthread_mutex_lock(&store->compact_lock);
    for (uint32_t key = crash_roll(chance, 6); key < CRASH_KEYS; key += 6) {
        bool here[4096], there[4096];
        if (histories[key].count > 4096)
            continue;
        find_values(dir, key, &histories[key], here);
        find_values(twin, key, &histories[key], there);
        for (size_t i = 0; i < histories[key].count; i++)
            if (histories[key].events[i].state.value != 0 && here[i] && !there[i]) {
                tally.kinds[LEFT]++;
                if (verbose && tally.shown++ < 12)
                    fprintf(stderr, "LEFT key %u value %u\n", key, histories[key].events[i].state.value);
            }
    }
    (void)pthread_mutex_unlock(&store->compact_lock);
    (void)pthread_mutex_unlock(&opened->compact_lock);
    if (kv_close(&store) != KV_OK)
        crash_die("kv_close");
}

static bool has_snapshot(const char *dir)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%.300s/INDEX", dir);
    return access(path, F_OK) == 0;
}

static void check_crash(const char *dir, const char *twin, const struct crash_history histories[CRASH_KEYS],
                        const struct crash_syncs *syncs, const struct crash_plan *plan, uint64_t t,
                        uint64_t now, const struct crash_how *crash, const char *where)
{
    static struct crash_seen seen[CRASH_KEYS];
    struct kv_store *store = open_left(dir, plan);
    if (store == NULL)
        return;
    for (uint32_t key = 0; key < CRASH_KEYS; key++) {
        static struct crash_allowed a;
        crash_allow_at(&histories[key], syncs, t, &a);
        enum crash_kind kind = crash_judge(key, &histories[key], &a, now, store, &seen[key]);
        tally.kinds[kind]++;
        tally.keys++;
        show(kind, key, &histories[key], &a, &seen[key], crash, t, now, where);
    }
    if (twin != NULL && store->snapshots.low != KV_NO_SNAPSHOT) {
        tally.used++;
        compare_with_twin(store, dir, twin, histories, plan, seen, &(struct crash_chance){t});
    } else if (verbose && twin != NULL && getenv("KV_POWER_DOUBT") != NULL) {
        char why[256];
        kv_error_text(store, why, sizeof why);
        fprintf(stderr, "not by the snapshot: %s\n", why);
    }
    while (kv_compact_step(store)) { // whatever recovery left must survive compaction
    }
    if (kv_close(&store) != KV_OK)
        crash_die("kv_close");
    store = open_left(dir, plan);
    if (store == NULL)
        return;
    for (uint32_t key = 0; key < CRASH_KEYS; key++) {
        static struct crash_allowed a;
        struct crash_seen again;
        crash_allow_at(&histories[key], syncs, t, &a);
        enum crash_kind kind = crash_judge(key, &histories[key], &a, now, store, &again);
        if (memcmp(&again, &seen[key], sizeof again) != 0 && again.status != seen[key].status) {
            tally.kinds[AGAIN]++;
            show(AGAIN, key, &histories[key], &a, &again, crash, t, now, where);
        } else if (crash_is_failure(kind) && memcmp(&again, &seen[key], sizeof again) != 0) {
            tally.kinds[kind]++;
        }
    }
    if (kv_close(&store) != KV_OK)
        crash_die("kv_close");
}

static bool is_snapshot(const struct crash_log *log, uint32_t file)
{
    size_t at = 0;
    for (; at < log->count && (log->ops[at].kind != OP_CREATE || log->ops[at].file != file); at++) {
    }
    return at < log->count && strcmp(log->ops[at].name, "INDEX.tmp") == 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void play_crashes(const struct crash_log *log, const struct crash_history histories[CRASH_KEYS],
                         const struct crash_syncs *syncs, const struct crash_plan *plan, unsigned states,
                         unsigned depth, struct crash_chance *chance)
{
    uint64_t saved_now = atomic_load(&crash_now_ms);
    struct crash_play *play = malloc(sizeof *play);
    uint64_t *points = calloc(states, sizeof *points);
    if (play == NULL || points == NULL)
        crash_die("memory");
    for (unsigned i = 0; i < states; i++) {
        // A snapshot is written in hundreds of pieces that say little by themselves: mostly elsewhere, but
        // for the last of them.
        do
            points[i] = crash_roll(chance, (uint32_t)log->count + 1);
        while (points[i] < log->count && log->ops[points[i]].kind == OP_WRITE && log->ops[points[i]].at > 0 &&
               is_snapshot(log, log->ops[points[i]].file) && crash_roll(chance, 8) != 0);
    }
    qsort(points, states, sizeof *points, by_value);
    crash_play_begin(play, log);
    for (unsigned i = 0; i < states; i++) {
        while (play->at < points[i])
            crash_play_step(play);
        static const uint32_t shares[] = {0, 0, 10, 30, 50, 50, 70, 90, 97, 100};
        struct crash_how crash = {.kill9 = crash_roll(chance, 8) == 0,
                                  .any_names = any_names,
                                  .in_order = crash_roll(chance, 6) == 0,
                                  .unit = crash_roll(chance, 3) == 0 ? 4096 : CRASH_SECTOR,
                                  .newest = shares[crash_roll(chance, 10)],
                                  .oldest = crash_roll(chance, 3) * 50,
                                  .size_new = crash_roll(chance, 3) * 50};
        char dir[300];
        (void)snprintf(dir, sizeof dir, "%s/crash%u", root, depth);
        struct crash_chance same = *chance;
        crash_write_folder(play, &crash, chance, dir);
        char twin[300], index[320];
        (void)snprintf(twin, sizeof twin, "%s/twin%u", root, depth);
        (void)snprintf(index, sizeof index, "%s/INDEX", twin);
        bool snapshot = has_snapshot(dir);
        tally.snapshots += snapshot;
        if (snapshot) {
            crash_write_folder(play, &crash, &same, twin);
            (void)unlink(index);
        }
        atomic_store(&crash_now_ms, play->clock);
        tally.states++;
        tally.kills += crash.kill9;
        if (depth > 0 && crash_roll(chance, 6) == 0)
            nested(dir, log, histories, syncs, plan, points[i], chance);
        else
            check_crash(dir, snapshot ? twin : NULL, histories, syncs, plan, points[i], play->clock, &crash,
                        depth > 0 ? "first" : "nested");
        crash_remove_folder(dir);
        crash_remove_folder(twin);
    }
    crash_play_end(play);
    free(play);
    free(points);
    atomic_store(&crash_now_ms, saved_now);
}

// One history, recorded, and crashes of it.
static void run_round(struct crash_history histories[CRASH_KEYS], const struct crash_plan *plan,
                      uint64_t seed, unsigned round, struct crash_chance *chance)
{
    static struct crash_syncs syncs = {.lock = PTHREAD_MUTEX_INITIALIZER};
    memset(histories, 0, CRASH_KEYS * sizeof histories[0]);
    for (uint32_t key = 0; key < CRASH_KEYS; key++)
        histories[key].base_count = 1; // not there
    atomic_store(&crash_next_value, 1);
    char dir[300];
    (void)snprintf(dir, sizeof dir, "%s/store", root);
    struct crash_log log;
    if (!plan->record(plan, dir, &log, histories, &syncs, plan->ops, seed * 1000 + round, round % 4 == 3))
        crash_die("the first open");
    crash_remove_folder(dir);
    tally.ops += log.count;
    for (size_t i = 0; i < log.count; i++) {
        bool segment = strstr(log.ops[i].name, ".seg") != NULL;
        tally.segments += segment && log.ops[i].kind == OP_CREATE;
        tally.removed += segment && log.ops[i].kind == OP_UNLINK;
    }
    play_crashes(&log, histories, &syncs, plan, plan->crashes, 1, chance);
    crash_log_free(&log);
    for (uint32_t key = 0; key < CRASH_KEYS; key++)
        free(histories[key].events);
}

static void print_tally(const char *policy)
{
    printf("%s: %llu states with an index snapshot, %llu opened by it\n", policy,
           (unsigned long long)tally.snapshots, (unsigned long long)tally.used);
    printf("%s: %llu crash states (%llu of them kill -9, %llu second histories), %llu file operations, %llu "
           "segments made, %llu compacted away, %llu keys judged:",
           policy, (unsigned long long)tally.states, (unsigned long long)tally.kills,
           (unsigned long long)tally.nested, (unsigned long long)tally.ops,
           (unsigned long long)tally.segments, (unsigned long long)tally.removed,
           (unsigned long long)tally.keys);
    for (int k = 0; k < KINDS; k++)
        if (tally.kinds[k] != 0)
            printf(" %s %llu", crash_kind_names[k], (unsigned long long)tally.kinds[k]);
    printf("\n");
    fflush(stdout);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

void crash_run(const struct crash_plan *plan)
{
    static struct crash_history histories[CRASH_KEYS];
    uint64_t seed = number("KV_TEST_SEED", 1), wanted = number("KV_POWER_STATES", 600);
    wanted = wanted / plan->share + (wanted % plan->share != 0);
    struct crash_chance chance = {seed * 77777 + plan->always};
    memset(&tally, 0, sizeof tally);
    for (unsigned round = 0; tally.states < wanted; round++)
        run_round(histories, plan, seed, round, &chance);
    print_tally(plan->name);
    for (int k = 0; k < KINDS; k++)
        if (crash_is_failure((enum crash_kind)k) && tally.kinds[k] != 0 &&
            (allow_list == NULL || strstr(allow_list, crash_kind_names[k]) == NULL))
            fail_msg("%s: %llu", crash_kind_names[k], (unsigned long long)tally.kinds[k]);
}

int crash_setup(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR"), *names = getenv("KV_POWER_NAMES");
    verbose = getenv("KV_POWER_VERBOSE") != NULL;
    any_names = names != NULL && strcmp(names, "any") == 0;
    allow_list = getenv("KV_POWER_ALLOW");
    if (base == NULL) // the disk is simulated: what plays it need not be one
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(root, sizeof root, "%.150s/kv-power-XXXXXX", base);
    if (mkdtemp(root) == NULL)
        crash_die(root);
    crash_disk_install();
    return 0;
}

int crash_teardown(void **state)
{
    (void)state;
    kv_io_reset();
    crash_remove_folder(root);
    return 0;
}
