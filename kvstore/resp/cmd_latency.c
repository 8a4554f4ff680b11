// LATENCY.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/latency.h"
#include "kvstore/resp/slowlog.h"
#include "kvstore/resp/stats.h"

void resp_cmd_latency_latest(struct resp_call *call)
{
    struct resp_latency_history history;
    struct resp_reply events;
    size_t count = 0;
    if (!resp_list_begin(call->reply, &events))
        return;
    for (; resp_latency_at(call->session->shared, count, &history); count++) {
        const struct resp_latency_sample *last = &history.samples[history.count - 1];
        resp_array(&events, 4);
        resp_bulk_text(&events, history.event);
        resp_integer(&events, (int64_t)last->unix_s);
        resp_integer(&events, (int64_t)last->ms);
        resp_integer(&events, (int64_t)history.most_ms);
    }
    resp_list_finish(call->reply, &events, count);
}

void resp_cmd_latency_history(struct resp_call *call)
{
    struct resp_latency_history history;
    if (!resp_latency_find(call->session->shared, &call->args[2], &history))
        history.count = 0;
    resp_array(call->reply, history.count);
    for (size_t i = 0; i < history.count; i++) {
        resp_array(call->reply, 2);
        resp_integer(call->reply, (int64_t)history.samples[i].unix_s);
        resp_integer(call->reply, (int64_t)history.samples[i].ms);
    }
}

void resp_cmd_latency_reset(struct resp_call *call)
{
    size_t gone = 0;
    if (call->argc == 2)
        gone = resp_latency_forget(call->session->shared, NULL);
    for (size_t i = 2; i < call->argc; i++)
        gone += resp_latency_forget(call->session->shared, &call->args[i]);
    resp_integer(call->reply, (int64_t)gone);
}

void resp_cmd_latency_graph(struct resp_call *call)
{
    struct resp_latency_history history;
    const struct resp_arg *event = &call->args[2];
    if (!resp_latency_find(call->session->shared, event, &history)) {
        resp_error(call->reply, "ERR No samples available for event '%.*s'",
                   (int)(event->len < 128 ? event->len : 128), (const char *)event->data);
        return;
    }
    char *graph = resp_latency_graph(&history, resp_now_ms(call->session->shared) / 1000);
    if (graph != NULL)
        resp_verbatim(call->reply, graph, strlen(graph));
    else
        call->reply->failed = true;
    free(graph);
}

// ---- DOCTOR

static void report_event(FILE *out, size_t number, const struct resp_latency_history *h)
{
    double sum = 0, deviation = 0;
    for (size_t i = 0; i < h->count; i++)
        sum += (double)h->samples[i].ms;
    double mean = sum / (double)h->count;
    for (size_t i = 0; i < h->count; i++)
        deviation += fabs((double)h->samples[i].ms - mean);
    double seconds = (double)(h->samples[h->count - 1].unix_s - h->samples[0].unix_s);
    (void)fprintf(out,
                  "%zu. %s: %zu latency spikes (average %.0f ms, mean deviation %.0f ms, period %.2f sec). "
                  "Worst all time event %" PRIu64 " ms.\n",
                  number, h->event, h->count, mean, deviation / (double)h->count, seconds / (double)h->count,
                  h->most_ms);
}

static void advise(FILE *out, const struct resp_shared *shared)
{
    uint64_t threshold_us = resp_latency_threshold(shared) * 1000;
    int64_t slow_us = resp_slowlog_slower_than(shared);
    (void)fputs("\nWhat to look at:\n\n", out);
    if (threshold_us != 0 && (slow_us < 0 || (uint64_t)slow_us > threshold_us))
        (void)fprintf(out,
                      "- The slow log misses some of these commands: CONFIG SET slowlog-log-slower-than "
                      "%" PRIu64 ".\n",
                      threshold_us);
    (void)fputs("- SLOWLOG GET names the commands.\n"
                "- INFO elastic: values that are on disk take a read of the disk. Where memory_misses grow "
                "fast, MEMORY CURVE says what more memory would give.\n",
                out);
    if (shared->fsync == KV_FSYNC_ALWAYS)
        (void)fputs("- Writes wait for the device (appendfsync always).\n", out);
}

