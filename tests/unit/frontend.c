/* The front end: JSON positions and what they reject, the layers of a model, weights and their initial
 * values. */
#include "frontend/frontend.h"
#include "frontend/layers.h"
#include "ir/base/file.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void expect_tag(const Context *cx, DiagId id, const char *what) {
    for (uint32_t i = 0; i < cx->diag.entries.len; i++)
        if (cx->diag.entries.data[i].id == id)
            return;
    StrBuf sb = sb_new(cx->diag.arena);
    diag_print_all(&sb, &cx->diag);
    cr_assert_fail("no [%s] for %s, but:\n%s", diag_tag(id), what, sb_str(&sb));
}

static const char *print_all(Context *cx) {
    StrBuf sb = sb_new(&cx->arena);
    diag_print_all(&sb, &cx->diag);
    return sb_str(&sb);
}

/* ---- JSON ---- */

static const struct {
    const char *text;
    DiagId id; /* DIAG_COUNT: sound */
    uint32_t line, col;
} json_cases[] = {
    {"{}", DIAG_COUNT, 0, 0},
    {"\xef\xbb\xbf [1, -0.5e+3, \"\\u00e9\\ud83d\\ude00\", true, false, null, 9007199254740992]", DIAG_COUNT,
     0, 0},
    {"", DIAG_JSON_SYNTAX, 1, 1},
    {"[1,\n 2,]", DIAG_JSON_SYNTAX, 2, 4},
    {"{\"a\": 1,}", DIAG_JSON_SYNTAX, 1, 9},
    {"{\"a\" 1}", DIAG_JSON_SYNTAX, 1, 6},
    {"{a: 1}", DIAG_JSON_SYNTAX, 1, 2},
    {"[1] x", DIAG_JSON_SYNTAX, 1, 5},
    {"[1 2]", DIAG_JSON_SYNTAX, 1, 4},
    {"[tru]", DIAG_JSON_SYNTAX, 1, 2},
    {"['a']", DIAG_JSON_SYNTAX, 1, 2},
    {"[\x01"
     "1]",
     DIAG_JSON_SYNTAX, 1, 2},
    {"[// no\n1]", DIAG_JSON_SYNTAX, 1, 2},
    {"[\"open]", DIAG_JSON_SYNTAX, 1, 2},
    {"[-]", DIAG_JSON_SYNTAX, 1, 3},
    {"[1.]", DIAG_JSON_SYNTAX, 1, 4},
    {"[1e]", DIAG_JSON_SYNTAX, 1, 4},
    {"[+1]", DIAG_JSON_SYNTAX, 1, 2},
    {"[NaN]", DIAG_JSON_SYNTAX, 1, 2},
    {"[01]", DIAG_JSON_NUMBER, 1, 2},
    {"[1e999]", DIAG_JSON_NUMBER, 1, 2},
    {"[9007199254740993]", DIAG_JSON_NUMBER, 1, 2}, /* the nearest double is 2^53 */
    {"[-9007199254740993]", DIAG_JSON_NUMBER, 1, 2},
    {"[9999999999999999]", DIAG_JSON_NUMBER, 1, 2},
    {"[10000000000000000]", DIAG_JSON_NUMBER, 1, 2},
    {"[0.0000000000000000000000000000000000000000000000000000000000000001]", DIAG_JSON_NUMBER, 1, 2},
    {"[\"a\nb\"]", DIAG_JSON_STRING, 1, 2},
    {"[\"a\tb\"]", DIAG_JSON_STRING, 1, 4},
    {"[\"\\u0000\"]", DIAG_JSON_STRING, 1, 3},
    {"[\"\\x41\"]", DIAG_JSON_STRING, 1, 3},
    {"[\"\\u12g4\"]", DIAG_JSON_STRING, 1, 3},
    {"[\"\\ud800\"]", DIAG_JSON_STRING, 1, 3},
    {"[\"\\udc00\\ud800\"]", DIAG_JSON_STRING, 1, 3},
    {"[\"\xc0\x80\"]", DIAG_JSON_STRING, 1, 3},
    {"[\"\xed\xa0\x80\"]", DIAG_JSON_STRING, 1, 3},
    {"[\"\xf4\x90\x80\x80\"]", DIAG_JSON_STRING, 1, 3},
    {"[\"\xe2\x82\"]", DIAG_JSON_STRING, 1, 3},
    {"{\"a\": 1,\n \"b\": {\"c\": 1, \"c\": 2}}", DIAG_DUPLICATE_KEY, 2, 16},
    {"{\"\\u0061\": 1, \"a\": 2}", DIAG_DUPLICATE_KEY, 1, 15},
};

