/* dce: drop nodes whose results nobody uses. Copying a graph does that (rewrite.h). */
#include "passes/util.h"

bool pass_dce(Unit *u) {
    Rewrite rw = rw_begin(u->graph);
    for (uint32_t i = 0; i < u->graph->nodes.len; i++)
        rw_copy(&rw, &u->graph->nodes.data[i]);
    u->graph = rw_finish(&rw);
    return true;
}
