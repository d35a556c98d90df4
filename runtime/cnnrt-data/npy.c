/* NumPy's .npy: a magic, a version, a header that is a Python literal, then the elements. */
#include "internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *descr;
    uint32_t dtype, bytes;
} types[] = {
    {"<f4", CNNRT_F32, 4}, {"<f8", CNNRT_F64, 8}, {"<f2", CNNRT_F16, 2},     {"|i1", CNNRT_I8, 1},
    {"|u1", CNNRT_U8, 1},  {"<i4", CNNRT_I32, 4}, {"<i2", CNNRT_NPY_I16, 2}, {"<i8", CNNRT_I64, 8},
};

const char *cnnrt_npy_type(uint32_t dtype) {
    uint32_t i = 0;
    while (types[i].dtype != dtype)
        i++;
    return types[i].descr + 1;
}

/* ---- The header: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } ---- */

typedef struct Header {
    const char *p, *end;
    const char *fault; /* NULL, or what is wrong */
} Header;

static bool fail(Header *h, const char *fault) {
    if (!h->fault)
        h->fault = fault;
    return false;
}

static bool accept(Header *h, const char *s) {
    while (h->p < h->end && (*h->p == ' ' || *h->p == '\n' || *h->p == '\t'))
        h->p++;
    size_t n = strlen(s);
    if ((size_t)(h->end - h->p) < n || memcmp(h->p, s, n) != 0)
        return false;
    h->p += n;
    return true;
}

/* A quoted string without escapes, into out[size]. */
static bool quoted(Header *h, char *out, size_t size) {
    char quote = accept(h, "'") ? '\'' : accept(h, "\"") ? '"' : 0;
    size_t n = 0;
    if (!quote)
        return fail(h, "the header has no quoted name where one is expected");
    while (h->p < h->end && *h->p != quote && n + 1 < size)
        out[n++] = *h->p++;
    out[n] = '\0';
    if (h->p == h->end || *h->p != quote)
        return fail(h, "the header has an unknown name or one that does not end");
    h->p++;
    return true;
}

static bool descr(Header *h, cnnrt_npy *out, uint32_t *elem) {
    char text[16] = "";
    if (accept(h, "["))
        return fail(h, "structured arrays are not read");
    if (!quoted(h, text, sizeof text))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].descr, text) == 0 ||
            (types[i].bytes == 1 && text[0] == '<' && strcmp(types[i].descr + 1, text + 1) == 0)) {
            out->dtype = types[i].dtype;
            *elem = types[i].bytes;
            return true;
        }
    if (text[0] == '>')
        return fail(h, "big-endian arrays are not read; convert with x.astype('<f4')");
    return fail(h,
                "this element type is not read; f2 f4 f8 i1 u1 i2 i4 i8 are: convert with x.astype('<f4')");
}

static bool order(Header *h) {
    if (accept(h, "False"))
        return true;
    if (accept(h, "True"))
        return fail(h, "the array is in Fortran order; save np.ascontiguousarray(x)");
    return fail(h, "fortran_order is neither True nor False");
}

static bool shape(Header *h, cnnrt_npy *out) {
    bool comma = true;
    if (!accept(h, "("))
        return fail(h, "shape is not a tuple");
    for (out->rank = 0; !accept(h, ")"); out->rank++) {
        int64_t v = 0;
        bool any = false;
        if (out->rank > 0 && !comma)
            return fail(h, "shape lacks a comma");
        if (out->rank == CNNRT_NPY_MAX_RANK)
            return fail(h, "the array has more than 8 dimensions");
        accept(h, "");
        for (; h->p < h->end && *h->p >= '0' && *h->p <= '9'; h->p++, any = true) {
            if (v > (INT64_MAX - 9) / 10)
                return fail(h, "a dimension is too large");
            v = v * 10 + (*h->p - '0');
        }
        if (!any)
            return fail(h, "a dimension is not a whole number");
        out->dim[out->rank] = v;
        comma = accept(h, ",");
    }
    return out->rank != 1 || comma || fail(h, "shape is not a tuple");
}

static bool dictionary(Header *h, cnnrt_npy *out, uint32_t *elem) {
    uint32_t seen = 0;
    if (!accept(h, "{"))
        return fail(h, "the header is not a dictionary");
    while (!accept(h, "}")) {
        char key[16] = "";
        if (!quoted(h, key, sizeof key))
            return false;
        uint32_t bit = strcmp(key, "descr") == 0           ? 1
                       : strcmp(key, "fortran_order") == 0 ? 2
                       : strcmp(key, "shape") == 0         ? 4
                                                           : 0;
        if (bit == 0 || (seen & bit))
            return fail(h, "the header has an unknown name, or one twice");
        seen |= bit;
        if (!accept(h, ":"))
            return fail(h, "a name in the header lacks its :");
        if (!(bit == 1 ? descr(h, out, elem) : bit == 2 ? order(h) : shape(h, out)))
            return false;
        if (!accept(h, ",")) {
            if (!accept(h, "}"))
                return fail(h, "the header's dictionary does not end");
            break;
        }
    }
    if (seen != 7)
        return fail(h, "the header lacks descr, fortran_order or shape");
    accept(h, "");
    return h->p == h->end || fail(h, "something follows the header's dictionary");
}

/* Elements of the shape, or false on overflow. */
static bool count_elements(const cnnrt_npy *a, uint32_t elem, size_t *bytes) {
    uint64_t n = elem;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] == 0)
            n = 0;
    for (uint32_t i = 0; i < a->rank && n != 0; i++) {
        if (n > SIZE_MAX / (uint64_t)a->dim[i])
            return false;
        n *= (uint64_t)a->dim[i];
    }
    *bytes = (size_t)n;
    return true;
}

