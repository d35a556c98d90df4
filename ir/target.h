/* What passes need to know of the machine, filled in by the back end from triple, CPU and features. */
#ifndef IR_TARGET_H
#define IR_TARGET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Target {
    const char *triple;    /* "x86_64-unknown-linux-gnu" */
    const char *cpu;       /* LLVM's name: "znver3", "x86-64-v3" */
    const char *features;  /* LLVM's feature string for the kernels, "+avx2,+fma,..." */
    uint32_t vector_bytes; /* widest vector worth using: 16, 32, 64 */
    uint32_t vector_regs;  /* 16 or 32 */
    bool has_fma;
    uint32_t fma_ports;
    uint32_t l1_bytes, l2_bytes, l3_bytes;
} Target;

static inline uint32_t target_lanes(const Target *t, uint32_t elem_bytes) {
    return t->vector_bytes / elem_bytes;
}

#endif