Test(frontend, json) {
    for (size_t i = 0; i < COUNT(json_cases); i++) {
        Context cx;
        JsonDoc d;
        context_init(&cx, NULL);
        bool ok = json_parse(&cx, "t.json", json_cases[i].text, strlen(json_cases[i].text), &d);
        cr_assert_eq(ok, json_cases[i].id == DIAG_COUNT, "%s: %s", json_cases[i].text, print_all(&cx));
        if (!ok) {
            expect_tag(&cx, json_cases[i].id, json_cases[i].text);
            const Loc *l = &cx.diag.entries.data[0].loc;
            cr_assert(l->line == json_cases[i].line && l->col == json_cases[i].col, "%s: %s",
                      json_cases[i].text, print_all(&cx));
        }
        context_free(&cx);
    }
}

/* Nesting, a NUL among the text, and the tree with its positions. */
Test(frontend, json_tree) {
    Context cx;
    JsonDoc d;
    context_init(&cx, NULL);
    char deep[300];
    for (int depth = 64; depth <= 65; depth++) {
        memset(deep, '[', (size_t)depth);
        memset(deep + depth, ']', (size_t)depth);
        deep[2 * depth] = '\0';
        cr_assert_eq(json_parse(&cx, "t", deep, (size_t)depth * 2, &d), depth == 64);
    }
    expect_tag(&cx, DIAG_JSON_LIMIT, "depth 65");
    cr_assert_not(json_parse(&cx, "t", "[1]\0[2]", 7, &d));
    expect_tag(&cx, DIAG_JSON_SYNTAX, "NUL");
    const char *text = "{\"x\": [10, {\"y\": \"\\n\"}],\n  \"Z\": null}";
    cr_assert(json_parse(&cx, "t", text, strlen(text), &d));
    const Json *x = json_get(d.root, "x"), *z = json_get(d.root, "Z");
    cr_assert(x && z && !json_get(d.root, "z"), "keys have a case");
    cr_assert(x->n == 2 && x->first->is_int && x->first->num == 10);
    const Json *y = json_get(x->first->next, "y");
    cr_assert_str_eq(y->str, "\n");
    Loc l = json_loc_at(&d, z->key_offset);
    cr_assert(l.line == 2 && l.col == 3);
    cr_assert_eq(y->offset, 17);
    context_free(&cx);
}

/* ---- Models ---- */

static const char *write_temp(Context *cx, const char *ext, const void *data, size_t size) {
    static int count;
    const char *path = intern_f(cx, "/tmp/cnnc-frontend-%ld-%d%s", (long)getpid(), count++, ext);
    cr_assert(file_write(cx, path, data, size));
    return path;
}

static Graph *import_text(Context *cx, const char *ext, const char *text, const ImportOptions *o,
                          Weights *w) {
    const char *path = write_temp(cx, ext, text, strlen(text));
    Graph *g = import_model(cx, path, o, w);
    remove(path);
    return g;
}

/* A model of one input and the given layers. */
static Graph *import_layers_text(Context *cx, const char *input, const char *layers, const ImportOptions *o,
                                 Weights *w) {
    const char *text =
        intern_f(cx,
                 "{\"format\": \"cnnc-model/1\", \"name\": \"t\", \"inputs\": [{\"name\": \"x\", "
                 "\"shape\": %s}], \"layers\": [%s]}",
                 input, layers);
    return import_text(cx, ".json", text, o, w);
}

