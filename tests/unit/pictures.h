/* Small PNG and JPEG files of h by w pixels, written by the libraries themselves. */
#ifndef TESTS_UNIT_PICTURES_H
#define TESTS_UNIT_PICTURES_H

#include "data_files.h"
#include <stdint.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

/* Pixel (y,x,c) is (7y + 5x + 40c + shade) modulo 256. Malloced. */
static inline unsigned char *shaded(uint32_t h, uint32_t w, uint32_t channels, unsigned shade) {
    unsigned char *p = malloc((size_t)h * w * channels), *to = p;
    cr_assert(p);
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++)
            for (uint32_t c = 0; c < channels; c++)
                *to++ = (unsigned char)(7 * y + 5 * x + 40 * c + shade);
    return p;
}

static inline void put_png(const char *name, uint32_t h, uint32_t w, uint32_t channels, unsigned shade) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = w,
                       .height = h,
                       .format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY};
    unsigned char *p = shaded(h, w, channels, shade);
    cr_assert(png_image_write_to_file(&image, at(name), 0, p, 0, NULL));
    free(p);
}

static inline void put_jpeg(const char *name, uint32_t h, uint32_t w, uint32_t channels, unsigned shade,
                            bool progressive) {
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    unsigned char *p = shaded(h, w, channels, shade);
    FILE *f = fopen(at(name), "wb");
    cr_assert(f);
    j.err = jpeg_std_error(&errors);
    jpeg_create_compress(&j);
    jpeg_stdio_dest(&j, f);
    j.image_width = w;
    j.image_height = h;
    j.input_components = (int)channels;
    j.in_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&j);
    if (progressive)
        jpeg_simple_progression(&j);
    jpeg_start_compress(&j, TRUE);
    for (uint32_t y = 0; y < h; y++) {
        unsigned char *row = p + (size_t)y * w * channels;
        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    fclose(f);
    free(p);
}

#endif
