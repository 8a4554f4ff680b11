#include "certs/text.h"

#include <stdlib.h>
#include <string.h>

#include "certs/certinfo.h"
#include "certs/names.h"

char *text_printable(const char *text, char buf[static TEXT_PATH_LEN])
{
    size_t i = 0;
    for (; text[i] != '\0' && i + 1 < TEXT_PATH_LEN; i++) {
        unsigned char c = (unsigned char)text[i];
        buf[i] = c < 0x20 || c == 0x7f ? '?' : text[i];
    }
    buf[i] = '\0';
    return buf;
}

json_t *text_json(const char *text)
{
    json_t *value = json_string(text); // refuses what is not UTF-8
    if (value != NULL)
        return value;
    char *ascii = strdup(text);
    if (ascii == NULL)
        return NULL;
    for (char *p = ascii; *p != '\0'; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    value = json_string(ascii);
    free(ascii);
    return value;
}

_Bool text_json_line(FILE *out, json_t *value)
{
    _Bool ok = value != NULL && json_dumpf(value, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF;
    json_decref(value);
    return ok;
}

static json_t *json_cert(const struct keyrecord_cert *cert)
{
    char sha1[KEYRECORD_ALIAS_LEN + 1], time[CERTINFO_TIME_LEN];
    names_alias(cert->sha1, sha1);
    return json_pack("{s:o, s:s, s:s}", "name", text_json(cert->name), "sha1", sha1, "not_after",
                     certinfo_time(cert->not_after, time));
}

json_t *text_json_info(const char *name, const struct keyrecord_info *info)
{
    char time[CERTINFO_TIME_LEN];
    json_t *certs = json_array();
    for (unsigned i = 0; i < info->cert_count; i++)
        if (json_array_append_new(certs, json_cert(&info->certs[i])) != 0) {
            json_decref(certs);
            return NULL;
        }
    json_t *labels = json_array();
    for (unsigned i = 0; i < info->label_count; i++)
        (void)json_array_append_new(labels, json_string(info->labels[i]));
    json_t *imported = info->imported != 0 ? json_string(certinfo_time(info->imported, time)) : json_null();
    return json_pack("{s:s, s:s, s:i, s:b, s:s, s:o, s:o, s:o}", "spki", name, "type",
                     info->type == KEYRECORD_RSA ? "RSA" : "EC", "bits", (int)info->bits, "sealed",
                     info->sealed, "encoding", text_encoding(info->encoding), "imported", imported, "labels",
                     labels, "certificates", certs);
}

const char *text_encoding(enum keyrecord_encoding encoding)
{
    return encoding == KEYRECORD_COMPACT ? "compact" : "pkcs8";
}

char *text_kind(const struct keyrecord_info *info, char buf[static 16])
{
    (void)snprintf(buf, 16, "%s-%u", info->type == KEYRECORD_RSA ? "RSA" : "P", info->bits);
    return buf;
}

uint64_t text_latest(const struct keyrecord_info *info)
{
    uint64_t latest = 0;
    for (unsigned i = 0; i < info->cert_count; i++)
        if (info->certs[i].not_after > latest)
            latest = info->certs[i].not_after;
    return latest;
}
