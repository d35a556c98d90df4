/* How many CPUs this process may use: affinity mask and cgroup quota. */
#define _GNU_SOURCE
#include "internal.h"
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

enum { PATH_ROOM = 4096 };

/* The beginning of a small file as a string. */
static bool read_text(const char *path, char *out, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n < size - 1) {
        got = read(fd, out + n, size - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    out[n] = '\0';
    return n > 0;
}

/* A whole number at *p, stepping over it and blanks before it; -1 if there is none ("max"). */
static long long whole(const char **p) {
    long long v = 0;
    while (**p == ' ')
        (*p)++;
    if (**p < '0' || **p > '9')
        return -1;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        v = v < LLONG_MAX / 10 - 9 ? v * 10 + (**p - '0') : v;
    return v;
}

static unsigned cpus_of(long long quota, long long period) {
    if (quota <= 0 || period <= 0)
        return UINT_MAX;
    long long cpus = quota / period + (quota % period != 0);
    return cpus < INT_MAX ? (unsigned)cpus : UINT_MAX;
}

/* The quota written in one folder. `path` has room for the file's name after its first `n` bytes. */
static unsigned folder_cpus(char *path, size_t n, bool v2) {
    char text[64];
    const char *p = text, *name = v2 ? "/cpu.max" : "/cpu.cfs_quota_us";
    memcpy(path + n, name, strlen(name) + 1);
    if (!read_text(path, text, sizeof text))
        return UINT_MAX;
    long long quota = whole(&p); /* v1 writes -1 for none, v2 "max" */
    if (v2)
        return cpus_of(quota, whole(&p));
    name = "/cpu.cfs_period_us";
    memcpy(path + n, name, strlen(name) + 1);
    p = text;
    return read_text(path, text, sizeof text) ? cpus_of(quota, whole(&p)) : UINT_MAX;
}

/* The smallest quota from mount/controller/group up to the mount: a parent's quota binds its children. */
static unsigned group_cpus(const char *mount, const char *controller, const char *group, size_t group_length,
                           bool v2) {
    char path[PATH_ROOM + 32];
    size_t base = strlen(mount) + strlen(controller), n = base + group_length;
    unsigned least = UINT_MAX;
    if (n >= PATH_ROOM)
        return least;
    snprintf(path, sizeof path, "%s%s%.*s", mount, controller, (int)group_length, group);
    for (;;) {
        unsigned here = folder_cpus(path, n, v2);
        least = here < least ? here : least;
        if (n <= base)
            return least;
        do
            n--;
        while (n > base && path[n] != '/');
    }
}

/* Is `word` one of the comma-separated names between p and end? */
static bool lists(const char *p, const char *end, const char *word) {
    size_t n = strlen(word);
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        if ((size_t)(stop - p) == n && memcmp(p, word, n) == 0)
            return true;
        p = stop + 1;
    }
    return false;
}

unsigned cnnrt_cgroup_cpus(const char *list, const char *mount) {
    static const char *const v1[] = {"/cpu", "/cpu,cpuacct", "/cpuacct,cpu"}, *const v2[] = {"", "/unified"};
    unsigned least = UINT_MAX;
    /* Lines are id:controllers:group; version 2 names no controllers. */
    for (const char *line = list, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        const char *names = memchr(line, ':', (size_t)(end - line));
        const char *group = names ? memchr(names + 1, ':', (size_t)(end - names - 1)) : NULL;
        if (!group)
            continue;
        bool is_v2 = group == names + 1;
        if (!is_v2 && !lists(names + 1, group, "cpu"))
            continue;
        size_t folders = is_v2 ? sizeof v2 / sizeof *v2 : sizeof v1 / sizeof *v1;
        for (size_t i = 0; i < folders; i++) {
            unsigned here =
                group_cpus(mount, is_v2 ? v2[i] : v1[i], group + 1, (size_t)(end - group - 1), is_v2);
            least = here < least ? here : least;
        }
    }
    return least;
}

unsigned cnnrt_default_threads(void) {
    unsigned cpus = 0, quota = UINT_MAX;
#ifdef __linux__
    char list[PATH_ROOM];
    unsigned long mask[1024]; /* 65536 CPUs */
    cpu_set_t *set = (cpu_set_t *)mask;
    memset(mask, 0, sizeof mask);
    if (sched_getaffinity(0, sizeof mask, set) == 0)
        cpus = (unsigned)CPU_COUNT_S(sizeof mask, set);
    if (read_text("/proc/self/cgroup", list, sizeof list))
        quota = cnnrt_cgroup_cpus(list, "/sys/fs/cgroup");
#endif
    if (cpus == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        cpus = online > 0 ? (unsigned)online : 1;
    }
    return cpus < quota ? cpus : quota;
}
