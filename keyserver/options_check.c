// What the options ask of each other, and what others take of them.
#include "keyserver/options.h"

#include <string.h>

#include "common/net.h"
#include "keyserver/loop.h"

static bool check_master(const struct options *o, struct error *e)
{
    if (o->master_key == NULL && o->new_master_key != NULL)
        error_set(e, "--new-master-key: needs --master-key");
    else if (o->master_key == NULL && o->master_key_fd != NULL)
        error_set(e, "--master-key-passphrase-fd: needs --master-key");
    else if (o->new_master_key == NULL && o->new_master_key_fd != NULL)
        error_set(e, "--new-master-key-passphrase-fd: needs --new-master-key");
    else
        return true;
    return false;
}

static bool check_redis(const struct options *o, struct error *e)
{
    struct net_addr addr;
    if (!net_addr_parse_option("redis-listen", o->redis_listen, &addr, e))
        return false;
    if (o->redis_listen != NULL && !net_addr_is_loopback(&addr))
        error_set(e,
                  "--redis-listen: found %s, which other machines can reach, expected a loopback address or "
                  "unix:PATH",
                  o->redis_listen);
    else if (o->redis_listen != NULL && o->redis_password_file == NULL)
        error_set(e, "--redis-listen: needs --redis-password-file");
    else if (o->redis_listen != NULL && o->master_key == NULL)
        error_set(e, "--redis-listen: needs --master-key: without one, stored keys are plain");
    else if (o->redis_listen == NULL && o->redis_password_file != NULL)
        error_set(e, "--redis-password-file: needs --redis-listen");
    else
        return true;
    return false;
}

struct audit_settings options_audit(const struct options *o)
{
    return (struct audit_settings){.path = o->audit_log,
                                   .mode = (enum audit_mode)o->audit,
                                   .key_file = o->audit_key,
                                   .rotate_bytes = o->audit_rotate,
                                   .head_lines = o->audit_head_lines,
                                   .head_us = o->audit_head_time,
                                   .alarm_us = o->audit_alarm,
                                   .complete = loop_complete};
}

static bool check_audit(const struct options *o, struct error *e)
{
    if (o->audit_log == NULL && o->audit == AUDIT_STRICT)
        error_set(e, "--audit: strict needs --audit-log");
    else if (o->audit_log == NULL && o->audit_key != NULL)
        error_set(e, "--audit-key: needs --audit-log");
    else if (!o->verify_audit && (o->audit_public != NULL || o->expect_head != NULL || o->audit_open))
        error_set(e, "--%s: needs --verify-audit",
                  o->audit_public != NULL  ? "audit-public"
                  : o->expect_head != NULL ? "expect-head"
                                           : "audit-open");
    else
        return true;
    return false;
}

static bool check_migration(const struct options *o, struct error *e)
{
    struct net_addr addr;
    if (!net_addr_parse_option("migration-listen", o->migration_listen, &addr, e))
        return false;
    if (o->migration_listen != NULL && addr.ss.ss_family == AF_UNIX)
        error_set(e,
                  "--migration-listen: found %s, expected ADDR:PORT: its clients are known by their address",
                  o->migration_listen);
    else if (o->migration_listen != NULL && o->policy == NULL)
        error_set(e, "--migration-listen: needs --policy, with a rule for edge=migration");
    else
        return true;
    return false;
}

static bool check_upgrade(const struct options *o, struct error *e)
{
    bool off = o->upgrade != NULL && strcmp(o->upgrade, "off") == 0;
    if (o->upgrade != NULL && !off && strncmp(o->upgrade, "unix:", 5) != 0)
        error_set(e, "--upgrade: found %s, expected unix:PATH or off", o->upgrade);
    else if (off && o->take_over)
        error_set(e, "--take-over: needs --upgrade, which is off");
    else
        return true;
    return false;
}

struct expiry_days options_expiry_days(const struct options *o)
{
    struct expiry_days days;
    struct error why;
    if (!expiry_days_parse(o->expiry_warning_days, &days, &why))
        days.count = 0;
    return days;
}

bool options_check(const struct options *o, struct error *e)
{
    struct net_addr addr;
    struct expiry_days days;
    bool socket =
        o->control == NULL || strcmp(o->control, "off") == 0 || strncmp(o->control, "unix:", 5) == 0;
    if (!socket)
        error_set(e, "--control: found %s, expected unix:PATH or off", o->control);
    return socket && net_addr_parse_option("listen", o->listen, &addr, e) &&
           net_addr_parse_option("admin", o->admin, &addr, e) && check_migration(o, e) &&
           check_upgrade(o, e) && check_master(o, e) && check_redis(o, e) && check_audit(o, e) &&
           expiry_days_parse(o->expiry_warning_days, &days, e) &&
           scaler_options_policy(&o->elastic, NULL, NULL, e);
}
