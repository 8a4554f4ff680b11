// VNF lines of the configuration: what is taken has a good name, bounds in order, rules that say something, and nothing is left behind by what is refused.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scaleup/scaleupd_vnfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

// Names of users and groups are looked up in the system's files: slow, and not what is tried here.
static int looks_names_up(const char *text)
{
    for (const char *at = text; (at = strstr(at, "id:")) != NULL; at += 3)
        if (at[3] < '0' || at[3] > '9')
            return 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct vnf_line line;
    struct error why;
    char *text = malloc(len + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, len);
    text[len] = '\0';
    if (looks_names_up(text)) {
        free(text);
        return 0;
    }
    if (vnf_line_parse(text, &backend_simulated, &line, &why)) {
        const struct broker_vnf *v = &line.vnf;
        if (!message_name_is_good(v->name) || v->priority > 9 || line.settings == NULL ||
            line.backend == NULL || (v->max_bytes != 0 && v->max_bytes < v->min_bytes))
            abort();
        vnf_line_release(&line);
    }
    if (line.settings != NULL || line.allow.rules != NULL)
        abort();
    if (vnf_line_implicit(text, &backend_cgroup, "/r", &line, &why)) {
        if (strncmp(line.settings, "path=/r/", 8) != 0 || line.settings[8] == '.' ||
            strchr(line.settings + 8, '/') != NULL)
            abort();
        vnf_line_release(&line);
    }
    free(text);
    return 0;
}
