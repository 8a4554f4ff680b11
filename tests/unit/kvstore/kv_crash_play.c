#include "kv_crash_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void image_resize(struct crash_image *image, size_t size)
{
    if (size > image->capacity)
        image->bytes = crash_grow(image->bytes, &image->capacity, size, 1);
    if (size > image->size)
        memset(image->bytes + image->size, 0, size - image->size);
    image->size = size;
}

static void image_apply(struct crash_image *image, const struct crash_op *op)
{
    if (op->kind == OP_SIZE) {
        image_resize(image, (size_t)op->at);
        return;
    }
    size_t end = (size_t)(op->at + op->len);
    if (op->kind == OP_PUNCH) {
        if (end > image->size)
            end = image->size;
        if (op->at < end)
            memset(image->bytes + op->at, 0, end - (size_t)op->at);
        return;
    }
    if (end > image->size)
        image_resize(image, end);
    memcpy(image->bytes + op->at, op->data, (size_t)op->len);
}

static void name_apply(struct crash_play_name *names, size_t *count, const struct crash_op *op)
{
    size_t at = 0;
    const char *target = op->kind == OP_RENAME ? op->to : op->name;
    for (int pass = 0; pass < 2; pass++) { // names that this operation takes away or over
        const char *gone = pass == 0 ? target : op->name;
        for (at = 0; at < *count && strcmp(names[at].name, gone) != 0; at++) {
        }
        if (at < *count)
            names[at] = names[--*count];
    }
    if (op->kind == OP_UNLINK)
        return;
    (void)snprintf(names[*count].name, CRASH_NAME, "%s", target);
    names[(*count)++].file = op->file;
}

void crash_play_begin(struct crash_play *play, const struct crash_log *log)
{
    memset(play, 0, sizeof *play);
    play->log = log;
    play->clock = log->count != 0 && log->ops[0].kind == OP_CLOCK ? log->ops[0].at : 0;
    play->files = calloc(log->files + 1, sizeof *play->files);
    if (play->files == NULL)
        crash_die("memory");
    for (size_t i = 0; i < log->start_count; i++) {
        struct crash_image *image = &play->files[i].durable;
        image_resize(image, log->start[i].image.size);
        if (image->size != 0)
            memcpy(image->bytes, log->start[i].image.bytes, image->size);
        (void)snprintf(play->names[i].name, CRASH_NAME, "%s", log->start[i].name);
        play->names[play->name_count++].file = (uint32_t)i;
    }
}

void crash_play_end(struct crash_play *play)
{
    for (size_t i = 0; i < play->log->files; i++) {
        free(play->files[i].durable.bytes);
        free(play->files[i].pending);
    }
    free(play->files);
    free(play->pending);
}

void crash_play_step(struct crash_play *play)
{
    const struct crash_op *op = &play->log->ops[play->at];
    size_t here = play->at++;
    size_t kept = 0;
    struct crash_play_file *f = &play->files[op->file];
    switch (op->kind) {
    case OP_WRITE:
    case OP_SIZE:
    case OP_PUNCH:
        f->pending = crash_grow(f->pending, &f->pending_capacity, f->pending_count + 1, sizeof *f->pending);
        f->pending[f->pending_count++] = here;
        break;
    case OP_SYNC:
        for (size_t i = 0; i < f->pending_count; i++) {
            if (f->pending[i] < op->at)
                image_apply(&f->durable, &play->log->ops[f->pending[i]]);
            else
                f->pending[kept++] = f->pending[i];
        }
        f->pending_count = kept;
        break;
    case OP_CREATE:
    case OP_RENAME:
    case OP_UNLINK:
        play->pending = crash_grow(play->pending, &play->pending_capacity, play->pending_count + 1,
                                   sizeof *play->pending);
        play->pending[play->pending_count++] = here;
        break;
    case OP_DIRSYNC:
        for (size_t i = 0; i < play->pending_count; i++) {
            if (play->pending[i] < op->at)
                name_apply(play->names, &play->name_count, &play->log->ops[play->pending[i]]);
            else
                play->pending[kept++] = play->pending[i];
        }
        play->pending_count = kept;
        break;
    case OP_CLOCK:
        play->clock = op->at;
        break;
    }
}

// How this crash treats what was not synced.
static void touched(const struct crash_op *op, size_t units, uint32_t unit, size_t *first, size_t *last)
{
    *first = (size_t)op->at / unit;
    *last = op->kind == OP_SIZE ? units : (size_t)(op->at + op->len + unit - 1) / unit;
    if (*last > units)
        *last = units;
}

