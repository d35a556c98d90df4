/* The gradients of conv2d and linear through the pipeline from choose on, as training lowers them: in the
 * interpreter, at three vector widths, against the evaluator. */
#include "lowered.h"

typedef struct Case {
    const char *text;      /* of a graph whose inputs all come with the call */
    const char *algorithm; /* of its first node in the text after choose; NULL: any */
    double error;          /* allowed, as a share of the largest element */
} Case;

static const Case cases[] = {
    /* Two groups of output channels with a short block, several input blocks, two parts. */
    {"graph @a(%dy: f32[N,24,7,9], %x: f32[N,20,7,9]) batch 5 {"
     "  %y = conv2d_backward_weight %dy, %x {padding=[1,1,1,1], kernel_size=[3,3]} : f32[24,20,3,3]"
     "  return %y as \"y\" }",
     "direct", 1e-6},
    /* Planar, strided, asymmetric padding; the kernel in pieces. */
    {"graph @b(%dy: f32[N,17,5,6], %x: f32[N,1,10,12]) batch 3 {"
     "  %y = conv2d_backward_weight %dy, %x {stride=[2,2], padding=[3,3,2,3], kernel_size=[7,7]} : "
     "f32[17,1,7,7]"
     "  return %y as \"y\" }",
     "direct", 1e-6},
    {"graph @c(%dy: f32[N,32,6,8], %x: f32[N,32,6,7]) batch 3 {"
     "  %y = conv2d_backward_weight %dy, %x {padding=[1,2,0,3], dilation=[1,2], groups=2, kernel_size=[2,3]} "
     ": "
     "f32[32,16,2,3]"
     "  return %y as \"y\" }",
     "direct", 1e-6},
    {"graph @d(%dy: f32[N,33,4,5], %x: f32[N,48,7,9]) batch 2 {"
     "  %y = conv2d_backward_weight %dy, %x {stride=[2,2], kernel_size=[1,1]} : f32[33,48,1,1]"
     "  return %y as \"y\" }",
     "direct", 1e-6},
    {"graph @n(%dy: f32[3N,17,4,5], %x: f32[3N,16,4,5]) batch 7 {"
     "  %y = conv2d_backward_weight %dy, %x {padding=[1,1,1,1], kernel_size=[3,3]} : f32[17,16,3,3]"
     "  return %y as \"y\" }",
     "direct", 1e-6},
    {"graph @o(%dy: f32[5,17,4,5], %x: f32[5,16,4,5]) batch 1 {"
     "  %y = conv2d_backward_weight %dy, %x {padding=[1,1,1,1], kernel_size=[3,3]} : f32[17,16,3,3]"
     "  return %y as \"y\" }",
     "direct", 1e-6},
    {"graph @e(%dy: f32[N,6,7,7], %x: f32[N,6,7,7]) batch 2 {"
     "  %y = conv2d_backward_weight %dy, %x {padding=[1,1,1,1], groups=6, kernel_size=[3,3]} : f32[6,1,3,3]"
     "  return %y as \"y\" }",
     "plain", 1e-6},
    /* Phases of unequal size, some without a tap; a padding wider than the kernel reaches. */
    {"graph @f(%dy: f32[N,20,5,4], %w: f32[20,18,3,3]) batch 3 {"
     "  %y = conv2d_backward_input %dy, %w {stride=[2,3], padding=[1,1,1,1], input_size=[9,11]} : "
     "f32[N,18,9,11]"
     "  %z = relu %y : f32[N,18,9,11]"
     "  return %z as \"y\" }",
     "direct", 1e-6},
    {"graph @g(%dy: f32[N,8,3,4], %w: f32[8,16,1,1]) batch 2 {"
     "  %y = conv2d_backward_input %dy, %w {stride=[3,2], input_size=[8,8]} : f32[N,16,8,8]"
     "  return %y as \"y\" }",
     "direct", 1e-6},
    {"graph @h(%dy: f32[N,8,7,7], %w: f32[8,16,2,2]) batch 2 {"
     "  %y = conv2d_backward_input %dy, %w {padding=[2,2,2,2], input_size=[4,4]} : f32[N,16,4,4]"
     "  return %y as \"y\" }",
     "direct", 1e-6},
    {"graph @i(%dy: f32[N,8,4,4], %w: f32[8,4,3,3]) batch 2 {"
     "  %y = conv2d_backward_input %dy, %w {dilation=[2,2], groups=2, input_size=[8,8]} : f32[N,8,8,8]"
     "  return %y as \"y\" }",
     "plain", 1e-6},
    /* Flipped as it is packed, and both ways of packing. */
    {"graph @j(%dy: f32[N,32,5,5], %w: f32[32,48,3,3]) batch 2 {"
     "  %f = flip_weight %w : f32[48,32,3,3]"
     "  %dx = conv2d %dy, %f {padding=[1,1,1,1]} : f32[N,48,5,5]"
     "  %y = conv2d %dx, %w {padding=[1,1,1,1]} : f32[N,32,5,5]"
     "  return %y as \"y\" }",
     NULL, 1e-5},
    {"graph @k(%dy: f32[N,33], %x: f32[N,67]) batch 19 {"
     "  %y = linear_backward_weight %dy, %x : f32[33,67]"
     "  return %y as \"y\" }",
     NULL, 1e-6},
    {"graph @l(%dy: f32[N,5], %x: f32[N,3]) batch 2500 {"
     "  %y = linear_backward_weight %dy, %x : f32[5,3]"
     "  return %y as \"y\" }",
     NULL, 1e-6},
    {"graph @m(%dy: f32[N,21], %w: f32[21,70]) batch 17 {"
     "  %dx = linear_backward_input %dy, %w : f32[N,70]"
     "  %y = linear %dx, %w : f32[N,21]"
     "  return %y as \"y\" }",
     NULL, 1e-5},
};

static void check(const Case *c, uint32_t vector_bytes, bool full) {
    context_init(&cx, NULL);
    const Target t = target_of(vector_bytes);
    Graph *chosen = graph_after(&t, c->text, "fuse,choose");
    const Choice *first = chosen->nodes.data[0].choice;
    if (c->algorithm)
        cr_assert(first && (first->algorithm == ALGO_DIRECT) == !strcmp(c->algorithm, "direct"), "%s",
                  c->text);
    double error;
    const int64_t n = full ? chosen->batch : 1;
    run_both(graph_after(&t, c->text, ""), loops_of(&t, chosen), n, vector_bytes > 16, &error);
    cr_assert_leq(error, c->error, "%s: %u-byte vectors, batch %lld: off by %g", c->text, vector_bytes,
                  (long long)n, error);
    context_free(&cx);
}

Test(conv_grad, pipeline) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint32_t bytes = 16; bytes <= 64; bytes *= 2)
            for (int full = 0; full < 2; full++)
                check(&cases[i], bytes, full);
}
