// What an import says: imported, unchanged and skipped on its output, refused on stderr (in JSON all on the
// output).
#include <inttypes.h>
#include <string.h>

#include "certs/certinfo.h"
#include "certs/import_parts.h"
#include "certs/progress.h"
#include "certs/text.h"

static const char *const words[] = {
    [IMPORT_IMPORTED] = "imported",
    [IMPORT_UNCHANGED] = "unchanged",
    [IMPORT_SKIPPED] = "skipped",
    [IMPORT_REFUSED] = "refused",
};

static void count(struct import_report *to, enum import_result result)
{
    uint64_t *const counters[] = {
        [IMPORT_IMPORTED] = &to->counts.imported,
        [IMPORT_UNCHANGED] = &to->counts.unchanged,
        [IMPORT_SKIPPED] = &to->counts.skipped,
        [IMPORT_REFUSED] = &to->counts.refused,
    };
    (*counters[result])++;
}

void import_tell(struct import_report *to, enum import_result result, const char *file, const char *why)
{
    char path[TEXT_PATH_LEN];
    FILE *out = to->options->out;
    count(to, result);
    progress_hide();
    if (to->options->json) {
        json_t *line = json_pack("{s:s, s:o, s:o}", "result", words[result], "file", text_json(file),
                                 "reason", text_json(why));
        to->broken = !text_json_line(out, line) || to->broken;
    } else if (result == IMPORT_REFUSED) {
        report("%s: refused: %s", text_printable(file, path), why);
    } else if (fprintf(out, "%s %s: %s\n", words[result], text_printable(file, path), why) < 0) {
        to->broken = true;
    }
}

void import_warn(struct import_report *to, const char *file, const char *what)
{
    char path[TEXT_PATH_LEN];
    progress_hide();
    if (!to->options->json)
        report("warning: %s: %s", text_printable(file, path), what);
    else if (!text_json_line(to->options->out, json_pack("{s:s, s:o, s:s}", "result", "warning", "file",
                                                         text_json(file), "reason", what)))
        to->broken = true;
}

static bool json_key(struct import_report *to, enum import_result result, const char *file, const char *name,
                     const struct keyrecord_info *info, uint64_t expire_ms, const char *note)
{
    char time[CERTINFO_TIME_LEN];
    json_t *line = text_json_info(name, info);
    json_t *head = json_pack("{s:s, s:o}", "result", words[result], "file", text_json(file));
    if (head != NULL && expire_ms != 0)
        (void)json_object_set_new(head, "expires", json_string(certinfo_time(expire_ms / 1000, time)));
    if (head != NULL && note != NULL)
        (void)json_object_set_new(head, "note", text_json(note));
    if (head != NULL && line != NULL)
        (void)json_object_update(head, line);
    json_decref(line);
    return text_json_line(to->options->out, head);
}

void import_tell_key(struct import_report *to, enum import_result result, const char *file, const char *name,
                     const struct keyrecord_info *info, uint64_t expire_ms, const char *note)
{
    char path[TEXT_PATH_LEN], kind[16], date[CERTINFO_TIME_LEN];
    FILE *out = to->options->out;
    count(to, result);
    progress_hide();
    if (to->options->json) {
        to->broken = !json_key(to, result, file, name, info, expire_ms, note) || to->broken;
        return;
    }
    bool ok = fprintf(out, "%s %s: %s %s", words[result], text_printable(file, path), name,
                      text_kind(info, kind)) > 0;
    for (unsigned i = 0; i < info->cert_count; i++)
        ok = ok && fprintf(out, "%s %s", i == 0 ? "" : ",", info->certs[i].name) > 0;
    if (info->cert_count > 0)
        ok = ok && fprintf(out, " until %s", certinfo_date(text_latest(info), date)) > 0;
    else
        ok = ok && fputs(" without certificate", out) >= 0;
    if (note != NULL)
        ok = ok && fprintf(out, " (%s)", note) > 0;
    to->broken = !ok || fputc('\n', out) == EOF || to->broken;
}

void import_summary(struct import_report *to)
{
    const struct import_counts *c = &to->counts;
    FILE *out = to->options->out;
    bool ok;
    if (to->options->json)
        ok = text_json_line(out,
                            json_pack("{s:{s:I, s:I, s:I, s:I}}", "summary", "imported",
                                      (json_int_t)c->imported, "unchanged", (json_int_t)c->unchanged,
                                      "skipped", (json_int_t)c->skipped, "refused", (json_int_t)c->refused));
    else
        ok =
            fprintf(out,
                    "imported %" PRIu64 ", unchanged %" PRIu64 ", skipped %" PRIu64 ", refused %" PRIu64 "\n",
                    c->imported, c->unchanged, c->skipped, c->refused) > 0;
    to->broken = !ok || fflush(out) != 0 || to->broken;
}
