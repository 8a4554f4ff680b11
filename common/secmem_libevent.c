// libevent's buffers carry premasters in clear on their way to and from TLS: wiped when freed, like OpenSSL's
// own.
#include "common/secmem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/crypto.h>

static void wiping_free(void *ptr)
{
    if (ptr == NULL)
        return;
    OPENSSL_cleanse(ptr, malloc_usable_size(ptr));
    free(ptr);
}

static void *wiping_realloc(void *ptr, size_t len)
{
    if (ptr == NULL)
        return malloc(len);
    size_t room = malloc_usable_size(ptr);
    if (len != 0 && len <= room) {
        OPENSSL_cleanse((char *)ptr + len, room - len);
        return ptr;
    }
    void *moved = len != 0 ? malloc(len) : NULL;
    if (moved != NULL)
        memcpy(moved, ptr, len < room ? len : room);
    if (moved != NULL || len == 0)
        wiping_free(ptr);
    return moved;
}

void secmem_wrap_libevent(void)
{
    event_set_mem_functions(malloc, wiping_realloc, wiping_free);
}
