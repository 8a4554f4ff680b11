// The VNFs of a running daemon: which there are, who may speak for them, and how a reload changes that.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "scaleup/scaleupd_daemon.h"

struct scaleupd_vnf *scaleupd_find_vnf(const struct scaleupd *daemon, const char *name)
{
    for (size_t i = 0; i < daemon->vnf_count; i++)
        if (strcmp(daemon->vnfs[i]->line.vnf.name, name) == 0)
            return daemon->vnfs[i];
    return NULL;
}

// ---- adding

static void release_vnf(struct scaleupd_vnf *vnf)
{
    if (vnf->backend != NULL)
        vnf->line.backend->destroy(&vnf->backend);
    vnf_line_release(&vnf->line);
    free(vnf);
}

// The last one: the broker counts them in the same order.
static bool place(struct scaleupd *daemon, struct scaleupd_vnf *vnf)
{
    struct scaleupd_vnf **vnfs =
        realloc(daemon->vnfs, (daemon->vnf_count + 1) * sizeof(struct scaleupd_vnf *));
    if (vnfs == NULL)
        return false;
    daemon->vnfs = vnfs;
    vnfs[daemon->vnf_count++] = vnf;
    return true;
}

// Its place comes first: what the broker knows must not be without a back-end.
static bool introduce(struct scaleupd *daemon, struct scaleupd_vnf *vnf, struct error *e)
{
    if (!place(daemon, vnf)) {
        error_set(e, "out of memory");
        return false;
    }
    if (daemon->broker == NULL ||
        broker_set_vnf(daemon->broker, &vnf->line.vnf, scaleupd_now_ms(), &vnf->index, e))
        return true;
    daemon->vnf_count--;
    return false;
}

bool scaleupd_add_vnf(struct scaleupd *daemon, struct vnf_line *line, struct error *e)
{
    struct error why;
    struct scaleupd_vnf *vnf = calloc(1, sizeof *vnf);
    if (vnf == NULL) {
        error_set(e, "%s: out of memory", line->vnf.name);
        vnf_line_release(line);
        return false;
    }
    vnf->daemon = daemon;
    vnf->index = daemon->vnf_count;
    vnf->line = *line;
    *line = (struct vnf_line){0};
    vnf->backend = vnf->line.backend->create(vnf->line.settings, daemon->options->granularity, daemon->base,
                                             scaleupd_on_report, vnf, &why);
    if (vnf->backend != NULL && introduce(daemon, vnf, &why)) {
        if (daemon->broker != NULL)
            vnf->line.backend->measure(vnf->backend);
        return true;
    }
    error_set(e, "%s: %.400s", vnf->line.vnf.name, why.text);
    release_vnf(vnf);
    return false;
}

void scaleupd_release_vnfs(struct scaleupd *daemon)
{
    for (size_t i = 0; i < daemon->vnf_count; i++)
        release_vnf(daemon->vnfs[i]);
    free(daemon->vnfs);
    daemon->vnfs = NULL;
    daemon->vnf_count = 0;
}

// ---- who may

bool scaleupd_is_operator(void *arg, const struct access_peer *peer)
{
    const struct scaleupd *daemon = arg;
    return access_allows(&daemon->settings.operators, peer);
}

static bool is_own_user(const struct access_peer *peer)
{
    return peer->has_user && peer->uid == geteuid();
}

// Strangers do not learn which names there are.
bool scaleupd_is_known(void *arg, const struct access_peer *peer)
{
    const struct scaleupd *daemon = arg;
    if (daemon->any_name && is_own_user(peer))
        return true;
    if (access_allows(&daemon->settings.operators, peer))
        return true;
    for (size_t i = 0; i < daemon->vnf_count; i++)
        if (access_allows(&daemon->vnfs[i]->line.allow, peer))
            return true;
    return false;
}

// The names come from the daemon's own user, who could as well edit the configuration; their number is bounded all the same.
static bool add_any(struct scaleupd *daemon, const char *name, struct error *e)
{
    struct vnf_line line;
    if (daemon->vnf_count >= VNFS_MAX) {
        error_set(e, "there are %d VNFs, and no more fit", VNFS_MAX);
        return false;
    }
    if (!vnf_line_implicit(name, scaleupd_backend(daemon->options), daemon->options->cgroup_root, &line, e))
        return false;
    if (!access_add_user(&line.allow, geteuid())) {
        error_set(e, "out of memory");
        vnf_line_release(&line);
        return false;
    }
    return scaleupd_add_vnf(daemon, &line, e);
}

