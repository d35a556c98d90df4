/* C identifiers for the generated header: docs/api.md states the rule. */
#include "backend/llvm.h"
#include <string.h>

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

const char *backend_c_name(Context *cx, const char *name) {
    StrBuf sb = sb_new(&cx->arena);
    bool gap = false;
    for (const char *p = name; *p; p++) {
        if (!is_letter(*p) && !is_digit(*p)) {
            gap = sb.len > 0;
            continue;
        }
        if (!sb.len && is_digit(*p))
            sb_putc(&sb, 'm');
        if (gap)
            sb_putc(&sb, '_');
        gap = false;
        sb_putc(&sb, *p);
    }
    return intern(cx, sb.len ? sb_str(&sb) : "model");
}

const char *upper_name(Context *cx, const char *name) {
    char *s = arena_strdup(&cx->arena, name);
    for (char *p = s; *p; p++)
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    return intern(cx, s);
}

const Entry *find_entry(const LoopModule *m, const char *name) {
    for (uint32_t i = 0; i < m->entries.len; i++)
        if (!strcmp(m->entries.data[i].name, name))
            return &m->entries.data[i];
    return NULL;
}

bool is_training(const LoopModule *m) {
    return find_entry(m, "backward") != NULL;
}

uint32_t count_targets(const LoopModule *m) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->bufs.len; i++)
        n += m->bufs.data[i].kind == MB_IN && m->bufs.data[i].target;
    return n;
}

uint32_t count_bufs(const LoopModule *m, ModBufKind kind) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->bufs.len; i++)
        n += m->bufs.data[i].kind == kind;
    return n;
}

const ModBuf *nth_buf(const LoopModule *m, ModBufKind kind, uint32_t i) {
    for (uint32_t b = 0; b < m->bufs.len; b++)
        if (m->bufs.data[b].kind == kind && i-- == 0)
            return &m->bufs.data[b];
    return NULL;
}

/* Words that cannot name an argument: the other arguments, keywords of C and C++, and macros that common
 * headers define in lower case. */
static const char *const taken[] = {"n",
                                    "weights",
                                    "work",
                                    "work_bytes",
                                    "pool",
                                    "alignas",
                                    "alignof",
                                    "and",
                                    "and_eq",
                                    "asm",
                                    "auto",
                                    "bitand",
                                    "bitor",
                                    "bool",
                                    "break",
                                    "case",
                                    "catch",
                                    "char",
                                    "class",
                                    "compl",
                                    "const",
                                    "consteval",
                                    "constexpr",
                                    "constinit",
                                    "continue",
                                    "co_await",
                                    "co_return",
                                    "co_yield",
                                    "concept",
                                    "decltype",
                                    "default",
                                    "delete",
                                    "do",
                                    "double",
                                    "dynamic_cast",
                                    "else",
                                    "enum",
                                    "explicit",
                                    "export",
                                    "extern",
                                    "false",
                                    "float",
                                    "for",
                                    "friend",
                                    "goto",
                                    "if",
                                    "inline",
                                    "int",
                                    "linux",
                                    "long",
                                    "mutable",
                                    "namespace",
                                    "new",
                                    "noexcept",
                                    "not",
                                    "not_eq",
                                    "nullptr",
                                    "operator",
                                    "or",
                                    "or_eq",
                                    "private",
                                    "protected",
                                    "public",
                                    "register",
                                    "reinterpret_cast",
                                    "requires",
                                    "restrict",
                                    "return",
                                    "short",
                                    "signed",
                                    "sizeof",
                                    "static",
                                    "static_assert",
                                    "static_cast",
                                    "struct",
                                    "switch",
                                    "template",
                                    "this",
                                    "thread_local",
                                    "throw",
                                    "true",
                                    "try",
                                    "typedef",
                                    "typeid",
                                    "typename",
                                    "typeof",
                                    "typeof_unqual",
                                    "union",
                                    "unix",
                                    "unsigned",
                                    "using",
                                    "virtual",
                                    "void",
                                    "volatile",
                                    "wchar_t",
                                    "while",
                                    "xor",
                                    "xor_eq"};

