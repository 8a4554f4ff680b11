#include "broker_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- effects

static void on_send(void *arg, uint64_t session, const struct message *message)
{
    struct kit *kit = arg;
    assert_true(kit->sent_count < KIT_SENT);
    kit->sent[kit->sent_count].session = session;
    kit->sent[kit->sent_count].message = *message;
    kit->sent[kit->sent_count++].message.vnfs = NULL;
    size_t len;
    char *line = message_format(message, &len); // whatever is sent can be formatted and read
    struct message again;
    struct error e;
    assert_non_null(line);
    if (!message_parse(line, len - 1, &again, &e))
        fail_msg("%s: %s", line, e.text);
    message_release(&again);
    free(line);
}

static void on_close(void *arg, uint64_t session)
{
    struct kit *kit = arg;
    kit->closed[kit->closed_count++ % 64] = session;
}

static const struct book_vnf *on_disk(const struct kit *kit, size_t vnf)
{
    for (size_t i = 0; i < kit->disk.count; i++)
        if (strcmp(kit->disk.vnfs[i].name, kit->vnfs[vnf].name) == 0)
            return &kit->disk.vnfs[i];
    return NULL;
}

static void on_apply(void *arg, size_t vnf, uint64_t id, uint64_t bytes)
{
    struct kit *kit = arg;
    assert_non_null(on_disk(kit, vnf)); // the book first
    assert_true(bytes <= on_disk(kit, vnf)->committed_bytes);
    assert_int_equal(bytes % G, 0);
    kit->applied[vnf].count++;
    kit->applied[vnf].id = id;
    kit->applied[vnf].bytes = bytes;
}

static bool on_record(void *arg, const struct book *book)
{
    struct kit *kit = arg;
    if (kit->disk_full)
        return false;
    kit->records++;
    book_release(&kit->disk);
    kit->disk = *book;
    kit->disk.vnfs = calloc(book->count + 1, sizeof *book->vnfs);
    assert_non_null(kit->disk.vnfs);
    memcpy(kit->disk.vnfs, book->vnfs, book->count * sizeof *book->vnfs);
    return true;
}

static void on_log(void *arg, bool warning, const char *event, const char *text)
{
    struct kit *kit = arg;
    if (strcmp(event, "backend_changed") == 0) {
        assert_true(warning);
        (void)snprintf(kit->moved, sizeof kit->moved, "%s", text);
    }
    if (getenv("KIT_LOG") != NULL)
        fprintf(stderr, "%s %s %s\n", warning ? "W" : "I", event, text);
}

// ---- the whole

static void check(const struct kit *kit)
{
    const char *wrong = broker_check(kit->broker);
    if (wrong != NULL)
        fail_msg("%s", wrong);
}

void kit_create(struct kit *kit)
{
    struct broker_effects effects = {on_send, on_close, on_apply, on_record, on_log, kit};
    struct error e = {0};
    kit->options.vnfs = kit->vnfs;
    kit->broker =
        broker_create(&kit->options, &effects, kit->disk.count > 0 ? &kit->disk : NULL, kit->now, &e);
    if (kit->broker == NULL)
        fail_msg("%s", e.text);
}

void kit_setup(struct kit *kit)
{
    static const unsigned priorities[KIT_VNFS] = {3, 5, 5, 7};
    memset(kit, 0, sizeof *kit);
    kit->now = 1000;
    for (size_t i = 0; i < KIT_VNFS; i++) {
        kit->vnfs[i] = (struct broker_vnf){
            .backend = "sim", .min_bytes = 100, .max_bytes = 800, .priority = priorities[i]};
        kit->vnfs[i].name[0] = (char)('a' + i);
    }
    kit->options = (struct broker_options){
        .pool_bytes = 1000, .granularity = G, .lease_ms = 10000, .deadline_ms = 30000, .vnf_count = KIT_VNFS};
}

void kit_destroy(struct kit *kit)
{
    broker_destroy(&kit->broker);
    book_release(&kit->disk);
}

void kit_crash(struct kit *kit)
{
    broker_destroy(&kit->broker);
    memset(kit->applied, 0, sizeof kit->applied);
    kit_create(kit);
}

void kit_report(struct kit *kit, size_t vnf, enum backend_outcome outcome, uint64_t actual)
{
    struct backend_report report = {.change_id = kit->applied[vnf].id,
                                    .outcome = outcome,
                                    .actual_bytes = actual,
                                    .used_bytes = 1,
                                    .detail = "said so"};
    broker_report(kit->broker, vnf, &report, kit->now);
    check(kit);
}

