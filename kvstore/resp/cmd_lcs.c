// LCS.
#include "kvstore/resp/handlers.h"

#include <stdlib.h>
#include <string.h>

#include "kvstore/resp/lcs.h"
#include "kvstore/resp/options.h"
#include "kvstore/resp/value.h"

struct matches {
    struct resp_reply list;
    size_t count;
    const struct resp_lcs_options *options;
};

static void reply_pair(struct resp_reply *reply, size_t first, size_t len)
{
    resp_array(reply, 2);
    resp_integer(reply, (int64_t)first);
    resp_integer(reply, (int64_t)(first + len - 1));
}

static void add_match(void *arg, size_t at_a, size_t at_b, size_t len)
{
    struct matches *matches = arg;
    if ((int64_t)len < matches->options->min_match)
        return;
    matches->count++;
    resp_array(&matches->list, matches->options->with_match_len ? 3 : 2);
    reply_pair(&matches->list, at_a, len);
    reply_pair(&matches->list, at_b, len);
    if (matches->options->with_match_len)
        resp_integer(&matches->list, (int64_t)len);
}

static void reply_matches(struct resp_call *call, const struct resp_lcs *lcs,
                          const struct resp_lcs_options *options)
{
    struct matches matches = {.options = options};
    resp_map(call->reply, 2);
    resp_bulk_text(call->reply, "matches");
    if (!resp_list_begin(call->reply, &matches.list))
        return;
    resp_lcs_runs(lcs, add_match, &matches);
    resp_list_finish(call->reply, &matches.list, matches.count);
    resp_bulk_text(call->reply, "len");
    resp_integer(call->reply, lcs->length);
}

struct text {
    const struct resp_lcs *lcs;
    uint8_t *bytes;
    size_t left; // not written yet: runs come from the end
};

static void add_run(void *arg, size_t at_a, size_t at_b, size_t len)
{
    struct text *text = arg;
    (void)at_b;
    text->left -= len;
    memcpy(text->bytes + text->left, text->lcs->a + at_a, len);
}

static void reply_text(struct resp_call *call, const struct resp_lcs *lcs)
{
    struct text text = {lcs, malloc((size_t)lcs->length + 1), lcs->length};
    if (text.bytes == NULL) {
        resp_store_error(call, KV_NO_MEMORY);
        return;
    }
    resp_lcs_runs(lcs, add_run, &text);
    resp_bulk(call->reply, text.bytes, lcs->length);
    free(text.bytes);
}

// False: the error was replied.
static bool parse_options(struct resp_call *call, struct resp_lcs_options *options)
{
    switch (resp_lcs_options_parse(call->args + 3, call->argc - 3, options)) {
    case RESP_LCS_OK:
        return true;
    case RESP_LCS_SYNTAX:
        resp_error(call->reply, RESP_SYNTAX_ERROR);
        return false;
    case RESP_LCS_NO_INTEGER:
        resp_error(call->reply, RESP_NOT_INTEGER);
        return false;
    case RESP_LCS_LEN_AND_IDX:
        break;
    }
    resp_error(call->reply, "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

static void compare(struct resp_call *call, const struct kv_view *a, const struct kv_view *b)
{
    struct resp_lcs_options options;
    struct resp_lcs lcs;
    if (!parse_options(call, &options))
        return;
    // Redis's table has four bytes for each pair; ours is smaller, but what is refused is the same.
    if (((uint64_t)a->len + 1) * ((uint64_t)b->len + 1) * 4 > resp_value_max(call)) {
        resp_error(call->reply,
                   "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return;
    }
    if (!resp_lcs_init(&lcs, a->data, a->len, b->data, b->len, options.idx || !options.len)) {
        resp_error(call->reply, "ERR Insufficient memory, failed allocating transient memory for LCS");
        return;
    }
    if (options.idx)
        reply_matches(call, &lcs, &options);
    else if (options.len)
        resp_integer(call->reply, lcs.length);
    else
        reply_text(call, &lcs);
    resp_lcs_deinit(&lcs);
}

void resp_cmd_lcs(struct resp_call *call)
{
    struct resp_value a, b;
    if (!resp_value_get(call, &call->args[1], &a))
        return;
    if (resp_value_get(call, &call->args[2], &b)) {
        resp_value_missed(call, call->args + 1, 2);
        compare(call, &a.view, &b.view);
        resp_value_release(call, &b);
    }
    resp_value_release(call, &a);
}
