#include "ir/lower/winograd.h"

/* A sum of products with constants, as it grows. */
typedef struct Sum {
    LBuild *b;
    LVal value; /* NO_LVAL: nothing yet */
} Sum;

static void add_term(Sum *s, double factor, LVal x) {
    LBuild *b = s->b;
    LType t = lb_type(b, x);
    if (factor == 0)
        return;
    if (s->value == NO_LVAL)
        s->value = factor == 1 ? x : lb_op2(b, LOP_MUL, x, lb_const(b, t, factor));
    else if (factor == 1 || factor == -1)
        s->value = lb_op2(b, factor > 0 ? LOP_ADD : LOP_SUB, s->value, x);
    else
        s->value = lb_mad(b, x, lb_const(b, t, factor), s->value);
}

/* The sum of factor[i] * x[i]; it begins with a term that needs no multiplication, if there is one. */
static LVal combine(LBuild *b, const double *factor, const LVal *x, int n) {
    Sum s = {b, NO_LVAL};
    int first = 0;
    while (first < n && factor[first] != 1)
        first++;
    if (first < n)
        add_term(&s, 1, x[first]);
    for (int i = 0; i < n; i++)
        if (i != first)
            add_term(&s, factor[i], x[i]);
    return s.value;
}

/* Rows i and i + 1 are even + odd and even - odd. */
static void pair_of_rows(LBuild *b, const WinogradMatrix *m, int i, const LVal *x, LVal *out) {
    double even[WINOGRAD_IN], odd[WINOGRAD_IN];
    for (int j = 0; j < m->columns; j++) {
        even[j] = (m->at[i][j] + m->at[i + 1][j]) / 2;
        odd[j] = (m->at[i][j] - m->at[i + 1][j]) / 2;
    }
    LVal e = combine(b, even, x, m->columns), o = combine(b, odd, x, m->columns);
    out[i] = lb_op2(b, LOP_ADD, e, o);
    out[i + 1] = lb_op2(b, LOP_SUB, e, o);
}

static void by_rows(LBuild *b, const WinogradMatrix *m, const LVal *x, LVal *out) {
    out[0] = combine(b, m->at[0], x, m->columns);
    for (int i = 1; i < m->rows - 1; i += 2)
        pair_of_rows(b, m, i, x, out);
    out[m->rows - 1] = combine(b, m->at[m->rows - 1], x, m->columns);
}

/* Columns j and j + 1 come as the sum of their elements or as the difference. */
static void by_columns(LBuild *b, const WinogradMatrix *m, const LVal *x, LVal *out) {
    LVal joined[WINOGRAD_IN];
    joined[0] = x[0];
    joined[m->columns - 1] = x[m->columns - 1];
    for (int j = 1; j < m->columns - 1; j += 2) {
        joined[j] = lb_op2(b, LOP_ADD, x[j], x[j + 1]);
        joined[j + 1] = lb_op2(b, LOP_SUB, x[j], x[j + 1]);
    }
    for (int i = 0; i < m->rows; i++) {
        double factor[WINOGRAD_IN] = {m->at[i][0]};
        factor[m->columns - 1] = m->at[i][m->columns - 1];
        for (int j = 1; j < m->columns - 1; j += 2)
            factor[m->at[i][j] == m->at[i][j + 1] ? j : j + 1] = m->at[i][j];
        out[i] = combine(b, factor, joined, m->columns);
    }
}

void lower_winograd(LBuild *b, const WinogradMatrix *m, const LVal *x, LVal *out) {
    if (m->rows < m->columns)
        by_columns(b, m, x, out);
    else
        by_rows(b, m, x, out);
}
