/* A made-up target, the same on every machine. */
#ifndef TESTS_UNIT_TARGET_OF_H
#define TESTS_UNIT_TARGET_OF_H

#include "ir/target.h"

/* A machine of vectors of so many bytes. */
static inline Target target_of(uint32_t vector_bytes) {
    Target t = {.triple = "x86_64-unknown-linux-gnu", .cpu = "x86-64", .features = ""};
    t.vector_bytes = vector_bytes;
    t.vector_regs = vector_bytes == 64 ? 32 : 16;
    t.has_fma = vector_bytes > 16;
    t.fma_ports = 2;
    t.l1_bytes = 32 << 10;
    t.l2_bytes = 512 << 10;
    t.l3_bytes = 8 << 20;
    return t;
}

#endif
