// bench_memory: how fast this machine hands out memory: the first touch of anonymous memory in huge pages, by as many threads as
// asked for, each on a part of its own. On a virtual machine whose host takes free memory back, this is what limits how fast a
// store can grow, not its device.
#include <jansson.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/report.h"

#define HUGE_PAGE  ((size_t)2 << 20)
#define SMALL_PAGE ((size_t)4096)

struct memory_options {
    char *json;
    uint64_t size, threads;
};

#define AT(field) offsetof(struct memory_options, field)
static const struct config_option table[] = {
    {.name = "size",
     .type = CONFIG_SIZE,
     .offset = AT(size),
     .arg = "SIZE",
     .preset = "2gb",
     .min = 64 << 20,
     .help = "How much is touched."},
    {.name = "threads",
     .type = CONFIG_UINT,
     .offset = AT(threads),
     .arg = "N",
     .preset = "2",
     .min = 1,
     .max = 64,
     .help = "By how many threads."},
    {.name = "json",
     .type = CONFIG_STRING,
     .offset = AT(json),
     .arg = "FILE",
     .preset = "-",
     .help = "Result; -: stdout."},
};
static const struct config_spec spec = {
    .program = "bench_memory",
    .usage = "[OPTION]...",
    .summary = "Measures the first touch of memory.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

struct part {
    pthread_t thread;
    uint8_t *from;
    size_t bytes;
    bool runs;
};

static void *touch(void *arg)
{
    struct part *part = arg;
    for (size_t at = 0; at < part->bytes; at += SMALL_PAGE)
        *(volatile uint8_t *)(part->from + at) = 1;
    return NULL;
}

// Seconds; negative: it could not be done.
static double touch_all(const struct memory_options *o)
{
    struct part parts[64] = {0};
    size_t each = o->size / o->threads & ~(HUGE_PAGE - 1), all = each * o->threads + HUGE_PAGE;
    uint8_t *map = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -1;
    uint8_t *from = map + (HUGE_PAGE - ((uintptr_t)map & (HUGE_PAGE - 1)));
    (void)madvise(from, all - HUGE_PAGE, MADV_HUGEPAGE);
    uint64_t begin = clock_ns();
    bool all_run = true;
    for (size_t i = 0; i < o->threads; i++) {
        parts[i].from = from + i * each;
        parts[i].bytes = each;
        parts[i].runs = pthread_create(&parts[i].thread, NULL, touch, &parts[i]) == 0;
        all_run = all_run && parts[i].runs;
    }
    for (size_t i = 0; i < o->threads; i++)
        if (parts[i].runs)
            (void)pthread_join(parts[i].thread, NULL);
    double seconds = (double)(clock_ns() - begin) / 1e9;
    (void)munmap(map, all);
    return all_run ? seconds : -1;
}

int main(int argc, char **argv)
{
    struct memory_options o = {0};
    report_set_program(spec.program);
    enum config_result result = config_read(&spec, argc, argv, &o, NULL);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    double seconds = touch_all(&o);
    bool ok = seconds > 0;
    if (ok) {
        json_t *root = json_pack("{s:s, s:I, s:I, s:f, s:f}", "tool", "bench_memory", "bytes",
                                 (json_int_t)o.size, "threads", (json_int_t)o.threads, "seconds", seconds,
                                 "bytes_per_second", (double)o.size / seconds);
        FILE *out = strcmp(o.json, "-") == 0 ? stdout : fopen(o.json, "w");
        ok = root != NULL && out != NULL && json_dumpf(root, out, JSON_INDENT(1)) == 0 &&
             fputc('\n', out) != EOF;
        if (out != NULL && (out == stdout ? fflush(out) : fclose(out)) != 0)
            ok = false;
        json_decref(root);
    }
    if (!ok)
        report("cannot touch %llu bytes, or write the result", (unsigned long long)o.size);
    config_release(&spec, &o, NULL);
    return ok ? EXIT_DONE : EXIT_FAILED;
}
