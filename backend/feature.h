/* The instruction-set features that kernels may use, and how a program finds them on its CPU.
 * One table serves three readers: --features, the kernels' attributes and the check in every entry point, so
 * code never uses an instruction that the check does not cover. */
#ifndef BACKEND_FEATURE_H
#define BACKEND_FEATURE_H

#include <stdbool.h>
#include <stdint.h>

/* Which register of cpuid shows a feature. */
typedef enum CpuidWord { CPUID_1_ECX, CPUID_7_EBX, CPUID_EXT_ECX, CPUID_WORDS } CpuidWord;

typedef struct Feature {
    const char *name; /* LLVM's */
    uint32_t needs;   /* features without which this one makes no sense, as bits of this table */
    uint8_t level;    /* x86-64-vN has it from N on; 9: none has */
    uint8_t word;     /* CpuidWord */
    uint8_t bit;
    uint8_t xcr0; /* state the operating system must save */
} Feature;

typedef uint32_t FeatureSet; /* one bit per row of the table */

extern const Feature feature_table[];
extern const uint32_t feature_count;

int feature_find(const char *name, uint32_t len); /* row, or -1 */
FeatureSet feature_level(int level);              /* of x86-64-v1..4 */
/* The features named with '+' in an LLVM feature string; others are passed over. */
FeatureSet feature_parse(const char *llvm);
FeatureSet feature_add(FeatureSet set, int row);    /* and what it needs */
FeatureSet feature_remove(FeatureSet set, int row); /* and what needs it */

#endif
