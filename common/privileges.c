#include "common/privileges.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool failed(struct error *e, const char *what)
{
    error_set(e, "--user: %s: %s", what, strerror(errno));
    return false;
}

// ---- capabilities

#define BIT(capability) (1u << (capability)) // those below 32

static bool read_capabilities(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capget, &header, data) == 0;
}

static bool write_capabilities(const struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capset, &header, data) == 0;
}

// Threads take these sets over when they are made, and they matter only to programs that are run, which
// no_new_privs and the sandbox see to as well: in a container where they cannot be emptied that is enough.
static bool empty_inherited_sets(struct error *e)
{
    struct __user_cap_data_struct data[2];
    for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
        (void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (!read_capabilities(data))
        return failed(e, "read capabilities");
    data[0].inheritable = data[1].inheritable = 0;
    return write_capabilities(data) || failed(e, "empty the inheritable capabilities");
}

// After the effective user has changed none are in effect.
static bool keep_in_effect(struct error *e)
{
    struct __user_cap_data_struct data[2];
    if (!read_capabilities(data))
        return failed(e, "read capabilities");
    data[0].effective = data[0].permitted & (BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_IPC_LOCK));
    data[1].effective = 0;
    return write_capabilities(data) || failed(e, "set capabilities");
}

// ---- users

bool privileges_find(struct privileges *p, const char *user, struct error *e)
{
    memset(p, 0, sizeof *p);
    if (user == NULL)
        return true;
    if (geteuid() != 0) {
        error_set(e, "--user: only root can become %s", user);
        return false;
    }
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL || entry->pw_uid == 0) {
        error_set(e, "--user: %s: %s", user, entry == NULL ? "no such user" : "expected another than root");
        return false;
    }
    p->uid = entry->pw_uid;
    p->gid = entry->pw_gid;
    p->group_count = PRIVILEGES_GROUPS;
    if (getgrouplist(user, p->gid, p->groups, &p->group_count) < 0) {
        error_set(e, "--user: %s: found %d groups, expected at most %d", user, p->group_count,
                  PRIVILEGES_GROUPS);
        return false;
    }
    p->wanted = true;
    return empty_inherited_sets(e);
}

bool privileges_as_user(const struct privileges *p, struct error *e)
{
    if (!p->wanted)
        return true;
    if (setgroups((size_t)p->group_count, p->groups) != 0)
        return failed(e, "set groups");
    if (setegid(p->gid) != 0 || seteuid(p->uid) != 0)
        return failed(e, "change user");
    return keep_in_effect(e);
}

bool privileges_as_root(const struct privileges *p, struct error *e)
{
    if (!p->wanted)
        return true;
    return (seteuid(0) == 0 && setegid(0) == 0) || failed(e, "change user");
}

// ---- for good

// A line of /proc/PID/status "CapEff:\t0000000000000000": whether all digits are zero.
static bool has_capability(const char *line)
{
    static const char *const sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        size_t len = strlen(sets[i]);
        if (strncmp(line, sets[i], len) == 0)
            return line[len + strspn(line + len, " \t0")] != '\n';
    }
    return false;
}

static bool thread_is_bare(const char *thread, struct error *e)
{
    char path[64], line[256];
    bool bare = true;
    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/status", thread);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return errno == ENOENT || failed(e, path); // it has ended
    while (bare && fgets(line, sizeof line, file) != NULL)
        bare = !has_capability(line);
    (void)fclose(file);
    if (!bare)
        error_set(e, "--user: thread %s still has capabilities", thread);
    return bare;
}

static bool threads_are_bare(struct error *e)
{
    bool bare = true;
    DIR *threads = opendir("/proc/self/task");
    if (threads == NULL)
        return failed(e, "/proc/self/task");
    for (struct dirent *entry; bare && (entry = readdir(threads)) != NULL;)
        bare = entry->d_name[0] == '.' || thread_is_bare(entry->d_name, e);
    (void)closedir(threads);
    return bare;
}

bool privileges_drop(const struct privileges *p, struct error *e)
{
    uid_t real, effective, saved;
    gid_t real_group, effective_group, saved_group;
    if (!p->wanted)
        return true;
    if (setresgid(p->gid, p->gid, p->gid) != 0 || setresuid(p->uid, p->uid, p->uid) != 0)
        return failed(e, "change user for good");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) // a change of user sets it to what the machine says
        return failed(e, "core dumps");
    if (getresuid(&real, &effective, &saved) != 0 ||
        getresgid(&real_group, &effective_group, &saved_group) != 0)
        return failed(e, "read ids");
    if (real != p->uid || effective != p->uid || saved != p->uid || real_group != p->gid ||
        effective_group != p->gid || saved_group != p->gid || setresuid((uid_t)-1, 0, (uid_t)-1) == 0) {
        error_set(e, "--user: root can still be had back");
        return false;
    }
    return threads_are_bare(e);
}
