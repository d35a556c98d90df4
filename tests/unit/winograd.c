/* Winograd's convolution with tiles of 2 and 4, in the interpreter at three vector widths against the
 * evaluator; the choices are forced, so that every corner of the lowering is met. */
#include "ir/ops/winograd.h"
#include "lowered.h"

/* A choice but for its block, and for oc_block counted in groups of output channels; 0: all. */
typedef struct Forced {
    int64_t vectors, pixels, rows, groups;
} Forced;

static const Forced forced[] = {{1, 1, 1, 0}, {2, 3, 6, 1}, {1, 4, 8, 2}, {2, 6, 6, 0}};

static const char *const cases[] = {
    /* Channels that fill no vector, images that no tile divides, padding of several widths; weights of a
       call. */
    "graph @odd(%x: f32[N,5,7,9], %w: f32[19,5,3,3], %b: f32[19]) batch 3 {"
    "  %y = conv2d %x, %w, %b {padding=[1,1,1,1]} : f32[N,19,7,9]"
    "  return %y as \"y\" }",
    "graph @uneven(%x: f32[N,16,6,5], %w: f32[32,16,3,3]) batch 2 {"
    "  %y = conv2d %x, %w {padding=[0,3,2,0]} : f32[N,32,6,6]"
    "  return %y as \"y\" }",
    "graph @bare(%x: f32[N,17,3,4], %w: f32[33,17,3,3]) batch 5 {"
    "  %y = conv2d %x, %w : f32[N,33,1,2]"
    "  return %y as \"y\" }",
    /* The addition and the ReLU of a residual block, in the epilogue of its second convolution. */
    "graph @residual(%x: f32[N,16,5,6], %w: f32[16,16,3,3], %u: f32[16,16,3,3], %b: f32[16]) batch 2 {"
    "  %c = conv2d %x, %w, %b {padding=[1,1,1,1]} : f32[N,16,5,6]"
    "  %r = relu %c : f32[N,16,5,6]"
    "  %d = conv2d %r, %u, %b {padding=[1,1,1,1]} : f32[N,16,5,6]"
    "  %s = add %d, %x : f32[N,16,5,6]"
    "  %y = relu %s : f32[N,16,5,6]"
    "  return %y as \"y\" }",
    "graph @five(%x: f32[N,17,7,8], %w: f32[20,17,5,5], %b: f32[20]) batch 3 {"
    "  %y = conv2d %x, %w, %b {padding=[2,1,2,3]} : f32[N,20,7,8]"
    "  return %y as \"y\" }",
    "graph @flipped_five(%x: f32[N,16,5,6], %w: f32[16,21,5,5]) batch 2 {"
    "  %f = flip_weight %w : f32[21,16,5,5]"
    "  %y = conv2d %x, %f {padding=[2,2,2,2]} : f32[N,21,5,6]"
    "  return %y as \"y\" }",
    /* The gradient of the input of a convolution. */
    "graph @flipped(%x: f32[N,32,5,5], %w: f32[32,20,3,3]) batch 2 {"
    "  %f = flip_weight %w : f32[20,32,3,3]"
    "  %y = conv2d %x, %f {padding=[1,1,1,1]} : f32[N,20,5,5]"
    "  return %y as \"y\" }",
};

static void force(Graph *g, const Forced *f, int64_t tile, int64_t lanes) {
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        Choice c = {.algorithm = ALGO_WINOGRAD, .block = lanes, .tile = tile};
        c.vectors = f->vectors;
        c.pixels = f->pixels;
        c.rows = f->rows;
        c.oc_block = f->groups * f->vectors * lanes;
        if (g->nodes.data[i].op == OP_conv2d)
            g->nodes.data[i].choice = arena_copy(&cx.arena, &c, sizeof c);
    }
}

/* A whole batch, and its first image alone, which must come out with the same bits. */
static void check(const char *text, const Forced *f, int64_t tile, uint32_t vector_bytes) {
    context_init(&cx, NULL);
    const Target t = target_of(vector_bytes);
    const bool contract = vector_bytes > 16;
    const Graph *g = graph_after(&t, text, "");
    const int64_t taps = g->values.data[g->inputs.data[1]].type.dim[2].size;
    if (!winograd_of(taps, tile))
        return context_free(&cx);
    Graph *chosen = graph_after(&t, text, "fuse");
    force(chosen, f, tile, vector_bytes / 4);
    const LoopModule *m = loops_of(&t, chosen);
    double error, ignored;
    const float *y = run_both(g, m, g->batch, contract, &error);
    const float *alone = run_both(g, m, 1, contract, &ignored);
    const Type *out = &g->values.data[g->outputs.data[0].value].type;
    cr_assert(!memcmp(alone, y, (size_t)type_elems(out, 1) * sizeof *y), "%s: an image alone differs", text);
    cr_assert_leq(error, tile + taps == 5 ? 1e-6 : 1e-5, "%s: tile %lld, %u-byte vectors: off by %g", text,
                  (long long)tile, vector_bytes, error);
    context_free(&cx);
}

Test(winograd, lowering) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof forced / sizeof *forced; k++)
            for (uint32_t bytes = 16; bytes <= 64; bytes *= 2)
                for (int64_t tile = 2; tile <= 4; tile += 2)
                    check(cases[i], &forced[k], tile, bytes);
}
