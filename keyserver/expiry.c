#include "keyserver/expiry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <openssl/err.h>

#include "common/log.h"
#include "common/tls.h"

#define DAY_S  86400
#define HOUR_S 3600
#define LINES  8 // of one kind in one go; the rest is counted
#define SHARE  3 // of a whole time: thresholds beyond 1/SHARE of it are not looked at

struct item {
    enum expiry_kind kind;
    char name[128];
    int64_t not_before, not_after;
    unsigned told; // thresholds passed when it was last told of
    int64_t told_s;
};

struct expiry {
    struct expiry_days days;
    const struct expiry_keys *keys;
    size_t count, before_count; // `before`: of the last collection, to remember what was told
    struct item items[EXPIRY_ITEMS_MAX], before[EXPIRY_ITEMS_MAX]; // soonest first
    int64_t keys_told_s;
    uint64_t keys_told[EXPIRY_DAYS_MAX + 1]; // by threshold; last: expired
};

static const char *const kinds[EXPIRY_KINDS] = {"server", "chain", "client_ca", "crl"};

// ---- thresholds

static int descending(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

bool expiry_days_parse(const char *text, struct expiry_days *days, struct error *e)
{
    days->count = 0;
    for (const char *at = text; at != NULL;) {
        char *end;
        unsigned long n = at[0] >= '0' && at[0] <= '9' ? strtoul(at, &end, 10) : 0;
        if (n < 1 || n > EXPIRY_KEYS_DAYS || (*end != ',' && *end != '\0') ||
            days->count == EXPIRY_DAYS_MAX) {
            error_set(
                e,
                "--expiry-warning-days: found \"%s\", expected up to %d numbers of days from 1 to %d with "
                "commas between them",
                text, EXPIRY_DAYS_MAX, EXPIRY_KEYS_DAYS);
            return false;
        }
        days->days[days->count++] = (unsigned)n;
        at = *end == ',' ? end + 1 : NULL;
    }
    qsort(days->days, days->count, sizeof days->days[0], descending);
    return true;
}

// ---- what there is

struct expiry *expiry_create(const struct expiry_days *days, const struct expiry_keys *keys)
{
    struct expiry *expiry = calloc(1, sizeof *expiry);
    if (expiry != NULL) {
        expiry->days = *days;
        expiry->keys = keys;
    }
    return expiry;
}

void expiry_destroy(struct expiry **expiry)
{
    free(*expiry);
    *expiry = NULL;
}

static void remember(const struct expiry *expiry, struct item *item)
{
    for (size_t i = 0; i < expiry->before_count; i++) {
        const struct item *old = &expiry->before[i];
        if (old->kind == item->kind && old->not_after == item->not_after &&
            strcmp(old->name, item->name) == 0) {
            item->told = old->told;
            item->told_s = old->told_s;
        }
    }
}

void expiry_add(struct expiry *expiry, enum expiry_kind kind, const char *name, int64_t not_before,
                int64_t not_after)
{
    struct item item = {.kind = kind, .not_before = not_before, .not_after = not_after};
    (void)snprintf(item.name, sizeof item.name, "%s", name);
    remember(expiry, &item);
    size_t at = expiry->count;
    if (at == EXPIRY_ITEMS_MAX && not_after >= expiry->items[at - 1].not_after)
        return;
    if (at < EXPIRY_ITEMS_MAX)
        expiry->count++;
    else
        at--;
    for (; at > 0 && expiry->items[at - 1].not_after > not_after; at--)
        expiry->items[at] = expiry->items[at - 1];
    expiry->items[at] = item;
}

static int64_t unix_of(const ASN1_TIME *time)
{
    struct tm tm;
    return time != NULL && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void add_cert(struct expiry *expiry, enum expiry_kind kind, const X509 *cert)
{
    char name[128];
    if (cert != NULL)
        expiry_add(expiry, kind, tls_cert_name(cert, name, sizeof name), unix_of(X509_get0_notBefore(cert)),
                   unix_of(X509_get0_notAfter(cert)));
}

static void add_authorities(struct expiry *expiry, SSL_CTX *ctx)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    (void)X509_STORE_lock(store);
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
        add_cert(expiry, EXPIRY_CLIENT_CA, X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i)));
    (void)X509_STORE_unlock(store);
}

static void add_crl(void *arg, const char *issuer, const ASN1_TIME *last, const ASN1_TIME *next)
{
    if (next != NULL)
        expiry_add(arg, EXPIRY_CRL, issuer, unix_of(last), unix_of(next));
}

