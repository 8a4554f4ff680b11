// Commands on databases.
#include "kvstore/resp/args.h"
#include "kvstore/resp/db.h"
#include "kvstore/resp/events.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

// A number that an int holds; `text` is the error instead of Redis's usual two. False: an error was replied.
static bool index_of(struct resp_call *call, const struct resp_arg *arg, const char *text, int64_t *number)
{
    bool is_number = resp_arg_int64(arg, number);
    if (is_number && *number >= INT32_MIN && *number <= INT32_MAX)
        return true;
    if (text != NULL)
        resp_error(call->reply, "%s", text);
    else if (is_number)
        resp_error(call->reply, "ERR value is out of range, value must between -2147483648 and 2147483647");
    else
        resp_error(call->reply, RESP_NOT_INTEGER);
    return false;
}

static bool is_database(struct resp_call *call, int64_t number)
{
    if (number >= 0 && number < call->session->shared->databases)
        return true;
    resp_error(call->reply, "ERR DB index is out of range");
    return false;
}

bool resp_db_arg(struct resp_call *call, const struct resp_arg *arg, unsigned *db)
{
    int64_t number;
    if (!index_of(call, arg, NULL, &number) || !is_database(call, number))
        return false;
    *db = (unsigned)number;
    return true;
}

void resp_cmd_select(struct resp_call *call)
{
    unsigned db;
    if (!resp_db_arg(call, &call->args[1], &db))
        return;
    call->session->db = db;
    resp_status(call->reply, "OK");
}

void resp_cmd_swapdb(struct resp_call *call)
{
    struct resp_shared *shared = call->session->shared;
    int64_t a, b;
    if (!index_of(call, &call->args[1], "ERR invalid first DB index", &a) ||
        !index_of(call, &call->args[2], "ERR invalid second DB index", &b) || !is_database(call, a) ||
        !is_database(call, b))
        return;
    if (a != b) {
        enum kv_status status = resp_db_swap(shared, (unsigned)a, (unsigned)b);
        if (status != KV_OK) {
            resp_store_error(call, status);
            return;
        }
        call->session->wrote = true;
        resp_swapped(shared, (unsigned)a, (unsigned)b);
    }
    resp_status(call->reply, "OK");
}

void resp_cmd_dbsize(struct resp_call *call)
{
    resp_integer(call->reply, (int64_t)resp_db_count(call->session->shared, call->db).keys);
}
