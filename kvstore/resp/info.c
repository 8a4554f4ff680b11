// INFO: the state of server and store, in sections.
#include "kvstore/resp/info.h"

#include <inttypes.h>
#include <stdlib.h>

#include "kvstore/resp/args.h"
#include "kvstore/resp/handlers.h"
#include "kvstore/resp/stats.h"

void resp_info_uint(struct resp_info *info, const char *name, uint64_t value)
{
    (void)fprintf(info->out, "%s:%" PRIu64 "\r\n", name, value);
}

void resp_info_text(struct resp_info *info, const char *name, const char *value)
{
    (void)fprintf(info->out, "%s:%s\r\n", name, value);
}

void resp_info_size(struct resp_info *info, const char *name, uint64_t bytes)
{
    static const char letters[] = "KMGTP";
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit < sizeof letters - 1; unit++)
        value /= 1024;
    if (unit == 0)
        (void)fprintf(info->out, "%s:%" PRIu64 "B\r\n", name, bytes);
    else
        (void)fprintf(info->out, "%s:%.2f%c\r\n", name, value, letters[unit - 1]);
}

void resp_info_ratio(struct resp_info *info, const char *name, double value)
{
    (void)fprintf(info->out, "%s:%.2f\r\n", name, value);
}

static const struct section {
    const char *name, *title;
    void (*write)(struct resp_info *info);
    bool by_default; // without a name; else with "all" or "everything"
} sections[] = {
    {"server", "Server", resp_info_server, true},
    {"clients", "Clients", resp_info_clients, true},
    {"memory", "Memory", resp_info_memory, true},
    {"persistence", "Persistence", resp_info_persistence, true},
    {"stats", "Stats", resp_info_stats, true},
    {"replication", "Replication", resp_info_replication, true},
    {"cpu", "CPU", resp_info_cpu, true},
    {"modules", "Modules", resp_info_modules, true},
    {"commandstats", "Commandstats", resp_info_commandstats, false},
    {"errorstats", "Errorstats", resp_info_errorstats, true},
    {"latencystats", "Latencystats", resp_info_latencystats, false},
    {"cluster", "Cluster", resp_info_cluster, true},
    {"elastic", "Elastic", resp_info_elastic, true},
    {"sealing", "Sealing", resp_info_sealing, false},
    {"keyspace", "Keyspace", resp_info_keyspace, true},
};

static bool wanted(const struct resp_call *call, const struct section *section)
{
    if (call->argc == 1)
        return section->by_default;
    for (size_t i = 1; i < call->argc; i++) {
        const struct resp_arg *arg = &call->args[i];
        if (resp_arg_is(arg, section->name) || resp_arg_is(arg, "all") || resp_arg_is(arg, "everything") ||
            (resp_arg_is(arg, "default") && section->by_default))
            return true;
    }
    return false;
}

void resp_cmd_info(struct resp_call *call)
{
    char *text = NULL;
    size_t len = 0;
    struct resp_info info = {.out = open_memstream(&text, &len), .shared = call->session->shared};
    if (info.out == NULL) {
        call->reply->failed = true;
        return;
    }
    resp_memory_read(info.shared, &info.memory);
    bool first = true;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!wanted(call, &sections[i]))
            continue;
        (void)fprintf(info.out, "%s# %s\r\n", first ? "" : "\r\n", sections[i].title);
        sections[i].write(&info);
        first = false;
    }
    if (fclose(info.out) == 0)
        resp_verbatim(call->reply, text, len);
    else
        call->reply->failed = true;
    free(text);
}
