// bench_device: what the device does, with nothing of a store above it: O_DIRECT through io_uring, from one
// thread.
//
//   randread   reads of --bytes at random places, --depth under way, over a store's files (--files)
//   seqread    the same files from beginning to end
//   seqwrite   a new file of --size in --dir, --bytes a write, then fdatasync; removed afterwards
//
// With --rate reads are due on a constant schedule and latency counts from then, as kvbench does it.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <liburing.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"
#include "common/histogram.h"
#include "common/report.h"
#include "kvstore/kvbench_clock.h"
#include "common/workload.h"

#define FILES_MAX 4096u
#define BLOCK     4096u
#define SMALLEST  ((uint64_t)1 << 20) // files below are not the data

enum operation { RANDREAD, SEQREAD, SEQWRITE };

struct device_options {
    char *config, *files, *dir, *json;
    unsigned operation;
    uint64_t bytes, depth, duration, size, rate, seed;
};

#define AT(field) offsetof(struct device_options, field)
static const struct config_option table[] = {
    {.name = "config",
     .type = CONFIG_FILE,
     .offset = AT(config),
     .arg = "FILE",
     .help = "INI file with these options."},
    {.name = "operation",
     .type = CONFIG_ENUM,
     .offset = AT(operation),
     .preset = "randread",
     .choices = "randread|seqread|seqwrite",
     .help = "What is done."},
    {.name = "files",
     .type = CONFIG_STRING,
     .offset = AT(files),
     .arg = "DIR",
     .help = "Reads: the files of this folder that have 1 MiB or more."},
    {.name = "dir",
     .type = CONFIG_STRING,
     .offset = AT(dir),
     .arg = "DIR",
     .preset = "/var/tmp",
     .help = "seqwrite: where the file is made."},
    {.name = "size",
     .type = CONFIG_SIZE,
     .offset = AT(size),
     .arg = "SIZE",
     .preset = "4gb",
     .min = 1 << 20,
     .help = "seqwrite: how much is written."},
    {.name = "bytes",
     .type = CONFIG_SIZE,
     .offset = AT(bytes),
     .arg = "SIZE",
     .preset = "4kb",
     .min = 1,
     .max = 64 << 20,
     .help = "Of one read or write; rounded up to blocks of 4 KiB."},
    {.name = "depth",
     .type = CONFIG_UINT,
     .offset = AT(depth),
     .arg = "N",
     .preset = "1",
     .min = 1,
     .max = 1024,
     .help = "How many are under way."},
    {.name = "rate",
     .type = CONFIG_UINT,
     .offset = AT(rate),
     .arg = "N",
     .preset = "0",
     .max = 10000000,
     .help = "Open loop: so many a second; 0: closed loop."},
    {.name = "duration",
     .type = CONFIG_DURATION,
     .offset = AT(duration),
     .arg = "TIME",
     .preset = "5s",
     .min = 1000,
     .help = "For how long is read; seqread and seqwrite: at most."},
    {.name = "seed",
     .type = CONFIG_UINT,
     .offset = AT(seed),
     .arg = "N",
     .preset = "1",
     .help = "Of the random places."},
    {.name = "json",
     .type = CONFIG_STRING,
     .offset = AT(json),
     .arg = "FILE",
     .preset = "-",
     .help = "Where the result is written; -: stdout."},
};
static const struct config_spec spec = {
    .program = "bench_device",
    .usage = "[OPTION]...",
    .summary = "Measures a device's reads and writes without a store.",
    .options = table,
    .option_count = sizeof table / sizeof table[0],
};

struct file {
    int fd;
    uint64_t units; // places of `bytes` in it
};

struct device {
    const struct device_options *o;
    size_t bytes;
    struct file files[FILES_MAX];
    size_t file_count;
    uint64_t units, next; // in all files; sequential: the next
    struct workload_random random;
    struct io_uring ring;
    uint8_t *buffers;
    struct {
        uint64_t from;
        unsigned next_idle;
    } slots[1024];
    unsigned idle, under_way; // first idle slot
    uint64_t asked, done, failed, begin, end;
    struct histogram *latency;
    double seconds;
};

// ---- files

