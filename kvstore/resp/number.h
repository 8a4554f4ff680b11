// Numbers with a fraction as INCRBYFLOAT reads and writes them. Pure functions, any thread.
#ifndef MEC_KVSTORE_RESP_NUMBER_H
#define MEC_KVSTORE_RESP_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESP_NUMBER_TEXT 5120u // bytes that a number takes at most, with its NUL

// As strtold() reads them, so hexadecimal and "inf", too; no blanks, no "nan", nothing that is too large or too small for a long double.
bool resp_number_parse(const uint8_t *text, size_t len, long double *value);

// A finite number with 17 digits behind the point, less the zeros at the end; returns the length.
size_t resp_number_format(long double value, char text[RESP_NUMBER_TEXT]);

#endif
