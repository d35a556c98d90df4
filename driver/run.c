/* cnnc run: compile a model, run it in this process on arrays from files, write or show the outputs. */
#include "driver/commands.h"
#include "driver/json_out.h"
#include "driver/process.h"
#include <cnnrt_data.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct Run {
    Compile c;
    Process p;
    const cnnrt_tensor *in, *out;
    uint32_t n_in, n_out;
    const char **out_path; /* by output; NULL: not to a file */
    float **inputs;        /* by input */
    float **results;       /* by output */
    int64_t n;             /* images */
} Run;

/* All files are read and fitted before anything is compiled. */
static bool read_inputs(Run *r) {
    Context *cx = r->c.cx;
    const Options *o = r->c.o;
    const char **paths = NEW_ARRAY(&cx->arena, const char *, r->n_in + 1);
    r->out_path = NEW_ARRAY(&cx->arena, const char *, r->n_out + 1);
    r->inputs = NEW_ARRAY(&cx->arena, float *, r->n_in + 1);
    if (!bind_paths(cx, &o->inputs, "--input", r->in, r->n_in, paths) ||
        !bind_paths(cx, &o->outputs, "--output", r->out, r->n_out, r->out_path))
        return false;
    for (uint32_t i = 0; i < r->n_in; i++) {
        if (!paths[i])
            return diag_error(&cx->diag, DIAG_INPUT_DATA, NULL, "--input %s=x.npy is needed", r->in[i].name);
        Array a;
        if (!input_read(&r->c, paths[i], i, &r->in[i], &a, &r->n))
            return false;
        r->inputs[i] = a.data;
    }
    for (uint32_t i = 0; i < r->n_out; i++)
        if (r->out_path[i] && !output_is_free(&r->c, r->out_path[i]))
            return false;
    if (!r->n) /* no input has a batch */
        r->n = 1;
    return true;
}

static void output_dims(const Run *r, uint32_t i, int64_t dim[CNNRT_MAX_RANK]) {
    for (uint32_t d = 0; d < r->out[i].rank; d++)
        dim[d] = r->out[i].dim[d] < 0 ? r->n : r->out[i].dim[d];
}

static bool write_outputs(const Run *r) {
    for (uint32_t i = 0; i < r->n_out; i++) {
        int64_t dim[CNNRT_MAX_RANK];
        cnnrt_data_error error;
        output_dims(r, i, dim);
        if (r->out_path[i] && cnnrt_npy_write(r->out_path[i], CNNRT_F32, r->out[i].rank, dim, r->results[i],
                                              &error) != CNNRT_OK)
            return diag_error(&r->c.cx->diag, DIAG_FILE_WRITE, NULL, "%s", error.text);
    }
    return true;
}

/* The k largest of `count` values, largest first; NaNs come last. */
static uint32_t top(const float *x, size_t count, uint32_t k, size_t *index) {
    uint32_t n = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t at = n < k ? n++ : k;
        if (at == k && !(x[i] > x[index[k - 1]]))
            continue;
        if (at == k)
            at = k - 1;
        for (; at > 0 && x[i] > x[index[at - 1]]; at--)
            index[at] = index[at - 1];
        index[at] = i;
    }
    return n;
}

static const char *class_name(const Run *r, size_t i) {
    return i < r->p.model->n_classes ? r->p.model->classes[i] : NULL;
}

/* One line an image: its largest values by class, or its first values. */
static void print_image(const Run *r, const float *x, size_t count) {
    enum { SHOWN = 5 };
    const bool classes = r->p.model->n_classes && r->p.model->n_classes == count;
    size_t index[SHOWN];
    const uint32_t n = classes ? top(x, count, SHOWN, index) : count < 8 ? (uint32_t)count : 8;
    for (uint32_t k = 0; k < n; k++)
        if (classes)
            printf("%s%s %.6g", k ? ", " : "", class_name(r, index[k]), (double)x[index[k]]);
        else
            printf("%s%.6g", k ? ", " : "", (double)x[k]);
    printf("%s\n", !classes && count > n ? ", ..." : "");
}

static void print_results(const Run *r) {
    enum { IMAGES = 16 };
    for (uint32_t i = 0; i < r->n_out; i++) {
        const bool by_n = r->out[i].rank && r->out[i].dim[0] < 0;
        const int64_t images = by_n ? r->n : 1;
        const size_t count = tensor_elems_for(&r->out[i], 1);
        int64_t dim[CNNRT_MAX_RANK];
        output_dims(r, i, dim);
        printf("%s: f32[", r->out[i].name);
        for (uint32_t d = 0; d < r->out[i].rank; d++)
            printf("%s%lld", d ? "," : "", (long long)dim[d]);
        printf("]\n");
        for (int64_t k = 0; k < images && k < IMAGES; k++) {
            if (by_n)
                printf("  %lld: ", (long long)k);
            print_image(r, r->results[i] + (size_t)k * count, count);
        }
        if (images > IMAGES)
            printf("  ... %lld more\n", (long long)images - IMAGES);
    }
}

static void print_json(const Run *r) {
    JsonOut j = json_begin(&r->c.cx->arena, "cnnc-run/1");
    json_text(&j, "model", compile_model_name(&r->c));
    json_text(&j, "cpu", r->c.target.cpu);
    json_int(&j, "images", r->n);
    json_open(&j, "outputs", '[');
    for (uint32_t i = 0; i < r->n_out; i++) {
        int64_t dim[CNNRT_MAX_RANK];
        output_dims(r, i, dim);
        json_open(&j, NULL, '{');
        json_text(&j, "name", r->out[i].name);
        json_open(&j, "shape", '[');
        for (uint32_t d = 0; d < r->out[i].rank; d++)
            json_int(&j, NULL, dim[d]);
        json_close(&j, ']');
        json_open(&j, "values", '[');
        for (size_t k = 0, count = tensor_elems_for(&r->out[i], r->n); k < count; k++)
            json_real(&j, NULL, (double)r->results[i][k]);
        json_close(&j, ']');
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_end(&j);
}

static bool run(Run *r) {
    if (!compile_import(&r->c))
        return false;
    r->in = model_tensors(&r->c, false, &r->n_in);
    r->out = model_tensors(&r->c, true, &r->n_out);
    if (!read_inputs(r))
        return false;
    set_batch(&r->c, r->n);
    if (!compile_passes(&r->c) || !compile_object(&r->c) || !process_open(&r->c, r->c.o->threads, &r->p))
        return false;
    r->results = arrays_new(r->c.cx, r->out, r->n_out, r->n);
    if (!process_images(&r->p, r->n, r->inputs, r->results) || !write_outputs(r))
        return false;
    if (r->c.o->json)
        print_json(r);
    else if (!r->c.o->outputs.len)
        print_results(r);
    return true;
}

int run_main(Context *cx, const Options *o) {
    Run r = {.c = {.cx = cx,
                   .o = o,
                   .needs_loops = true,
                   .needs_object = true,
                   .needs_code = true,
                   .needs_weights = true}};
    const bool ok = run(&r);
    process_close(&r.p);
    if (ok && o->time_passes)
        watch_print_times(&r.c.watch);
    return ok ? STATUS_OK : compile_fault(&r.c);
}
