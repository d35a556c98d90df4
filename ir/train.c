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
