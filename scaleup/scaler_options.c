#include "scaleup/scaler_options.h"

#include <stdlib.h>
#include <string.h>

#include "scaleup/limits.h"
#include "scaleup/message.h"

#define MARGIN_BYTES    (16ull << 20) // as the scaler's least
#define FIRST_MIN_BYTES (1ull << 20)

// "0.25", "99.9": digits and at most one point.
static bool parse_decimal(const char *text, double *value)
{
    size_t whole = strspn(text, "0123456789");
    size_t rest = text[whole] == '.' ? 1 + strspn(text + whole + 1, "0123456789") : 0;
    if (whole == 0 || rest == 1 || text[whole + rest] != '\0' || whole + rest > 15)
        return false;
    *value = strtod(text, NULL); // the program stays in the "C" locale
    return true;
}

static bool decimal_option(const char *name, const char *text, double max, double *value, struct error *e)
{
    *value = 0;
    if (text == NULL || (parse_decimal(text, value) && *value > 0 && *value < max))
        return true;
    error_set(e, "--%s: found %.40s, expected a number above 0 and below %.0f", name, text, max);
    return false;
}

bool scaler_options_need_tls(const struct scaler_settings *o)
{
    return o->scaleup != NULL && strncmp(o->scaleup, "unix:", 5) != 0;
}

static bool check_orchestrator(const struct scaler_settings *o, struct error *e)
{
    if (o->scaleup == NULL)
        return true;
    if (scaler_options_need_tls(o) && strrchr(o->scaleup, ':') == NULL)
        error_set(e, "--scaleup: found %.200s, expected unix:PATH or HOST:PORT", o->scaleup);
    else if (o->vnf == NULL)
        error_set(e, "--vnf: required with --scaleup: the name by which scaleupd knows this server");
    else if (!message_name_is_good(o->vnf))
        error_set(e, "--vnf: expected 1 to 64 characters of A-Z a-z 0-9 . _ -");
    else
        return true;
    return false;
}

static bool fill(const struct scaler_settings *o, struct policy_config *p, struct error *e)
{
    double percent;
    *p = (struct policy_config){.min_bytes = o->memory_min,
                                .max_bytes = o->memory_max,
                                .lookup_goal_us = (double)o->lookup_goal,
                                .device_reads = (double)o->device_reads,
                                .return_after_ms = o->return_after / 1000};
    if (!decimal_option("hit-goal", o->hit_goal, 100, &percent, e) ||
        !decimal_option("memory-price", o->memory_price, 1e12, &p->gib_hour_price, e) ||
        !decimal_option("miss-price", o->miss_price, 1e12, &p->miss_price, e))
        return false;
    p->hit_goal = percent / 100;
    if (o->memory_max != 0 && o->memory_min > o->memory_max)
        error_set(e, "--memory-min: found more than --memory-max");
    else if ((o->memory_price == NULL) != (o->miss_price == NULL))
        error_set(e,
                  "--memory-price, --miss-price: expected both or neither: one is weighed against the other");
    else
        return true;
    return false;
}

bool scaler_options_policy(const struct scaler_settings *o, struct policy_config *policy,
                           uint64_t *fixed_bytes, struct error *e)
{
    struct policy_config p;
    if (!check_orchestrator(o, e) || !fill(o, &p, e))
        return false;
    const char *wrong = policy_config_check(&p);
    if (wrong != NULL) {
        error_set(e, "memory policy: %s", wrong);
        return false;
    }
    bool goal = p.hit_goal > 0 || p.lookup_goal_us > 0 || p.device_reads > 0 || p.miss_price > 0;
    if (policy != NULL)
        *policy = p;
    if (fixed_bytes != NULL)
        *fixed_bytes = o->scaleup == NULL && !goal ? o->memory : 0;
    return true;
}

bool scaler_options_reload(const struct scaler_settings *running, const struct scaler_settings *fresh,
                           struct policy_config *policy, uint64_t *fixed_bytes, struct error *e)
{
    struct scaler_settings settings = *fresh; // borrows the texts of both
    settings.scaleup = running->scaleup;
    settings.vnf = running->vnf;
    return scaler_options_policy(&settings, policy, fixed_bytes, e);
}

static uint64_t less_margin(uint64_t bytes)
{
    return bytes > MARGIN_BYTES ? bytes - MARGIN_BYTES : 0;
}

uint64_t scaler_options_first_room(const struct limits_reading *now)
{
    uint64_t used = now->group_bytes > now->rss_bytes ? now->group_bytes : now->rss_bytes;
    uint64_t room = now->limit_bytes > used ? less_margin(now->limit_bytes - used) : 0;
    if (now->group_bytes == 0 && now->available_bytes != 0 && less_margin(now->available_bytes) < room)
        room = less_margin(now->available_bytes);
    return room > FIRST_MIN_BYTES ? room : FIRST_MIN_BYTES;
}

uint64_t scaler_options_first_limit(const struct scaler_settings *o)
{
    struct limits_reading now;
    struct limits *limits = limits_create("", o->memory_reserve, NULL);
    bool known = limits != NULL && limits_read(limits, &now, NULL);
    limits_destroy(&limits);
    if (!known)
        return o->memory;
    uint64_t room = scaler_options_first_room(&now);
    return o->memory < room ? o->memory : room;
}
