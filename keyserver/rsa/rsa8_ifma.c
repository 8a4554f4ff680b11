// The engine over AVX-512 IFMA. Compiled with these extensions: nothing here runs but after rsa8_available().
#include <string.h>

#include "keyserver/rsa/rsa8_vec_ifma.h"

#include "keyserver/rsa/rsa8_table.h"

#include "keyserver/rsa/rsa8_kernel.h"

#include "keyserver/rsa/rsa8_exp.h"

#include "keyserver/rsa/rsa8_batch.h"
