/* Whole files in and out, on POSIX. */
#include "ir/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LINKS = 40 }; /* from one symbolic link to the next, as on Linux */

static bool read_fault(Context *cx, const char *path, const char *why) {
    Loc loc = {.file = intern(cx, path)};
    return diag_error(&cx->diag, DIAG_FILE_READ, &loc, "cannot read the file: %s", why);
}

/* The first `size` bytes of a file: 0, errno, or -1 at an early end. Nothing here may run out of the arena,
 * which would leave the file open. */
static int read_all(const char *path, char *to, size_t size) {
    int error = 0,
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* NONBLOCK: a pipe must not make us wait */
    if (fd < 0)
        return errno;
    for (size_t done = 0; done < size && !error;) {
        ssize_t n = read(fd, to + done, size - done);
        if (n == 0)
            error = -1;
        if (n < 0 && errno != EINTR)
            error = errno;
        done += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return error;
}

bool file_read(Context *cx, const char *path, size_t max, FileData *out) {
    *out = (FileData){0};
    struct stat st;
    if (stat(path, &st) < 0)
        return read_fault(cx, path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return read_fault(cx, path, S_ISDIR(st.st_mode) ? "it is a directory" : "it is not a regular file");
    if (st.st_size < 0 || (uintmax_t)st.st_size > max) {
        Loc loc = {.file = intern(cx, path)};
        return diag_error(&cx->diag, DIAG_FILE_SIZE, &loc,
                          "the file has %lld bytes; at most %zu are accepted", (long long)st.st_size, max);
    }
    size_t size = (size_t)st.st_size;
    char *data = arena_alloc(&cx->arena, size + 1);
    int error = read_all(path, data, size);
    if (error)
        return read_fault(cx, path, error > 0 ? strerror(error) : "it shrank meanwhile");
    *out = (FileData){.data = data, .size = size};
    return true;
}

static bool write_fault(Context *cx, const char *path, int error) {
    Loc loc = {.file = intern(cx, path)};
    return diag_error(&cx->diag, DIAG_FILE_WRITE, &loc, "cannot write the file: %s", strerror(error));
}

static bool write_all(int fd, const char *from, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, from + done, size - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Devices, pipes and the like are written in place: renaming over them would replace them. */
static bool write_in_place(Context *cx, const char *path, const void *data, size_t size) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return write_fault(cx, path, errno);
    int error = write_all(fd, data, size) ? 0 : errno;
    if (close(fd) < 0 && !error)
        error = errno;
    return !error || write_fault(cx, path, error);
}

static bool write_stdout(Context *cx, const void *data, size_t size) {
    errno = 0;
    if (fwrite(data, 1, size, stdout) != size || fflush(stdout) != 0)
        return write_fault(cx, "<stdout>", errno);
    return true;
}

/* A new file beside `path`; the mode follows the umask. -1 with errno. */
static int open_beside(Context *cx, const char *path, const char **temp) {
    for (int k = 0; k < 100; k++) {
        *temp = arena_printf(&cx->arena, "%s.tmp%ld-%d", path, (long)getpid(), k);
        int fd = open(*temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

const char *file_target(Context *cx, const char *path) {
    char to[PATH_MAX];
    for (int links = 0; links < MAX_LINKS; links++) {
        const ssize_t n = readlink(path, to, sizeof to);
        if (n < 0)
            return path; /* whatever is wrong with it, writing it will tell */
        if ((size_t)n == sizeof to) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        path = path_beside(cx, path, arena_strndup(&cx->arena, to, (size_t)n));
    }
    errno = ELOOP;
    return NULL;
}

/* A file on its way. */
typedef struct Staged {
    const char *target; /* what `path` leads to */
    const char *temp;   /* the bytes, beside it; NULL: written in place, or renamed already */
    bool renamed;
} Staged;

static bool is_in_place(const char *path) {
    struct stat st;
    return !strcmp(path, "-") || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

/* Write the temporary of one file. */
static bool stage(Context *cx, const FileOut *f, Staged *s) {
    s->target = file_target(cx, f->path); /* a symbolic link stays one: what it points to is replaced */
    if (!s->target)
        return write_fault(cx, f->path, errno);
    const char *temp;
    int fd = open_beside(cx, s->target, &temp);
    if (fd < 0)
        return write_fault(cx, f->path, errno);
    s->temp = temp;
    int error = write_all(fd, f->data, f->size) ? 0 : errno;
    if (close(fd) < 0 && !error)
        error = errno;
    return !error || write_fault(cx, f->path, error);
}

static bool put_in_place(Context *cx, const FileOut *f) {
    return strcmp(f->path, "-") ? write_in_place(cx, f->path, f->data, f->size)
                                : write_stdout(cx, f->data, f->size);
}

static bool rename_staged(Context *cx, const FileOut *f, Staged *s) {
    if (rename(s->temp, s->target) < 0)
        return write_fault(cx, f->path, errno);
    s->temp = NULL;
    s->renamed = true;
    return true;
}

bool files_put(Context *cx, const FileOut *files, uint32_t n) {
    Staged *s = NEW_ARRAY(&cx->arena, Staged, n + 1);
    bool ok = true;
    for (uint32_t i = 0; ok && i < n; i++)
        ok = is_in_place(files[i].path) || stage(cx, &files[i], &s[i]);
    for (uint32_t i = 0; ok && i < n; i++)
        ok = s[i].target || put_in_place(cx, &files[i]);
    for (uint32_t i = 0; ok && i < n; i++)
        ok = !s[i].temp || rename_staged(cx, &files[i], &s[i]);
    for (uint32_t i = 0; !ok && i < n; i++)
        if (s[i].temp || s[i].renamed)
            unlink(s[i].temp ? s[i].temp : s[i].target);
    return ok;
}

bool file_write(Context *cx, const char *path, const void *data, size_t size) {
    return files_put(cx, &(FileOut){.path = path, .data = data, .size = size}, 1);
}

const char *path_beside(Context *cx, const char *base, const char *relative) {
    const char *slash = strrchr(base, '/');
    if (relative[0] == '/' || !slash)
        return intern(cx, relative);
    StrBuf sb = sb_new(&cx->arena);
    sb_put(&sb, base, (size_t)(slash - base) + 1);
    sb_puts(&sb, relative);
    return intern(cx, sb_str(&sb));
}

/* Where the last extension within path[from..n) begins, or n. A leading dot is part of the name. */
static size_t ext_start(const char *path, size_t from, size_t n) {
    for (size_t i = n; i > from + 1; i--)
        if (path[i - 1] == '.')
            return i - 1;
    return n;
}

const char *path_with_ext(Context *cx, const char *path, const char *ext) {
    const char *slash = strrchr(path, '/');
    size_t from = slash ? (size_t)(slash - path) + 1 : 0, n = strlen(path);
    size_t dot = ext_start(path, from, n);
    if (strcmp(path + dot, ".cnnir") == 0) { /* then .graph or .loops before it belongs to it */
        size_t before = ext_start(path, from, dot), len = dot - before;
        if (len == 6 && (memcmp(path + before, ".graph", 6) == 0 || memcmp(path + before, ".loops", 6) == 0))
            dot = before;
    }
    StrBuf sb = sb_new(&cx->arena);
    sb_put(&sb, path, dot);
    sb_puts(&sb, ext);
    return intern(cx, sb_str(&sb));
}
