/* Patterns over the names of parameters. */
#include "ir/train.h"

#include <fnmatch.h>
#include <string.h>

bool train_matches(const char *pattern, const char *key) {
    if (fnmatch(pattern, key, 0) == 0)
        return true;
    for (const char *dot = key; (dot = strchr(dot, '.')); dot++) {
        char layer[512];
        size_t length = (size_t)(dot - key);
        if (length >= sizeof layer)
            return false;
        memcpy(layer, key, length);
        layer[length] = 0;
        if (fnmatch(pattern, layer, 0) == 0)
            return true;
    }
    return false;
}

bool train_matches_any(const char *const *patterns, uint32_t n, const char *key) {
    for (uint32_t i = 0; i < n; i++)
        if (train_matches(patterns[i], key))
            return true;
    return false;
}

uint32_t train_group(const OptimizerSpec *o, const char *key) {
    for (uint32_t k = 1; k < o->n_groups; k++)
        if (train_matches_any(o->groups[k].patterns, o->groups[k].n_patterns, key))
            return k;
    return 0;
}