void resp_cmd_latency_doctor(struct resp_call *call)
{
    const struct resp_shared *shared = call->session->shared;
    struct resp_latency_history history;
    char *text = NULL;
    size_t len, count = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL) {
        call->reply->failed = true;
        return;
    }
    for (; resp_latency_at(shared, count, &history); count++) {
        if (count == 0)
            (void)fputs("Latency spikes were observed.\n\n", out);
        report_event(out, count + 1, &history);
    }
    if (count != 0)
        advise(out, shared);
    else if (resp_latency_threshold(shared) == 0)
        (void)fputs("The latency monitor is off: CONFIG SET latency-monitor-threshold <milliseconds> "
                    "switches it on.",
                    out);
    else
        (void)fputs("No latency spike was observed.", out);
    if (fclose(out) == 0)
        resp_verbatim(call->reply, text, len);
    else
        call->reply->failed = true;
    free(text);
}

// ---- HISTOGRAM

#define FIRST_EDGE 10 // 2^10 ns
#define LAST_EDGE  63

// A bucket's edge in microseconds, as Redis names them: 1, 2, 4, 8, 16, 33, 66, ... (its histograms have 128 steps to a power of two).
static uint64_t edge_us(unsigned bit)
{
    return (((uint64_t)1 << bit) + ((uint64_t)1 << (bit - 7)) - 1) / 1000;
}

static void reply_times(struct resp_reply *reply, const struct histogram *h)
{
    uint64_t all = histogram_count(h), before = 0;
    size_t edges = 0;
    struct resp_reply list;
    if (!resp_list_begin(reply, &list))
        return;
    for (unsigned bit = FIRST_EDGE; bit <= LAST_EDGE && before < all; bit++) {
        uint64_t count = bit < LAST_EDGE ? histogram_count_le(h, (uint64_t)1 << bit) : all;
        if (count == before)
            continue;
        resp_integer(&list, (int64_t)edge_us(bit));
        resp_integer(&list, (int64_t)count);
        before = count;
        edges++;
    }
    resp_map(reply, edges);
    resp_reply_append(reply, &list);
    resp_reply_deinit(&list);
}

struct histograms {
    struct resp_shared *shared;
    struct resp_reply *list;
    struct histogram *scratch;
    size_t count;
};

static void reply_command(struct histograms *all, const struct resp_command *command,
                          const struct resp_command *parent)
{
    char name[64];
    histogram_reset(all->scratch);
    if (!resp_stats_histogram(all->shared, resp_command_number(command), all->scratch))
        return;
    resp_bulk_text(all->list, resp_command_full_name(command, parent, name, sizeof name));
    resp_map(all->list, 2);
    resp_bulk_text(all->list, "calls");
    resp_integer(all->list, (int64_t)histogram_count(all->scratch));
    resp_bulk_text(all->list, "histogram_usec");
    reply_times(all->list, all->scratch);
    all->count++;
}

static void reply_family(struct histograms *all, const struct resp_command *command)
{
    reply_command(all, command, NULL);
    for (size_t i = 0; i < command->subcommand_count; i++)
        reply_command(all, &command->subcommands[i], command);
}

static void reply_named(struct histograms *all, const struct resp_arg *name)
{
    const uint8_t *bar = name->len != 0 ? memchr(name->data, '|', name->len) : NULL;
    size_t head = bar != NULL ? (size_t)(bar - name->data) : name->len;
    const struct resp_command *command = resp_command_find(&(struct resp_arg){name->data, head});
    if (command == NULL)
        return;
    if (bar == NULL) {
        reply_family(all, command);
        return;
    }
    const struct resp_command *sub =
        resp_subcommand_find(command, &(struct resp_arg){bar + 1, name->len - head - 1});
    if (sub != NULL)
        reply_command(all, sub, command);
}

void resp_cmd_latency_histogram(struct resp_call *call)
{
    struct resp_reply list;
    struct histograms all = {call->session->shared, &list, histogram_create(), 0};
    if (all.scratch == NULL || !resp_list_begin(call->reply, &list)) {
        call->reply->failed = true;
        histogram_destroy(&all.scratch);
        return;
    }
    for (size_t i = 2; i < call->argc; i++)
        reply_named(&all, &call->args[i]);
    for (size_t i = 0; call->argc == 2 && i < resp_command_count(); i++)
        reply_family(&all, resp_command_at(i));
    resp_map(call->reply, all.count);
    resp_reply_append(call->reply, &list);
    resp_reply_deinit(&list);
    histogram_destroy(&all.scratch);
}
