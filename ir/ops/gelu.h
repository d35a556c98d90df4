/* What gelu and its gradient share. */
#ifndef IR_OPS_GELU_H
#define IR_OPS_GELU_H

#include "ir/ops/activation.h"

#define GELU_CUBE 0.044715                 /* of GELU_TANH: 0.5 x (1 + tanh(sqrt(2/pi) (x + cube x^3))) */
#define GELU_SQRT_HALF 0.70710678118654752 /* sqrt(1/2) */
#define GELU_SQRT_2_PI 0.79788456080286536 /* sqrt(2/pi) */

extern const char *const gelu_names[]; /* by GeluKind */
#define ROW_APPROXIMATE                                                                                      \
    {"approximate", ATTR_ENUM, offsetof(GeluAttrs, approximate), 0, 1, 0, gelu_names, true, GELU_NONE}

/* exp(-x*x/2), and from it the normal distribution's P(X < x). */
LVal gelu_bell(LBuild *b, LVal x);
LVal gelu_normal(LBuild *b, LVal x, LVal bell);
/* (1 + tanh(sqrt(2/pi) (x + cube x^3))) / 2, which is the sigmoid of twice that argument. */
LVal gelu_gate(LBuild *b, LVal x);

#endif