static const struct {
    const char *input, *layers;
    const char *type;  /* of the output */
    const char *attrs; /* part of the graph's text */
} layer_cases[] = {
    {"[3, 9, 7]",
     "{\"type\": \"Conv2d\", \"in_channels\": 3, \"out_channels\": 5, \"kernel_size\": [4, 3], \"padding\": "
     "\"same\"}",
     "f32[N,5,9,7]", "padding=[1,1,2,1]"},
    {"[3, 9, 7]",
     "{\"type\": \"Conv2d\", \"in_channels\": 3, \"out_channels\": 5, \"kernel_size\": 4, \"dilation\": [1, "
     "2], \"padding\": \"same\"}",
     "f32[N,5,9,7]", "padding=[1,3,2,3]"},
    {"[3, 9, 7]",
     "{\"type\": \"Conv2d\", \"in_channels\": 3, \"out_channels\": 6, \"kernel_size\": 3, \"padding\": "
     "\"valid\", \"groups\": 3}",
     "f32[N,6,7,5]", "groups=3"},
    {"[3, 9, 7]",
     "{\"type\": \"Conv2d\", \"in_channels\": 3, \"out_channels\": 6, \"kernel_size\": 3, \"padding\": [1, "
     "0], \"stride\": [2, 1], \"bias\": false, \"padding_mode\": \"zeros\"}",
     "f32[N,6,5,5]", "stride=[2,1]"},
    {"[4, 5, 7, 9]",
     "{\"type\": \"Conv3d\", \"in_channels\": 4, \"out_channels\": 6, \"kernel_size\": [2, 3, 1], "
     "\"stride\": "
     "[1, 2, 3], \"padding\": [1, 1, 0], \"groups\": 2}",
     "f32[N,6,6,4,3]", "unfold_depth %x {kernel_size=2, padding=[1,1], rows=[1,0]} : f32[N,8,48,9]"},
    {"[2, 4, 6, 5]",
     "{\"type\": \"Conv3d\", \"in_channels\": 2, \"out_channels\": 3, \"kernel_size\": [2, 3, 4], "
     "\"padding\": "
     "\"same\", \"dilation\": [2, 1, 1]}",
     "f32[N,3,4,6,5]", "{padding=[0,1,2,2]} : f32[N,3,28,5]"},
    {"[8]", "{\"type\": \"Linear\", \"in_features\": 8, \"out_features\": 3, \"bias\": false}", "f32[N,3]",
     "linear %x, %linear0.weight :"},
    {"[4, 3, 3]", "{\"type\": \"BatchNorm2d\", \"num_features\": 4, \"eps\": 0.001, \"momentum\": 0.2}",
     "f32[N,4,3,3]", "eps=0.001"},
    {"[4]", "{\"type\": \"BatchNorm1d\", \"num_features\": 4}", "f32[N,4]", "batch_norm %x"},
    {"[4, 9]", "{\"type\": \"BatchNorm1d\", \"num_features\": 4}", "f32[N,4,9]", "batch_norm %x"},
    {"[4, 5, 3, 3]", "{\"type\": \"BatchNorm3d\", \"num_features\": 4}", "f32[N,4,5,3,3]", "batch_norm %x"},
    {"[6, 3, 5]", "{\"type\": \"GroupNorm\", \"num_groups\": 2, \"num_channels\": 6}", "f32[N,6,3,5]",
     "shape=[2,3,15]"},
    {"[6]", "{\"type\": \"GroupNorm\", \"num_groups\": 2, \"num_channels\": 6, \"affine\": false}",
     "f32[N,6]", "shape=[2,3]"},
    {"[6, 3, 5]", "{\"type\": \"InstanceNorm2d\", \"num_features\": 6, \"eps\": 1}", "f32[N,6,3,5]",
     "instance_norm %x {eps=1}"},
    {"[6, 3, 5]", "{\"type\": \"LayerNorm\", \"normalized_shape\": [3, 5]}", "f32[N,6,3,5]",
     "param f32[3,5]"},
    {"[6]", "{\"type\": \"LayerNorm\", \"normalized_shape\": 6}", "f32[N,6]", "shape=[1,6]"},
    {"[6, 3, 5]", "{\"type\": \"LocalResponseNorm\", \"size\": 4}", "f32[N,6,3,5]", "padding=[2,0,1,0]"},
    {"[6, 3, 5]", "{\"type\": \"Mean\", \"dim\": [-1, 2]}", "f32[N,6]", "adaptive_avg_pool2d"},
    {"[6, 3, 5]", "{\"type\": \"Mean\", \"dim\": [1, -1]}", "f32[N,3]", "mean %x {dim=[1,-1]}"},
    {"[6, 3, 5]", "{\"type\": \"Sum\", \"dim\": 1, \"keepdim\": true}", "f32[N,1,3,5]", "sum %x {dim=[1]}"},
    {"[6, 3]", "{\"type\": \"Max\", \"dim\": [1, 2]}", "f32[N]", "amax %x"},
    {"[4, 3, 3]", "{\"type\": \"BatchNorm2d\", \"num_features\": 4, \"affine\": false}", "f32[N,4,3,3]",
     "0x1p+0"},
    {"[4, 9, 9]", "{\"type\": \"MaxPool2d\", \"kernel_size\": 3, \"stride\": null, \"padding\": 1}",
     "f32[N,4,3,3]", "stride=[3,3]"},
    {"[4, 9, 9]", "{\"type\": \"MaxPool2d\", \"kernel_size\": 2, \"stride\": 2, \"ceil_mode\": true}",
     "f32[N,4,5,5]", "ceil_mode=true"},
    {"[4, 9, 9]",
     "{\"type\": \"AvgPool2d\", \"kernel_size\": [3, 2], \"count_include_pad\": false, \"divisor_override\": "
     "null}",
     "f32[N,4,3,4]", "count_include_pad=false"},
    {"[4, 9, 7]", "{\"type\": \"AdaptiveAvgPool2d\", \"output_size\": [null, 3]}", "f32[N,4,9,3]",
     "output_size=[9,3]"},
    {"[4, 9, 7]", "{\"type\": \"AdaptiveAvgPool2d\", \"output_size\": 1}", "f32[N,4,1,1]",
     "output_size=[1,1]"},
    {"[4, 9, 7]", "{\"type\": \"Upsample\", \"scale_factor\": [1.5, 0.5]}", "f32[N,4,13,3]",
     "output_size=[13,3], scales_h=1.5, scales_w=0.5"},
    {"[4, 9, 7]",
     "{\"type\": \"Upsample\", \"scale_factor\": 1.5, \"mode\": \"bilinear\", \"recompute_scale_factor\": "
     "true}",
     "f32[N,4,13,10]", "upsample_bilinear2d %x {output_size=[13,10]}"},
    {"[4, 7]", "{\"type\": \"Upsample\", \"size\": 9, \"mode\": \"linear\", \"align_corners\": true}",
     "f32[N,4,9]", "output_size=[1,9], align_corners=true"},
    {"[4, 3, 9, 7]", "{\"type\": \"Upsample\", \"size\": [5, 6, 8], \"mode\": \"trilinear\"}",
     "f32[N,4,5,6,8]", "output_size=[5,48]"},
    {"[18, 4, 5]", "{\"type\": \"PixelShuffle\", \"upscale_factor\": 3}", "f32[N,2,12,15]",
     "dims=[0,1,4,2,5,3]"},
    {"[2, 4, 6]", "{\"type\": \"PixelUnshuffle\", \"downscale_factor\": 2}", "f32[N,8,2,3]",
     "dims=[0,1,3,5,2,4]"},
    {"[6, 5]", "{\"type\": \"ChannelShuffle\", \"groups\": 3}", "f32[N,6,5]", "shape=[3,2,5]"},
    {"[4, 9, 7]", "{\"type\": \"Flatten\"}", "f32[N,252]", "flatten"},
    {"[4, 9, 7]", "{\"type\": \"Flatten\", \"start_dim\": 2, \"end_dim\": -1}", "f32[N,4,63]", "flatten"},
    {"[4]", "{\"type\": \"ReLU\", \"inplace\": true}", "f32[N,4]", "relu %x"},
    {"[4]", "{\"type\": \"Dropout\", \"p\": 0.25}", "f32[N,4]", "p=0.25"},
    {"[4, 9]", "{\"type\": \"Dropout1d\"}", "f32[N,4,9]", "channels=true"},
    {"[4, 9, 9]", "{\"type\": \"Dropout2d\", \"p\": 0.25}", "f32[N,4,9,9]", "p=0.25, channels=true"},
    {"[4]", "{\"type\": \"Dropout2d\"}", "f32[N,4]", "channels=true"},
    {"[4, 2, 9, 9]", "{\"type\": \"Dropout3d\"}", "f32[N,4,2,9,9]", "channels=true"},
    {"[4]", "{\"type\": \"Softmax\", \"dim\": -1}", "f32[N,4]", "dim=-1"},
    {"[4]", "{\"type\": \"Add\", \"name\": \"s\", \"inputs\": [\"x\", \"x\", \"x\"]}", "f32[N,4]",
     "add %s.1, %x"},
    {"[4, 9, 7]", "{\"type\": \"Unflatten\", \"dim\": 1, \"unflattened_size\": [2, -1]}", "f32[N,2,2,9,7]",
     "shape=[2,2,9,7]"},
    {"[4, 9, 7]", "{\"type\": \"Reshape\", \"shape\": [6, -1]}", "f32[N,6,42]", "shape=[6,42]"},
    {"[4, 9, 7]", "{\"type\": \"Reshape\", \"shape\": -1}", "f32[N,252]", "shape=[252]"},
    {"[4, 9, 7]", "{\"type\": \"Permute\", \"dims\": [0, -1, 1, 2]}", "f32[N,7,4,9]", "dims=[0,3,1,2]"},
    {"[4, 1, 7]", "{\"type\": \"Squeeze\", \"dim\": 2}", "f32[N,4,7]", "shape=[4,7]"},
    {"[4, 1, 7]", "{\"type\": \"Squeeze\", \"dim\": 1}", "f32[N,4,1,7]", "shape=[4,1,7]"},
    {"[4, 7]", "{\"type\": \"Unsqueeze\", \"dim\": -1}", "f32[N,4,7,1]", "shape=[4,7,1]"},
    {"[4, 7]", "{\"type\": \"Unsqueeze\", \"dim\": 1}", "f32[N,1,4,7]", "shape=[1,4,7]"},
    {"[4, 7]", "{\"type\": \"Concat\", \"dim\": -1, \"inputs\": [\"x\", \"x\"]}", "f32[N,4,14]", "dim=2"},
    {"[4]",
     "{\"type\": \"Concat\", \"dim\": 1, \"name\": \"c\", \"inputs\": [\"x\", \"x\", \"x\", \"x\", \"x\", "
     "\"x\", "
     "\"x\", \"x\", \"x\", \"x\", \"x\", \"x\", \"x\", \"x\"]}",
     "f32[N,56]", "concat %c.group0, %x, %x, %x, %x {"},
    {"[7]",
     "{\"type\": \"Split\", \"split_size\": 3, \"dim\": 1, \"name\": \"s\"}, {\"type\": \"ReLU\", "
     "\"inputs\": "
     "[\"s.2\"]}",
     "f32[N,1]", "%s.2 = slice %x {dim=1, start=6, end=7}"},
    {"[7]",
     "{\"type\": \"Split\", \"split_size\": [1, 4, 2], \"dim\": -1, \"name\": \"s\"}, {\"type\": \"ReLU\", "
     "\"inputs\": [\"s.1\"]}",
     "f32[N,4]", "%s.1 = slice %x {dim=1, start=1, end=5}"},
    {"[4, 9]", "{\"type\": \"Slice\", \"dim\": 2, \"start\": -7, \"end\": 100, \"step\": 3}", "f32[N,4,3]",
     "dim=2, start=2, end=9, step=3"},
    {"[4, 9]", "{\"type\": \"Slice\", \"dim\": 1, \"end\": -1}", "f32[N,3,9]", "dim=1, end=3"},
};

