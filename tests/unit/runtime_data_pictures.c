/* cnnrt-data: PNG and JPEG files, whole and damaged. tests/data/pictures.py has more sorts of whole ones. */
#include "pictures.h"
#include "runtime/cnnrt-data/cnnrt_data.h"

Test(pictures, png, .init = make_root, .fini = remove_root) {
    cnnrt_picture a;
    cnnrt_data_error e;
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        put_png("a.png", 5, 9, channels, 3);
        unsigned char *want = shaded(5, 9, channels, 3);
        cr_assert_eq(cnnrt_picture_read(&a, at("a.png"), 0, &e), CNNRT_OK, "%s", e.text);
        cr_expect(a.channels == channels && a.height == 5 && a.width == 9);
        cr_expect_arr_eq(a.pixels, want, (size_t)5 * 9 * channels);
        cnnrt_picture_free(&a);
        free(want);
    }
    cr_assert_eq(cnnrt_picture_read(&a, at("a.png"), 1, &e), CNNRT_OK, "%s", e.text);
    cr_expect_eq(a.pixels[0], (3 * 19595 + 43 * 38470 + 83 * 7471 + 0x8000) >> 16);
    cnnrt_picture_free(&a);
    put_png("grey.png", 1, 2, 1, 200);
    cr_assert_eq(cnnrt_picture_read(&a, at("grey.png"), 3, &e), CNNRT_OK, "%s", e.text);
    cr_expect(a.channels == 3 && memcmp(a.pixels, (unsigned char[]){200, 200, 200, 205, 205, 205}, 6) == 0);
    cnnrt_picture_free(&a);
}

Test(pictures, jpeg, .init = make_root, .fini = remove_root) {
    cnnrt_picture a;
    cnnrt_data_error e;
    for (uint32_t channels = 1; channels <= 3; channels += 2)
        for (int progressive = 0; progressive < 2; progressive++) {
            put_jpeg("a.jpg", 9, 17, channels, 3, progressive);
            cr_assert_eq(cnnrt_picture_read(&a, at("a.jpg"), 0, &e), CNNRT_OK, "%s", e.text);
            cr_expect(a.channels == channels && a.height == 9 && a.width == 17);
            cr_expect(abs(a.pixels[0] - 3) < 16, "%u", a.pixels[0]);
            cnnrt_picture_free(&a);
        }
}

/* What the header states is checked before memory is taken for it. */
Test(pictures, limits, .init = make_root, .fini = remove_root) {
    static const struct {
        unsigned char height[4], width[4];
        const char *fault;
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0, 0, 1}, "damaged PNG"},
        {{0, 0, 0x80, 1}, {0, 0, 0, 1}, "damaged PNG"},
        {{0, 0, 0x80, 0}, {0, 0, 0x80, 0}, "at most"},
        {{0, 0, 0x20, 0}, {0, 0, 0x20, 0}, "too short"},
    };
    cnnrt_picture a;
    cnnrt_data_error e;
    size_t size;
    put_png("a.png", 3, 3, 1, 0);
    unsigned char *f = get("a.png", &size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(f + 16, cases[i].width, 4);
        memcpy(f + 20, cases[i].height, 4);
        uint32_t crc = (uint32_t)crc32(0, f + 12, 17);
        for (int k = 0; k < 4; k++)
            f[29 + k] = (unsigned char)(crc >> (24 - 8 * k));
        cr_expect_eq(cnnrt_picture_parse(&a, f, size, 0, &e), CNNRT_E_FORMAT, "case %zu", i);
        cr_expect(strstr(e.text, cases[i].fault), "case %zu: %s", i, e.text);
    }
    free(f);
    put_jpeg("a.jpg", 8, 8, 1, 0, false);
    f = get("a.jpg", &size);
    unsigned char *frame = f;
    while (frame[0] != 0xff || frame[1] != 0xc0)
        frame++;
    memcpy(frame + 5, (unsigned char[]){0x20, 0, 0x20, 0}, 4);
    cr_expect_eq(cnnrt_picture_parse(&a, f, size, 0, &e), CNNRT_E_FORMAT);
    cr_expect(strstr(e.text, "too short"), "%s", e.text);
    free(f);
}

Test(pictures, refused, .init = make_root, .fini = remove_root) {
    cnnrt_picture a;
    cnnrt_data_error e;
    put("text.png", "no picture", 10);
    put("empty.png", "", 0);
    cr_expect_eq(cnnrt_picture_read(&a, at("text.png"), 0, &e), CNNRT_E_FORMAT);
    cr_expect(strstr(e.text, "text.png: neither a PNG nor a JPEG"), "%s", e.text);
    cr_expect_eq(cnnrt_picture_read(&a, at("empty.png"), 0, NULL), CNNRT_E_FORMAT);
    cr_expect_eq(cnnrt_picture_read(&a, at("absent.png"), 0, &e), CNNRT_E_FILE);
    cr_expect(strstr(e.text, "absent.png"), "%s", e.text);
    cr_expect_eq(cnnrt_picture_read(&a, root, 0, &e), CNNRT_E_FILE);
    put_png("a.png", 2, 2, 1, 0);
    cr_expect_eq(cnnrt_picture_read(&a, at("a.png"), 2, &e), CNNRT_E_SHAPE);
}

/* Every cut of a file is refused, and every change of a byte is read or refused with a word. */
static void damage(const char *name) {
    size_t size;
    unsigned char *f = get(name, &size);
    cnnrt_picture a;
    unsigned refused = 0;
    for (size_t cut = 0; cut < size - 2; cut++) {
        unsigned char *copy = malloc(cut + 1);
        memcpy(copy, f, cut);
        cr_expect_eq(cnnrt_picture_parse(&a, copy, cut, 3, NULL), CNNRT_E_FORMAT, "%s cut at %zu", name, cut);
        free(copy);
    }
    for (size_t i = 0; i < 2 * size; i++) {
        cnnrt_data_error e = {0};
        unsigned char old = f[i / 2];
        f[i / 2] ^= i % 2 ? 0xff : (unsigned char)(1 << i / 2 % 8);
        int status = cnnrt_picture_parse(&a, f, size, 3, &e);
        cr_expect(status == CNNRT_OK || (e.text[0] && e.status == status), "%s, byte %zu", name, i / 2);
        refused += status != CNNRT_OK;
        cnnrt_picture_free(&a);
        f[i / 2] = old;
    }
    cr_expect(refused > 20, "%s: %u refused", name, refused);
    free(f);
}

Test(pictures, damaged, .init = make_root, .fini = remove_root) {
    put_png("grey.png", 9, 13, 1, 0);
    put_png("colour.png", 9, 13, 3, 0);
    put_jpeg("grey.jpg", 20, 20, 1, 0, false);
    put_jpeg("progressive.jpg", 20, 20, 3, 0, true);
    damage("grey.png");
    damage("colour.png");
    damage("grey.jpg");
    damage("progressive.jpg");
}
