/* cnnc info: what a model is made of, and what it will need. */
#include "driver/info.h"
#include "driver/bench.h"
#include "driver/commands.h"
#include <stdio.h>
#include <string.h>

/* Elements of the parameters that a node uses first: shared ones count once. */
static int64_t node_params(const Graph *g, const Node *n, bool *counted) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const Value *v = &g->values.data[n->operands[i]];
        const bool param = v->kind == VK_PARAM || (v->kind == VK_STATE && v->role == ROLE_PARAM);
        if (param && !counted[n->operands[i]])
            sum += type_elems(&v->type, 1);
        counted[n->operands[i]] = true;
    }
    return sum;
}

static bool is_training(const Compile *c) {
    return c->chain || (c->loops && loops_entry(c->loops, "backward"));
}

/* Was the file made of the graphs of training? */
static bool is_chain(const Compile *c) {
    return c->chain && !c->recipe;
}

typedef struct Totals {
    int64_t params, raw_bytes; /* parameters; parameters and buffers in the file, as f32 */
    double flops;
} Totals;

static Totals count(const Graph *g) {
    Totals t = {.flops = graph_flops(g, 1)};
    for (uint32_t i = 0; i < g->params.len; i++) {
        const Value *v = &g->values.data[g->params.data[i]];
        t.raw_bytes += type_elems(&v->type, 1) * 4;
        if (v->kind == VK_PARAM)
            t.params += type_elems(&v->type, 1);
    }
    return t;
}

const char *info_grouped(Arena *a, int64_t v) {
    char digits[32];
    const int n = snprintf(digits, sizeof digits, "%lld", (long long)v);
    StrBuf sb = sb_new(a);
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            sb_putc(&sb, ',');
        sb_putc(&sb, digits[i]);
    }
    return sb_str(&sb);
}

const char *info_scaled(Arena *a, double v) {
    static const char *const units[] = {"", " k", " M", " G", " T"};
    int u = 0;
    for (; v >= 1000 && u < 4; u++)
        v /= 1000;
    return v ? arena_printf(a, "%.3g%s", v, units[u]) : "";
}

static const char *type_text(Arena *a, const Type *t) {
    StrBuf sb = sb_new(a);
    type_print(&sb, t);
    return sb_str(&sb);
}

static const char *node_name(const Graph *g, const Node *n) {
    return n->name ? n->name : g->values.data[n->result].name;
}

static int longer(int width, const char *s) {
    return (int)strlen(s) > width ? (int)strlen(s) : width;
}

/* Widths of the columns of text. */
typedef struct Columns {
    int name, op, type;
} Columns;

static Columns columns_of(const Graph *g, Arena *a) {
    Columns w = {5, 2, 6};
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        w.name = longer(w.name, node_name(g, n));
        w.op = longer(w.op, op_desc(n->op)->name);
        w.type = longer(w.type, type_text(a, &g->values.data[n->result].type));
    }
    return w;
}

static void print_nodes(const Compile *c, const Graph *g, Arena *a) {
    bool *counted = NEW_ARRAY(a, bool, g->values.len + 1);
    const Columns w = columns_of(g, a);
    printf("%-*s  %-*s  %-*s  %12s  %s%8s\n", w.name, "layer", w.op, "op", w.type, "output", "parameters",
           c->chain ? "         " : "", "FLOPs");
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        const int64_t params = node_params(g, n, counted);
        printf("%-*s  %-*s  %-*s  %12s  ", w.name, node_name(g, n), w.op, op_desc(n->op)->name, w.type,
               type_text(a, &g->values.data[n->result].type), params ? info_grouped(a, params) : "");
        if (c->chain)
            printf("%-7s  ", info_status(c->chain, g, n));
        printf("%8s\n", info_scaled(a, node_flops(g, n, 1)));
    }
}