static bool add_file(struct device *d, int dir_fd, const char *name)
{
    struct stat st;
    if (d->file_count == FILES_MAX || fstatat(dir_fd, name, &st, 0) != 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size < SMALLEST)
        return true;
    struct file *f = &d->files[d->file_count];
    f->fd = openat(dir_fd, name, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (f->fd < 0)
        return false;
    f->units = (uint64_t)st.st_size / d->bytes;
    d->units += f->units;
    d->file_count++;
    return true;
}

static bool open_files(struct device *d, struct error *e)
{
    DIR *dir = d->o->files != NULL ? opendir(d->o->files) : NULL;
    bool ok = dir != NULL;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;)
        ok = add_file(d, dirfd(dir), entry->d_name);
    if (!ok || d->units == 0)
        error_set(e, "%s: %s", d->o->files != NULL ? d->o->files : "--files",
                  ok ? "no large files" : strerror(errno));
    if (dir != NULL)
        (void)closedir(dir);
    return ok && d->units != 0;
}

static bool make_file(struct device *d, struct error *e)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/bench_device.XXXXXX", d->o->dir);
    int fd = mkostemp(path, O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        error_set(e, "%s: create: %s", path, strerror(errno));
        return false;
    }
    (void)unlink(path);
    d->files[0] = (struct file){.fd = fd, .units = d->o->size / d->bytes};
    d->file_count = 1;
    d->units = d->files[0].units;
    if (d->units != 0)
        return true;
    error_set(e, "--size: less than one write");
    return false;
}

// ---- reads and writes

static const struct file *place_of(const struct device *d, uint64_t unit, uint64_t *at)
{
    const struct file *f = d->files;
    for (; unit >= f->units; f++)
        unit -= f->units;
    *at = unit * d->bytes;
    return f;
}

static bool more(const struct device *d)
{
    if (bench_ticks() >= d->end)
        return false;
    return d->o->operation == RANDREAD || d->next < d->units;
}

static uint64_t due(const struct device *d)
{
    return d->begin + bench_ns_to_ticks(1e9 * (double)d->asked / (double)d->o->rate);
}

static void launch(struct device *d)
{
    uint64_t at, unit = d->o->operation == RANDREAD ? workload_random_below(&d->random, d->units) : d->next++;
    const struct file *f = place_of(d, unit, &at);
    unsigned slot = d->idle;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);
    uint8_t *buffer = d->buffers + slot * d->bytes;
    d->idle = d->slots[slot].next_idle;
    d->slots[slot].from = d->o->rate != 0 ? due(d) : bench_ticks();
    if (d->o->operation == SEQWRITE)
        io_uring_prep_write(sqe, f->fd, buffer, (unsigned)d->bytes, at);
    else
        io_uring_prep_read(sqe, f->fd, buffer, (unsigned)d->bytes, at);
    io_uring_sqe_set_data64(sqe, slot);
    d->asked++;
    d->under_way++;
}

static void launch_all(struct device *d)
{
    while (d->under_way < d->o->depth && more(d) && (d->o->rate == 0 || due(d) <= bench_ticks()))
        launch(d);
}

static void collect(struct device *d)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&d->ring, &cqe) == 0) {
        unsigned slot = (unsigned)io_uring_cqe_get_data64(cqe);
        histogram_record_alone(d->latency, bench_ns_between(d->slots[slot].from, bench_ticks()));
        d->failed += cqe->res != (int)d->bytes ? 1 : 0;
        io_uring_cqe_seen(&d->ring, cqe);
        d->slots[slot].next_idle = d->idle;
        d->idle = slot;
        d->under_way--;
        d->done++;
    }
}

static void wait_a_while(struct device *d)
{
    struct io_uring_cqe *cqe;
    uint64_t ns = d->o->rate != 0 ? bench_ns_between(bench_ticks(), due(d)) : 0;
    struct __kernel_timespec ts = {.tv_nsec = (long long)(ns < 999999999 ? ns : 999999999)};
    if (d->o->rate == 0 || d->under_way == d->o->depth)
        (void)io_uring_submit_and_wait(&d->ring, 1);
    else if (ns > 0)
        (void)io_uring_submit_and_wait_timeout(&d->ring, &cqe, 1, &ts, NULL);
    else
        (void)io_uring_submit(&d->ring);
}

