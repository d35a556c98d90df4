/* Random numbers as a function of their place: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel
 * random numbers: as easy as 1, 2, 3" (SC 2011). */
#include "internal.h"
#include <math.h>

Rng cnnrt_rng(uint64_t seed, uint32_t stream, uint64_t epoch, uint64_t index) {
    /* counter[2] counts the blocks; data sets and epochs are below 2^32 and 2^56. */
    Rng r = {
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {(uint32_t)index, (uint32_t)epoch, 0, (uint32_t)(epoch >> 32 & 0xffffff) | stream << 24},
        .used = 4};
    return r;
}

static void philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t cnnrt_rng_u32(Rng *r) {
    if (r->used == 4) {
        philox(r->key, r->counter, r->word);
        r->counter[2]++;
        r->used = 0;
    }
    return r->word[r->used++];
}

/* The upper half of a product, with the few rejections that make it unbiased (Lemire 2019). */
uint32_t cnnrt_rng_below(Rng *r, uint32_t n) {
    uint64_t product = (uint64_t)cnnrt_rng_u32(r) * n;
    uint32_t least = (0u - n) % n;
    while ((uint32_t)product < least)
        product = (uint64_t)cnnrt_rng_u32(r) * n;
    return (uint32_t)(product >> 32);
}

double cnnrt_rng_uniform(Rng *r, double low, double high) {
    return low + (high - low) * (cnnrt_rng_u32(r) * 0x1p-32);
}

/* Box and Muller 1958. */
double cnnrt_rng_normal(Rng *r) {
    double radius = sqrt(-2 * log((cnnrt_rng_u32(r) + 0.5) * 0x1p-32));
    return radius * cos(2 * 3.14159265358979323846 * (cnnrt_rng_u32(r) * 0x1p-32));
}

/* Fisher and Yates. */
void cnnrt_rng_permutation(Rng *r, uint32_t *order, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = cnnrt_rng_below(r, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
}