static void print_layers(const Compile *c, const Graph *g, Arena *a) {
    for (uint32_t i = 0; i < g->inputs.len; i++) {
        const Value *v = &g->values.data[g->inputs.data[i]];
        StrBuf sb = sb_new(a);
        picture_print(&sb, v->picture);
        printf("input %s: %s%s\n", v->name, type_text(a, &v->type), sb_str(&sb));
    }
    print_nodes(c, g, a);
    for (uint32_t i = 0; i < g->outputs.len; i++)
        printf("output %s: %s\n", g->outputs.data[i].name,
               type_text(a, &g->values.data[g->outputs.data[i].value].type));
}

static void print_totals(const Graph *g, Arena *a) {
    const Totals t = count(g);
    printf("%s parameters (%s bytes of weights), %s FLOPs an image\n", info_grouped(a, t.params),
           info_grouped(a, t.raw_bytes), info_scaled(a, t.flops));
}

/* Each graph of a training that was read as such, else the one of the model. */
static void print_graphs(const Compile *c, Arena *a) {
    if (!is_chain(c)) {
        print_layers(c, c->source, a);
        print_totals(c->source, a);
        return;
    }
    for (const Graph *g = c->chain; g; g = g->next) {
        printf("%s%s:\n", g == c->chain ? "" : "\n", g->entry);
        print_layers(c, g, a);
    }
}

static uint32_t steps_of(const LoopModule *m, const char *entry) {
    for (uint32_t i = 0; i < m->entries.len; i++)
        if (!strcmp(m->entries.data[i].name, entry))
            return m->entries.data[i].steps.len;
    return 0;
}

static double ratio(const LoopModule *m) {
    return m->live_bytes ? (double)m->work_bytes / (double)m->live_bytes : 1;
}

static void print_memory(const Compile *c, const LoopModule *m, const char *cpu, Arena *a) {
    printf("%sfor %s, batch %lld: %u kernels; ", c->source || is_training(c) ? "\n" : "", cpu,
           (long long)m->batch, m->kernels.len);
    if (is_training(c))
        printf("%u steps in a training step, %u in an evaluation, %u to pack what is frozen\n",
               steps_of(m, "backward") + steps_of(m, "apply"), steps_of(m, "eval"), steps_of(m, "prepare"));
    else
        printf("%u steps in a call, %u to pack the weights\n", steps_of(m, "infer"), steps_of(m, "prepare"));
    printf("workspace   %12s bytes; the largest live set is %s, ratio %.3f\n", info_grouped(a, m->work_bytes),
           info_grouped(a, m->live_bytes), ratio(m));
    if (is_training(c))
        info_training_workspace(m, a);
    printf("scratch     %12s bytes a thread\n", info_grouped(a, m->scratch_bytes));
    printf("weights     %12s bytes, packed\n", info_grouped(a, m->const_bytes));
}

/* Each CPU's, then what an object for all of them asks of its callers. */
static void print_all_memory(const Compile *c, Arena *a) {
    const LoopModule *m = c->loops;
    int64_t work = m->work_bytes, scratch = m->scratch_bytes, weights = m->const_bytes;
    print_memory(c, m, c->target.cpu, a);
    for (uint32_t i = 0; i + 1 < c->targets.len; i++) {
        m = c->others[i].m;
        print_memory(c, m, c->others[i].t->cpu, a);
        work = m->work_bytes > work ? m->work_bytes : work;
        scratch = m->scratch_bytes > scratch ? m->scratch_bytes : scratch;
        weights += m->const_bytes;
    }
    if (c->targets.len > 1)
        printf("\nin one object: workspace %s bytes, scratch %s bytes a thread, weights %s bytes, packed for "
               "each CPU\n",
               info_grouped(a, work), info_grouped(a, scratch), info_grouped(a, weights));
}

static void json_nodes(JsonOut *j, const Compile *c, const Graph *g, Arena *a) {
    bool *counted = NEW_ARRAY(a, bool, g->values.len + 1);
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        json_open(j, NULL, '{');
        if (is_chain(c))
            json_text(j, "entry", g->entry);
        json_text(j, "name", node_name(g, n));
        json_text(j, "op", op_desc(n->op)->name);
        json_text(j, "output", type_text(a, &g->values.data[n->result].type));
        json_int(j, "parameters", node_params(g, n, counted));
        if (c->chain)
            json_text(j, "trained", *info_status(c->chain, g, n) ? info_status(c->chain, g, n) : NULL);
        json_real(j, "flops", node_flops(g, n, 1));
        json_close(j, '}');
    }
}

