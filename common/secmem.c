// Two layers: OpenSSL's secure heap for what we know to be secret, and wiping of all else that OpenSSL frees.
#include "common/secmem.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#define MIN_HEAP_BYTES  ((size_t)64 * 1024)
#define MIN_BLOCK_BYTES 32

// ---- blocks of the secure heap for OpenSSL's ordinary memory
//
// The secure heap has one lock, and an RSA operation allocates dozens of times: threads that computed stood in line for it. So each
// thread keeps some blocks that it freed, wiped, for itself. All blocks of the secure heap that reach wiping_free() are these:
// OpenSSL frees its own by another function.

struct block {
    _Alignas(16) size_t room; // with this header
    struct block *next;       // among those kept
};

enum { CLASSES = 10, KEPT_BYTES = 64 * 1024 };
#define CLASS_BYTES(i) ((size_t)64 << (i))

static _Thread_local struct {
    bool on; // between secmem_begin() and secmem_end()
    size_t kept_bytes;
    struct block *kept[CLASSES];
} scope;

static unsigned class_of(size_t bytes)
{
    unsigned i = 0;
    while (i < CLASSES && CLASS_BYTES(i) < bytes)
        i++;
    return i;
}

// NULL: the heap is full. OpenSSL may note that as an error, with more of its memory: not within the scope.
static struct block *new_block(size_t bytes)
{
    bool on = scope.on;
    scope.on = false;
    (void)ERR_set_mark();
    struct block *block = OPENSSL_secure_malloc(bytes);
    (void)ERR_pop_to_mark();
    scope.on = on;
    if (block != NULL)
        block->room = bytes;
    return block;
}

static void *block_take(size_t len)
{
    if (len > SIZE_MAX / 2)
        return NULL;
    size_t bytes = len + sizeof(struct block);
    unsigned class = class_of(bytes);
    struct block *block = class < CLASSES ? scope.kept[class] : NULL;
    if (block != NULL) {
        scope.kept[class] = block->next;
        scope.kept_bytes -= block->room;
    } else {
        block = new_block(class < CLASSES ? CLASS_BYTES(class) : bytes);
    }
    return block != NULL ? block + 1 : NULL;
}

static size_t block_room(void *ptr)
{
    return ((struct block *)ptr - 1)->room - sizeof(struct block);
}

static void block_give(void *ptr)
{
    struct block *block = (struct block *)ptr - 1;
    unsigned class = class_of(block->room);
    if (!scope.on || class == CLASSES || scope.kept_bytes + block->room > KEPT_BYTES) {
        OPENSSL_secure_clear_free(block, block->room);
        return;
    }
    OPENSSL_cleanse(ptr, block_room(ptr));
    block->next = scope.kept[class];
    scope.kept[class] = block;
    scope.kept_bytes += block->room;
}

void secmem_release_kept(void)
{
    for (unsigned i = 0; i < CLASSES; i++)
        for (struct block *block; (block = scope.kept[i]) != NULL;) {
            scope.kept[i] = block->next;
            OPENSSL_secure_clear_free(block, block->room);
        }
    scope.kept_bytes = 0;
}

void secmem_begin(void)
{
    scope.on = CRYPTO_secure_malloc_initialized() == 1;
}

void secmem_end(void)
{
    scope.on = false;
}

// ---- OpenSSL's ordinary memory

// The whole block is wiped, not only what was asked for: an earlier owner within OpenSSL may have shrunk it. By libc,
// which does a TLS record's buffer in a fraction of OPENSSL_cleanse()'s time.
static void wiping_free(void *ptr, const char *file, int line)
{
    (void)file;
    (void)line;
    if (ptr == NULL)
        return;
    if (CRYPTO_secure_allocated(ptr)) {
        block_give(ptr);
        return;
    }
    explicit_bzero(ptr, malloc_usable_size(ptr));
    free(ptr);
}

static void *plain_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    if (len == 0)
        return NULL;
    void *ptr = scope.on ? block_take(len) : NULL;
    return ptr != NULL ? ptr : malloc(len);
}

