/* Pictures: which decoder, and from the file's channels to those that are wanted. */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

int cnnrt_picture_check(uint64_t height, uint64_t width, const char *path, cnnrt_data_error *error) {
    if (height == 0 || width == 0)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "a picture without pixels");
    if (height > CNNRT_PICTURE_MAX_SIDE || width > CNNRT_PICTURE_MAX_SIDE ||
        height * width > CNNRT_PICTURE_MAX_PIXELS)
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path,
                               "a picture of %llu by %llu pixels; at most %u a side and %zu in all are read",
                               (unsigned long long)width, (unsigned long long)height, CNNRT_PICTURE_MAX_SIDE,
                               CNNRT_PICTURE_MAX_PIXELS);
    return CNNRT_OK;
}

unsigned char cnnrt_luminance(unsigned r, unsigned g, unsigned b) {
    return (unsigned char)((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
}

/* In place where it can be: grey from colour shrinks, colour from grey needs memory. */
static int convert(cnnrt_picture *a, uint32_t channels, const char *path, cnnrt_data_error *error) {
    size_t n = (size_t)a->height * a->width;
    if (channels == 0 || channels == a->channels)
        return CNNRT_OK;
    if (channels == 1) {
        for (size_t i = 0; i < n; i++)
            a->pixels[i] = cnnrt_luminance(a->pixels[3 * i], a->pixels[3 * i + 1], a->pixels[3 * i + 2]);
    } else {
        unsigned char *colour = realloc(a->pixels, 3 * n);
        if (!colour)
            return cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory for the picture");
        a->pixels = colour;
        for (size_t i = n; i-- > 0;)
            memset(colour + 3 * i, colour[i], 3);
    }
    a->channels = channels;
    return CNNRT_OK;
}

static int parse(cnnrt_picture *out, const unsigned char *file, size_t bytes, uint32_t channels,
                 const char *path, cnnrt_data_error *error) {
    int status;
    memset(out, 0, sizeof *out);
    if (channels != 0 && channels != 1 && channels != 3)
        return cnnrt_data_fail(error, CNNRT_E_SHAPE, path, "pictures have 1 or 3 channels, not %u", channels);
    if (bytes >= 8 && memcmp(file, "\x89PNG\r\n\x1a\n", 8) == 0)
        status = cnnrt_png_decode(out, file, bytes, path, error);
    else if (bytes >= 3 && memcmp(file, "\xff\xd8\xff", 3) == 0)
        status = cnnrt_jpeg_decode(out, file, bytes, path, error);
    else
        return cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "neither a PNG nor a JPEG file");
    if (status == CNNRT_OK)
        status = convert(out, channels, path, error);
    if (status != CNNRT_OK)
        cnnrt_picture_free(out);
    return status;
}

int cnnrt_picture_parse(cnnrt_picture *out, const void *file, size_t file_bytes, uint32_t channels,
                        cnnrt_data_error *error) {
    return parse(out, file, file_bytes, channels, NULL, error);
}

int cnnrt_picture_read(cnnrt_picture *out, const char *path, uint32_t channels, cnnrt_data_error *error) {
    size_t size;
    cnnrt_data_error own;
    memset(out, 0, sizeof *out);
    error = error ? error : &own;
    if (cnnrt_data_check_file(path, error) != CNNRT_OK)
        return error->status;
    unsigned char *file = cnnrt_data_read_file(path, CNNRT_PICTURE_MAX_FILE, &size, error);
    if (!file)
        return error->status;
    int status = parse(out, file, size, channels, path, error);
    free(file);
    return status;
}

void cnnrt_picture_free(cnnrt_picture *a) {
    free(a->pixels);
    memset(a, 0, sizeof *a);
}
