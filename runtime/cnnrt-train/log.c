/* A log of JSON objects, one a line, each appended by one write. Nothing is allocated. */
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the file at `path`, which is open as `fd`, lacks its last line's end: a kill can cut a write short.
 */
static bool ends_amid_line(int fd, const char *path) {
    struct stat s;
    char last = '\n';
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size == 0)
        return false;
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    if (reader < 0)
        return false;
    const bool read_it = pread(reader, &last, 1, s.st_size - 1) == 1;
    close(reader);
    return read_it && last != '\n';
}

int cnnrt_log_open(Log *log, const char *path, Why why) {
    log->fd = -1;
    if (!path)
        return CNNRT_OK;
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->fd >= 0 && (!ends_amid_line(log->fd, path) || cnnrt_write_all(log->fd, "\n", 1)))
        return CNNRT_OK;
    return cnnrt_why(why, CNNRT_E_FILE, "%s cannot be written: %s", path, strerror(errno));
}

void cnnrt_log_close(Log *log) {
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

static void put(Log *log, const char *text) {
    const size_t n = strlen(text);
    if (n < sizeof log->line - log->used) {
        memcpy(log->line + log->used, text, n);
        log->used += n;
    }
}

static void put_key(Log *log, const char *key) {
    put(log, log->used > 1 ? ", \"" : "\"");
    put(log, key);
    put(log, "\": ");
}

void cnnrt_log_begin(Log *log, const char *event) {
    log->used = 0;
    put(log, "{");
    cnnrt_log_text(log, "event", event);
}

/* At most 400 bytes of it. */
void cnnrt_log_text(Log *log, const char *key, const char *value) {
    put_key(log, key);
    put(log, "\"");
    for (size_t i = 0; value[i] && i < 400; i++) {
        char c[8] = {value[i]};
        if ((unsigned char)c[0] < 0x20 || c[0] == '"' || c[0] == '\\')
            snprintf(c, sizeof c, "\\u%04x", (unsigned)value[i]);
        put(log, c);
    }
    put(log, "\"");
}

void cnnrt_log_int(Log *log, const char *key, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    put_key(log, key);
    put(log, text);
}

void cnnrt_log_real(Log *log, const char *key, double value) {
    char text[REAL_TEXT];
    put_key(log, key);
    put(log, cnnrt_real_text(text, value));
}

int cnnrt_log_end(Log *log, Why why) {
    put(log, "}\n");
    if (log->fd < 0 || cnnrt_write_all(log->fd, log->line, log->used))
        return CNNRT_OK;
    return cnnrt_why(why, CNNRT_E_FILE, "the log cannot be written: %s", strerror(errno));
}
