/* Learning-rate schedules: the formulas of torch.optim.lr_scheduler. */
#include "cnnrt_train.h"

void cnnrt_schedule_defaults(cnnrt_schedule *s, int kind) {
    *s = (cnnrt_schedule){.kind = kind,
                          .gamma = 0.1,
                          .step_size = 1,
                          .pct_start = 0.3,
                          .div_factor = 25,
                          .final_div_factor = 1e4,
                          .cycle_momentum = 1,
                          .base_momentum = 0.85,
                          .max_momentum = 0.95,
                          .factor = 0.1,
                          .threshold = 1e-4,
                          .eps = 1e-8,
                          .patience = 10,
                          .warmup_start_factor = 1.0 / 3};
}