Test(frontend, layers) {
    for (size_t i = 0; i < COUNT(layer_cases); i++) {
        Context cx;
        context_init(&cx, NULL);
        const ImportOptions o = {.init_seed = 1, .batch = 1};
        Weights w;
        Graph *g = import_layers_text(&cx, layer_cases[i].input, layer_cases[i].layers, &o, &w);
        cr_assert(g, "%s:\n%s", layer_cases[i].layers, print_all(&cx));
        StrBuf type = sb_new(&cx.arena), text = sb_new(&cx.arena);
        type_print(&type, &graph_value(g, g->outputs.data[0].value)->type);
        graph_print(&text, g, NULL);
        cr_assert_str_eq(sb_str(&type), layer_cases[i].type, "%s", layer_cases[i].layers);
        cr_assert(strstr(sb_str(&text), layer_cases[i].attrs), "no %s in\n%s", layer_cases[i].attrs,
                  sb_str(&text));
        cr_assert_str_eq(g->outputs.data[0].name, "output");
        cr_assert(graph_verify(g), "%s", print_all(&cx));
        context_free(&cx);
    }
}

/* Every row of the table is in the reference and in the schema, with every argument. */
static const char *section_of(const char *text, const char *head) {
    const char *at = strstr(text, head);
    return at ? at + strlen(head) : NULL;
}

