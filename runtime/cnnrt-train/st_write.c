/* The safetensors format, written: a JSON header and the tensors, those of 8 bytes an element first so that
 * every one is aligned. */
#include "internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t bytes;
} dtypes[] = {
    [CNNRT_F32] = {"F32", 4}, [CNNRT_F16] = {"F16", 2}, [CNNRT_BF16] = {"BF16", 2}, [CNNRT_U8] = {"U8", 1},
    [CNNRT_I8] = {"I8", 1},   [CNNRT_I32] = {"I32", 4}, [CNNRT_I64] = {"I64", 8},   [CNNRT_F64] = {"F64", 8},
};

typedef struct Save {
    const StFile *file;
    uint64_t header_bytes, checksum;
} Save;

/* `visit` for all tensors in the order of the data; the offset is where its data begins. */
static void each(Writer *w, const StFile *f, void (*visit)(Writer *w, const StEntry *e, uint64_t offset)) {
    uint64_t offset = 0;
    for (uint32_t bytes = 8; bytes > 0; bytes /= 2)
        for (uint32_t i = 0; i < f->n_tensors; i++) {
            const StEntry e = f->tensor(f->arg, i);
            if (dtypes[e.tensor->dtype].bytes != bytes)
                continue;
            visit(w, &e, offset);
            offset += e.tensor->bytes;
        }
}

static void visit_header(Writer *w, const StEntry *e, uint64_t offset) {
    char text[96];
    cnnrt_write_text(w, ",");
    cnnrt_write_quoted(w, e->prefix, e->tensor->name);
    snprintf(text, sizeof text, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[e->tensor->dtype].name);
    cnnrt_write_text(w, text);
    for (uint32_t d = 0; d < e->tensor->rank; d++) {
        snprintf(text, sizeof text, "%s%" PRId64, d ? "," : "", e->tensor->dim[d]);
        cnnrt_write_text(w, text);
    }
    snprintf(text, sizeof text, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
             offset + e->tensor->bytes);
    cnnrt_write_text(w, text);
}

static void visit_data(Writer *w, const StEntry *e, uint64_t offset) {
    (void)offset;
    cnnrt_write(w, e->data, e->tensor->bytes);
}

/* The header's text, filled up with blanks to a multiple of 8. */
static void write_header(Writer *w, const Save *s) {
    const StFile *f = s->file;
    char digits[24];
    const uint64_t from = w->bytes;
    cnnrt_write_text(w, "{\"__metadata__\":{");
    for (uint32_t i = 0; i < f->n_texts; i++) {
        const StText t = f->text(f->arg, i);
        cnnrt_write_text(w, i ? "," : "");
        cnnrt_write_quoted(w, "", t.key);
        cnnrt_write_text(w, ":");
        cnnrt_write_quoted(w, "", t.value);
    }
    if (f->checksum) {
        snprintf(digits, sizeof digits, "%016" PRIx64, s->checksum);
        cnnrt_write_text(w, ",\"checksum\":");
        cnnrt_write_quoted(w, "", digits);
    }
    cnnrt_write_text(w, "}");
    each(w, f, visit_header);
    cnnrt_write_text(w, "}");
    while ((w->bytes - from) % 8 != 0)
        cnnrt_write_text(w, " ");
}

static void emit(Writer *w, void *arg) {
    const Save *s = arg;
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(s->header_bytes >> (8 * i));
    cnnrt_write(w, length, sizeof length);
    write_header(w, s);
    each(w, s->file, visit_data);
}

int cnnrt_st_save(const StFile *f, const char *path, Why why) {
    Save s = {.file = f};
    Writer w = {.fd = -1};
    write_header(&w, &s);
    s.header_bytes = w.bytes;
    if (f->checksum) {
        w = (Writer){.fd = -1};
        emit(&w, &s);
        cnnrt_write_flush(&w);
        s.checksum = w.hash ^ w.bytes;
    }
    return cnnrt_replace_file(path, emit, &s, why);
}
