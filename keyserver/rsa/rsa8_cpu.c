// Whether AVX-512 IFMA may be used: the processor has it, and the system saves its registers.
#include "keyserver/rsa/rsa8.h"

#if defined(__x86_64__)
#include <cpuid.h>

#define OSXSAVE     (1u << 27) // leaf 1, ecx
#define AVX512F     (1u << 16) // leaf 7, ebx
#define AVX512DQ    (1u << 17)
#define AVX512IFMA  (1u << 21)
#define AVX512VL    (1u << 31)
#define IFMA_NEEDED (AVX512F | AVX512DQ | AVX512IFMA | AVX512VL)
#define XCR0_NEEDED 0xe6u // xmm, ymm, mask registers, upper halves of zmm0-15, zmm16-31

static bool system_saves_registers(void)
{
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & OSXSAVE) == 0)
        return false;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & XCR0_NEEDED) == XCR0_NEEDED;
}

static bool has_ifma(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & IFMA_NEEDED) == IFMA_NEEDED &&
           system_saves_registers();
}
#else
static bool has_ifma(void)
{
    return false;
}
#endif

bool rsa8_available(enum rsa8_impl impl)
{
    return impl == RSA8_PORTABLE || (impl == RSA8_IFMA && has_ifma());
}

const char *rsa8_impl_name(enum rsa8_impl impl)
{
    static const char *const name[RSA8_IMPLS] = {[RSA8_PORTABLE] = "portable", [RSA8_IFMA] = "ifma"};
    return name[impl];
}
