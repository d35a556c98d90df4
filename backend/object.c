/* An object as LLVM made it: ELF, 64 bits, little-endian. What is embedded (weights, initial parameters) is
 * for LLVM a section of zeros that takes no room in a file; here it gets room at the object's end, which the
 * caller fills. Through LLVM's own constants gigabytes would be copied several times. */
#include "backend/llvm.h"
#include <elf.h>
#include <string.h>

typedef struct Sections {
    const Elf64_Shdr *data;
    uint32_t len;
    const char *names;
} Sections;

static Sections sections_of(const char *object) {
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)object;
    const Elf64_Shdr *all = (const Elf64_Shdr *)(object + head->e_shoff);
    return (Sections){all, head->e_shnum, object + all[head->e_shstrndx].sh_offset};
}

static bool begins(const char *name, const char *prefix) {
    return !strncmp(name, prefix, strlen(prefix));
}

/* What LLVM has under this name is to be embedded. */
static bool needs_room(const char *name) {
    return begins(name, LLVM_EMBEDDED EMBEDDED) || begins(name, LLVM_EMBEDDED EMBEDDED_LARGE);
}

/* The header of what is embedded as linkers see it: the bytes stand at `offset`. */
static void give_room(Elf64_Shdr *h, bool large, uint64_t offset) {
    const uint64_t large_flag = 0x10000000; /* SHF_X86_64_LARGE of the x86-64 ABI */
    h->sh_name += sizeof LLVM_EMBEDDED - 1;
    h->sh_type = SHT_PROGBITS;
    h->sh_flags = SHF_ALLOC | (large ? large_flag : 0);
    h->sh_offset = offset;
}

Bytes object_with_room(Context *cx, const char *made, size_t size) {
    const Sections s = sections_of(made);
    uint64_t end = round64((int64_t)size), at = end;
    for (uint32_t i = 0; i < s.len; i++)
        end += needs_room(s.names + s.data[i].sh_name) ? round64((int64_t)s.data[i].sh_size) : 0;
    char *object = arena_alloc(&cx->arena, end < 4096 ? 4096 : end); /* from there on at a cache line */
    memcpy(object, made, size);
    Elf64_Shdr *headers = (Elf64_Shdr *)(object + ((const char *)s.data - made));
    for (uint32_t i = 0; i < s.len; i++) {
        const char *name = s.names + s.data[i].sh_name;
        if (!needs_room(name))
            continue;
        give_room(&headers[i], begins(name, LLVM_EMBEDDED EMBEDDED_LARGE), at);
        at += round64((int64_t)s.data[i].sh_size);
    }
    return (Bytes){object, at};
}

/* Is this the name of the embedded section `what`? */
static bool is_embedded(const char *name, const char *what) {
    const char *rest = begins(name, EMBEDDED)         ? name + strlen(EMBEDDED)
                       : begins(name, EMBEDDED_LARGE) ? name + strlen(EMBEDDED_LARGE)
                                                      : "";
    return !strcmp(rest, what);
}

void *object_room(Bytes object, const char *what) {
    const Sections s = sections_of(object.data);
    for (uint32_t i = 0; i < s.len; i++)
        if (is_embedded(s.names + s.data[i].sh_name, what))
            return (char *)object.data + s.data[i].sh_offset;
    return NULL;
}

void *backend_object_weights(Bytes object) {
    return object_room(object, WEIGHTS);
}

ObjectSizes backend_object_sizes(Bytes object) {
    ObjectSizes sizes = {0};
    const Sections s = sections_of(object.data);
    for (uint32_t i = 0; i < s.len; i++) {
        const char *name = s.names + s.data[i].sh_name;
        if (begins(name, ".text"))
            sizes.code += s.data[i].sh_size;
        if (is_embedded(name, WEIGHTS))
            sizes.weights += s.data[i].sh_size;
        if (is_embedded(name, INITIAL))
            sizes.initial += s.data[i].sh_size;
    }
    return sizes;
}
