/* A folder of class folders with pictures, as torchvision's ImageFolder: classes and files in the order of
 * their names, byte by byte. */
#include "internal.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MOST_CLASSES = UINT16_MAX, MOST_FILES = 1 << 27 };

typedef struct Names {
    char **name;
    size_t n, cap;
} Names;

static void names_free(Names *a) {
    for (size_t i = 0; i < a->n; i++)
        free(a->name[i]);
    free(a->name);
}

static bool names_push(Names *a, char *name) {
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 64;
        char **more = name ? realloc(a->name, cap * sizeof *more) : NULL;
        if (!more) {
            free(name);
            return false;
        }
        a->name = more;
        a->cap = cap;
    }
    a->name[a->n] = name;
    a->n += name != NULL;
    return name != NULL;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_picture(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot &&
           (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

/* Folders (or pictures) in `folder`, sorted; what begins with a dot is left out. */
static int list(Names *out, const char *folder, bool folders, cnnrt_data_error *error) {
    DIR *dir = opendir(folder);
    const struct dirent *e;
    bool ok = true;
    if (!dir)
        return cnnrt_data_fail(error, CNNRT_E_FILE, folder, "cannot be opened: %s", strerror(errno));
    while (ok && (e = readdir(dir))) {
        if (e->d_name[0] == '.' || (!folders && !is_picture(e->d_name)))
            continue;
        char *path = cnnrt_data_path(folder, e->d_name, NULL);
        ok = path != NULL;
        if (ok && is_folder(path) == folders)
            ok = names_push(out, strdup(e->d_name)) && out->n <= MOST_FILES;
        free(path);
    }
    closedir(dir);
    if (!ok)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory for its files");
    if (out->n)
        qsort(out->name, out->n, sizeof *out->name, by_bytes);
    return CNNRT_OK;
}

static char *root_of(const char *folder, const char *split) {
    return split ? cnnrt_data_path(folder, split, NULL) : strdup(folder);
}

bool cnnrt_folder_found(const char *folder, const char *split) {
    char *root = root_of(folder, split);
    Names classes = {0};
    cnnrt_data_error error;
    bool found = root && list(&classes, root, true, &error) == CNNRT_OK && classes.n > 0;
    names_free(&classes);
    free(root);
    return found;
}

/* The pictures of a class folder, after those in `paths`. */
static int add_class(Names *paths, const char *folder, cnnrt_data_error *error) {
    Names files = {0};
    int status = list(&files, folder, false, error);
    if (status == CNNRT_OK && files.n == 0)
        status =
            cnnrt_data_fail(error, CNNRT_E_FORMAT, folder, "no .png, .jpg or .jpeg file is in this class");
    for (size_t i = 0; status == CNNRT_OK && i < files.n; i++)
        if (!names_push(paths, cnnrt_data_path(folder, files.name[i], NULL)))
            status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory for its files");
    names_free(&files);
    return status;
}

/* The files of `paths` from number `first` on have class `label`. */
static bool label_from(Store *s, size_t first, size_t end, int32_t label) {
    int32_t *more = realloc(s->labels, end * sizeof *more);
    if (!more)
        return false;
    s->labels = more;
    for (size_t i = first; i < end; i++)
        more[i] = label;
    return true;
}

static int add_classes(Store *s, Names *paths, const Names *classes, const char *root,
                       cnnrt_data_error *error) {
    int status = classes->n > MOST_CLASSES
                     ? cnnrt_data_fail(error, CNNRT_E_FORMAT, root, "more than 65535 class folders")
                     : cnnrt_store_classes(s, (uint32_t)classes->n, root, error);
    for (size_t i = 0; status == CNNRT_OK && i < classes->n; i++) {
        size_t first = paths->n;
        char *folder = cnnrt_data_path(root, classes->name[i], NULL);
        s->classes[i] = strdup(classes->name[i]);
        if (folder && s->classes[i])
            status = add_class(paths, folder, error);
        if (!folder || !s->classes[i] || (status == CNNRT_OK && !label_from(s, first, paths->n, (int32_t)i)))
            status = cnnrt_data_fail(error, CNNRT_E_SYSTEM, root, "out of memory");
        free(folder);
    }
    return status;
}

int cnnrt_folder_open(Store *s, const char *folder, const char *split, cnnrt_data_error *error) {
    Names classes = {0}, paths = {0};
    char *root = root_of(folder, split);
    if (!root)
        return cnnrt_data_fail(error, CNNRT_E_SYSTEM, folder, "out of memory");
    int status = list(&classes, root, true, error);
    if (status == CNNRT_OK && classes.n == 0)
        status = cnnrt_data_fail(error, CNNRT_E_FORMAT, root, "there is no class folder in it");
    if (status == CNNRT_OK)
        status = add_classes(s, &paths, &classes, root, error);
    s->paths = paths.name; /* the store frees them, also after a failure */
    s->count = (int64_t)paths.n;
    s->folder = root; /* likewise */
    names_free(&classes);
    return status;
}
