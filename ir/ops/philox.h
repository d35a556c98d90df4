/* Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). */
#ifndef IR_OPS_PHILOX_H
#define IR_OPS_PHILOX_H

#include <stdint.h>

enum { PHILOX_ROUNDS = 10 };
/* The factors of the first and third counter word; what is added to the key after each round. */
#define PHILOX_MUL0 0xd2511f53U
#define PHILOX_MUL1 0xcd9e8d57U
#define PHILOX_KEY0 0x9e3779b9U
#define PHILOX_KEY1 0xbb67ae85U

/* Overwrites the counter by four random numbers. */
static inline void philox4x32(uint32_t counter[4], uint32_t key0, uint32_t key1) {
    for (int r = 0; r < PHILOX_ROUNDS; r++) {
        const uint64_t a = (uint64_t)PHILOX_MUL0 * counter[0], b = (uint64_t)PHILOX_MUL1 * counter[2];
        counter[0] = (uint32_t)(b >> 32) ^ counter[1] ^ key0;
        counter[1] = (uint32_t)b;
        counter[2] = (uint32_t)(a >> 32) ^ counter[3] ^ key1;
        counter[3] = (uint32_t)a;
        key0 += PHILOX_KEY0;
        key1 += PHILOX_KEY1;
    }
}

#endif