/* The section whose heading names the layer, alone or with its relatives: "### BatchNorm1d, BatchNorm2d". */
static const char *section_of_layer(const char *text, const char *type) {
    for (const char *at = text; (at = section_of(at, "\n### "));) {
        const char *end = strchr(at, '\n');
        for (const char *name = at; end && name < end; name += strcspn(name, ", \n") + 1)
            if (strcspn(name, ", \n") == strlen(type) && strncmp(name, type, strlen(type)) == 0)
                return end;
    }
    return NULL;
}

Test(frontend, table_is_documented) {
    Context cx;
    FileData docs, schema;
    context_init(&cx, NULL);
    cr_assert(file_read(&cx, SOURCE_DIR "/docs/model-json.md", 1 << 20, &docs));
    cr_assert(file_read(&cx, SOURCE_DIR "/docs/model.schema.json", 1 << 20, &schema));
    for (uint32_t i = 0; i < layer_count; i++) {
        const LayerRow *row = layer_table[i];
        const char *doc = section_of_layer(docs.data, row->type);
        const char *def = section_of(schema.data, intern_f(&cx, "\n    \"%s\": {", row->type));
        cr_assert(doc && def, "%s", row->type);
        const char *doc_end = strstr(doc, "\n##"), *def_end = strstr(def, "\n    }");
        for (uint32_t k = 0; k < row->n_args; k++) {
            const char *in_doc = strstr(doc, intern_f(&cx, "| `%s` |", row->args[k].name));
            const char *in_def = strstr(def, intern_f(&cx, "\"%s\": {", row->args[k].name));
            cr_assert(in_doc && in_doc < doc_end, "docs: %s of %s", row->args[k].name, row->type);
            cr_assert(in_def && in_def < def_end, "schema: %s of %s", row->args[k].name, row->type);
        }
    }
    context_free(&cx);
}

/* Each ```json block of the reference that is a whole model imports. */
Test(frontend, documented_models) {
    Context cx;
    FileData docs;
    int models = 0;
    context_init(&cx, NULL);
    cr_assert(file_read(&cx, SOURCE_DIR "/docs/model-json.md", 1 << 20, &docs));
    for (const char *p = docs.data; (p = strstr(p, "```json\n"));) {
        p += strlen("```json\n");
        const char *end = strstr(p, "```");
        const ImportOptions o = {.init_seed = 1, .batch = 2};
        Weights w;
        Graph *g = import_text(&cx, ".json", intern_n(&cx, p, (size_t)(end - p)), &o, &w);
        cr_assert(g && g->batch == 2 && w.data, "%s", print_all(&cx));
        models++;
        p = end;
    }
    cr_assert_eq(models, 2);
    context_free(&cx);
}

