/* The table of x86-64 features, and sets of them that always hold what their members need. */
#include "backend/feature.h"
#include <string.h>

enum {
    F_SSE3,
    F_SSSE3,
    F_SSE41,
    F_SSE42,
    F_POPCNT,
    F_MOVBE,
    F_AVX,
    F_F16C,
    F_FMA,
    F_AVX2,
    F_BMI,
    F_BMI2,
    F_LZCNT,
    F_AVX512F,
    F_AVX512CD,
    F_AVX512BW,
    F_AVX512DQ,
    F_AVX512VL
};
enum { XCR_AVX = 0x06, XCR_AVX512 = 0xe6 };

#define BIT(f) (1u << (f))

const Feature feature_table[] = {
    [F_SSE3] = {"sse3", 0, 2, CPUID_1_ECX, 0, 0},
    [F_SSSE3] = {"ssse3", BIT(F_SSE3), 2, CPUID_1_ECX, 9, 0},
    [F_SSE41] = {"sse4.1", BIT(F_SSSE3), 2, CPUID_1_ECX, 19, 0},
    [F_SSE42] = {"sse4.2", BIT(F_SSE41), 2, CPUID_1_ECX, 20, 0},
    [F_POPCNT] = {"popcnt", 0, 2, CPUID_1_ECX, 23, 0},
    [F_MOVBE] = {"movbe", 0, 3, CPUID_1_ECX, 22, 0},
    [F_AVX] = {"avx", BIT(F_SSE42), 3, CPUID_1_ECX, 28, XCR_AVX},
    [F_F16C] = {"f16c", BIT(F_AVX), 3, CPUID_1_ECX, 29, XCR_AVX},
    [F_FMA] = {"fma", BIT(F_AVX), 3, CPUID_1_ECX, 12, XCR_AVX},
    [F_AVX2] = {"avx2", BIT(F_AVX), 3, CPUID_7_EBX, 5, XCR_AVX},
    [F_BMI] = {"bmi", 0, 3, CPUID_7_EBX, 3, 0},
    [F_BMI2] = {"bmi2", 0, 3, CPUID_7_EBX, 8, 0},
    [F_LZCNT] = {"lzcnt", 0, 3, CPUID_EXT_ECX, 5, 0},
    [F_AVX512F] = {"avx512f", BIT(F_AVX2) | BIT(F_FMA) | BIT(F_F16C), 4, CPUID_7_EBX, 16, XCR_AVX512},
    [F_AVX512CD] = {"avx512cd", BIT(F_AVX512F), 4, CPUID_7_EBX, 28, XCR_AVX512},
    [F_AVX512BW] = {"avx512bw", BIT(F_AVX512F), 4, CPUID_7_EBX, 30, XCR_AVX512},
    [F_AVX512DQ] = {"avx512dq", BIT(F_AVX512F), 4, CPUID_7_EBX, 17, XCR_AVX512},
    [F_AVX512VL] = {"avx512vl", BIT(F_AVX512F), 4, CPUID_7_EBX, 31, XCR_AVX512},
};
const uint32_t feature_count = sizeof feature_table / sizeof feature_table[0];

int feature_find(const char *name, uint32_t len) {
    for (uint32_t i = 0; i < feature_count; i++)
        if (strlen(feature_table[i].name) == len && !memcmp(feature_table[i].name, name, len))
            return (int)i;
    return -1;
}

FeatureSet feature_level(int level) {
    FeatureSet set = 0;
    for (uint32_t i = 0; i < feature_count; i++)
        if (feature_table[i].level <= level)
            set |= BIT(i);
    return set;
}

FeatureSet feature_add(FeatureSet set, int row) {
    set |= BIT(row);
    for (uint32_t i = 0; i < feature_count; i++)
        if (feature_table[row].needs & BIT(i))
            set = feature_add(set, (int)i);
    return set;
}

FeatureSet feature_remove(FeatureSet set, int row) {
    set &= ~BIT(row);
    for (uint32_t i = 0; i < feature_count; i++)
        if (set & BIT(i) && feature_table[i].needs & BIT(row))
            set = feature_remove(set, (int)i);
    return set;
}

FeatureSet feature_parse(const char *llvm) {
    FeatureSet set = 0;
    while (*llvm) {
        size_t len = strcspn(llvm, ",");
        int row = *llvm == '+' ? feature_find(llvm + 1, (uint32_t)len - 1) : -1;
        if (row >= 0)
            set |= BIT(row);
        llvm += len + (llvm[len] == ',');
    }
    /* A hypervisor may hide a feature that another one needs. */
    for (uint32_t i = 0; i < feature_count; i++)
        if ((feature_table[i].needs & set) != feature_table[i].needs)
            set = feature_remove(set, (int)i);
    return set;
}
