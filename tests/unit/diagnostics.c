/* The diagnostics that no input file reaches (see ELSEWHERE in tests/diagnostics/run.py). */
#include "backend/backend.h"
#include "frontend/import.h"
#include <criterion/criterion.h>

/* Every allocation limit from small to enough: either the model imports, or control comes back here. */
Test(diagnostics, out_of_memory) {
    volatile int failed = 0, done = 0; /* they outlive longjmp */
    for (volatile size_t limit = 1000; limit < 100000000 && done < 2; limit = limit * 5 / 4) {
        static Context cx;
        static jmp_buf oom;
        if (setjmp(oom) == 0) {
            context_init(&cx, &oom);
            cx.arena.limit = limit;
            const ImportOptions o = {.init_seed = 1, .batch = 1};
            Weights w;
            cr_assert(import_model(&cx, SOURCE_DIR "/examples/lenet5/lenet5.json", &o, &w));
            done = done + 1;
        } else {
            failed = failed + 1;
        }
        context_free(&cx);
    }
    cr_assert(failed > 5 && done == 2, "%d failed, %d done", failed, done);
}

Test(diagnostics, jit) {
    Context cx;
    context_init(&cx, NULL);
    char garbage[64] = "\x7f"
                       "ELF, or so it says";
    Jit *jit = jit_open(&cx, (Bytes){garbage, sizeof garbage});
    cr_assert_not(jit && jit_symbol(jit, "f"));
    cr_assert(cx.diag.errors > 0 && cx.diag.entries.data[0].id == DIAG_JIT);
    if (jit)
        jit_close(jit);
    context_free(&cx);
}