/* (x - mean) / std, --input-shape, and the batch. */
Test(frontend, inputs) {
    Context cx;
    context_init(&cx, NULL);
    const char *shapes[] = {"a=2x5x4"};
    ImportOptions o = {.init_seed = -1, .batch = 3, .shapes = shapes, .n_shapes = 1};
    Weights w;
    Graph *g = import_text(
        &cx, ".json",
        "{\"format\": \"cnnc-model/1\", \"name\": \"t\", \"inputs\": [{\"name\": \"a\", \"shape\": "
        "[2, 3, 3], \"mean\": [0.5, 1], \"std\": [0.25, 2]}, {\"name\": \"b\", \"shape\": [4], "
        "\"dtype\": \"f32\"}], \"layers\": [{\"type\": \"ReLU\", \"inputs\": [\"a\"]}, {\"type\": "
        "\"ReLU\", \"name\": \"r\", \"inputs\": [\"b\"]}], \"outputs\": [\"r\", {\"name\": \"y\", \"from\": "
        "\"relu0\"}], \"classes\": [\"p\", \"q\", \"r\", \"s\"], \"description\": \"d\"}",
        &o, &w);
    cr_assert(g, "%s", print_all(&cx));
    StrBuf sb = sb_new(&cx.arena);
    graph_print(&sb, g, NULL);
    cr_assert(strstr(sb_str(&sb), "%a: f32[N,2,5,4]"), "%s", sb_str(&sb));
    ValueId scale = graph_find(g, "a.scale"), shift = graph_find(g, "a.shift");
    cr_assert(scale != NO_VALUE && shift != NO_VALUE);
    const float *s = graph_value(g, scale)->data, *t = graph_value(g, shift)->data;
    cr_assert(s[0] == 4 && s[1] == 0.5f && t[0] == -2 && t[1] == -0.5f);
    for (int i = 0; i < 2; i++) { /* the normalization can be found by name, and points at its input */
        const Node *n = &g->nodes.data[i];
        cr_assert(n->name && strcmp(n->name, "a.normalize") == 0);
        cr_assert_str_eq(n->loc.pointer, "/inputs/0");
    }
    cr_assert(g->batch == 3 && g->n_classes == 4 && g->outputs.len == 2);
    context_free(&cx);

    static const char *const bad[] = {
        "b=3", "a", "a=", "a=0x3x3", "a=3x", "a=1x2x3x4x5x6", "a=99999999999999999999"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        context_init(&cx, NULL);
        const char *one[] = {bad[i]};
        o = (ImportOptions){.init_seed = -1, .batch = 1, .shapes = one, .n_shapes = 1};
        cr_assert_not(
            import_text(&cx, ".json",
                        "{\"format\": \"cnnc-model/1\", \"name\": \"t\", \"inputs\": [{\"name\": \"a\", "
                        "\"shape\": [2, 3, 3]}], \"layers\": [{\"type\": \"ReLU\"}]}",
                        &o, &w),
            "%s", bad[i]);
        expect_tag(&cx, DIAG_INPUT_SHAPE, bad[i]);
        context_free(&cx);
    }
}

/* A fault does not hide the others, and what follows from it is not reported. */
Test(frontend, many_faults) {
    Context cx;
    context_init(&cx, NULL);
    const ImportOptions o = {.init_seed = 1, .batch = 1};
    Weights w;
    StrBuf layers = sb_new(&cx.arena);
    sb_puts(&layers, "{\"type\": \"Conv2d\", \"in_channels\": 2, \"out_channels\": 4, \"kernel_size\": 3},"
                     "{\"type\": \"ReLU\"}, {\"type\": \"Flatten\", \"inputs\": [\"nothing\"]}");
    for (int i = 0; i < 30; i++)
        sb_puts(&layers, ", {\"type\": \"ReLU\", \"slope\": 1}");
    cr_assert_not(import_layers_text(&cx, "[3, 8, 8]", sb_str(&layers), &o, &w));
    const DiagEntry *e = cx.diag.entries.data;
    cr_assert_eq(cx.diag.entries.len, DIAG_LIMIT);
    cr_assert(e[0].id == DIAG_SHAPE_MISMATCH && e[1].id == DIAG_UNKNOWN_NAME && e[2].id == DIAG_UNKNOWN_KEY);
    cr_assert_str_eq(e[0].message, "in_channels is 2, but its input has 3 channels");
    cr_assert_str_eq(e[0].loc.pointer, "/layers/0");
    context_free(&cx);
}

/* ---- Weights ---- */