void expiry_collect(struct expiry *expiry, SSL_CTX *ctx, const struct access_policy *policy)
{
    STACK_OF(X509) *chain = NULL;
    memcpy(expiry->before, expiry->items, sizeof expiry->items);
    expiry->before_count = expiry->count;
    expiry->count = 0;
    add_cert(expiry, EXPIRY_SERVER, SSL_CTX_get0_certificate(ctx));
    (void)SSL_CTX_get0_chain_certs(ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++)
        add_cert(expiry, EXPIRY_CHAIN, sk_X509_value(chain, i));
    add_authorities(expiry, ctx);
    if (policy != NULL)
        access_each_crl(policy, add_crl, expiry);
    expiry->before_count = 0;
    ERR_clear_error();
}

// ---- the log

static char *date_of(int64_t unix_s, char text[static 24])
{
    struct tm tm;
    time_t at = (time_t)unix_s;
    if (gmtime_r(&at, &tm) == NULL || strftime(text, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        (void)strcpy(text, "?");
    return text;
}

// How many thresholds it has passed; one more when it has expired.
static unsigned passed(const struct expiry *expiry, const struct item *item, int64_t now_s)
{
    unsigned count = 0;
    int64_t whole = item->not_after - item->not_before;
    for (unsigned i = 0; i < expiry->days.count; i++) {
        int64_t ahead = (int64_t)expiry->days.days[i] * DAY_S;
        if (ahead <= whole / SHARE && item->not_after - now_s <= ahead)
            count++;
    }
    return item->not_after < now_s ? count + 1 : count;
}

static void tell(const struct item *item, int64_t now_s)
{
    char name[160], date[24];
    (void)log_quote(item->name, name, sizeof name);
    (void)date_of(item->not_after, date);
    const char *event = item->kind == EXPIRY_CRL ? "crl" : "certificate";
    char word[32];
    (void)snprintf(word, sizeof word, "%s_%s", event, item->not_after < now_s ? "expired" : "expires");
    if (item->not_after < now_s)
        log_error(word, "what=%s name=%s not_after=%s", kinds[item->kind], name, date);
    else
        log_warn(word, "what=%s name=%s not_after=%s days=%lld", kinds[item->kind], name, date,
                 (long long)(item->not_after - now_s) / DAY_S);
}

static unsigned tell_items(struct expiry *expiry, int64_t now_s)
{
    unsigned lines = 0, more = 0, of_kind[EXPIRY_KINDS] = {0};
    if (expiry->days.count == 0)
        return 0;
    for (size_t i = 0; i < expiry->count; i++) {
        struct item *item = &expiry->items[i];
        unsigned now = passed(expiry, item, now_s);
        if (now == 0 || (now <= item->told && now_s - item->told_s < DAY_S))
            continue;
        item->told = now;
        item->told_s = now_s;
        if (of_kind[item->kind]++ < LINES) {
            tell(item, now_s);
            lines++;
        } else {
            more++;
        }
    }
    if (more > 0)
        log_warn("certificates_expire", "more=%u note=\"all are in /status\"", more);
    return lines + (more > 0 ? 1 : 0);
}

// What expires within a threshold and has not yet; i == count: what has.
static uint64_t keys_within(const struct expiry *expiry, const struct expiry_keys_count *count, int64_t now_s,
                            unsigned i)
{
    uint64_t expired = expiry_keys_within(count, now_s, 0);
    return i == expiry->days.count ? expired
                                   : expiry_keys_within(count, now_s, expiry->days.days[i]) - expired;
}

// One line for all keys: daily, and within an hour of there being more.
static unsigned tell_keys(struct expiry *expiry, int64_t now_s)
{
    struct expiry_keys_count count;
    char text[400];
    size_t len = 0;
    bool any = false, risen = false;
    if (expiry->keys == NULL || expiry->days.count == 0 || now_s - expiry->keys_told_s < HOUR_S)
        return 0;
    expiry_keys_get(expiry->keys, &count);
    if (!count.known)
        return 0;
    for (unsigned i = 0; i <= expiry->days.count; i++) {
        uint64_t n = keys_within(expiry, &count, now_s, i);
        any |= n > 0;
        risen |= n > expiry->keys_told[i];
        if (i < expiry->days.count)
            len += (size_t)snprintf(text + len, sizeof text - len, "within_%ud=%llu ", expiry->days.days[i],
                                    (unsigned long long)n);
        else
            (void)snprintf(text + len, sizeof text - len, "expired=%llu", (unsigned long long)n);
    }
    if (!any || (!risen && now_s - expiry->keys_told_s < DAY_S))
        return 0;
    for (unsigned i = 0; i <= expiry->days.count; i++)
        expiry->keys_told[i] = keys_within(expiry, &count, now_s, i);
    expiry->keys_told_s = now_s;
    log_warn("keys_expire", "%s soonest=%s", text, count.soonest_count > 0 ? count.soonest[0].name : "-");
    return 1;
}

unsigned expiry_tick(struct expiry *expiry, int64_t now_s)
{
    return tell_items(expiry, now_s) + tell_keys(expiry, now_s);
}

// ---- /status and metrics

static json_t *keys_json(const struct expiry *expiry, int64_t now_s)
{
    struct expiry_keys_count count = {0};
    char date[24], days[16];
    if (expiry->keys != NULL)
        expiry_keys_get(expiry->keys, &count);
    if (!count.known)
        return json_null();
    json_t *within = json_object(), *soonest = json_array();
    for (unsigned i = 0; i < expiry->days.count; i++) {
        (void)snprintf(days, sizeof days, "%u", expiry->days.days[i]);
        (void)json_object_set_new(within, days,
                                  json_integer((json_int_t)keys_within(expiry, &count, now_s, i)));
    }
    for (unsigned i = 0; i < count.soonest_count; i++)
        (void)json_array_append_new(soonest,
                                    json_pack("{s:s, s:s}", "key", count.soonest[i].name, "not_after",
                                              date_of(count.soonest[i].not_after, date)));
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "counted",
                     date_of((int64_t)count.unix_s, date), "counting_us", (json_int_t)count.took_us, "keys",
                     (json_int_t)count.keys, "without_certificate", (json_int_t)count.no_cert, "damaged",
                     (json_int_t)count.damaged, "expired",
                     (json_int_t)keys_within(expiry, &count, now_s, expiry->days.count), "within_days",
                     within, "soonest", soonest);
}

json_t *expiry_json(const struct expiry *expiry, int64_t now_s)
{
    char date[24];
    json_t *items = json_array();
    for (size_t i = 0; i < expiry->count; i++) {
        const struct item *item = &expiry->items[i];
        int64_t left = item->not_after - now_s;
        (void)json_array_append_new(
            items, json_pack("{s:s, s:s, s:s, s:I}", "what", kinds[item->kind], "name", item->name,
                             "not_after", date_of(item->not_after, date), "days_left",
                             (json_int_t)(left < 0 ? (left - DAY_S + 1) / DAY_S : left / DAY_S)));
    }
    return json_pack("{s:o, s:o}", "items", items, "keys", keys_json(expiry, now_s));
}

static void put_not_after(void *arg, struct metrics_put *to)
{
    const struct expiry *expiry = arg;
    char labels[32];
    bool put[EXPIRY_KINDS] = {false};
    for (size_t i = 0; i < expiry->count; i++) { // soonest first
        enum expiry_kind kind = expiry->items[i].kind;
        if (put[kind])
            continue;
        put[kind] = true;
        (void)snprintf(labels, sizeof labels, "what=\"%s\"", kinds[kind]);
        metrics_put_number(to, labels, (double)expiry->items[i].not_after);
    }
}

static void put_keys(void *arg, struct metrics_put *to)
{
    const struct expiry *expiry = arg;
    struct expiry_keys_count count = {0};
    char labels[32];
    if (expiry->keys != NULL)
        expiry_keys_get(expiry->keys, &count);
    if (!count.known)
        return;
    int64_t now_s = (int64_t)time(NULL);
    for (unsigned i = 0; i <= expiry->days.count; i++) {
        if (i < expiry->days.count)
            (void)snprintf(labels, sizeof labels, "within_days=\"%u\"", expiry->days.days[i]);
        else
            (void)strcpy(labels, "within_days=\"0\"");
        metrics_put_number(to, labels, (double)keys_within(expiry, &count, now_s, i));
    }
}

static double read_counted(void *arg)
{
    const struct expiry *expiry = arg;
    struct expiry_keys_count count = {0};
    if (expiry->keys != NULL)
        expiry_keys_get(expiry->keys, &count);
    return (double)count.unix_s;
}

bool expiry_metrics(struct expiry *expiry, struct metrics *m)
{
    return metrics_gauge_each(m, "ks_cert_not_after_seconds",
                              "Unix time when the first of its kind expires: own certificate, its chain, "
                              "authorities of edges, CRLs.",
                              put_not_after, expiry) &&
           metrics_gauge_each(
               m, "ks_db_keys_expiring",
               "Stored keys whose certificate expires within so many days; 0: that has expired.", put_keys,
               expiry) &&
           metrics_gauge(m, "ks_db_keys_expiry_counted_seconds", NULL,
                         "Unix time when that was last counted; 0: not yet.", read_counted, expiry);
}
