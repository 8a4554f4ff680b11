// What kvcheck says: for people and as JSON.
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "kvstore/kvcheck.h"

static const struct {
    const char *name, *text;
} acts[] = {
    [CHECK_DROP_SNAPSHOT] = {"drop_snapshot", "remove the snapshot of the index"},
    [CHECK_ZERO] = {"zero", "overwrite with zeros"},
    [CHECK_SET_MARK] = {"set_mark", "set the erase mark to what the value shows"},
    [CHECK_WRITE_HEADER] = {"write_header", "write the segment's header"},
    [CHECK_CUT] = {"cut", "cut off the file's end"},
    [CHECK_WRITE_MANIFEST] = {"write_manifest", "write the manifest, with the segments and sizes there are"},
};

static void print_place(FILE *out, uint64_t segment, uint64_t offset, uint64_t length)
{
    if (segment != 0)
        (void)fprintf(out, "segment %08" PRIu64 ": ", segment);
    if (length != 0)
        (void)fprintf(out, "%" PRIu64 " bytes at %" PRIu64 ": ", length, offset);
}

static void print_finding(FILE *out, const struct check_finding *f)
{
    const struct check_kind_info *info = &check_kinds[f->kind];
    (void)fputs(info->damage ? "damage: " : "note: ", out);
    print_place(out, f->segment, f->offset, f->length);
    if (f->count != 0)
        (void)fprintf(out, "%" PRIu64 " ", f->count);
    (void)fputs(info->text, out);
    if (f->error != 0)
        (void)fprintf(out, ": %s", strerror(f->error));
    if (f->key != 0)
        (void)fprintf(out, " (key hash %016" PRIx64 ")", f->key);
    (void)fputc('\n', out);
}

static void print_segments(const struct check *check, FILE *out)
{
    if (check->count != 0)
        (void)fputs(
            "segment         bytes  sealed   records      live     dead  damaged     torn  live bytes\n",
            out);
    for (size_t i = 0; i < check->count; i++) {
        const struct check_segment *s = &check->segments[i];
        (void)fprintf(out,
                      "%08" PRIu64 " %12" PRIu64 "  %-6s %9" PRIu64 " %9" PRIu64 " %8" PRIu64 " %8" PRIu64
                      " %8" PRIu64 " %11" PRIu64 "\n",
                      s->id, s->file_bytes, s->noted != 0 ? "yes" : "no", s->records, s->live,
                      s->records - s->live, s->damaged + s->unreadable, s->torn, s->live_bytes);
    }
}

void check_print(const struct check *check, FILE *out, bool plan)
{
    print_segments(check, out);
    for (size_t i = 0; i < check->finding_count; i++)
        print_finding(out, &check->findings[i]);
    for (size_t i = 0; plan && i < check->action_count; i++) {
        const struct check_action *a = &check->actions[i];
        (void)fputs(a->done ? "done: " : "would do: ", out);
        print_place(out, a->segment, a->offset, a->length);
        (void)fprintf(out, "%s\n", acts[a->act].text);
    }
    if (!check->manifest_usable)
        (void)fputs(
            "no segment has a header that holds: nothing can be read without the manifest; restore it "
            "from a backup\n",
            out);
    (void)fprintf(out, "keys %" PRIu64 ", known to be lost %" PRIu64 ": %s\n", check->keys, check->keys_lost,
                  check_is_damaged(check) ? "damaged" : "sound");
}

// ---- JSON

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *json_segment(const struct check_segment *s)
{
    return json_pack("{s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
                     number(s->id), "bytes", number(s->file_bytes), "sealed_bytes", number(s->noted),
                     "missing", (int)s->missing, "header_holds", (int)s->header_holds, "records",
                     number(s->records), "live", number(s->live), "dead", number(s->records - s->live),
                     "erased", number(s->erased), "unerased", number(s->unerased), "damaged",
                     number(s->damaged), "torn", number(s->torn), "unreadable", number(s->unreadable),
                     "live_bytes", number(s->live_bytes));
}

static json_t *json_finding(const struct check_finding *f)
{
    const struct check_kind_info *info = &check_kinds[f->kind];
    char key[17];
    (void)snprintf(key, sizeof key, "%016" PRIx64, f->key);
    return json_pack("{s:s, s:b, s:b, s:o, s:o, s:o, s:o*, s:s*, s:s*, s:s}", "kind", info->name, "damage",
                     (int)info->damage, "loss", (int)info->loss, "segment", number(f->segment), "offset",
                     number(f->offset), "length", number(f->length), "count",
                     f->count != 0 ? number(f->count) : NULL, "key_hash", f->key != 0 ? key : NULL, "error",
                     f->error != 0 ? strerror(f->error) : NULL, "text", info->text);
}

static json_t *json_action(const struct check_action *a)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:b, s:s}", "action", acts[a->act].name, "segment",
                     number(a->segment), "offset", number(a->offset), "length", number(a->length), "done",
                     (int)a->done, "text", acts[a->act].text);
}

bool check_print_json(const struct check *check, FILE *out)
{
    json_t *segments = json_array(), *findings = json_array(), *actions = json_array();
    bool ok = true;
    for (size_t i = 0; i < check->count; i++)
        ok = json_array_append_new(segments, json_segment(&check->segments[i])) == 0 && ok;
    for (size_t i = 0; i < check->finding_count; i++)
        ok = json_array_append_new(findings, json_finding(&check->findings[i])) == 0 && ok;
    for (size_t i = 0; i < check->action_count; i++)
        ok = json_array_append_new(actions, json_action(&check->actions[i])) == 0 && ok;
    json_t *all =
        json_pack("{s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "sound", (int)!check_is_damaged(check), "lost",
                  (int)check_has_lost(check), "manifest_usable", (int)check->manifest_usable, "keys",
                  number(check->keys), "keys_lost", number(check->keys_lost), "segments", segments,
                  "findings", findings, "actions", actions);
    ok = ok && all != NULL && json_dumpf(all, out, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 &&
         fputc('\n', out) != EOF;
    json_decref(all);
    return ok;
}
