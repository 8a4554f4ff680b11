// CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO.
#include <stdlib.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"
#include "kvstore/resp/tracking.h"

#define SHOWN(arg) (int)((arg)->len < 128 ? (arg)->len : 128), (const char *)(arg)->data

struct asked { // of CLIENT TRACKING
    struct resp_tracking_options options;
    struct resp_arg *prefixes; // owned
};

static bool parse_redirect(struct resp_call *call, const struct resp_arg *arg, uint64_t *redirect)
{
    int64_t id;
    if (*redirect != 0)
        resp_error(call->reply, "ERR A client can only redirect to a single other client");
    else if (!resp_arg_int64(arg, &id))
        resp_error(call->reply, RESP_NOT_INTEGER);
    else if (id <= 0 || !resp_tracking_has_client(call->session->shared, (uint64_t)id))
        resp_error(call->reply, "ERR The client ID you want redirect to does not exist");
    else {
        *redirect = (uint64_t)id;
        return true;
    }
    return false;
}

// One option at args[*at]; *at moves to its last word. False: an error was replied.
static bool parse_option(struct resp_call *call, size_t *at, struct asked *asked)
{
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = {{"bcast", RESP_TRACKING_BCAST},
                 {"optin", RESP_TRACKING_OPTIN},
                 {"optout", RESP_TRACKING_OPTOUT},
                 {"noloop", RESP_TRACKING_NOLOOP}};
    const struct resp_arg *arg = &call->args[*at];
    bool more = *at + 1 < call->argc;
    if (more && resp_arg_is(arg, "redirect"))
        return parse_redirect(call, &call->args[++*at], &asked->options.redirect);
    if (more && resp_arg_is(arg, "prefix")) {
        asked->prefixes[asked->options.prefix_count++] = call->args[++*at];
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (resp_arg_is(arg, words[i].word)) {
            asked->options.flags |= words[i].flag;
            return true;
        }
    }
    resp_error(call->reply, RESP_SYNTAX_ERROR);
    return false;
}

// Why these options cannot be, or not after those that are; NULL: they can.
static const char *conflict(const struct resp_session *session, const struct resp_tracking_options *o)
{
    unsigned now = atomic_load(&session->tracking);
    bool bcast = (o->flags & RESP_TRACKING_BCAST) != 0, in = (o->flags & RESP_TRACKING_OPTIN) != 0,
         out = (o->flags & RESP_TRACKING_OPTOUT) != 0;
    if (!bcast && o->prefix_count != 0)
        return "ERR PREFIX option requires BCAST mode to be enabled";
    if (now != 0 && bcast != ((now & RESP_TRACKING_BCAST) != 0))
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
               "re-enabling it with a different mode.";
    if (bcast && (in || out))
        return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    if (in && out)
        return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    if ((in && (now & RESP_TRACKING_OPTOUT) != 0) || (out && (now & RESP_TRACKING_OPTIN) != 0))
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
               "re-enabling it with a different mode.";
    return NULL;
}

static void switch_on(struct resp_call *call, const struct resp_tracking_options *options)
{
    struct resp_arg which[2];
    const char *why = conflict(call->session, options);
    if (why != NULL) {
        resp_error(call->reply, "%s", why);
        return;
    }
    switch (resp_tracking_enable(call->session, options, which)) {
    case RESP_TRACKING_OK:
        resp_status(call->reply, "OK");
        return;
    case RESP_TRACKING_NO_CLIENT:
        resp_error(call->reply, "ERR The client ID you want redirect to does not exist");
        return;
    case RESP_TRACKING_OVERLAP:
        resp_error(call->reply,
                   "ERR Prefix '%.*s' overlaps with an existing prefix '%.*s'. Prefixes for a single client "
                   "must not overlap.",
                   SHOWN(&which[0]), SHOWN(&which[1]));
        return;
    case RESP_TRACKING_OVERLAP_GIVEN:
        resp_error(call->reply,
                   "ERR Prefix '%.*s' overlaps with another provided prefix '%.*s'. Prefixes for a single "
                   "client must not overlap.",
                   SHOWN(&which[0]), SHOWN(&which[1]));
        return;
    case RESP_TRACKING_TOO_MANY:
        resp_error(call->reply, "ERR too many prefixes: they may take %zu bytes", RESP_TRACKING_PREFIX_BYTES);
        return;
    case RESP_TRACKING_NO_MEMORY:
        resp_store_error(call, KV_NO_MEMORY);
        return;
    }
}

