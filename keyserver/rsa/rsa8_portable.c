// The engine over plain C.
#include <string.h>

#include "keyserver/rsa/rsa8_vec_portable.h"

#include "keyserver/rsa/rsa8_table.h"

#include "keyserver/rsa/rsa8_kernel.h"

#include "keyserver/rsa/rsa8_exp.h"

#include "keyserver/rsa/rsa8_batch.h"
