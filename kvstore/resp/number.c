#include "kvstore/resp/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool resp_number_parse(const uint8_t *text, size_t len, long double *value)
{
    char copy[RESP_NUMBER_TEXT];
    char *end;
    if (len == 0 || len >= sizeof copy || isspace(text[0]) != 0)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    errno = 0;
    long double number = strtold(copy, &end);
    if (end != copy + len || isnan(number))
        return false;
    if (errno == ERANGE && (isinf(number) || fpclassify(number) == FP_ZERO))
        return false;
    *value = number;
    return true;
}

size_t resp_number_format(long double value, char text[RESP_NUMBER_TEXT])
{
    int written = snprintf(text, RESP_NUMBER_TEXT, "%.17Lf", value);
    size_t len = (size_t)written;
    while (text[len - 1] == '0')
        len--;
    if (text[len - 1] == '.')
        len--;
    if (len == 2 && text[0] == '-' && text[1] == '0')
        text[--len - 1] = '0';
    text[len] = '\0';
    return len;
}
