/* PNG by libpng, from memory. libpng leaves by longjmp when a file is damaged: all that lives across that is
 * in a Reader of the function outside, and no local of the function that called setjmp is read afterwards. */
#include "internal.h"
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reader {
    jmp_buf out;
    const unsigned char *at, *end;
    png_structp png;
    png_infop info;
    unsigned char *pixels;
    unsigned char **rows;
    uint32_t height, width, channels;
    const char *path;
    cnnrt_data_error *error;
    int status; /* CNNRT_OK: libpng's own failure, told in `why` */
    char why[120];
} Reader;

static void on_error(png_structp png, png_const_charp text) {
    Reader *r = png_get_error_ptr(png);
    snprintf(r->why, sizeof r->why, "%s", text);
    longjmp(r->out, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep to, size_t n) {
    Reader *r = png_get_io_ptr(png);
    if (n > (size_t)(r->end - r->at))
        png_error(png, "it ends too early");
    memcpy(to, r->at, n);
    r->at += n;
}

/* From any PNG to grey or RGB of 8 bits. */
static void ask_for_bytes(Reader *r) {
    int colour = png_get_color_type(r->png, r->info);
    png_set_expand(r->png); /* palettes, 1 to 4 bits, transparency as alpha */
    png_set_scale_16(r->png);
    png_set_strip_alpha(r->png);
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    r->channels = colour & PNG_COLOR_MASK_COLOR ? 3 : 1;
}

/* The limits, and whether the file can hold so much: deflate yields at most 1032 bytes for one. */
static int check_size(Reader *r, size_t file_bytes) {
    r->height = png_get_image_height(r->png, r->info);
    r->width = png_get_image_width(r->png, r->info);
    int status = cnnrt_picture_check(r->height, r->width, r->path, r->error);
    if (status == CNNRT_OK && png_get_rowbytes(r->png, r->info) * r->height / 1032 > file_bytes)
        status = cnnrt_data_fail(r->error, CNNRT_E_FORMAT, r->path, "too short for %u by %u pixels", r->width,
                                 r->height);
    return status;
}

static int make_room(Reader *r) {
    size_t row = (size_t)r->width * r->channels;
    r->pixels = malloc(row * r->height);
    r->rows = malloc(r->height * sizeof *r->rows);
    if (!r->pixels || !r->rows)
        return cnnrt_data_fail(r->error, CNNRT_E_SYSTEM, r->path, "out of memory for the picture");
    for (uint32_t y = 0; y < r->height; y++)
        r->rows[y] = r->pixels + y * row;
    return CNNRT_OK;
}

/* False when libpng gave up or r->status says why not. */
static bool decode(Reader *r, size_t bytes) {
    if (setjmp(r->out))
        return false;
    png_set_read_fn(r->png, r, read_bytes);
    png_set_user_limits(r->png, CNNRT_PICTURE_MAX_SIDE, CNNRT_PICTURE_MAX_SIDE);
    png_set_chunk_cache_max(r->png, 128);
    png_set_chunk_malloc_max(r->png, 8u << 20);
    png_read_info(r->png, r->info);
    r->status = check_size(r, bytes);
    if (r->status != CNNRT_OK)
        return false;
    ask_for_bytes(r);
    r->status = make_room(r);
    if (r->status != CNNRT_OK)
        return false;
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL);
    return true;
}

int cnnrt_png_decode(cnnrt_picture *out, const unsigned char *file, size_t bytes, const char *path,
                     cnnrt_data_error *error) {
    Reader r = {.at = file, .end = file + bytes, .path = path, .error = error};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    int status;
    if (!r.info)
        status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
    else if (decode(&r, bytes))
        status = CNNRT_OK;
    else
        status = r.status != CNNRT_OK
                     ? r.status
                     : cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "damaged PNG: %s", r.why);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.rows);
    if (status == CNNRT_OK)
        *out = (cnnrt_picture){r.channels, r.height, r.width, r.pixels};
    else
        free(r.pixels);
    return status;
}
