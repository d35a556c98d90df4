/* Work by channel on tensors [N, C, ...]: what sums over all dimensions but the channels and sweeps with
 * numbers per channel share. A task is some images of one channel, or of as many as lie side by side in
 * memory (channel blocks); lanes then run along the channels, else along the last dimension. Functions in
 * channel.c; every cut is by shape. */
#ifndef IR_LOWER_CHANNEL_H
#define IR_LOWER_CHANNEL_H

#include "ir/lower/lower.h"

enum { CHANNEL_NUMBERS = 4, CHANNEL_TERMS = 2 };

/* Sums of tasks, kept in the workspace until one kernel puts them together: f64[part][term][channel]. */
typedef struct Partial {
    uint32_t buf; /* of the module */
    int64_t parts, group, channels;
    int terms;
} Partial;

typedef struct Channels Channels;
struct Channels {
    LowerKernel *lk;
    Type like; /* the tensor that is walked: its dimensions behind the channels are one where they can be */
    int lane_dim;        /* 1, or the last one behind it */
    uint8_t lanes;       /* of a vector */
    uint8_t width;       /* channels of the current task: `lanes` where they run along the channels, else 1 */
    bool padded;         /* a last vector may reach into the padding lanes of a block */
    int64_t plane;       /* elements of one image and channel */
    int64_t group;       /* images of a task */
    Idx coord[MAX_RANK]; /* [1]: the first channel of the task */
    Idx first, end;      /* its images */
    Idx part;            /* its number among the groups of images */
    LVal number[CHANNEL_NUMBERS]; /* per channel, f32 of `width` lanes */
    /* Sums of a task. */
    int terms;
    void (*term)(Channels *c, const Pos *pos, int slot); /* calls channel_take for each term */
    uint32_t acc, total, rest; /* registers: f32 of a run, f64 of the task, f64 of lone elements */
    int slots;                 /* partial sums of the current run */
    Partial partial;
};

/* Finds lanes and groups for operand 0 and all that have its shape, the result too. */
Channels channel_begin(LowerKernel *lk);
/* Calls `task` in one parallel loop, two where the last channels do not fill a vector. */
void channel_tasks(Channels *c, void (*task)(Channels *c));
/* Fills c->number: `make` computes `count` of them for one channel. Zero in padding lanes. */
void channel_numbers(Channels *c, int count, void (*make)(Channels *c, Idx channel, LVal *number));
/* Number i in `lanes` lanes. */
LVal channel_number(Channels *c, int i, uint8_t lanes);
/* Loops over the elements of the task; `at` is called with the position of a vector. */
void channel_sweep(Channels *c, void (*at)(Channels *c, const Pos *pos));
/* The sums of `terms` terms over the elements of the task, as f64 of `width` lanes: f32 over short runs in
 * several slots, f64 across. */
void channel_sum(Channels *c, int terms, void (*term)(Channels *c, const Pos *pos, int slot), LVal *sum);
/* Called by `term`: adds x, or x * y unless y is NO_LVAL, to term k. */
void channel_take(Channels *c, int k, int slot, LVal x, LVal y);
/* Elements of one channel in so many images. */
Idx channel_count(Channels *c, Idx images);
/* Within `make` of channel_numbers: element [row, channel] of operand i, and sqrt(var + eps). */
LVal channel_load(Channels *c, uint32_t i, int row, Idx channel);
LVal channel_std(Channels *c, LVal var, double eps);

/* Turns the result of the kernel into the partial sums of its tasks, `terms` for each channel. */
void channel_partial(Channels *c, int terms);
void channel_store_partial(Channels *c, int term, LVal v);

/* The second kernel, from partial sums to the node's result: `make` computes its `rows` values of a channel,
 * in f64, which go to f32[rows, C], or to [C] when there is one. `operand`: of the node, f32 and dense, that
 * it reads too, or -1. Adds both kernels and their steps to the module. */
typedef struct Combine {
    LBuild b;
    const Partial *p;
    const void *attrs;         /* of the node */
    uint32_t partial, operand; /* kernel buffers */
    int64_t channels, plane;
    Dim images;
} Combine;
bool channel_combine(Channels *c, int rows, int32_t operand,
                     void (*make)(Combine *m, Idx channel, LVal *row));
/* How many parts there are; one term of one; a term's sum over all. */
Idx channel_parts(Combine *m);
LVal channel_load_partial(Combine *m, Idx part, int term, Idx channel);
LVal channel_total(Combine *m, int term, Idx channel);
/* Elements of one channel in one part, and in all. */
Idx channel_part_count(Combine *m, Idx part);
Idx channel_all_count(Combine *m);

#endif
