/* cnnc info: what a model is made of, and what it will need. */
#include "driver/bench.h"
#include "driver/commands.h"
#include "driver/json_out.h"
#include <stdio.h>
#include <string.h>

/* Elements of the parameters that a node uses first: shared ones count once. */
static int64_t node_params(const Graph *g, const Node *n, bool *counted) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const Value *v = &g->values.data[n->operands[i]];
        if (v->kind == VK_PARAM && !counted[n->operands[i]])
            sum += type_elems(&v->type, 1);
        counted[n->operands[i]] = true;
    }
    return sum;
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

/* 12345678 as 12,345,678. */
static const char *grouped(Arena *a, int64_t v) {
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

/* 1820000000 as 1.82 G. */
static const char *scaled(Arena *a, double v) {
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

static void print_layers(const Compile *c, Arena *a) {
    const Graph *g = c->source;
    bool *counted = NEW_ARRAY(a, bool, g->values.len + 1);
    int name = 5, op = 2, type = 6;
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        name = longer(name, node_name(g, n));
        op = longer(op, op_desc(n->op)->name);
        type = longer(type, type_text(a, &g->values.data[n->result].type));
    }
    for (uint32_t i = 0; i < g->inputs.len; i++) {
        const Value *v = &g->values.data[g->inputs.data[i]];
        printf("input %s: %s\n", v->name, type_text(a, &v->type));
    }
    printf("%-*s  %-*s  %-*s  %12s  %8s\n", name, "layer", op, "op", type, "output", "parameters", "FLOPs");
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        const int64_t params = node_params(g, n, counted);
        printf("%-*s  %-*s  %-*s  %12s  %8s\n", name, node_name(g, n), op, op_desc(n->op)->name, type,
               type_text(a, &g->values.data[n->result].type), params ? grouped(a, params) : "",
               scaled(a, node_flops(g, n, 1)));
    }
    for (uint32_t i = 0; i < g->outputs.len; i++)
        printf("output %s: %s\n", g->outputs.data[i].name,
               type_text(a, &g->values.data[g->outputs.data[i].value].type));
    const Totals t = count(g);
    printf("%s parameters (%s bytes of weights), %s FLOPs an image\n", grouped(a, t.params),
           grouped(a, t.raw_bytes), scaled(a, t.flops));
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

static void print_memory(const Compile *c, Arena *a) {
    const LoopModule *m = c->loops;
    printf("%sfor %s, batch %lld: %u kernels; %u steps in a call, %u to pack the weights\n",
           c->source ? "\n" : "", c->target.cpu, (long long)m->batch, m->kernels.len, steps_of(m, "infer"),
           steps_of(m, "prepare"));
    printf("workspace   %12s bytes; the largest live set is %s, ratio %.3f\n", grouped(a, m->work_bytes),
           grouped(a, m->live_bytes), ratio(m));
    printf("scratch     %12s bytes a thread\n", grouped(a, m->scratch_bytes));
    printf("weights     %12s bytes, packed\n", grouped(a, m->const_bytes));
}

static void json_layers(JsonOut *j, const Graph *g, Arena *a) {
    bool *counted = NEW_ARRAY(a, bool, g->values.len + 1);
    json_open(j, "layers", '[');
    for (uint32_t i = 0; i < g->nodes.len; i++) {
        const Node *n = &g->nodes.data[i];
        json_open(j, NULL, '{');
        json_text(j, "name", node_name(g, n));
        json_text(j, "op", op_desc(n->op)->name);
        json_text(j, "output", type_text(a, &g->values.data[n->result].type));
        json_int(j, "parameters", node_params(g, n, counted));
        json_real(j, "flops", node_flops(g, n, 1));
        json_close(j, '}');
    }
    json_close(j, ']');
    const Totals t = count(g);
    json_int(j, "parameters", t.params);
    json_int(j, "weights_bytes", t.raw_bytes);
    json_real(j, "flops", t.flops);
}

static void print_json(const Compile *c, Arena *a) {
    const LoopModule *m = c->loops;
    JsonOut j = json_begin(a, "cnnc-info/1");
    json_text(&j, "model", compile_model_name(c));
    if (c->source)
        json_layers(&j, c->source, a);
    if (m && m->planned) {
        json_text(&j, "cpu", c->target.cpu);
        json_int(&j, "batch", m->batch);
        json_int(&j, "kernels", m->kernels.len);
        json_int(&j, "steps", steps_of(m, "infer"));
        json_int(&j, "prepare_steps", steps_of(m, "prepare"));
        json_int(&j, "workspace_bytes", m->work_bytes);
        json_int(&j, "live_bytes", m->live_bytes);
        json_real(&j, "workspace_over_live", ratio(m));
        json_int(&j, "scratch_bytes_per_thread", m->scratch_bytes);
        json_int(&j, "packed_weights_bytes", m->const_bytes);
    }
    json_end(&j);
}

int info_main(Context *cx, const Options *o) {
    Compile c = {.cx = cx, .o = o, .needs_loops = true};
    if (!compile_import(&c) || !compile_passes(&c))
        return compile_fault(&c);
    if (o->json) {
        print_json(&c, &cx->arena);
    } else {
        if (c.source)
            print_layers(&c, &cx->arena);
        if (c.loops && c.loops->planned)
            print_memory(&c, &cx->arena);
    }
    if (o->time_passes)
        watch_print_times(&c.watch);
    return STATUS_OK;
}
