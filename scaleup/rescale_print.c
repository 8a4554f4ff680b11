#include "scaleup/rescale_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/units.h"
#include "scaleup/message_text.h"

#define SIZE_TEXT 16

static bool written(FILE *out)
{
    return fflush(out) == 0 && ferror(out) == 0;
}

bool rescale_print_response(FILE *out, const char *vnf, const struct response *response)
{
    char granted[SIZE_TEXT], wait[SIZE_TEXT];
    (void)fprintf(out, "%s: %s: %s granted", vnf, message_state_name(response->state),
                  units_format_size(response->granted_bytes, granted, sizeof granted));
    if (response->retry_ms != 0)
        (void)fprintf(out, ", ask again in %s",
                      units_format_duration(response->retry_ms * 1000, wait, sizeof wait));
    if (response->detail[0] != '\0')
        (void)fprintf(out, " (%s)", response->detail);
    (void)fputc('\n', out);
    return written(out);
}

bool rescale_print_response_json(FILE *out, const char *vnf, const struct response *response)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:o}", "vnf", vnf, "id", response->id, "state",
                  message_state_name(response->state), "final", response->final ? 1 : 0, "granted_bytes",
                  (json_int_t)response->granted_bytes, "granularity", (json_int_t)response->granularity,
                  "retry_ms", (json_int_t)response->retry_ms, "detail", message_text_value(response->detail));
    bool good = object != NULL && json_dumpf(object, out, JSON_COMPACT) == 0;
    json_decref(object);
    return good && fputc('\n', out) != EOF && written(out);
}

// ---- status

static int widest(const struct message *status, int least)
{
    for (size_t i = 0; i < status->vnf_count; i++) {
        int len = (int)strlen(status->vnfs[i].vnf);
        least = len > least ? len : least;
    }
    return least;
}

static void print_vnf(FILE *out, int width, const struct message_vnf *v)
{
    const uint64_t sizes[] = {v->granted_bytes, v->actual_bytes, v->used_bytes, v->min_bytes, v->max_bytes};
    char text[SIZE_TEXT];
    (void)fprintf(out, "%-*s  %-10s %-9s", width, v->vnf, v->backend, v->connected ? "yes" : "no");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        (void)fprintf(out, " %9s", units_format_size(sizes[i], text, sizeof text));
    (void)fprintf(out, " %8" PRIu64 " %7" PRIu64 "  %s", v->priority, v->overdue, v->change);
    if (strcmp(v->change, "none") != 0)
        (void)fprintf(out, " to %s", units_format_size(v->target_bytes, text, sizeof text));
    if (v->detail[0] != '\0')
        (void)fprintf(out, " (%s)", v->detail);
    (void)fputc('\n', out);
}

bool rescale_print_status(FILE *out, const struct message *status)
{
    char pool[SIZE_TEXT], left[SIZE_TEXT], granularity[SIZE_TEXT];
    int width = widest(status, (int)strlen("VNF"));
    (void)fprintf(out, "pool %s, free %s, granularity %s\n",
                  units_format_size(status->pool_bytes, pool, sizeof pool),
                  units_format_size(status->free_bytes, left, sizeof left),
                  units_format_size(status->granularity, granularity, sizeof granularity));
    (void)fprintf(out, "%-*s  %-10s %-9s %9s %9s %9s %9s %9s %8s %7s  %s\n", width, "VNF", "BACKEND",
                  "CONNECTED", "GRANTED", "ACTUAL", "USED", "MIN", "MAX", "PRIORITY", "OVERDUE", "CHANGE");
    for (size_t i = 0; i < status->vnf_count; i++)
        print_vnf(out, width, &status->vnfs[i]);
    return written(out);
}

bool rescale_print_status_json(FILE *out, const struct message *status)
{
    size_t len;
    char *line = message_format(status, &len);
    bool good = line != NULL && fwrite(line, 1, len, out) == len && written(out);
    free(line);
    return good;
}
