/* Reading an object back: where its sections stand and how large they are. */
#include "backend/llvm.h"
#include <llvm-c/Object.h>
#include <string.h>

/* One section of an object. */
typedef struct Section {
    const char *name; /* NULL for ELF's first, empty one */
    const char *contents;
    uint64_t size;
} Section;

typedef void SectionVisit(void *arg, const Section *s);

/* NULL, or LLVM's message why the object cannot be read; LLVMDisposeMessage frees it. */
static char *each_section(LLVMMemoryBufferRef object, SectionVisit *visit, void *arg) {
    char *message = NULL;
    LLVMBinaryRef bin = LLVMCreateBinary(object, NULL, &message);
    if (!bin)
        return message ? message : LLVMCreateMessage("unknown reason");
    LLVMSectionIteratorRef it = LLVMObjectFileCopySectionIterator(bin);
    for (; !LLVMObjectFileIsSectionIteratorAtEnd(bin, it); LLVMMoveToNextSection(it)) {
        const Section s = {LLVMGetSectionName(it), LLVMGetSectionContents(it), LLVMGetSectionSize(it)};
        visit(arg, &s);
    }
    LLVMDisposeSectionIterator(it);
    LLVMDisposeBinary(bin);
    return NULL;
}

typedef struct Wanted {
    const char *name;
    uint64_t size;
    const char *found;
} Wanted;

static void find(void *arg, const Section *s) {
    Wanted *w = arg;
    if (s->name && !strcmp(s->name, w->name) && s->size >= w->size)
        w->found = s->contents;
}

int64_t object_section(Context *cx, LLVMMemoryBufferRef object, const char *name, uint64_t size) {
    Wanted w = {.name = name, .size = size};
    char *message = each_section(object, find, &w);
    if (!message && w.found)
        return w.found - LLVMGetBufferStart(object);
    diag_error(&cx->diag, DIAG_IR_INVALID, NULL, "%s: %s",
               message ? "the object cannot be read back" : "the object has no section for the weights",
               message ? message : name);
    if (message)
        LLVMDisposeMessage(message);
    return -1;
}

static void measure(void *arg, const Section *s) {
    ObjectSizes *sizes = arg;
    if (!s->name)
        return;
    if (!strncmp(s->name, ".text", 5))
        sizes->code += s->size;
    if (!strcmp(s->name, WEIGHTS_SECTION))
        sizes->weights += s->size;
    if (!strcmp(s->name, INITIAL_SECTION))
        sizes->initial += s->size;
}

ObjectSizes backend_object_sizes(Bytes object) {
    ObjectSizes sizes = {0};
    LLVMMemoryBufferRef buffer =
        LLVMCreateMemoryBufferWithMemoryRange(object.data, object.size, "object", false);
    char *message = each_section(buffer, measure, &sizes);
    if (message)
        LLVMDisposeMessage(message);
    LLVMDisposeMemoryBuffer(buffer);
    return sizes;
}
