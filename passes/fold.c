/* fold: evaluate nodes whose operands are all constants, in double, rounded once to f32. */
#include "passes/util.h"

/* Larger results stay nodes: they would make the text and the object grow. */
enum { FOLD_LIMIT = 1 << 20 };

static bool is_foldable_type(const Type *t) {
    const int64_t elems = type_elems(t, 1);
    return t->dtype == DT_F32 && layout_is_dense(&t->layout) && !type_has_n(t) && elems > 0 &&
           elems <= FOLD_LIMIT;
}

static bool can_fold(const Rewrite *rw, const Node *n) {
    if (!pass_is_plain(n) || !n->n_operands || !op_desc(n->op)->eval ||
        !is_foldable_type(&rw->from->values.data[n->result].type))
        return false;
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const Value *v = &rw->to->values.data[rw_map(rw, n->operands[i])];
        if (v->kind != VK_CONST || !is_foldable_type(&v->type))
            return false;
    }
    return true;
}

static Tensor tensor_new(Arena *a, const Type *t) {
    Tensor x = {.rank = t->rank, .data = NEW_ARRAY(a, double, (size_t)type_elems(t, 1))};
    for (uint32_t i = 0; i < t->rank; i++)
        x.dim[i] = t->dim[i].size;
    return x;
}

static const float *evaluate(const Rewrite *rw, const Node *n, Arena *scratch) {
    const Type *type = &rw->from->values.data[n->result].type;
    Tensor *in = NEW_ARRAY(scratch, Tensor, n->n_operands);
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const Value *v = &rw->to->values.data[rw_map(rw, n->operands[i])];
        const float *data = v->data;
        in[i] = tensor_new(scratch, &v->type);
        for (int64_t k = 0, elems = type_elems(&v->type, 1); k < elems; k++)
            in[i].data[k] = (double)data[k];
    }
    Tensor out = tensor_new(scratch, type);
    op_desc(n->op)->eval(n->attrs, in, n->n_operands, &out);
    const int64_t elems = type_elems(type, 1);
    float *result = NEW_ARRAY(&rw->to->cx->arena, float, (size_t)elems);
    for (int64_t k = 0; k < elems; k++)
        result[k] = (float)out.data[k];
    return result;
}

bool pass_fold(Unit *u) {
    Arena scratch;
    arena_init(&scratch, u->cx->arena.oom);
    Rewrite rw = rw_begin(u->graph);
    for (uint32_t i = 0; i < u->graph->nodes.len; i++) {
        const Node *n = &u->graph->nodes.data[i];
        if (!can_fold(&rw, n)) {
            rw_copy(&rw, n);
            continue;
        }
        const Value *old = &u->graph->values.data[n->result];
        const float *data = evaluate(&rw, n, &scratch);
        const char *name = graph_unique_name(rw.to, old->name ? old->name : "const");
        const ValueId v = graph_const(rw.to, name, old->type, data, n->loc);
        graph_value(rw.to, v)->origin = old->origin;
        rw_replace(&rw, n, v, true);
    }
    u->graph = rw_finish(&rw);
    arena_free(&scratch);
    return true;
}
