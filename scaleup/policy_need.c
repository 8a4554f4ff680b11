// How much is wanted, and whether it pays: DESIGN.md "The policy", 1 to 3.
#include <math.h>

#include "scaleup/policy_internal.h"

#define GIB    1073741824.0
#define NEARLY 1e-9 // hit ratios are sums of many fractions

uint64_t policy_scale(uint64_t bytes, double factor, uint64_t granularity)
{
    if (factor != 1) {
        double scaled = ceil((double)bytes * factor);
        bytes = scaled >= 0x1p63 ? UINT64_MAX : scaled > 0 ? (uint64_t)scaled : 0;
    }
    uint64_t rest = bytes % granularity;
    if (rest == 0)
        return bytes;
    return bytes > UINT64_MAX - (granularity - rest) ? UINT64_MAX : bytes + (granularity - rest);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

uint64_t policy_floor(const struct policy_config *config, const struct policy_input *input)
{
    uint64_t other = policy_scale(input->other_bytes, 1, config->granularity);
    return policy_least(policy_most(config->min_bytes, other), config->max_bytes);
}

// A store larger than this is of no use.
static uint64_t table(const struct policy_input *input)
{
    if (input->table_bytes != 0)
        return input->table_bytes;
    uint64_t last = 0;
    for (size_t i = 0; i < input->curve_count; i++)
        last = policy_most(last, input->curve[i].bytes);
    return last;
}

// The least store that is predicted to reach the ratio; all of the table if none is.
static uint64_t store_for(const struct policy_input *input, double ratio)
{
    uint64_t most = table(input);
    if (ratio <= NEARLY)
        return 0;
    for (size_t i = 0; i < input->curve_count; i++)
        if (input->curve[i].hit_ratio >= ratio - NEARLY)
            return policy_least(input->curve[i].bytes, most);
    return most;
}

// The store of at most so many bytes that saves most: what its hits are worth less what its memory costs, in an hour. Looking at all sizes, not only at the next, it sees
// beyond a plateau.
static uint64_t worth(const struct policy_config *config, const struct policy_input *input, double load,
                      uint64_t most)
{
    double hit_value = load * 3600 / 1e6 * config->miss_price, best = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < input->curve_count && input->curve[i].bytes <= most; i++) {
        const struct policy_point *point = &input->curve[i];
        double saved = point->hit_ratio * hit_value - (double)point->bytes / GIB * config->gib_hour_price;
        if (saved > best) {
            best = saved;
            bytes = point->bytes;
        }
    }
    return bytes;
}

// The hit ratio that brings the mean lookup time down to the goal. Negative: times are not known.
static double ratio_for_time(double goal_us, double hit_us, double miss_us)
{
    if (hit_us <= 0 || miss_us <= 0)
        return -1;
    if (miss_us <= goal_us || miss_us <= hit_us)
        return 0;
    return goal_us <= hit_us ? 1 : (miss_us - goal_us) / (miss_us - hit_us);
}

// The wanted hit ratio. Negative: none is configured, or not known.
static double wanted_ratio(const struct policy_config *config, const struct policy_state *state)
{
    double ratio = config->hit_goal > 0 ? config->hit_goal : -1;
    if (config->lookup_goal_us > 0)
        ratio = fmax(ratio, ratio_for_time(config->lookup_goal_us, state->hit_us, state->miss_us));
    return ratio;
}

// What the device serves of the misses sets the least, whatever the price: beyond it nothing is served well.
static double device_ratio(const struct policy_config *config, double load)
{
    return config->device_reads > 0 && load > config->device_reads ? 1 - config->device_reads / load : 0;
}

struct policy_need policy_need_at(const struct policy_config *config, const struct policy_input *input,
                                  const struct policy_state *state, double load)
{
    struct policy_need need = {0};
    bool prices = config->gib_hour_price > 0 && config->miss_price > 0;
    bool idle = input->load == 0;
    double ratio = wanted_ratio(config, state), device = device_ratio(config, load);
    need.known = idle || (input->curve_count > 0 && (ratio >= 0 || prices || config->device_reads > 0));
    uint64_t store = 0;
    if (need.known && !idle) {
        store = ratio >= 0 ? store_for(input, ratio) : prices ? table(input) : 0;
        uint64_t paid = prices ? worth(config, input, load, store) : store;
        need.priced = paid < store;
        store = policy_most(paid, store_for(input, device));
    }
    uint64_t floor = policy_floor(config, input);
    need.bytes = policy_scale(sum(store, input->other_bytes), 1, config->granularity);
    need.cut = need.bytes > config->max_bytes;
    need.bytes = policy_least(policy_most(need.bytes, floor), config->max_bytes);
    need.most_bytes = policy_scale(sum(table(input), input->other_bytes), 1, config->granularity);
    need.most_bytes = policy_least(policy_most(need.most_bytes, floor), config->max_bytes);
    return need;
}

double policy_hit_ratio(const struct policy_input *input, uint64_t bytes)
{
    double ratio = input->curve_count > 0 ? 0 : -1;
    uint64_t store = bytes > input->other_bytes ? bytes - input->other_bytes : 0;
    for (size_t i = 0; i < input->curve_count && input->curve[i].bytes <= store; i++)
        if (input->curve[i].hit_ratio > ratio)
            ratio = input->curve[i].hit_ratio;
    return ratio > 1 ? 1 : ratio;
}