static void work(struct device *d)
{
    d->begin = bench_ticks();
    d->end = d->begin + bench_ns_to_ticks((double)d->o->duration * 1e3);
    while (more(d)) {
        launch_all(d);
        wait_a_while(d);
        collect(d);
    }
    while (d->under_way > 0) {
        (void)io_uring_submit_and_wait(&d->ring, 1);
        collect(d);
    }
    if (d->o->operation == SEQWRITE && fdatasync(d->files[0].fd) != 0)
        d->failed++;
    d->seconds = (double)bench_ns_between(d->begin, bench_ticks()) / 1e9;
}

// ---- the program

static bool set_up(struct device *d, struct error *e)
{
    size_t len = d->bytes * d->o->depth;
    d->latency = histogram_create();
    d->buffers = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (d->latency == NULL || d->buffers == MAP_FAILED) {
        error_set(e, "no memory");
        return false;
    }
    (void)madvise(d->buffers, len, MADV_HUGEPAGE);
    memset(d->buffers, 0x5a, len);
    for (unsigned i = 0; i < d->o->depth; i++)
        d->slots[i].next_idle = i + 1;
    int rc = io_uring_queue_init((unsigned)d->o->depth, &d->ring, 0);
    if (rc != 0)
        error_set(e, "io_uring: %s", strerror(-rc));
    return rc == 0;
}

static bool print_result(const struct device *d)
{
    static const char *const names[] = {"randread", "seqread", "seqwrite"};
    const struct histogram *h = d->latency;
    json_t *latency = json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "mean", histogram_mean(h) / 1e3, "p50",
        (double)histogram_percentile(h, 50) / 1e3, "p90", (double)histogram_percentile(h, 90) / 1e3, "p99",
        (double)histogram_percentile(h, 99) / 1e3, "p99_9", (double)histogram_percentile(h, 99.9) / 1e3,
        "p99_99", (double)histogram_percentile(h, 99.99) / 1e3, "max", (double)histogram_max(h) / 1e3);
    json_t *root = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:f, s:I, s:I, s:f, s:f, s:o}", "tool", "bench_device", "operation",
        names[d->o->operation], "bytes", (json_int_t)d->bytes, "depth", (json_int_t)d->o->depth,
        "offered_rate", (json_int_t)d->o->rate, "seconds", d->seconds, "operations", (json_int_t)d->done,
        "failed", (json_int_t)d->failed, "rate", (double)d->done / d->seconds, "bytes_per_second",
        (double)d->done * (double)d->bytes / d->seconds, "latency_us", latency);
    FILE *out = strcmp(d->o->json, "-") == 0 ? stdout : fopen(d->o->json, "w");
    bool ok = root != NULL && out != NULL &&
              json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) == 0 && fputc('\n', out) != EOF;
    if (out != NULL && (out == stdout ? fflush(out) : fclose(out)) != 0)
        ok = false;
    json_decref(root);
    if (!ok)
        report("%s: write: %s", d->o->json, strerror(errno));
    return ok;
}

int main(int argc, char **argv)
{
    static struct device d;
    struct device_options o = {0};
    struct error e = {{0}};
    report_set_program(spec.program);
    enum config_result result = config_read(&spec, argc, argv, &o, NULL);
    if (result != CONFIG_OK)
        return result == CONFIG_EXIT ? EXIT_DONE : EXIT_USAGE;
    bench_clock_start();
    d.o = &o;
    d.bytes = (o.bytes + BLOCK - 1) / BLOCK * BLOCK;
    d.random.state = o.seed;
    bool ok = set_up(&d, &e) && (o.operation == SEQWRITE ? make_file(&d, &e) : open_files(&d, &e));
    if (ok) {
        work(&d);
        ok = print_result(&d) && d.failed == 0;
        io_uring_queue_exit(&d.ring);
        if (d.failed != 0)
            report("%llu reads or writes failed", (unsigned long long)d.failed);
    } else {
        report("%s", e.text);
    }
    histogram_destroy(&d.latency);
    config_release(&spec, &o, NULL);
    return ok ? EXIT_DONE : EXIT_FAILED;
}
