/* Access to elements of any type through double and int64_t, with the roundings of the narrow floats. */
#include "ir/loops/text.h"
#include <math.h>
#include <string.h>

/* The narrow float formats: significand bits (hidden one included) and the largest exponent. */
typedef struct FloatFormat {
    int bits, emax;
} FloatFormat;

static const FloatFormat bf16 = {8, 127}, f16 = {11, 15};

static double round_to(FloatFormat f, double v) {
    int e;
    if (!isfinite(v) || v == 0)
        return v;
    frexp(v, &e);                          /* v = m * 2^e with 0.5 <= m < 1 */
    int least = 1 - f.emax - (f.bits - 1); /* exponent of the smallest denormal */
    int ulp = e - f.bits > least ? e - f.bits : least;
    v = ldexp(nearbyint(ldexp(v, -ulp)), ulp);
    return fabs(v) >= ldexp(1, f.emax + 1) ? copysign(INFINITY, v) : v;
}

static uint16_t pack(FloatFormat f, double v) {
    int mantissa = f.bits - 1, e;
    uint16_t sign = signbit(v) ? 0x8000 : 0, inf = (uint16_t)((2 * f.emax + 1) << mantissa);
    if (isnan(v))
        return sign | inf | (uint16_t)(1 << (mantissa - 1));
    v = fabs(round_to(f, v));
    if (isinf(v))
        return sign | inf;
    if (v < ldexp(1, 1 - f.emax)) /* denormal or zero */
        return sign | (uint16_t)ldexp(v, f.emax - 1 + mantissa);
    double m = frexp(v, &e);
    return sign | (uint16_t)(((e - 1 + f.emax) << mantissa) + (int)ldexp(m * 2 - 1, mantissa));
}

static double unpack(FloatFormat f, uint16_t h) {
    int mantissa = f.bits - 1, e = (h & 0x7fff) >> mantissa, m = h & ((1 << mantissa) - 1);
    double v;
    if (e == 2 * f.emax + 1)
        v = m ? NAN : INFINITY;
    else if (!e)
        v = ldexp(m, 1 - f.emax - mantissa);
    else
        v = ldexp(m + (1 << mantissa), e - f.emax - mantissa);
    return h & 0x8000 ? -v : v;
}

double elem_round(DType t, double v) {
    switch (t) {
    case DT_F32:
        return (float)v;
    case DT_BF16: /* the narrow floats are computed in f32 and rounded once more */
        return round_to(bf16, (float)v);
    case DT_F16:
        return round_to(f16, (float)v);
    default:
        return v;
    }
}

/* Element i of a buffer; memcpy, since the same bytes are seen through several types. */
static inline void read_elem(void *to, const void *data, int64_t i, size_t size) {
    memcpy(to, (const char *)data + (size_t)i * size, size);
}

static inline void write_elem(void *data, int64_t i, const void *from, size_t size) {
    memcpy((char *)data + (size_t)i * size, from, size);
}

double elem_get(DType t, const void *data, int64_t i) {
    float f;
    double d;
    uint16_t h;
    switch (t) {
    case DT_F32:
        read_elem(&f, data, i, sizeof f);
        return f;
    case DT_F64:
        read_elem(&d, data, i, sizeof d);
        return d;
    default:
        read_elem(&h, data, i, sizeof h);
        return unpack(t == DT_BF16 ? bf16 : f16, h);
    }
}

void elem_put(DType t, void *data, int64_t i, double v) {
    float f = (float)v;
    uint16_t h;
    switch (t) {
    case DT_F32:
        write_elem(data, i, &f, sizeof f);
        break;
    case DT_F64:
        write_elem(data, i, &v, sizeof v);
        break;
    default:
        h = pack(t == DT_BF16 ? bf16 : f16, f);
        write_elem(data, i, &h, sizeof h);
    }
}

int64_t elem_get_int(DType t, const void *data, int64_t i) {
    int32_t w;
    uint32_t u;
    int64_t l;
    switch (t) {
    case DT_I8:
        return ((const int8_t *)data)[i];
    case DT_I32:
        read_elem(&w, data, i, sizeof w);
        return w;
    case DT_U32:
        read_elem(&u, data, i, sizeof u);
        return u;
    case DT_I64:
        read_elem(&l, data, i, sizeof l);
        return l;
    default: /* u8, bool */
        return ((const uint8_t *)data)[i];
    }
}

void elem_put_int(DType t, void *data, int64_t i, int64_t v) {
    uint32_t u = (uint32_t)v;
    switch (t) {
    case DT_I8:
    case DT_U8:
        ((uint8_t *)data)[i] = (uint8_t)v;
        break;
    case DT_BOOL:
        ((uint8_t *)data)[i] = v & 1;
        break;
    case DT_I32:
    case DT_U32:
        write_elem(data, i, &u, sizeof u);
        break;
    default:
        write_elem(data, i, &v, sizeof v);
    }
}