static void json_graphs(JsonOut *j, const Compile *c, Arena *a) {
    json_open(j, "layers", '[');
    for (const Graph *g = is_chain(c) ? c->chain : c->source; g; g = is_chain(c) ? g->next : NULL)
        json_nodes(j, c, g, a);
    json_close(j, ']');
    if (is_chain(c))
        return;
    const Totals t = count(c->source);
    json_int(j, "parameters", t.params);
    json_int(j, "weights_bytes", t.raw_bytes);
    json_real(j, "flops", t.flops);
}

/* The first graph's, which all that have any share. */
static void json_inputs(JsonOut *j, const Graph *g, Arena *a) {
    json_open(j, "inputs", '[');
    for (uint32_t i = 0; i < g->inputs.len; i++) {
        const Value *v = &g->values.data[g->inputs.data[i]];
        const Picture *p = v->picture;
        json_open(j, NULL, '{');
        json_text(j, "name", v->name);
        json_text(j, "type", type_text(a, &v->type));
        json_text(j, "layout", p ? pixel_layout_names[p->layout] : NULL);
        json_text(j, "color", p ? pixel_color_names[p->color] : NULL);
        json_text(j, "mean", p ? p->mean : NULL);
        json_text(j, "std", p ? p->std : NULL);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void json_memory(JsonOut *j, const Compile *c, const LoopModule *m, const char *cpu) {
    json_text(j, "cpu", cpu);
    json_int(j, "batch", m->batch);
    json_int(j, "kernels", m->kernels.len);
    json_int(j, "steps",
             is_training(c) ? steps_of(m, "backward") + steps_of(m, "apply") : steps_of(m, "infer"));
    if (is_training(c))
        json_int(j, "evaluation_steps", steps_of(m, "eval"));
    json_int(j, "prepare_steps", steps_of(m, "prepare"));
    json_int(j, "workspace_bytes", m->work_bytes);
    json_int(j, "live_bytes", m->live_bytes);
    json_real(j, "workspace_over_live", ratio(m));
    json_int(j, "scratch_bytes_per_thread", m->scratch_bytes);
    json_int(j, "packed_weights_bytes", m->const_bytes);
}

static void json_other_cpus(JsonOut *j, const Compile *c) {
    if (c->targets.len == 1)
        return;
    json_open(j, "other_cpus", '[');
    for (uint32_t i = 0; i + 1 < c->targets.len; i++) {
        json_open(j, NULL, '{');
        json_memory(j, c, c->others[i].m, c->others[i].t->cpu);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void print_json(const Compile *c, Arena *a) {
    JsonOut j = json_begin(a, "cnnc-info/1");
    json_text(&j, "model", compile_model_name(c));
    if (c->source)
        json_inputs(&j, c->source, a);
    if (c->source)
        json_graphs(&j, c, a);
    if (c->loops && c->loops->planned) {
        json_memory(&j, c, c->loops, c->target.cpu);
        json_other_cpus(&j, c);
    }
    if (is_training(c))
        info_training_json(c, &j);
    json_end(&j);
}

static void print_text(const Compile *c, Arena *a) {
    if (c->source)
        print_graphs(c, a);
    if (is_training(c))
        info_training_print(c);
    if (c->loops && c->loops->planned)
        print_all_memory(c, a);
    if (is_training(c))
        info_training_saved(c);
}

int info_main(Context *cx, const Options *o) {
    Compile c = {.cx = cx, .o = o, .needs_loops = true};
    if (!compile_import(&c) || !compile_passes(&c))
        return compile_fault(&c);
    if (o->json)
        print_json(&c, &cx->arena);
    else
        print_text(&c, &cx->arena);
    if (o->time_passes)
        watch_print_times(&c.watch);
    return STATUS_OK;
}
