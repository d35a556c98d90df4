/* Damage to a file: bits, bytes, numbers, tokens, cuts, repeats, and pieces of other files. */
#include "mutate.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 1 << 20, MAX_DAMAGES = 6 };

/* splitmix64 */
static uint64_t next(Mutator *m) {
    uint64_t z = (m->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t below(Mutator *m, size_t n) {
    return n ? (size_t)(next(m) % n) : 0;
}

/* Replace [at, at + old) by `n` bytes, which must not lie in `b`. */
static void replace(Bytes8 *b, size_t at, size_t old, const void *with, size_t n) {
    if (b->size - old + n > MAX_SIZE)
        return;
    if (b->size - old + n > b->cap) {
        b->cap = 2 * (b->size - old + n);
        b->data = realloc(b->data, b->cap);
    }
    memmove(b->data + at + n, b->data + at + old, b->size - at - old);
    if (n)
        memcpy(b->data + at, with, n);
    b->size += n - old;
}

static void repeat(Mutator *m, Bytes8 *b) {
    size_t from = below(m, b->size), n = below(m, b->size - from < 400 ? b->size - from : 400);
    unsigned char piece[400];
    memcpy(piece, b->data + from, n);
    for (size_t times = 1 + below(m, 8); times > 0; times--)
        replace(b, from, 0, piece, n);
}

static void splice(Mutator *m, Bytes8 *b) {
    const Bytes8 *other = &m->seeds[below(m, m->n_seeds)];
    size_t from = below(m, other->size), n = below(m, other->size - from < 2000 ? other->size - from : 2000);
    size_t at = below(m, b->size + 1), old = below(m, b->size - at + 1);
    replace(b, at, old < 2000 ? old : 0, other->data + from, n);
}

static int is_word(unsigned char c) {
    return isalnum(c) || c == '_' || c == '.' || c == '%' || c == '"';
}

/* The word around a random place. */
static size_t find_word(Mutator *m, const Bytes8 *b, size_t *n) {
    size_t at = below(m, b->size), end;
    while (at < b->size && !is_word(b->data[at]))
        at++;
    while (at > 0 && is_word(b->data[at - 1]))
        at--;
    for (end = at; end < b->size && is_word(b->data[end]);)
        end++;
    *n = end - at;
    return at;
}

static void change_token(Mutator *m, Bytes8 *b) {
    size_t count = 0, n, at = find_word(m, b, &n);
    while (m->tokens[count])
        count++;
    const char *token = m->tokens[below(m, count)];
    replace(b, at, next(m) & 1 ? n : 0, token, strlen(token));
}

static void swap_words(Mutator *m, Bytes8 *b) {
    size_t n, k, at = find_word(m, b, &n), from = find_word(m, b, &k);
    unsigned char word[64];
    k = k < sizeof word ? k : sizeof word;
    memcpy(word, b->data + from, k);
    replace(b, at, n, word, k);
}

static void change_number(Mutator *m, Bytes8 *b) {
    static const char *const numbers[] = {"0",
                                          "1",
                                          "-1",
                                          "2",
                                          "3",
                                          "7",
                                          "64",
                                          "65536",
                                          "0.5",
                                          "1e9",
                                          "1e999",
                                          "2147483647",
                                          "2147483648",
                                          "01",
                                          "9007199254740993",
                                          "-0",
                                          "4294967296",
                                          "1e-30",
                                          "9223372036854775807",
                                          "18446744073709551616"};
    size_t at = below(m, b->size), end;
    while (at < b->size && !isdigit(b->data[at]))
        at++;
    for (end = at; end < b->size && isdigit(b->data[end]);)
        end++;
    const char *number = numbers[below(m, sizeof numbers / sizeof *numbers)];
    replace(b, at, end - at, number, strlen(number));
}

/* `from` 6: only words and numbers; 9: only numbers. */
static void damage(Mutator *m, Bytes8 *b, size_t from) {
    size_t at = below(m, b->size), rest = b->size - at;
    unsigned char byte = (unsigned char)next(m);
    if (b->size == 0) {
        replace(b, 0, 0, &byte, 1);
        return;
    }
    switch (from + below(m, 12 - from)) {
    case 0:
        b->data[at] ^= (unsigned char)(1u << below(m, 8));
        break;
    case 1:
        b->data[at] = byte;
        break;
    case 2:
        b->size = at;
        break;
    case 3:
        replace(b, at, below(m, rest < 100 ? rest : 100), NULL, 0);
        break;
    case 4:
        repeat(m, b);
        break;
    case 5:
        splice(m, b);
        break;
    case 6:
    case 7:
        change_token(m, b);
        break;
    case 8:
        swap_words(m, b);
        break;
    default:
        change_number(m, b);
        break;
    }
}

void mutate(Mutator *m, uint64_t seed, uint64_t index, Bytes8 *out) {
    m->state = seed * UINT64_C(0x2545f4914f6cdd1d) + index;
    const Bytes8 *from = &m->seeds[below(m, m->n_seeds)];
    out->size = 0;
    replace(out, 0, 0, from->data, from->size);
    /* Two thirds of the cases stay near the format, or little would come through the readers. */
    static const size_t from_damage[] = {0, 6, 9};
    size_t least = from_damage[below(m, 3)];
    for (size_t k = 1 + below(m, 1 + below(m, MAX_DAMAGES)); k > 0; k--)
        damage(m, out, least);
}
