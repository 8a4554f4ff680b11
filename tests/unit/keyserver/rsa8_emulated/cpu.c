// In place of rsa8_cpu.c: every processor has the instructions, since they are emulated. The portable implementation is tested elsewhere.
#include "keyserver/rsa/rsa8.h"

bool rsa8_available(enum rsa8_impl impl)
{
    return impl == RSA8_IFMA;
}

const char *rsa8_impl_name(enum rsa8_impl impl)
{
    return impl == RSA8_IFMA ? "ifma, emulated" : "portable";
}
