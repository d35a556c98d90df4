/* IDX files (MNIST and relatives), through zlib, which reads plain files as well. */
#include "internal.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { PIECE = 1 << 20 };

/* Exactly `want` bytes; false at the end of the file or on damage. */
static bool read_exact(gzFile f, void *to, size_t want) {
    unsigned char *p = to;
    while (want > 0) {
        int got = gzread(f, p, want > PIECE ? PIECE : (unsigned)want);
        if (got <= 0)
            return false;
        p += got;
        want -= (size_t)got;
    }
    return true;
}

static int damaged(gzFile f, const char *path, const char *what, cnnrt_data_error *error) {
    int code = Z_OK;
    const char *text = gzerror(f, &code);
    if (code == Z_ERRNO)
        return cnnrt_data_fail(error, CNNRT_E_FILE, path, "cannot be read: %s", strerror(errno));
    if (code != Z_OK && code != Z_STREAM_END)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "damaged gzip data: %s", text);
    return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "%s", what);
}

/* Magic and dimensions; out->bytes is their product. */
static int read_header(gzFile f, cnnrt_idx *out, const char *path, cnnrt_data_error *error) {
    unsigned char b[4];
    if (!read_exact(f, b, 4) || b[0] != 0 || b[1] != 0)
        return damaged(f, path, "not an IDX file", error);
    if (b[2] != 8)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path,
                               "IDX elements of type 0x%02x; only unsigned bytes (0x08) are read", b[2]);
    if (b[3] < 1 || b[3] > CNNRT_IDX_MAX_RANK)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "an IDX array of %u dimensions", b[3]);
    out->rank = b[3];
    uint64_t bytes = 1;
    for (uint32_t i = 0; i < out->rank; i++) {
        if (!read_exact(f, b, 4))
            return damaged(f, path, "the file ends within its header", error);
        uint32_t d = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        out->dim[i] = d;
        bytes *= d; /* at most 2^31 * 2^32 */
        if (bytes > CNNRT_IDX_MAX_BYTES)
            return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "the array is larger than 2 GB");
    }
    out->bytes = (size_t)bytes;
    return CNNRT_OK;
}

/* The elements, in pieces that grow with what the file really holds. */
static int read_elements(gzFile f, cnnrt_idx *out, const char *path, cnnrt_data_error *error) {
    size_t have = 0, cap = 0;
    while (have < out->bytes) {
        size_t piece = out->bytes - have < PIECE ? out->bytes - have : PIECE;
        if (cap - have < piece) {
            cap = cap < PIECE ? PIECE : cap * 2;
            cap = cap > out->bytes ? out->bytes : cap;
            unsigned char *more = realloc(out->data, cap);
            if (!more)
                return cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
            out->data = more;
            piece = cap - have < piece ? cap - have : piece;
        }
        if (!read_exact(f, out->data + have, piece))
            return damaged(f, path, "the file is shorter than its dimensions say", error);
        have += piece;
    }
    /* Reading on also makes zlib check the checksum at the end. */
    unsigned char extra;
    int got = gzread(f, &extra, 1);
    if (got != 0)
        return got > 0 ? cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "something follows the array")
                       : damaged(f, path, "damaged", error);
    return CNNRT_OK;
}

int cnnrt_idx_read(cnnrt_idx *out, const char *path, cnnrt_data_error *error) {
    memset(out, 0, sizeof *out);
    int status = cnnrt_data_check_file(path, error);
    if (status != CNNRT_OK)
        return status;
    errno = 0;
    gzFile f = gzopen(path, "rb");
    if (!f)
        return cnnrt_data_fail(error, CNNRT_E_FILE, path, "cannot be opened: %s",
                               errno ? strerror(errno) : "out of memory");
    status = read_header(f, out, path, error);
    if (status == CNNRT_OK)
        status = read_elements(f, out, path, error);
    if (gzclose(f) != Z_OK && status == CNNRT_OK) /* zlib's only word about a stream cut within its trailer */
        status = cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "damaged gzip data: it ends too early");
    if (status != CNNRT_OK)
        cnnrt_idx_free(out);
    return status;
}

void cnnrt_idx_free(cnnrt_idx *a) {
    free(a->data);
    memset(a, 0, sizeof *a);
}

/* ---- Image and label files of one data set ---- */

char *cnnrt_idx_path(const char *folder, const char *split, const char *kind) {
    if (strcmp(split, "test") == 0)
        split = "t10k";
    size_t room = strlen(folder) + strlen(split) + strlen(kind) + 8;
    char *path = malloc(room);
    if (path)
        snprintf(path, room, "%s/%s-%s", folder, split, kind);
    if (path && access(path, F_OK) != 0)
        snprintf(path, room, "%s/%s-%s.gz", folder, split, kind);
    return path;
}

static int read_part(cnnrt_idx *out, const char *folder, const char *split, const char *kind,
                     cnnrt_data_error *error) {
    char *path = cnnrt_idx_path(folder, split, kind);
    if (!path)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory");
    int status = cnnrt_idx_read(out, path, error);
    free(path);
    return status;
}

int cnnrt_mnist_read(cnnrt_images *out, const char *folder, const char *split, cnnrt_data_error *error) {
    cnnrt_idx images = {0}, labels = {0};
    memset(out, 0, sizeof *out);
    if (strcmp(split, "test") == 0)
        split = "t10k";
    if (strcmp(split, "train") != 0 && strcmp(split, "t10k") != 0)
        return cnnrt_data_fail(error, CNNRT_E_FILE, folder, "no split \"%.40s\"; there are train and test",
                               split);
    int status = read_part(&images, folder, split, "images-idx3-ubyte", error);
    if (status != CNNRT_OK)
        return status;
    status = read_part(&labels, folder, split, "labels-idx1-ubyte", error);
    if (status == CNNRT_OK && (images.rank != 3 || labels.rank != 1 || images.dim[0] != labels.dim[0]))
        status = cnnrt_data_fail(error, CNNRT_E_FORMAT, folder, "images and labels of %s do not fit together",
                                 split);
    if (status != CNNRT_OK) {
        cnnrt_idx_free(&images);
        cnnrt_idx_free(&labels);
        return status;
    }
    *out = (cnnrt_images){(size_t)images.dim[0], (uint32_t)images.dim[1], (uint32_t)images.dim[2],
                          images.data, labels.data};
    return CNNRT_OK;
}

void cnnrt_images_free(cnnrt_images *a) {
    free(a->pixels);
    free(a->labels);
    memset(a, 0, sizeof *a);
}

void cnnrt_images_to_f32(const cnnrt_images *a, size_t first, size_t count, float mean, float std,
                         float *dst) {
    size_t pixels = (size_t)a->height * a->width;
    for (size_t i = 0; i < count * pixels; i++)
        dst[i] = ((float)a->pixels[first * pixels + i] / 255.0f - mean) / std;
}
