#include "scaleup/pressure.h"

#include <string.h>

// A number with a point, whatever the locale says a point is. False: no number from 0 to 100.
static bool percent(const char *at, size_t len, double *value)
{
    double v = 0, scale = 1;
    size_t i = 0;
    for (; i < len && at[i] >= '0' && at[i] <= '9' && i < 3; i++)
        v = v * 10 + (at[i] - '0');
    if (i == 0)
        return false;
    if (i < len && at[i] == '.') {
        for (i++; i < len && at[i] >= '0' && at[i] <= '9' && scale < 1e6; i++) {
            scale *= 10;
            v = v * 10 + (at[i] - '0');
        }
    }
    v /= scale;
    if (v > 100 || (i < len && at[i] != ' ' && at[i] != '\n'))
        return false;
    *value = v;
    return true;
}

static bool line_of(const char *text, size_t len, const char *begin, double *value)
{
    size_t begin_len = strlen(begin);
    const char *end = text + len;
    while (text < end) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        line_end = line_end == NULL ? end : line_end;
        size_t line_len = (size_t)(line_end - text);
        if (line_len > begin_len && memcmp(text, begin, begin_len) == 0)
            return percent(text + begin_len, line_len - begin_len, value);
        text = line_end + (line_end < end);
    }
    return false;
}

bool pressure_parse(const char *text, size_t len, double *some, double *full)
{
    double s, f;
    if (!line_of(text, len, "some avg10=", &s))
        return false;
    if (!line_of(text, len, "full avg10=", &f))
        f = -1;
    *some = s;
    *full = f;
    return true;
}
