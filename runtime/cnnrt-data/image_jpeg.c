/* JPEG by libjpeg (turbo), from memory. The library leaves by longjmp when a file is damaged: all that lives
 * across that is in a Reader of the function outside. What libjpeg only warns of and repairs by guesses
 * counts as damage too. */
#include "internal.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

enum { MOST_SCANS = 200 }; /* a progressive file of many empty scans would take forever */

typedef struct Reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    unsigned char *pixels, *row; /* row: of a CMYK file */
    const char *path;
    cnnrt_data_error *error;
    int status; /* CNNRT_OK: libjpeg's own failure, told in `why` */
    char why[JMSG_LENGTH_MAX];
} Reader;

static void on_error(j_common_ptr jpeg) {
    Reader *r = jpeg->client_data;
    jpeg->err->format_message(jpeg, r->why);
    longjmp(r->out, 1);
}

static void on_message(j_common_ptr jpeg, int level) {
    int code = jpeg->err->msg_code;
    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR)
        on_error(jpeg);
}

static void on_progress(j_common_ptr jpeg) {
    Reader *r = jpeg->client_data;
    if (r->jpeg.input_scan_number > MOST_SCANS) {
        snprintf(r->why, sizeof r->why, "more than %d scans", MOST_SCANS);
        longjmp(r->out, 1);
    }
}

/* A row of CMYK to RGB in place of the pixels; Adobe's files hold the complement. */
static void from_cmyk(const Reader *r, unsigned char *to) {
    for (uint32_t x = 0; x < r->jpeg.output_width; x++)
        for (uint32_t c = 0; c < 3; c++) {
            unsigned ink = r->row[4 * x + c], black = r->row[4 * x + 3];
            if (!r->jpeg.saw_Adobe_marker) {
                ink = 255 - ink;
                black = 255 - black;
            }
            to[3 * x + c] = (unsigned char)((ink * black + 127) / 255);
        }
}

/* The limits, and whether the file can hold so much: a Huffman-coded block of 8 by 8 takes a bit at least. */
static int check_size(const Reader *r, size_t file_bytes) {
    const struct jpeg_decompress_struct *j = &r->jpeg;
    int status = cnnrt_picture_check(j->image_height, j->image_width, r->path, r->error);
    uint64_t blocks = (uint64_t)(j->image_height / 8) * (j->image_width / 8);
    if (status == CNNRT_OK && !j->arith_code && blocks / 8 > file_bytes)
        status = cnnrt_data_fail(r->error, CNNRT_E_FORMAT, r->path, "too short for %u by %u pixels",
                                 j->image_width, j->image_height);
    return status;
}

static int make_room(Reader *r, uint32_t channels) {
    size_t width = r->jpeg.output_width;
    r->pixels = malloc(width * r->jpeg.output_height * channels);
    r->row = malloc(width * 4);
    if (!r->pixels || !r->row)
        return cnnrt_data_fail(r->error, CNNRT_E_SYSTEM, r->path, "out of memory for the picture");
    return CNNRT_OK;
}

/* False when libjpeg gave up or r->status says why not. */
static bool decode(Reader *r, const unsigned char *file, size_t bytes, uint32_t *channels) {
    struct jpeg_decompress_struct *j = &r->jpeg;
    if (setjmp(r->out))
        return false;
    jpeg_create_decompress(j);
    j->client_data = r;
    j->progress = &r->progress;
    jpeg_mem_src(j, file, bytes);
    jpeg_read_header(j, TRUE);
    r->status = check_size(r, bytes);
    if (r->status != CNNRT_OK)
        return false;
    bool cmyk = j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK;
    *channels = j->jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;
    j->out_color_space = cmyk ? JCS_CMYK : *channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(j);
    r->status = make_room(r, *channels);
    if (r->status != CNNRT_OK)
        return false;
    while (j->output_scanline < j->output_height) {
        unsigned char *to = r->pixels + (size_t)j->output_scanline * j->output_width * *channels;
        unsigned char *row = cmyk ? r->row : to;
        jpeg_read_scanlines(j, &row, 1);
        if (cmyk)
            from_cmyk(r, to);
    }
    jpeg_finish_decompress(j);
    return true;
}

int cnnrt_jpeg_decode(cnnrt_picture *out, const unsigned char *file, size_t bytes, const char *path,
                      cnnrt_data_error *error) {
    Reader *r = calloc(1, sizeof *r);
    uint32_t channels = 0;
    int status = CNNRT_OK;
    if (!r)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, path, "out of memory");
    r->path = path;
    r->error = error;
    r->jpeg.client_data = r;
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->progress.progress_monitor = on_progress;
    if (!decode(r, file, bytes, &channels))
        status = r->status != CNNRT_OK
                     ? r->status
                     : cnnrt_data_fail(error, CNNRT_E_FORMAT, path, "damaged JPEG: %s", r->why);
    if (status == CNNRT_OK)
        *out = (cnnrt_picture){channels, r->jpeg.output_height, r->jpeg.output_width, r->pixels};
    else
        free(r->pixels);
    jpeg_destroy_decompress(&r->jpeg);
    free(r->row);
    free(r);
    return status;
}
