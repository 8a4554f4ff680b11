// The store's hit ratio: values of one size, popularity by Zipf's law (or all alike) over a working set. The hottest are in memory.
#include <math.h>

#include "policysim.h"

#define VALUE_BYTES 4096.0
#define EXACT       32 // so many of the hottest are summed up one by one
#define LEAST_SHARE 1e-5

// The sum of k^-s over the first ones. Loads change their exponent seldom.
static double head(int count, double s)
{
    static double known_s = -1, sums[EXACT + 1];
    if (s != known_s) {
        for (int k = 1; k <= EXACT; k++)
            sums[k] = sums[k - 1] + pow(k, -s);
        known_s = s;
    }
    return sums[count];
}

static bool is_one(double s)
{
    return fabs(s - 1) < 1e-9;
}

// The sum of k^-s for k up to n; n need not be whole. Beyond the first it is the integral around each, whose error is below a millionth.
static double harmonic(double n, double s)
{
    double from = EXACT + 0.5, to = n + 0.5;
    if (to <= from)
        return head((int)n, s);
    return head(EXACT, s) + (is_one(s) ? log(to / from) : (pow(to, 1 - s) - pow(from, 1 - s)) / (1 - s));
}

double policysim_bytes_for(const struct policysim_load *load, double ratio)
{
    double s = load->zipf, from = EXACT + 0.5, n = 0;
    if (ratio <= 0)
        return 0;
    double wanted = fmin(ratio, 1) * harmonic(load->set_bytes / VALUE_BYTES, s),
           tail = wanted - head(EXACT, s);
    if (tail > 0)
        n = is_one(s) ? from * exp(tail) : pow(tail * (1 - s) + pow(from, 1 - s), 1 / (1 - s));
    else
        while (n < EXACT && head((int)n, s) < wanted)
            n++;
    return fmin(n * VALUE_BYTES, load->set_bytes);
}

double policysim_bytes_worth(const struct policysim_load *load, double byte_price, double hit_price)
{
    double values = load->set_bytes / VALUE_BYTES;
    double gain = load->gets * hit_price / (VALUE_BYTES * byte_price * harmonic(values, load->zipf));
    if (load->zipf == 0)
        return gain >= 1 ? load->set_bytes : 0;
    return fmin(pow(gain, 1 / load->zipf), values) * VALUE_BYTES;
}

double policysim_hits(const struct policysim_load *load, double bytes)
{
    if (bytes >= load->set_bytes)
        return 1;
    if (bytes <= 0)
        return 0;
    return harmonic(bytes / VALUE_BYTES, load->zipf) / harmonic(load->set_bytes / VALUE_BYTES, load->zipf);
}

size_t policysim_curve(const struct policysim_load *load, double dataset_bytes, double error,
                       struct policy_point *points, size_t max)
{
    for (size_t i = 0; i < max; i++) {
        double bytes = dataset_bytes * pow(LEAST_SHARE, 1 - (double)(i + 1) / (double)max);
        points[i].bytes = (uint64_t)bytes;
        points[i].hit_ratio = i + 1 == max ? 1 : policysim_hits(load, bytes * (1 + error));
    }
    return max;
}
