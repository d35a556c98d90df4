/* "optimizer" and "groups": PyTorch's optimizers, their arguments and defaults, and parameter groups. */
#include "frontend/recipe_parts.h"

/* The arguments as they stand in the file; what varies by group goes into groups. */
typedef struct Arguments {
    OptimizerSpec spec;
    GroupSpec group;
    double betas[2];
} Arguments;

#define SPEC(field) offsetof(Arguments, spec.field)
#define GROUP(field) offsetof(Arguments, group.field)
#define RATE(name, field) {name, FIELD_REAL, GROUP(field), 0, 1e6}

static const FieldRow sgd[] = {
    RATE("lr", lr),
    RATE("weight_decay", weight_decay),
    {"momentum", FIELD_REAL, GROUP(momentum), 0, 1},
    {"dampening", FIELD_REAL, SPEC(dampening), 0, 1},
    {"nesterov", FIELD_BOOL, SPEC(nesterov)},
};
static const FieldRow adam[] = {
    RATE("lr", lr),
    RATE("weight_decay", weight_decay),
    {"betas", FIELD_PAIR, offsetof(Arguments, betas), 0, 0.9999999999},
    {"eps", FIELD_REAL, SPEC(eps), 0, 1},
    {"amsgrad", FIELD_BOOL, SPEC(amsgrad)},
};
static const FieldRow rmsprop[] = {
    RATE("lr", lr),
    RATE("weight_decay", weight_decay),
    {"momentum", FIELD_REAL, GROUP(momentum), 0, 1},
    {"alpha", FIELD_REAL, SPEC(alpha), 0, 1},
    {"eps", FIELD_REAL, SPEC(eps), 0, 1},
    {"centered", FIELD_BOOL, SPEC(centered)},
};
static const FieldRow adagrad[] = {
    RATE("lr", lr),
    RATE("weight_decay", weight_decay),
    {"lr_decay", FIELD_REAL, SPEC(lr_decay), 0, 1e6},
    {"initial_accumulator_value", FIELD_REAL, SPEC(initial_accumulator_value), 0, 1e30},
    {"eps", FIELD_REAL, SPEC(eps), 0, 1},
};

#define ROWS(r) r, sizeof(r) / sizeof *(r)
static const VariantRow optimizers[] = {
    {"SGD", OPTIM_SGD, ROWS(sgd)},
    {"Adam", OPTIM_ADAM, ROWS(adam)},
    {"AdamW", OPTIM_ADAMW, ROWS(adam)},
    {"RMSprop", OPTIM_RMSPROP, ROWS(rmsprop)},
    {"Adagrad", OPTIM_ADAGRAD, ROWS(adagrad)},
};

static Arguments defaults(int kind) {
    Arguments a = {.spec = {.kind = (OptimizerKind)kind, .eps = 1e-8, .alpha = 0.99}, .betas = {0.9, 0.999}};
    static const double rates[] = {[OPTIM_SGD] = 1e-3,
                                   [OPTIM_ADAM] = 1e-3,
                                   [OPTIM_ADAMW] = 1e-3,
                                   [OPTIM_RMSPROP] = 1e-2,
                                   [OPTIM_ADAGRAD] = 1e-2};
    a.group.lr = rates[kind];
    a.group.weight_decay = kind == OPTIM_ADAMW ? 1e-2 : 0;
    a.spec.eps = kind == OPTIM_ADAGRAD ? 1e-10 : 1e-8;
    return a;
}

static bool is_adam(OptimizerKind kind) {
    return kind == OPTIM_ADAM || kind == OPTIM_ADAMW;
}

/* One object of "groups": patterns, and rates in place of the optimizer's. */
static bool read_group(const JsonDoc *d, const Json *j, OptimizerKind kind, const Loc *loc, GroupSpec *out) {
    static const FieldRow rows[] = {
        {"params", FIELD_TEXTS, offsetof(GroupSpec, patterns), .count = offsetof(GroupSpec, n_patterns),
         .required = true},
        {"lr", FIELD_REAL, offsetof(GroupSpec, lr), 0, 1e6},
        {"weight_decay", FIELD_REAL, offsetof(GroupSpec, weight_decay), 0, 1e6},
        {"momentum", FIELD_REAL, offsetof(GroupSpec, momentum), 0, 1},
    };
    const uint32_t n = kind == OPTIM_SGD || kind == OPTIM_RMSPROP ? 4 : 3;
    out->loc = *loc;
    if (j->kind != JSON_OBJECT)
        return diag_error(&d->cx->diag, DIAG_WRONG_TYPE, loc, "a group must be an object, not %s",
                          json_kind_text(j));
    return fields_read(d, j, "a parameter group", rows, n, out, loc);
}

static bool read_groups(const JsonDoc *d, const Json *groups, const Loc *root, OptimizerSpec *out) {
    const Loc loc = fields_loc(d, groups, root);
    bool ok = true;
    uint32_t i = 0;
    if (groups->kind != JSON_ARRAY)
        return diag_error(&d->cx->diag, DIAG_WRONG_TYPE, &loc, "groups must be a list, not %s",
                          json_kind_text(groups));
    GroupSpec *all = NEW_ARRAY(&d->cx->arena, GroupSpec, groups->n + 1);
    all[0] = out->groups[0];
    for (const Json *j = groups->first; j; j = j->next, i++) {
        Loc at = json_loc_at(d, j->offset);
        at.pointer = intern_f(d->cx, "/groups/%u", i);
        all[i + 1] =
            (GroupSpec){.lr = all[0].lr, .weight_decay = all[0].weight_decay, .momentum = all[0].momentum};
        ok &= read_group(d, j, out->kind, &at, &all[i + 1]);
    }
    out->groups = all;
    out->n_groups = groups->n + 1;
    return ok;
}

/* SGD's rules on momentum, as torch.optim.SGD checks them. */
static bool check_momentum(const JsonDoc *d, const Loc *loc, OptimizerSpec *o) {
    for (uint32_t i = 0; i < o->n_groups; i++)
        o->has_momentum |= !is_adam(o->kind) && o->groups[i].momentum > 0;
    if (o->nesterov && (!o->has_momentum || o->dampening > 0))
        return diag_error(&d->cx->diag, DIAG_BAD_ARGUMENT, loc,
                          "nesterov needs a momentum above 0 and no dampening");
    return true;
}

static void finish(Context *cx, const Arguments *a, OptimizerSpec *out) {
    *out = a->spec;
    out->groups = NEW(&cx->arena, GroupSpec);
    out->n_groups = 1;
    out->groups[0] = a->group;
    if (is_adam(out->kind)) {
        out->groups[0].momentum = a->betas[0];
        out->beta2 = a->betas[1];
    }
}

void recipe_optimizer_default(Context *cx, OptimizerSpec *out) {
    const Arguments a = defaults(OPTIM_ADAM);
    finish(cx, &a, out);
}

bool recipe_optimizer(const JsonDoc *d, const Json *j, const Json *groups, const Loc *root,
                      OptimizerSpec *out) {
    recipe_optimizer_default(d->cx, out);
    bool ok = true;
    Loc loc = *root;
    if (j) {
        loc = fields_loc(d, j, root);
        const VariantRow *v =
            variant_of(d, j, "an optimizer", optimizers, sizeof optimizers / sizeof *optimizers, &loc);
        if (!v)
            return false;
        Arguments a = defaults(v->kind);
        ok = variant_read(d, j, v, &a, &loc);
        finish(d->cx, &a, out);
    }
    if (groups)
        ok &= read_groups(d, groups, root, out);
    return ok && check_momentum(d, &loc, out);
}