// libc's realloc() would leave a copy behind when the block moves. A block that is large enough and not much
// too large stays where it is, with its tail wiped.
static void *wiping_realloc(void *ptr, size_t len, const char *file, int line)
{
    if (ptr == NULL)
        return plain_malloc(len, file, line);
    if (len == 0) {
        wiping_free(ptr, file, line);
        return NULL;
    }
    bool secure = CRYPTO_secure_allocated(ptr);
    size_t room = secure ? block_room(ptr) : malloc_usable_size(ptr);
    if (len <= room && len >= room / 4) {
        OPENSSL_cleanse((char *)ptr + len, room - len);
        return ptr;
    }
    void *moved = secure ? block_take(len) : NULL; // what is secret stays so while there is room
    if (moved == NULL && (moved = plain_malloc(len, file, line)) == NULL)
        return NULL;
    memcpy(moved, ptr, len < room ? len : room);
    wiping_free(ptr, file, line);
    return moved;
}

static size_t round_up_to_power_of_two(size_t bytes)
{
    size_t size = MIN_HEAP_BYTES;
    while (size < bytes && size <= SIZE_MAX / 4)
        size *= 2;
    return size;
}

bool secmem_setup(size_t bytes, bool *locked, struct error *e)
{
    *locked = false;
    if (CRYPTO_secure_malloc_initialized()) {
        error_set(e, "secret memory: it is set up already");
        return false;
    }
    if (CRYPTO_set_mem_functions(plain_malloc, wiping_realloc, wiping_free) != 1) {
        error_set(e, "secret memory: OpenSSL was used before it was set up");
        return false;
    }
    size_t size = round_up_to_power_of_two(bytes);
    switch (CRYPTO_secure_malloc_init(size, MIN_BLOCK_BYTES)) {
    case 1:
        *locked = true;
        return true;
    case 2: // mapped, but mlock(), madvise() or a guard page failed
        return true;
    default:
        error_set_openssl(e, "secret memory: reserve %zu bytes", size);
        return false;
    }
}

// Which mappings a dump has: none. Where the kernel writes no dumps there is no such file.
static void leave_nothing_to_dump(void)
{
    int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, "0", 1);
    (void)n;
    (void)close(fd);
}

bool process_harden(struct error *e)
{
    leave_nothing_to_dump();
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) {
        error_set(e, "core dumps: setrlimit: %s", strerror(errno));
        return false;
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        error_set(e, "core dumps: prctl(PR_SET_DUMPABLE): %s", strerror(errno));
        return false;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        error_set(e, "privileges: prctl(PR_SET_NO_NEW_PRIVS): %s", strerror(errno));
        return false;
    }
    return true;
}

void *secmem_alloc(size_t len)
{
    if (!CRYPTO_secure_malloc_initialized())
        return calloc(1, len);
    (void)ERR_set_mark();
    void *ptr = OPENSSL_secure_zalloc(len);
    (void)ERR_pop_to_mark(); // the caller learns it from NULL
    if (ptr != NULL && !CRYPTO_secure_allocated(ptr)) {
        OPENSSL_clear_free(ptr, len);
        return NULL;
    }
    return ptr;
}

void secmem_free(void *ptr_to_pointer, size_t len)
{
    void *ptr;
    memcpy(&ptr, ptr_to_pointer, sizeof ptr); // the caller's pointer may be of any object type
    if (ptr == NULL)
        return;
    if (CRYPTO_secure_malloc_initialized() && CRYPTO_secure_allocated(ptr)) {
        OPENSSL_secure_clear_free(ptr, len);
    } else {
        OPENSSL_cleanse(ptr, len);
        free(ptr);
    }
    memset(ptr_to_pointer, 0, sizeof ptr);
}

void secmem_hide_stack(void)
{
    pthread_attr_t attributes;
    void *stack;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &stack, &size) == 0)
        (void)madvise(stack, size, MADV_DONTDUMP);
    (void)pthread_attr_destroy(&attributes);
}

size_t secmem_used(void)
{
    return CRYPTO_secure_malloc_initialized() ? CRYPTO_secure_used() : 0;
}
