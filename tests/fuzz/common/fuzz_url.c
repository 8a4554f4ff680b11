// URLs of key servers: the parts that come out are within their bounds and clean, and give the same parts again.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *url = malloc(len + 1);
    if (url == NULL)
        return 0;
    memcpy(url, data, len);
    url[len] = '\0';

    char host[64], both[72], again[128], host2[64], both2[72];
    struct error e;
    if (net_url_parse(url, host, sizeof host, both, sizeof both, &e)) {
        for (const char *p = both; *p != '\0'; p++)
            if (*p <= ' ' || *p >= 0x7f)
                abort();
        (void)snprintf(again, sizeof again, "https://%s", both);
        if (!net_url_parse(again, host2, sizeof host2, both2, sizeof both2, NULL) ||
            strcmp(host, host2) != 0 || strcmp(both, both2) != 0)
            abort();
    }
    free(url);
    return 0;
}
