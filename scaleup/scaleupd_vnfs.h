// The VNFs of the configuration: "NAME backend=cgroup path=/sys/fs/cgroup/ks1 min=128mb max=4gb priority=5 allow=uid:1000 on-overdue=leave". What is no key of
// ours goes to the back-end.
#ifndef MEC_SCALEUP_SCALEUPD_VNFS_H
#define MEC_SCALEUP_SCALEUPD_VNFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/report.h"
#include "scaleup/backend.h"
#include "scaleup/broker.h"
#include "scaleup/scaleupd_access.h"

enum { VNFS_MAX = 1000, VNFS_PRIORITY = 5 };

struct vnf_line {
    struct broker_vnf vnf;
    const struct backend_class *backend;
    char *settings; // of the back-end
    struct access_list allow;
};

struct vnf_lines {
    struct vnf_line *items;
    size_t count;
};

// NULL: there is no such back-end.
const struct backend_class *vnf_backend(const char *name);

// One line. preset: the back-end of a line that names none. False and *e set ("ks1: min: found ..., expected a size"), nothing to release.
bool vnf_line_parse(const char *text, const struct backend_class *preset, struct vnf_line *line,
                    struct error *e);
// A VNF that no line names: the whole pool, the priority of a request that has none; for cgroup in the group ROOT/NAME. False and *e set: a name
// that would leave the folder ("..", or hidden), a back-end that cannot do with a name alone.
bool vnf_line_implicit(const char *name, const struct backend_class *backend, const char *cgroup_root,
                       struct vnf_line *line, struct error *e);
void vnf_line_release(struct vnf_line *line);

// All lines; a name twice or more than VNFS_MAX is false.
bool vnf_lines_parse(const struct config_list *list, const struct backend_class *preset,
                     struct vnf_lines *lines, struct error *e);
void vnf_lines_release(struct vnf_lines *lines);
struct vnf_line *vnf_lines_find(const struct vnf_lines *lines, const char *name);

#endif
