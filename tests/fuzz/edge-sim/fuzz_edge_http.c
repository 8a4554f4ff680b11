// Bytes of a user to the edge's request parser. Besides not crashing: it consumes no more than there is, the path begins
// with '/' and has no NUL inside, and a request read from its exact bytes reads the same.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "edge-sim/http_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct http_request request, again;
    size_t used = 0;
    size_t used_again = 0;
    if (http_request_read((const char *)data, len, &request, &used) != HTTP_REQUEST_OK)
        return 0;
    if (used == 0 || used > len || request.path[0] != '/' || request.raw_path[0] != '/' ||
        strlen(request.path) > strlen(request.raw_path))
        abort();
    if (http_request_read((const char *)data, used, &again, &used_again) != HTTP_REQUEST_OK ||
        used_again != used || memcmp(&request, &again, sizeof request) != 0)
        abort();
    return 0;
}