/* A layer of 2 -> 2 features and a file with these tensors. */
static bool load(Context *cx, const char *header, size_t bytes, Weights *w) {
    char file[512] = {0};
    size_t n = strlen(header);
    file[0] = (char)n;
    memcpy(file + 8, header, n);
    static const float data[] = {1.5f, -2, 0.25f, 8, 16, 32};
    memcpy(file + 8 + n, data, bytes);
    const char *path = write_temp(cx, ".safetensors", file, 8 + n + bytes);
    const ImportOptions o = {.init_seed = -1, .batch = 1, .weights = path};
    Graph *g = import_layers_text(
        cx, "[2]", "{\"type\": \"Linear\", \"name\": \"fc\", \"in_features\": 2, \"out_features\": 2}", &o,
        w);
    remove(path);
    return g;
}

Test(frontend, weights_file) {
    static const struct {
        const char *header;
        size_t bytes;
        DiagId id;
    } cases[] = {
        {"{\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]},\"fc.weight\":{\"dtype\":"
         "\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}",
         24, DIAG_COUNT},
        {"{\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16,
         DIAG_WEIGHTS_MISSING},
        {"{\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[16,24]},\"fc.weight\":{\"dtype\":"
         "\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}",
         24, DIAG_WEIGHTS_SHAPE},
        {"{\"fc.bias\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[16,24]},\"fc.weight\":{\"dtype\":"
         "\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}",
         24, DIAG_WEIGHTS_DTYPE},
        {"{\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,25]}}", 24, DIAG_WEIGHTS_FORMAT},
        {"{\"fc.bais\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]},\"fc.weight\":{\"dtype\":"
         "\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}",
         24, DIAG_WEIGHTS_EXTRA},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Context cx;
        Weights w;
        context_init(&cx, NULL);
        bool ok = load(&cx, cases[i].header, cases[i].bytes, &w);
        cr_assert_eq(ok, cases[i].id == DIAG_COUNT, "%zu: %s", i, print_all(&cx));
        if (!ok)
            expect_tag(&cx, cases[i].id, cases[i].header);
        else
            cr_assert(w.data[0][3] == 8 && w.data[1][1] == 32);
        context_free(&cx);
    }
}

/* Random weights: within PyTorch's bounds, of the right spread, and the same whatever stands around them. */
/* A norm's weight is one whatever its rank, and a linear layer's beside it is not. */
Test(frontend, init_seed_of_norms) {
    Context cx;
    Weights w;
    context_init(&cx, NULL);
    const ImportOptions o = {.init_seed = 7, .batch = 1};
    Graph *g = import_layers_text(&cx, "[2, 3, 4]",
                                  "{\"type\": \"LayerNorm\", \"normalized_shape\": [3, 4]}, {\"type\": "
                                  "\"LayerNorm\", \"normalized_shape\": [2, 3, 4]}, {\"type\": \"Linear\", "
                                  "\"in_features\": 4, \"out_features\": 3}",
                                  &o, &w);
    cr_assert(g, "%s", print_all(&cx));
    for (int p = 0; p < 4; p++)
        for (int i = 0; i < (p < 2 ? 12 : 24); i++)
            cr_assert_eq(w.data[p][i], p % 2 == 0);
    for (int i = 0; i < 12; i++)
        cr_assert(w.data[4][i] >= -0.5f && w.data[4][i] < 0.5f);
    context_free(&cx);
}

