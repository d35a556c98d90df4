/* Unknown keys, with the nearest known one. */
#include "frontend/frontend.h"
#include <string.h>

bool check_key(const JsonDoc *d, const Json *m, const char *const *known, uint32_t n, const char *what,
               const Loc *loc) {
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(m->key, known[i]) == 0)
            return true;
    Loc l = json_loc_at(d, m->key_offset);
    l.pointer = loc->pointer;
    l.name = loc->name;
    diag_error(&d->cx->diag, DIAG_UNKNOWN_KEY, &l, "%s has no \"%s\"", what, m->key);
    const char *near = diag_nearest(m->key, known, n);
    return near && diag_hint(&d->cx->diag, "did you mean \"%s\"?", near);
}
