/* Arrays in files for the inputs and outputs of a model: reading, binding to names, fitting shapes. */
#include "driver/process.h"
#include <cnnrt_data.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

bool array_read(Context *cx, const char *path, Array *out) {
    cnnrt_npy npy;
    cnnrt_data_error error;
    if (cnnrt_npy_read(&npy, path, &error) != CNNRT_OK)
        return diag_error(&cx->diag, DIAG_INPUT_DATA, NULL, "%s", error.text);
    *out = (Array){.path = path, .rank = npy.rank, .count = npy.count};
    memcpy(out->dim, npy.dim, sizeof out->dim);
    out->data = NEW_ARRAY(&cx->arena, float, npy.count);
    cnnrt_npy_to_f32(&npy, out->data);
    cnnrt_npy_free(&npy);
    return true;
}

static int find_tensor(const cnnrt_tensor *t, uint32_t count, const char *name, size_t n) {
    for (uint32_t i = 0; i < count; i++)
        if (strlen(t[i].name) == n && !strncmp(t[i].name, name, n))
            return (int)i;
    return -1;
}

static bool unknown_name(Context *cx, const char *option, const cnnrt_tensor *t, uint32_t count,
                         const char *word, size_t n) {
    const char **names = NEW_ARRAY(&cx->arena, const char *, count + 1);
    for (uint32_t i = 0; i < count; i++)
        names[i] = t[i].name;
    const char *name = arena_strndup(&cx->arena, word, n), *near = diag_nearest(name, names, count);
    diag_error(&cx->diag, DIAG_INPUT_DATA, NULL, "%s %s: the model has nothing called \"%s\" there", option,
               word, name);
    return near || count ? diag_hint(&cx->diag, "is it \"%s\"?", near ? near : names[0]) : false;
}

bool bind_paths(Context *cx, const TextList *list, const char *option, const cnnrt_tensor *t, uint32_t count,
                const char **paths) {
    uint32_t next = 0;
    for (uint32_t i = 0; i < list->len; i++) {
        const char *word = list->data[i], *equals = strchr(word, '=');
        const size_t n = equals ? (size_t)(equals - word) : 0;
        int at = equals ? find_tensor(t, count, word, n) : -1;
        /* A path may hold an equals sign; it is taken for one when such a file is there. */
        const bool named = equals && (at >= 0 || access(word, F_OK) != 0);
        if (named && at < 0)
            return unknown_name(cx, option, t, count, word, n);
        if (!named) {
            while (next < count && paths[next])
                next++;
            if (next == count)
                return diag_error(&cx->diag, DIAG_INPUT_DATA, NULL, "%s %s: one too many; the model has %u",
                                  option, word, count);
            at = (int)next;
        }
        if (paths[at])
            return diag_error(&cx->diag, DIAG_INPUT_DATA, NULL, "%s %s: \"%s\" has one already", option, word,
                              t[at].name);
        paths[at] = named ? equals + 1 : word;
    }
    return true;
}

static const char *dims_text(Context *cx, const int64_t *dim, uint32_t rank) {
    StrBuf sb = sb_new(&cx->arena);
    for (uint32_t i = 0; i < rank; i++)
        if (dim[i] < 0)
            sb_printf(&sb, "%sN", i ? "," : "[");
        else
            sb_printf(&sb, "%s%lld", i ? "," : "[", (long long)dim[i]);
    sb_puts(&sb, rank ? "]" : "[]");
    return sb_str(&sb);
}

static bool all_bytes(Context *cx, const Array *a, const cnnrt_tensor *t) {
    for (size_t i = 0; i < a->count; i++)
        if (!(a->data[i] >= 0 && a->data[i] <= 255 && a->data[i] == floorf(a->data[i])))
            return diag_error(&cx->diag, DIAG_INPUT_DATA, &(Loc){.file = a->path},
                              "\"%s\" takes bytes, whole numbers from 0 to 255, but the array has %g",
                              t->name, (double)a->data[i]);
    return true;
}

bool array_fits(Context *cx, const Array *a, const cnnrt_tensor *t, int64_t *n) {
    const bool by_n = t->rank && t->dim[0] < 0, single = by_n && a->rank + 1 == t->rank;
    const int64_t images = by_n && !single && a->rank ? a->dim[0] : 1;
    bool fits = single || a->rank == t->rank;
    for (uint32_t i = by_n; fits && i < t->rank; i++)
        fits = a->dim[i - single] == t->dim[i];
    if (!fits || images < 1)
        return diag_error(&cx->diag, DIAG_INPUT_DATA, &(Loc){.file = a->path},
                          "\"%s\" is %s, but the array is %s", t->name, dims_text(cx, t->dim, t->rank),
                          dims_text(cx, a->dim, a->rank));
    if (t->dtype == CNNRT_U8 && !all_bytes(cx, a, t))
        return false;
    if (!by_n)
        return true;
    if (*n && *n != images)
        return diag_error(&cx->diag, DIAG_INPUT_DATA, &(Loc){.file = a->path},
                          "the array holds %lld images, others hold %lld", (long long)images, (long long)*n);
    *n = images;
    return true;
}