void kit_done(struct kit *kit, size_t vnf)
{
    kit_report(kit, vnf, BACKEND_DONE, kit->applied[vnf].bytes);
}

void kit_changed(struct kit *kit, size_t vnf, uint64_t actual)
{
    struct backend_report report = {.outcome = BACKEND_CHANGED, .actual_bytes = actual, .detail = ""};
    broker_report(kit->broker, vnf, &report, kit->now);
    check(kit);
}

void kit_unknown(struct kit *kit, size_t vnf, enum backend_outcome outcome, bool change)
{
    struct backend_report report = {.change_id = change ? kit->applied[vnf].id : 0,
                                    .outcome = outcome,
                                    .detail = "not read",
                                    .unknown = true};
    broker_report(kit->broker, vnf, &report, kit->now);
    check(kit);
}

void kit_tick(struct kit *kit, uint64_t ms)
{
    kit->now += ms;
    (void)broker_tick(kit->broker, kit->now);
    check(kit);
}

void kit_hello(struct kit *kit, uint64_t session, const char *vnf)
{
    struct message hello = {
        .type = MESSAGE_HELLO, .version = 1, .role = vnf != NULL ? ROLE_VNF : ROLE_OPERATOR};
    if (vnf != NULL)
        (void)snprintf(hello.vnf, sizeof hello.vnf, "%s", vnf);
    broker_hello(kit->broker, session, &hello, kit->now);
    check(kit);
}

void kit_forget(struct kit *kit)
{
    for (size_t i = 0; i < KIT_SESSIONS; i++)
        kit->seen[i] = kit->sent_count;
}

void kit_begin(struct kit *kit)
{
    kit_setup(kit);
    kit_create(kit);
    kit_tick(kit, 0);
    for (size_t i = 0; i < KIT_VNFS; i++) {
        kit_done(kit, i);
        kit_hello(kit, i + 1, kit->vnfs[i].name);
        assert_int_equal(kit_next(kit, i + 1, MESSAGE_WELCOME)->granted_bytes, 100);
    }
    kit_hello(kit, 9, NULL);
    kit_forget(kit);
}

void kit_rescale_with(struct kit *kit, uint64_t session, const struct message *message)
{
    struct message m = *message;
    m.type = MESSAGE_RESCALE;
    broker_message(kit->broker, session, &m, kit->now);
    check(kit);
}

void kit_rescale(struct kit *kit, uint64_t session, const char *id, uint64_t target, uint64_t min)
{
    struct message m = {
        .target_bytes = target, .min_bytes = min, .has_min = min != 0, .has_priority = true, .priority = 9};
    (void)snprintf(m.id, sizeof m.id, "%s", id);
    kit_rescale_with(kit, session, &m);
}

void kit_reclaiming(struct kit *kit, uint64_t session, const char *id, enum message_state state,
                    uint64_t target)
{
    struct message m = {.type = MESSAGE_RECLAIMING, .state = state, .target_bytes = target};
    (void)snprintf(m.id, sizeof m.id, "%s", id);
    broker_message(kit->broker, session, &m, kit->now);
    check(kit);
}

const struct message *kit_next(struct kit *kit, uint64_t session, enum message_type type)
{
    for (size_t i = kit->seen[session]; i < kit->sent_count; i++)
        if (kit->sent[i].session == session && kit->sent[i].message.type == type) {
            kit->seen[session] = i + 1;
            return &kit->sent[i].message;
        }
    fail_msg("no message of type %d to session %u", (int)type, (unsigned)session);
    abort();
}

bool kit_nothing(struct kit *kit, uint64_t session)
{
    for (size_t i = kit->seen[session]; i < kit->sent_count; i++)
        if (kit->sent[i].session == session)
            return false;
    return true;
}

void kit_expect(struct kit *kit, uint64_t session, const char *id, enum message_state state, uint64_t granted)
{
    const struct message *m = kit_next(kit, session, MESSAGE_RESPONSE);
    assert_string_equal(m->id, id);
    assert_string_equal(message_state_name(m->state), message_state_name(state));
    assert_int_equal(m->granted_bytes, granted);
    assert_int_equal(m->final, message_state_is_final(state));
}

void kit_give(struct kit *kit, size_t vnf, uint64_t bytes)
{
    static unsigned count;
    char id[24];
    (void)snprintf(id, sizeof id, "give%u", ++count);
    kit_rescale(kit, vnf + 1, id, bytes, 0);
    kit_done(kit, vnf);
    const struct message *m;
    do
        m = kit_next(kit, vnf + 1, MESSAGE_RESPONSE);
    while (!m->final);
    assert_int_equal(m->granted_bytes, bytes);
    kit_forget(kit);
}