/* And in training. */
static const char *const taken_in_training[] = {"loss", "state", "hyper"};

static bool among(const char *const *words, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(words[i], name))
            return true;
    return false;
}

static const char *arg_name(Context *cx, const LoopModule *m, const ModBuf *b) {
    if (is_training(m) && b == nth_buf(m, MB_OUT, 0))
        return intern(cx, "loss");
    const char *name = backend_c_name(cx, b->key ? b->key : b->name);
    bool no = among(taken, sizeof taken / sizeof taken[0], name) ||
              (is_training(m) && among(taken_in_training, 3, name));
    return no ? intern_f(cx, "%s_", name) : name;
}

bool arg_names(Context *cx, const LoopModule *m, ArgNames *out) {
    out->n_in = count_bufs(m, MB_IN);
    out->n_out = count_bufs(m, MB_OUT);
    uint32_t n = out->n_in + out->n_out;
    const char **all = NEW_ARRAY(&cx->arena, const char *, n + 1);
    const char **upper = NEW_ARRAY(&cx->arena, const char *, n + 1);
    bool ok = true;
    for (uint32_t i = 0; i < n; i++) {
        const ModBuf *b = i < out->n_in ? nth_buf(m, MB_IN, i) : nth_buf(m, MB_OUT, i - out->n_in);
        all[i] = arg_name(cx, m, b);
        upper[i] = upper_name(cx, all[i]);
        for (uint32_t j = 0; j < i; j++)
            if (upper[i] == upper[j]) {
                const ModBuf *first =
                    j < out->n_in ? nth_buf(m, MB_IN, j) : nth_buf(m, MB_OUT, j - out->n_in);
                diag_error(&cx->diag, DIAG_NAME_CLASH, b->loc.file ? &b->loc : NULL,
                           "\"%s\" and \"%s\" both become \"%s\" in the generated header",
                           first->key ? first->key : first->name, b->key ? b->key : b->name, upper[i]);
                ok = diag_hint(&cx->diag, "rename one of these inputs or outputs in the model");
            }
    }
    *out = (ArgNames){out->n_in, out->n_out, all, all + out->n_in, upper, upper + out->n_in};
    return ok;
}

/* ---- Names of the state's tensors ---- */

typedef struct NameSet {
    const char **slots; /* interned names; a power of two of them, at most half in use */
    uint32_t cap;
} NameSet;

/* Put the name in. False: it was there. */
static bool claim(NameSet *s, const char *name) {
    uint32_t at = (uint32_t)((uintptr_t)name >> 4) * 2654435761u & (s->cap - 1);
    while (s->slots[at] && s->slots[at] != name)
        at = (at + 1) & (s->cap - 1);
    bool fresh = !s->slots[at];
    s->slots[at] = name;
    return fresh;
}

const char **state_names(Context *cx, const LoopModule *m, const ArgNames *args) {
    uint32_t n = count_bufs(m, MB_STATE);
    const uint32_t *order = state_order(m);
    const char **names = NEW_ARRAY(&cx->arena, const char *, n + 1);
    NameSet set = {.cap = 16};
    while (set.cap / 2 <= n + args->n_in + args->n_out + 1)
        set.cap *= 2;
    set.slots = NEW_ARRAY(&cx->arena, const char *, set.cap);
    claim(&set, intern(cx, "STATE_BYTES"));
    for (uint32_t i = 0; i < args->n_in; i++)
        claim(&set, intern_f(cx, "%s_ELEMS", args->macro_in[i]));
    for (uint32_t i = 0; i < args->n_out; i++)
        claim(&set, intern_f(cx, "%s_ELEMS", args->macro_out[i]));
    for (uint32_t i = 0; i < n; i++) {
        const char *name = upper_name(cx, backend_c_name(cx, m->bufs.data[order[i]].key));
        name = intern_f(cx, "STATE_%s", name);
        while (!claim(&set, name))
            name = intern_f(cx, "%s_%u", name, i);
        names[i] = name;
    }
    return names;
}
