// Whether a page of metrics is as Prometheus and its conventions ask (exposition format 0.0.4; prometheus.io, "Metric and
// label naming" and "Instrumentation"): what `promtool check metrics` looks at, and what this project asks besides.
//
//   names: prefix ks_, kv_ or su_, lower case; base units, never ms, us, percent, kb; counters end in _total, nothing else
//   does; histograms are of seconds or bytes
//   families: HELP and TYPE first, HELP a sentence; all samples together; no series twice; at most LINT_SERIES of them
//   labels: names, escapes, at most LINT_VALUE bytes a value
//   histograms: buckets ascend, are cumulative and end with +Inf, which is _count
#ifndef MEC_TESTS_METRICS_LINT_H
#define MEC_TESTS_METRICS_LINT_H

#include <stdio.h>

#define LINT_SERIES 300
#define LINT_VALUE  260

// Writes what is wrong to `errors`, a line each with the page's line number. Returns how many.
unsigned metrics_lint(const char *page, FILE *errors);
// Writes the page's metrics as a table in Markdown: name, type, labels, help; in the page's order.
void metrics_table(const char *page, FILE *out);

#endif
