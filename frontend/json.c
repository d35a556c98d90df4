/* cJSON's tree joined with the positions of the scan. While cJSON's tree lives nothing is allocated from the
 * arena, so that running out of memory there cannot leak it. */
#include "frontend/json.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Join {
    const JsonPos *pos;
    Json *nodes;
    char *chars; /* room for all strings: no string is longer than its text */
    size_t used;
    uint32_t next;
} Join;

static const char *keep(Join *j, const char *s) {
    size_t n = strlen(s) + 1;
    char *copy = memcpy(j->chars + j->used, s, n);
    j->used += n;
    return copy;
}

/* Depth was limited by the scan, so recursion is safe here. */
static Json *join(Join *j, const cJSON *c) {
    JsonPos pos = j->pos[j->next];
    Json *n = &j->nodes[j->next++];
    n->offset = pos.offset;
    n->key_offset = pos.key_offset;
    n->key = c->string ? keep(j, c->string) : NULL;
    if (cJSON_IsString(c)) {
        n->kind = JSON_STRING;
        n->str = keep(j, c->valuestring);
    } else if (cJSON_IsNumber(c)) {
        n->kind = JSON_NUMBER;
        n->num = c->valuedouble;
        n->is_int = floor(n->num) == n->num && fabs(n->num) <= 9007199254740992.0;
    } else if (cJSON_IsBool(c)) {
        n->kind = JSON_BOOL;
        n->b = cJSON_IsTrue(c);
    } else if (cJSON_IsArray(c) || cJSON_IsObject(c)) {
        n->kind = cJSON_IsArray(c) ? JSON_ARRAY : JSON_OBJECT;
        Json **link = &n->first;
        for (const cJSON *child = c->child; child; child = child->next) {
            *link = join(j, child);
            link = &(*link)->next;
            n->n++;
        }
    }
    return n;
}

static int by_key(const void *a, const void *b) {
    const Json *x = *(const Json *const *)a, *y = *(const Json *const *)b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->key_offset > y->key_offset) - (x->key_offset < y->key_offset);
}

/* Report the first key of `object` that stands there twice. */
static bool check_duplicates(JsonDoc *d, const Json *object, const Json **sorted) {
    uint32_t n = 0;
    const Json *twin = NULL, *of = NULL;
    for (const Json *m = object->first; m; m = m->next)
        sorted[n++] = m;
    qsort(sorted, n, sizeof *sorted, by_key);
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0 && (!twin || sorted[i]->offset < twin->offset)) {
            twin = sorted[i];
            of = sorted[i - 1];
        }
    if (!twin)
        return true;
    Loc loc = json_loc_at(d, twin->key_offset), first = json_loc_at(d, of->key_offset);
    diag_error(&d->cx->diag, DIAG_DUPLICATE_KEY, &loc, "the key \"%s\" stands twice in one object",
               twin->key);
    return diag_hint(&d->cx->diag, "it is also on line %u, column %u", first.line, first.col);
}

bool json_parse(Context *cx, const char *file, const char *text, size_t size, JsonDoc *d) {
    *d = (JsonDoc){.cx = cx, .file = file, .text = text, .size = size};
    Loc start = {.file = file};
    if (size > JSON_MAX_BYTES)
        return diag_error(&cx->diag, DIAG_FILE_SIZE, &start, "the file is larger than 64 MiB");
    if (!json_scan(d))
        return false;
    Join j = {.pos = d->pos.data};
    j.nodes = NEW_ARRAY(&cx->arena, Json, d->pos.len);
    j.chars = arena_alloc(&cx->arena, size + 1);
    const Json **sorted = NEW_ARRAY(&cx->arena, const Json *, d->pos.len);

    cJSON *tree = cJSON_ParseWithLengthOpts(text, size + 1, NULL, 1);
    if (!tree)
        return diag_error(&cx->diag, DIAG_JSON_SYNTAX, &start, "cJSON does not accept the file");
    d->root = join(&j, tree);
    cJSON_Delete(tree);

    for (uint32_t i = 0; i < j.next; i++) {
        Json *n = &j.nodes[i];
        if (n->key)
            n->key = intern(cx, n->key);
        if (n->str)
            n->str = intern(cx, n->str);
    }
    for (uint32_t i = 0; i < j.next; i++)
        if (j.nodes[i].kind == JSON_OBJECT && !check_duplicates(d, &j.nodes[i], sorted))
            return false;
    return true;
}

const Json *json_get(const Json *object, const char *key) {
    if (object->kind != JSON_OBJECT)
        return NULL;
    for (const Json *m = object->first; m; m = m->next)
        if (strcmp(m->key, key) == 0)
            return m;
    return NULL;
}

const char *json_kind_text(const Json *j) {
    static const char *const text[] = {"null",     "true or false", "a number",
                                       "a string", "a list",        "an object"};
    return text[j->kind];
}
