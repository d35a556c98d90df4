/* Deterministic damage: the same seed, case and files give the same bytes on every machine. */
#ifndef TESTS_FUZZ_MUTATE_H
#define TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

typedef struct Bytes8 {
    unsigned char *data; /* malloc'ed; room for `cap` */
    size_t size, cap;
} Bytes8;

typedef struct Mutator {
    uint64_t state;
    const Bytes8 *seeds;
    uint32_t n_seeds;
    const char *const *tokens; /* words of the format, NULL-terminated */
} Mutator;

/* A damaged copy of one of the seeds in `out`, whose memory is reused. */
void mutate(Mutator *m, uint64_t seed, uint64_t index, Bytes8 *out);

#endif