Test(frontend, norm_faults) {
    static const struct {
        const char *input, *layer;
        DiagId id;
        const char *words;
    } cases[] = {
        {"[4, 5, 6]", "\"Conv3d\", \"in_channels\": 4, \"out_channels\": 4, \"kernel_size\": 1",
         DIAG_SHAPE_MISMATCH, "Conv3d needs 5 dimensions (batch, channels, depth, height, width), but got 4"},
        {"[4, 5, 6, 7]", "\"Conv3d\", \"in_channels\": 4, \"out_channels\": 4, \"kernel_size\": [6, 1, 1]",
         DIAG_SHAPE_MISMATCH, "does not fit in the depth 5"},
        {"[4, 5, 6, 7]", "\"Conv3d\", \"in_channels\": 4, \"out_channels\": 4, \"kernel_size\": [1, 7, 1]",
         DIAG_SHAPE_MISMATCH, "does not fit in the height 6"},
        {"[4, 5, 6, 7]", "\"Conv3d\", \"in_channels\": 4, \"out_channels\": 4, \"kernel_size\": [1, 1, 8]",
         DIAG_SHAPE_MISMATCH, "the kernel covers 8 columns, but its padded input has 7"},
        {"[4, 5, 6, 7]",
         "\"Conv3d\", \"in_channels\": 4, \"out_channels\": 4, \"kernel_size\": 3, \"stride\": [2, 1, 1], "
         "\"padding\": \"same\"",
         DIAG_BAD_ARGUMENT, "needs stride 1"},
        {"[4]", "\"Dropout1d\"", DIAG_SHAPE_MISMATCH, "Dropout1d needs 3 dimensions"},
        {"[4, 5, 6]", "\"Dropout3d\"", DIAG_SHAPE_MISMATCH, "Dropout3d needs 5 dimensions"},
        {"[4]", "\"BatchNorm2d\", \"num_features\": 4", DIAG_SHAPE_MISMATCH,
         "BatchNorm1d is the one for that"},
        {"[4, 5, 6]", "\"BatchNorm1d\", \"num_features\": 4", DIAG_SHAPE_MISMATCH,
         "[channels] or [channels, length]"},
        {"[4, 5]", "\"BatchNorm3d\", \"num_features\": 4", DIAG_SHAPE_MISMATCH, "[channels, depth"},
        {"[4, 5]", "\"GroupNorm\", \"num_groups\": 3, \"num_channels\": 4", DIAG_BAD_ARGUMENT,
         "= 3 does not divide"},
        {"[4]", "\"GroupNorm\", \"num_groups\": 4, \"num_channels\": 4", DIAG_BAD_ARGUMENT,
         "one value a group"},
        {"[4, 1, 1]", "\"InstanceNorm2d\", \"num_features\": 4", DIAG_BAD_ARGUMENT, "one value a channel"},
        {"[4, 5]", "\"InstanceNorm2d\", \"num_features\": 4", DIAG_SHAPE_MISMATCH,
         "[channels, height, width]"},
        {"[4, 5]", "\"InstanceNorm2d\", \"num_features\": 4, \"track_running_stats\": true",
         DIAG_UNSUPPORTED_ARGUMENT, "only track_running_stats = false"},
        {"[4, 5]", "\"LayerNorm\", \"normalized_shape\": 4", DIAG_SHAPE_MISMATCH, "not how its input ends"},
        {"[4]", "\"LayerNorm\", \"normalized_shape\": [1, 4]", DIAG_SHAPE_MISMATCH, "not how its input ends"},
        {"[4]", "\"LayerNorm\", \"normalized_shape\": [1, 1, 1, 1, 1, 1, 1]", DIAG_BAD_ARGUMENT,
         "more than 6"},
        {"[4]", "\"LocalResponseNorm\", \"size\": 3", DIAG_SHAPE_MISMATCH, "something behind them"},
        {"[4]", "\"Mean\", \"dim\": 0", DIAG_SHAPE_MISMATCH, "is the batch of"},
        {"[4]", "\"Sum\", \"dim\": [1, 1]", DIAG_BAD_ARGUMENT, "the batch among them"},
        {"[4, 3]", "\"Max\", \"dim\": [1, -2]", DIAG_SHAPE_MISMATCH, "is there twice"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Context cx;
        Weights w;
        context_init(&cx, NULL);
        const ImportOptions o = {.init_seed = 1, .batch = 1};
        const char *layer = intern_f(&cx, "{\"type\": %s}", cases[i].layer);
        cr_assert_not(import_layers_text(&cx, cases[i].input, layer, &o, &w), "%s", layer);
        cr_expect_eq(cx.diag.entries.data[0].id, cases[i].id, "%s: %s", layer, print_all(&cx));
        cr_expect(strstr(print_all(&cx), cases[i].words), "%s: %s", layer, print_all(&cx));
        context_free(&cx);
    }
}

Test(frontend, init_seed) {
    Context cx;
    Weights a, b;
    context_init(&cx, NULL);
    const ImportOptions o = {.init_seed = 7, .batch = 1};
    const char *conv = "{\"type\": \"Conv2d\", \"name\": \"c\", \"in_channels\": 4, \"out_channels\": 64, "
                       "\"kernel_size\": 5}";
    const char *both =
        intern_f(&cx, "{\"type\": \"BatchNorm2d\", \"name\": \"bn\", \"num_features\": 4}, %s", conv);
    Graph *g = import_layers_text(&cx, "[4, 9, 9]", conv, &o, &a);
    cr_assert(g && import_layers_text(&cx, "[4, 9, 9]", both, &o, &b), "%s", print_all(&cx));
    double sum = 0, squares = 0, bound = 0.1, n = 64 * 100; /* fan_in 100 */
    for (int i = 0; i < 6400; i++) {
        cr_assert(a.data[0][i] >= -bound && a.data[0][i] < bound);
        cr_assert_eq(a.data[0][i], b.data[4][i]);
        sum += (double)a.data[0][i];
        squares += (double)a.data[0][i] * (double)a.data[0][i];
    }
    cr_assert(sum / n < 0.003 && sum / n > -0.003);
    cr_assert(squares / n > 0.0032 && squares / n < 0.00347, "%g", squares / n); /* bound^2 / 3 */
    for (int i = 0; i < 64; i++)
        cr_assert(a.data[1][i] >= -bound && a.data[1][i] < bound);
    for (int i = 0; i < 4; i++)
        cr_assert(b.data[0][i] == 1 && b.data[1][i] == 0 && b.data[2][i] == 0 && b.data[3][i] == 1);
    context_free(&cx);
}
