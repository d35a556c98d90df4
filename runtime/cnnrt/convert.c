/* Elements of files as f32. Sources may be unaligned, so everything is copied out bytewise. */
#include "cnnrt.h"
#include <string.h>

static float f32_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float f32_of_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
    if (exponent == 31) /* infinity, or a NaN that keeps its payload */
        return f32_of_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent != 0)
        return f32_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    /* Zero or subnormal: mantissa * 2^-24 is exact in f32. */
    float magnitude = (float)mantissa * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

#define CONVERT_LOOP(T, expression)                                                                          \
    for (size_t i = 0; i < count; i++) {                                                                     \
        T x;                                                                                                 \
        memcpy(&x, from + i * sizeof x, sizeof x);                                                           \
        dst[i] = (expression);                                                                               \
    }                                                                                                        \
    break

void cnnrt_to_f32(float *dst, const void *src, uint32_t dtype, size_t count) {
    const unsigned char *from = src;
    if (count == 0)
        return;
    switch (dtype) {
    case CNNRT_F32:
        memcpy(dst, src, count * sizeof *dst);
        break;
    case CNNRT_F16:
        CONVERT_LOOP(uint16_t, f32_of_f16(x));
    case CNNRT_BF16:
        CONVERT_LOOP(uint16_t, f32_of_bits((uint32_t)x << 16));
    case CNNRT_F64:
        CONVERT_LOOP(double, (float)x);
    case CNNRT_U8:
        CONVERT_LOOP(uint8_t, (float)x);
    case CNNRT_I8:
        CONVERT_LOOP(int8_t, (float)x);
    case CNNRT_I32:
        CONVERT_LOOP(int32_t, (float)x);
    case CNNRT_I64:
        CONVERT_LOOP(int64_t, (float)x);
    default: /* nothing this library reads: defined contents all the same */
        memset(dst, 0, count * sizeof *dst);
    }
}
