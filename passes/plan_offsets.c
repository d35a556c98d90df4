/* Offsets from sizes and lifetimes: each item in turn goes into the smallest gap that fits between the items
 * placed already whose lifetimes meet its own. Several orders are tried and the best result kept. */
#include "passes/plan.h"
#include <stdlib.h>
#include <string.h>

typedef enum Order { BY_SIZE, BY_FIRST_USE, BY_AREA, ORDERS } Order;

typedef struct Key {
    double rank; /* higher goes first */
    uint32_t item;
} Key;

static int compare_keys(const void *a, const void *b) {
    const Key *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static double rank_of(const PlanItem *it, Order order) {
    const double bytes = (double)it->bytes, steps = (double)it->last - it->first + 1;
    return order == BY_SIZE ? bytes : order == BY_FIRST_USE ? -(double)it->first : bytes * steps;
}

static bool alive_together(const PlanItem *a, const PlanItem *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* `placed` is sorted by offset. The best offset for `it`, or -1 on overflow. */
static int64_t best_gap(const PlanItem *items, const uint32_t *placed, uint32_t n, const PlanItem *it,
                        int64_t rounded) {
    int64_t end = 0, best = -1, best_room = INT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const PlanItem *p = &items[placed[i]];
        if (!alive_together(p, it))
            continue;
        const int64_t room = p->offset - end;
        if (room >= rounded && room < best_room) {
            best = end;
            best_room = room;
        }
        const int64_t p_end = p->offset + (p->bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
        end = p_end > end ? p_end : end;
    }
    if (best >= 0)
        return best;
    return end > INT64_MAX - PLAN_ALIGN - rounded ? -1 : end;
}

static void insert_sorted(const PlanItem *items, uint32_t *placed, uint32_t n, uint32_t item) {
    uint32_t at = n;
    while (at > 0 && items[placed[at - 1]].offset > items[item].offset)
        at--;
    memmove(placed + at + 1, placed + at, (n - at) * sizeof *placed);
    placed[at] = item;
}

static int64_t place_all(PlanItem *items, const Key *keys, uint32_t n, uint32_t *placed) {
    int64_t total = 0;
    for (uint32_t i = 0, n_placed = 0; i < n; i++) {
        PlanItem *it = &items[keys[i].item];
        it->offset = 0;
        if (it->bytes == 0)
            continue;
        if (it->bytes > INT64_MAX - PLAN_ALIGN)
            return -1;
        const int64_t rounded = (it->bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
        it->offset = best_gap(items, placed, n_placed, it, rounded);
        if (it->offset < 0)
            return -1;
        insert_sorted(items, placed, n_placed++, keys[i].item);
        if (it->offset + rounded > total)
            total = it->offset + rounded;
    }
    return total;
}

bool plan_offsets(Arena *a, PlanItem *items, uint32_t n, int64_t *total) {
    Key *keys = NEW_ARRAY(a, Key, n);
    uint32_t *placed = NEW_ARRAY(a, uint32_t, n);
    int64_t *best = NEW_ARRAY(a, int64_t, n);
    *total = -1;
    for (Order order = 0; order < ORDERS; order++) {
        for (uint32_t i = 0; i < n; i++)
            keys[i] = (Key){rank_of(&items[i], order), i};
        if (n > 1)
            qsort(keys, n, sizeof *keys, compare_keys);
        const int64_t bytes = place_all(items, keys, n, placed);
        if (bytes < 0)
            return false;
        if (*total >= 0 && bytes >= *total)
            continue;
        *total = bytes;
        for (uint32_t i = 0; i < n; i++)
            best[i] = items[i].offset;
    }
    for (uint32_t i = 0; i < n; i++)
        items[i].offset = best[i];
    return true;
}

int64_t plan_live_bytes(Arena *a, const PlanItem *items, uint32_t n) {
    uint32_t steps = 0;
    int64_t live = 0, most = 0, sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        steps = items[i].last >= steps ? items[i].last + 1 : steps;
        if (__builtin_add_overflow(sum, items[i].bytes, &sum))
            return -1;
    }
    int64_t *change = NEW_ARRAY(a, int64_t, (size_t)steps + 1);
    for (uint32_t i = 0; i < n; i++) {
        change[items[i].first] += items[i].bytes;
        change[items[i].last + 1] -= items[i].bytes;
    }
    for (uint32_t s = 0; s < steps; s++) {
        live += change[s];
        most = live > most ? live : most;
    }
    return most;
}