bool scaleupd_may(void *arg, const struct access_peer *peer, const struct message *hello,
                  enum message_error_code *code, struct error *why)
{
    struct scaleupd *daemon = arg;
    *code = ERROR_DENIED;
    if (hello->role == ROLE_OPERATOR) {
        error_set(why, "not an operator");
        return scaleupd_is_operator(daemon, peer);
    }
    const struct scaleupd_vnf *vnf = scaleupd_find_vnf(daemon, hello->vnf);
    if (vnf == NULL && daemon->any_name && is_own_user(peer)) {
        *code = ERROR_UNKNOWN_VNF;
        return add_any(daemon, hello->vnf, why);
    }
    if (vnf != NULL && access_allows(&vnf->line.allow, peer))
        return true;
    error_set(why, "may not speak for this VNF");
    if (vnf == NULL && scaleupd_is_known(daemon, peer)) {
        *code = ERROR_UNKNOWN_VNF;
        error_set(why, "no VNF of this name is configured");
    }
    return false;
}

// Each hello may end a session of the same VNF and begin another, with all that this says and writes.
bool scaleupd_too_often(void *arg, const struct message *hello)
{
    enum { PER_SECOND = 5, SHARE_MS = 1000 / PER_SECOND };
    struct scaleupd_vnf *vnf = hello->role == ROLE_VNF ? scaleupd_find_vnf(arg, hello->vnf) : NULL;
    uint64_t now = scaleupd_now_ms();
    if (vnf == NULL)
        return false;
    uint64_t from = vnf->hellos_ms > now ? vnf->hellos_ms : now;
    if (from - now > 1000 - SHARE_MS)
        return true;
    vnf->hellos_ms = from + SHARE_MS;
    return false;
}

// ---- reload

static void refused(const char *name, const char *reason)
{
    char quoted[600];
    log_error("vnf_refused", "vnf=%s reason=%s", name, log_quote(reason, quoted, sizeof quoted));
}

static void change_vnf(struct scaleupd *daemon, struct scaleupd_vnf *vnf, struct vnf_line *line)
{
    struct error why;
    size_t index;
    // Who may speak for it is taken over in any case: what is taken away must not wait for something else.
    access_release(&vnf->line.allow);
    vnf->line.allow = line->allow;
    line->allow = (struct access_list){0};
    if (line->backend != vnf->line.backend || strcmp(line->vnf.target, vnf->line.vnf.target) != 0) {
        error_set(&why, "%s %.200s instead of %s %.200s needs a restart", line->backend->name,
                  line->vnf.target, vnf->line.backend->name, vnf->line.vnf.target);
        refused(vnf->line.vnf.name, why.text);
        return;
    }
    if (strcmp(line->settings, vnf->line.settings) != 0) {
        refused(vnf->line.vnf.name, "other settings of its back-end need a restart");
        return;
    }
    if (!broker_set_vnf(daemon->broker, &line->vnf, scaleupd_now_ms(), &index, &why)) {
        refused(vnf->line.vnf.name, why.text);
        return;
    }
    vnf->line.vnf = line->vnf;
}

static void close_off(struct scaleupd *daemon, const struct vnf_lines *lines)
{
    for (size_t i = 0; i < daemon->vnf_count; i++) {
        struct scaleupd_vnf *vnf = daemon->vnfs[i];
        if (vnf_lines_find(lines, vnf->line.vnf.name) != NULL)
            continue;
        access_release(&vnf->line.allow);
        log_warn("vnf_gone", "vnf=%s note=\"nobody may speak for it; it is forgotten at a restart\"",
                 vnf->line.vnf.name);
    }
}

void scaleupd_reload_vnfs(struct scaleupd *daemon, struct vnf_lines *lines)
{
    bool any_name = lines->count == 0;
    if (!any_name || !daemon->any_name)
        close_off(daemon, lines);
    daemon->any_name = any_name;
    for (size_t i = 0; i < lines->count; i++) {
        struct error why;
        struct vnf_line *line = &lines->items[i];
        struct scaleupd_vnf *vnf = scaleupd_find_vnf(daemon, line->vnf.name);
        if (vnf != NULL)
            change_vnf(daemon, vnf, line);
        else if (!scaleupd_add_vnf(daemon, line, &why))
            refused("-", why.text);
    }
}