void resp_cmd_client_tracking(struct resp_call *call)
{
    struct asked asked = {.prefixes = calloc(call->argc, sizeof *asked.prefixes)};
    bool good = asked.prefixes != NULL;
    if (!good)
        resp_store_error(call, KV_NO_MEMORY);
    for (size_t i = 3; i < call->argc && good; i++)
        good = parse_option(call, &i, &asked);
    asked.options.prefixes = asked.prefixes;
    if (good && resp_arg_is(&call->args[2], "on")) {
        switch_on(call, &asked.options);
    } else if (good && resp_arg_is(&call->args[2], "off")) {
        resp_tracking_disable(call->session);
        resp_status(call->reply, "OK");
    } else if (good) {
        resp_error(call->reply, RESP_SYNTAX_ERROR);
    }
    free(asked.prefixes);
}

void resp_cmd_client_caching(struct resp_call *call)
{
    unsigned flags = atomic_load(&call->session->tracking);
    bool yes = resp_arg_is(&call->args[2], "yes"), no = resp_arg_is(&call->args[2], "no");
    if ((flags & RESP_TRACKING_ON) == 0)
        resp_error(call->reply, "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                                "with OPTIN or OPTOUT mode enabled");
    else if (yes && (flags & RESP_TRACKING_OPTIN) == 0)
        resp_error(call->reply,
                   "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    else if (no && (flags & RESP_TRACKING_OPTOUT) == 0)
        resp_error(call->reply,
                   "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    else if (!yes && !no)
        resp_error(call->reply, RESP_SYNTAX_ERROR);
    else {
        atomic_fetch_or(&call->session->tracking, RESP_TRACKING_CACHING);
        resp_status(call->reply, "OK");
    }
}

// -1: not tracking, 0: to itself.
static int64_t redirect_of(const struct resp_session *session)
{
    return atomic_load(&session->tracking) == 0 ? -1 : (int64_t)atomic_load(&session->redirect);
}

void resp_cmd_client_getredir(struct resp_call *call)
{
    resp_integer(call->reply, redirect_of(call->session));
}

static void reply_flags(struct resp_call *call)
{
    unsigned flags = atomic_load(&call->session->tracking);
    const char *words[8];
    size_t n = 0;
    words[n++] = (flags & RESP_TRACKING_ON) != 0 ? "on" : "off";
    if ((flags & RESP_TRACKING_BCAST) != 0)
        words[n++] = "bcast";
    if ((flags & RESP_TRACKING_OPTIN) != 0) {
        words[n++] = "optin";
        if ((flags & RESP_TRACKING_CACHING) != 0)
            words[n++] = "caching-yes";
    }
    if ((flags & RESP_TRACKING_OPTOUT) != 0) {
        words[n++] = "optout";
        if ((flags & RESP_TRACKING_CACHING) != 0)
            words[n++] = "caching-no";
    }
    if ((flags & RESP_TRACKING_NOLOOP) != 0)
        words[n++] = "noloop";
    if ((flags & RESP_TRACKING_BROKEN) != 0)
        words[n++] = "broken_redirect";
    resp_set(call->reply, n);
    for (size_t i = 0; i < n; i++)
        resp_bulk_text(call->reply, words[i]);
}

void resp_cmd_client_trackinginfo(struct resp_call *call)
{
    struct resp_arg prefix;
    size_t count = 0;
    resp_map(call->reply, 3);
    resp_bulk_text(call->reply, "flags");
    reply_flags(call);
    resp_bulk_text(call->reply, "redirect");
    resp_integer(call->reply, redirect_of(call->session));
    resp_bulk_text(call->reply, "prefixes");
    while (resp_tracking_prefix(call->session, count, &prefix))
        count++;
    resp_array(call->reply, count);
    for (size_t i = 0; i < count && resp_tracking_prefix(call->session, i, &prefix); i++)
        resp_bulk(call->reply, prefix.data, prefix.len);
}
