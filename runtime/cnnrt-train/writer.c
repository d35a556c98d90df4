/* Files that are written whole or not at all, and files that are read whole. Writing allocates nothing. */
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LINKS = 40 }; /* from one symbolic link to the next, as on Linux */

/* A bijection of the hash for each word, so that any one changed word changes it. */
static uint64_t hash_words(uint64_t h, const unsigned char *p, size_t n) {
    while (n > 0) {
        uint64_t word = 0;
        const size_t take = n < sizeof word ? n : sizeof word;
        memcpy(&word, p, take);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
        p += take;
        n -= take;
    }
    return h;
}

uint64_t cnnrt_hash(const void *data, size_t n) {
    return hash_words(0, data, n) ^ n;
}

bool cnnrt_write_all(int fd, const void *data, size_t n) {
    const unsigned char *p = data;
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return false;
        }
        p += done;
        n -= (size_t)done;
    }
    return true;
}

void cnnrt_write_flush(Writer *w) {
    w->hash = hash_words(w->hash, w->buffer, w->used);
    if (w->fd >= 0 && !w->error && !cnnrt_write_all(w->fd, w->buffer, w->used))
        w->error = errno;
    w->used = 0;
}

void cnnrt_write(Writer *w, const void *data, size_t n) {
    const unsigned char *p = data;
    w->bytes += n;
    while (n > 0) {
        const size_t room = sizeof w->buffer - w->used, take = n < room ? n : room;
        memcpy(w->buffer + w->used, p, take);
        w->used += take;
        p += take;
        n -= take;
        if (w->used == sizeof w->buffer)
            cnnrt_write_flush(w);
    }
}

void cnnrt_write_text(Writer *w, const char *text) {
    cnnrt_write(w, text, strlen(text));
}

static void write_escaped(Writer *w, const char *text) {
    char code[8];
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != '"' && c != '\\') {
            cnnrt_write(w, text, 1);
            continue;
        }
        snprintf(code, sizeof code, "\\u%04x", c);
        cnnrt_write_text(w, code);
    }
}

void cnnrt_write_quoted(Writer *w, const char *prefix, const char *text) {
    cnnrt_write(w, "\"", 1);
    write_escaped(w, prefix);
    write_escaped(w, text);
    cnnrt_write(w, "\"", 1);
}

/* The entry of the folder must be on the disk too. */
static void sync_folder(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* some file systems cannot; the rename is made all the same */
        close(fd);
    }
}

/* Follow symbolic links from `path` to where a file put there comes to lie, be it there or not. 0 or errno.
 */
static int follow_links(const char *path, char target[PATH_MAX]) {
    char to[PATH_MAX];
    if (snprintf(target, PATH_MAX, "%s", path) >= PATH_MAX)
        return ENAMETOOLONG;
    for (int links = 0; links < MAX_LINKS; links++) {
        const ssize_t n = readlink(target, to, sizeof to);
        if (n < 0)
            return 0; /* whatever is wrong with it, writing it will tell */
        const char *slash = to[0] == '/' ? NULL : strrchr(target, '/');
        const size_t folder = slash ? (size_t)(slash - target) + 1 : 0;
        if (folder + (size_t)n >= PATH_MAX)
            return ENAMETOOLONG;
        memcpy(target + folder, to, (size_t)n);
        target[folder + (size_t)n] = 0;
    }
    return ELOOP;
}

int cnnrt_replace_file(const char *path, void (*emit)(Writer *w, void *arg), void *arg, Why why) {
    char target[PATH_MAX], beside[PATH_MAX];
    Writer w = {.fd = -1};
    const int error = follow_links(path, target);
    if (error)
        return cnnrt_why(why, CNNRT_E_FILE, "%s cannot be written: %s", path, strerror(error));
    path = target; /* a symbolic link stays one: what it points to is replaced */
    if (snprintf(beside, sizeof beside, "%s.partial", path) >= (int)sizeof beside)
        return cnnrt_why(why, CNNRT_E_FILE, "the path of the file to write is too long");
    w.fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w.fd < 0)
        return cnnrt_why(why, CNNRT_E_FILE, "%s cannot be written: %s", beside, strerror(errno));
    emit(&w, arg);
    cnnrt_write_flush(&w);
    if (!w.error && fsync(w.fd) != 0)
        w.error = errno;
    if (close(w.fd) != 0 && !w.error)
        w.error = errno;
    if (!w.error && rename(beside, path) != 0)
        w.error = errno;
    if (w.error) {
        unlink(beside);
        return cnnrt_why(why, CNNRT_E_FILE, "%s cannot be written: %s", path, strerror(w.error));
    }
    sync_folder(path);
    return CNNRT_OK;
}

static int read_all(int fd, unsigned char *p, size_t n) {
    while (n > 0) {
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? EIO : errno; /* it became shorter meanwhile */
        p += got;
        n -= (size_t)got;
    }
    return 0;
}

int cnnrt_load_file(const char *path, uint64_t most, unsigned char **data, size_t *size, Why why) {
    struct stat s;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* NONBLOCK: a pipe must not make us wait */
    if (fd < 0)
        return cnnrt_why(why, CNNRT_E_FILE, "%s cannot be opened: %s", path, strerror(errno));
    int status = CNNRT_OK, error;
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode))
        status = cnnrt_why(why, CNNRT_E_FILE, "%s is not a file", path);
    else if ((uint64_t)s.st_size > most)
        status = cnnrt_why(why, CNNRT_E_FORMAT, "%s is larger than a file of this model can be", path);
    else if (!(*data = malloc(s.st_size > 0 ? (size_t)s.st_size : 1)))
        status = cnnrt_why(why, CNNRT_E_SYSTEM, "%s: out of memory", path);
    else if ((error = read_all(fd, *data, (size_t)s.st_size)) != 0) {
        status = cnnrt_why(why, CNNRT_E_FILE, "%s cannot be read: %s", path, strerror(error));
        free(*data);
    }
    *size = status == CNNRT_OK ? (size_t)s.st_size : 0;
    close(fd);
    return status;
}
