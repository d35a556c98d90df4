/* The keys of an object: unknown ones, with the nearest known one, and missing ones. */
#include "frontend/frontend.h"
#include <string.h>

static bool is_known(const KeySet *k, const char *key) {
    for (uint32_t i = 0; i < k->n; i++)
        if (strcmp(key, k->names[i]) == 0)
            return true;
    return false;
}

bool check_keys(const JsonDoc *d, const Json *object, const KeySet *k, const Loc *loc) {
    bool ok = true;
    for (const Json *m = object->first; m; m = m->next) {
        if (is_known(k, m->key))
            continue;
        Loc l = json_loc_at(d, m->key_offset);
        l.pointer = loc->pointer;
        l.name = loc->name;
        ok = diag_error(&d->cx->diag, DIAG_UNKNOWN_KEY, &l, "%s has no \"%s\"", k->what, m->key);
        const char *near = diag_nearest(m->key, k->names, k->n);
        if (near)
            diag_hint(&d->cx->diag, "did you mean \"%s\"?", near);
    }
    return ok;
}

bool key_missing(const JsonDoc *d, const Json *object, const KeySet *k, const char *key, const Loc *loc) {
    for (const Json *m = object->first; m; m = m->next) {
        const char *near = is_known(k, m->key) ? NULL : diag_nearest(m->key, k->names, k->n);
        if (near && strcmp(near, key) == 0)
            return false; /* one fault, reported as the misspelt key that it is */
    }
    return diag_error(&d->cx->diag, DIAG_MISSING_KEY, loc, "%s needs \"%s\"", k->what, key);
}
