// Commands of data types that this server does not have, and of scripts: known, so that the answer says what is the matter.
#include <ctype.h>
#include <string.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/store.h"

static void refuse(struct resp_call *call, const char *why)
{
    char name[32];
    size_t i = 0;
    for (; call->command->name[i] != '\0' && i + 1 < sizeof name; i++)
        name[i] = (char)toupper((unsigned char)call->command->name[i]);
    name[i] = '\0';
    resp_error(call->reply, "ERR %s %s", name, why);
}

static const char *text_of(const char *group)
{
    static const struct {
        const char *group;
        const char *text;
    } texts[] = {
        {"geo", "works on geo sets: this server stores strings only"},
        {"hash", "works on hashes: this server stores strings only"},
        {"hyperloglog", "works on HyperLogLogs: this server stores strings only"},
        {"list", "works on lists: this server stores strings only"},
        {"scripting", "works on scripts: this server runs no scripts"},
        {"set", "works on sets: this server stores strings only"},
        {"sorted-set", "works on sorted sets: this server stores strings only"},
        {"stream", "works on streams: this server stores strings only"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(group, texts[i].group) == 0)
            return texts[i].text;
    }
    return "works on lists and sets: this server stores strings only"; // SORT
}

void resp_cmd_other_type(struct resp_call *call)
{
    refuse(call, text_of(call->command->group));
}

// FUNCTION, SCRIPT: there are none, so they can be flushed and looked for.
void resp_cmd_script(struct resp_call *call)
{
    const struct resp_arg *what = &call->args[1];
    bool script = call->command->name[0] == 's';
    bool flush_mode =
        call->argc == 3 && (resp_arg_is(&call->args[2], "sync") || resp_arg_is(&call->args[2], "async"));
    if (resp_arg_is(what, "flush") && (call->argc == 2 || flush_mode)) {
        resp_status(call->reply, "OK");
    } else if (script && resp_arg_is(what, "exists") && call->argc > 2) {
        resp_array(call->reply, call->argc - 2);
        for (size_t i = 2; i < call->argc; i++)
            resp_integer(call->reply, 0);
    } else if (!script && resp_arg_is(what, "list")) {
        resp_array(call->reply, 0);
    } else if (resp_arg_is(what, "kill")) {
        resp_error(call->reply, "NOTBUSY No scripts in execution right now.");
    } else {
        resp_cmd_other_type(call);
    }
}
