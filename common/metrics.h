// Counters, gauges and histograms of a program, and their Prometheus text form (exposition format 0.0.4). A
// metric is declared once, at start-up, with name, help and labels; label values come from the program; those that
// come from a peer's certificate are bounded in number and go through metrics_label(). Names: prefix ks_, kv_ or su_, base units, counters end in _total (PROMETHEUS naming conventions).
#ifndef MEC_COMMON_METRICS_H
#define MEC_COMMON_METRICS_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "common/histogram.h"

struct metrics; // a registry

// A counter spread over cache lines so that threads do not fight over one.
struct metric_counter;

struct metrics *metrics_create(void);
void metrics_destroy(struct metrics **m);

// Declares a metric. labels is NULL or the inside of the braces (`method="RSA",result="ok"`), copied. Metrics
// of the same name must be declared one after the other with the same help. All return NULL or false only
// without memory. Declare before threads start.
struct metric_counter *metrics_counter(struct metrics *m, const char *name, const char *labels,
                                       const char *help);
// A gauge (or counter) whose value is read by calling `read` when the metrics are rendered, on the rendering
// thread.
_Bool metrics_gauge(struct metrics *m, const char *name, const char *labels, const char *help,
                    double (*read)(void *), void *arg);
_Bool metrics_counter_read(struct metrics *m, const char *name, const char *labels, const char *help,
                           double (*read)(void *), void *arg);
// A counter whose labels are known only when it is rendered (of a fixed set those that are not 0, say):
// `each`, on the rendering thread, calls metrics_put() for every one.
struct metrics_put;
_Bool metrics_counter_each(struct metrics *m, const char *name, const char *help,
                           void (*each)(void *arg, struct metrics_put *to), void *arg);
void metrics_put(struct metrics_put *to, const char *labels, uint64_t value);
// The same for a gauge.
_Bool metrics_gauge_each(struct metrics *m, const char *name, const char *help,
                         void (*each)(void *arg, struct metrics_put *to), void *arg);
void metrics_put_number(struct metrics_put *to, const char *labels, double value);
// Text from outside as a label's value: backslash, quote and newline escaped (exposition format 0.0.4), cut at a whole
// character to fit. Returns buf.
char *metrics_label(const char *text, char *buf, size_t len);
// NAME{version="..."} 1: which version runs.
_Bool metrics_build_info(struct metrics *m, const char *name);
// A histogram of nanoseconds, rendered in seconds with buckets 1e-5 * 2^k (k = 0..20) and +Inf. The registry
// owns it.
struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *labels,
                                    const char *help);

void metric_add(struct metric_counter *c, uint64_t n); // any thread
uint64_t metric_value(const struct metric_counter *c);

// Writes everything as Prometheus text.
void metrics_render(const struct metrics *m, FILE *out);

#endif