// The file as it was at some moment since its last sync: nothing of what came later has got to the device.
static void earlier(const struct crash_play *play, const struct crash_play_file *f, size_t ops,
                    struct crash_image *out)
{
    image_resize(out, f->durable.size);
    if (out->size != 0)
        memcpy(out->bytes, f->durable.bytes, out->size);
    for (size_t i = 0; i < ops; i++)
        image_apply(out, &play->log->ops[f->pending[i]]);
}

// The file as the crash leaves it.
static void materialise(const struct crash_play *play, uint32_t number, const struct crash_how *crash,
                        struct crash_chance *chance, struct crash_image *out)
{
    const struct crash_play_file *f = &play->files[number];
    if (crash->in_order && !crash->kill9) {
        earlier(play, f, crash_roll(chance, (uint32_t)f->pending_count + 1), out);
        return;
    }
    const struct crash_op *ops = play->log->ops;
    struct crash_image newest = {0};
    image_resize(&newest, f->durable.size);
    if (newest.size != 0)
        memcpy(newest.bytes, f->durable.bytes, newest.size);
    image_resize(out, newest.size);
    if (newest.size != 0)
        memcpy(out->bytes, newest.bytes, newest.size);
    size_t most = newest.size, size = newest.size;
    size_t pick = crash_roll(chance, (uint32_t)f->pending_count + 1); // a size from this operation
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct crash_op *op = &ops[f->pending[i]];
        if (i == pick)
            size = newest.size;
        image_apply(&newest, op);
        most = newest.size > most ? newest.size : most;
    }
    if (crash->kill9 || crash_roll(chance, 100) < crash->size_new || pick == f->pending_count)
        size = newest.size;
    size_t units = (most + crash->unit - 1) / crash->unit;
    uint32_t *versions = calloc(units + 1, sizeof *versions), *chosen = calloc(units + 1, sizeof *chosen);
    if (versions == NULL || chosen == NULL)
        crash_die("memory");
    for (size_t i = 0; i < f->pending_count; i++) {
        size_t first, last;
        touched(&ops[f->pending[i]], units, crash->unit, &first, &last);
        for (size_t u = first; u < last; u++)
            versions[u]++;
    }
    for (size_t u = 0; u < units; u++) {
        if (crash->kill9 || crash_roll(chance, 100) < crash->newest)
            chosen[u] = versions[u];
        else
            chosen[u] = crash_roll(chance, 100) < crash->oldest ? 0 : crash_roll(chance, versions[u] + 1);
        versions[u] = 0;
    }
    // Unit by unit the state after so many of its writes.
    struct crash_image state = {0};
    image_resize(&state, f->durable.size);
    if (state.size != 0)
        memcpy(state.bytes, f->durable.bytes, state.size);
    image_resize(out, units * crash->unit);
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct crash_op *op = &ops[f->pending[i]];
        image_apply(&state, op);
        size_t first, last;
        touched(op, units, crash->unit, &first, &last);
        for (size_t u = first; u < last; u++) {
            if (++versions[u] != chosen[u])
                continue;
            size_t from = u * crash->unit;
            memset(out->bytes + from, 0, crash->unit);
            if (from < state.size)
                memcpy(out->bytes + from, state.bytes + from,
                       state.size - from < crash->unit ? state.size - from : crash->unit);
        }
    }
    image_resize(out, size);
    free(versions);
    free(chosen);
    free(state.bytes);
    free(newest.bytes);
}

void crash_write_folder(const struct crash_play *play, const struct crash_how *crash,
                        struct crash_chance *chance, const char *dir)
{
    static struct crash_play_name names[CRASH_MAX_FILES];
    size_t count = play->name_count;
    memcpy(names, play->names, count * sizeof *names);
    size_t upto = crash->kill9 ? play->pending_count : crash_roll(chance, (uint32_t)play->pending_count + 1);
    for (size_t i = 0; i < play->pending_count; i++)
        if (crash->kill9 || (crash->any_names ? crash_roll(chance, 2) == 0 : i < upto))
            name_apply(names, &count, &play->log->ops[play->pending[i]]);
    if (mkdir(dir, 0700) != 0)
        crash_die(dir);
    for (size_t i = 0; i < count; i++) {
        struct crash_image image = {0};
        materialise(play, names[i].file, crash, chance, &image);
        char path[400];
        (void)snprintf(path, sizeof path, "%.300s/%.31s", dir, names[i].name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || write(fd, image.bytes, image.size) != (ssize_t)image.size)
            crash_die(path);
        (void)close(fd);
        free(image.bytes);
    }
}

void crash_remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char path[600];
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
    (void)rmdir(dir);
}