static int parse(cnnrt_npy *out, const void *file, size_t size, const char *path, cnnrt_data_error *error) {
    const unsigned char *p = file;
    uint32_t elem = 1;
    memset(out, 0, sizeof *out);
    if (size < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "not a .npy file");
    if (p[6] < 1 || p[6] > 2 || p[7] != 0)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, ".npy version %u.%u is not read; 1.0 and 2.0 are",
                               p[6], p[7]);
    size_t at = p[6] == 1 ? 10 : 12, length = p[8] | (size_t)p[9] << 8;
    if (p[6] == 2 && size >= 12)
        length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (size < at || length > size - at)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "the header goes beyond the file");
    Header h = {(const char *)p + at, (const char *)p + at + length, NULL};
    if (!dictionary(&h, out, &elem))
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "%s", h.fault);
    size_t there = size - at - length;
    if (!count_elements(out, elem, &out->bytes) || out->bytes > there)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "the file is shorter than its shape says");
    if (out->bytes < there)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "%zu bytes follow the array", there - out->bytes);
    out->count = out->bytes / elem;
    out->data = p + at + length;
    return CNNRT_OK;
}

int cnnrt_npy_parse(cnnrt_npy *out, const void *file, size_t file_bytes, cnnrt_data_error *error) {
    int status = parse(out, file, file_bytes, NULL, error);
    if (status != CNNRT_OK)
        memset(out, 0, sizeof *out);
    return status;
}

/* ---- Files ---- */

int cnnrt_npy_read(cnnrt_npy *out, const char *path, cnnrt_data_error *error) {
    size_t size;
    cnnrt_data_error own;
    memset(out, 0, sizeof *out);
    if (!error)
        error = &own;
    unsigned char *data = cnnrt_data_read_file(path, (size_t)1 << 36, &size, error);
    if (!data)
        return error->status;
    int status = parse(out, data, size, path, error);
    out->owned = data;
    if (status != CNNRT_OK)
        cnnrt_npy_free(out);
    return status;
}

void cnnrt_npy_free(cnnrt_npy *a) {
    free(a->owned);
    memset(a, 0, sizeof *a);
}

void cnnrt_npy_to_f32(const cnnrt_npy *a, float *dst) {
    if (a->dtype != CNNRT_NPY_I16) {
        cnnrt_to_f32(dst, a->data, a->dtype, a->count);
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        int16_t x;
        memcpy(&x, (const char *)a->data + i * sizeof x, sizeof x);
        dst[i] = (float)x;
    }
}

/* The version 1 header, padded so that data begin at a multiple of 64. Returns its length, 0 if it cannot be.
 */
static size_t header_text(char *out, size_t size, uint32_t type, uint32_t rank, const int64_t *dim) {
    int n = snprintf(out + 10, size - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                     types[type].descr);
    for (uint32_t i = 0; i < rank; i++)
        n += snprintf(out + 10 + n, size - 10 - (size_t)n, "%s%lld", i ? ", " : "", (long long)dim[i]);
    n += snprintf(out + 10 + n, size - 10 - (size_t)n, "%s), }", rank == 1 ? "," : "");
    size_t end = (10 + (size_t)n + 1 + 63) / 64 * 64;
    memset(out + 10 + n, ' ', end - 10 - (size_t)n);
    out[end - 1] = '\n';
    static const unsigned char magic[8] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    memcpy(out, magic, sizeof magic);
    out[8] = (char)((end - 10) & 0xff);
    out[9] = (char)((end - 10) >> 8);
    return end;
}

/* `head` then `data` to a new file beside `path`, renamed when it is complete. */
static int write_both(const char *path, const void *head, size_t head_bytes, const void *data, size_t bytes,
                      cnnrt_data_error *error) {
    size_t room = strlen(path) + 24;
    char *temporary = malloc(room);
    if (!temporary)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
    snprintf(temporary, room, "%s.%ld.tmp", path, (long)getpid());
    FILE *f = fopen(temporary, "wb");
    bool ok = f && fwrite(head, 1, head_bytes, f) == head_bytes &&
              (bytes == 0 || fwrite(data, 1, bytes, f) == bytes);
    if (f && fclose(f) != 0)
        ok = false;
    ok = ok && rename(temporary, path) == 0;
    int why = errno;
    if (!ok && f)
        remove(temporary);
    free(temporary);
    return ok ? CNNRT_OK : cnnrt_data_fail(error, CNNRT_E_FILE, path, "cannot be written: %s", strerror(why));
}

int cnnrt_npy_write(const char *path, uint32_t dtype, uint32_t rank, const int64_t *dim, const void *data,
                    cnnrt_data_error *error) {
    char head[512]; /* 8 dimensions of 20 characters and the fixed text need less than 300 */
    uint32_t type = 0;
    cnnrt_npy a = {.rank = rank};
    while (type < sizeof types / sizeof *types && types[type].dtype != dtype)
        type++;
    if (type == sizeof types / sizeof *types || rank > CNNRT_NPY_MAX_RANK)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, path, "an array of this type or rank cannot be written");
    for (uint32_t i = 0; i < rank; i++) {
        if (dim[i] < 0)
            return cnnrt_data_fail(error, CNNRT_E_SHAPE, path, "a dimension is negative");
        a.dim[i] = dim[i];
    }
    if (!count_elements(&a, types[type].bytes, &a.bytes))
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, path, "the array is too large");
    return write_both(path, head, header_text(head, sizeof head, type, rank, dim), data, a.bytes, error);
}
