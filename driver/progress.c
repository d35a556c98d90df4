/* Progress of a training run on standard error, the result on standard output. */
#include "driver/progress.h"
#include "driver/json_out.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR_WIDTH = 24 };

Progress progress_new(const Options *o) {
    const bool shown = !o->quiet && !o->json, terminal = isatty(STDERR_FILENO);
    return (Progress){.bar = shown && terminal, .lines = shown};
}

static void put_time(double seconds) {
    const long s = seconds > 0 && seconds < 1e8 ? lround(seconds) : 0;
    if (s >= 3600)
        fprintf(stderr, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        fprintf(stderr, "%ld:%02ld", s / 60, s % 60);
}

static void draw_bar(Progress *p, const cnnrt_fit_event *e) {
    const bool last = e->step >= e->steps;
    if (!p->bar || (!last && e->seconds - p->shown < 0.1))
        return;
    p->shown = e->seconds;
    const int64_t full = e->steps > 0 ? e->step * BAR_WIDTH / e->steps : 0;
    fprintf(stderr, "\r\033[Kepoch %lld/%lld %s[", (long long)e->epoch, (long long)e->epochs,
            e->kind == CNNRT_FIT_VALIDATION ? "test " : "");
    for (int i = 0; i < BAR_WIDTH; i++)
        fputc(i < full ? '=' : i == full ? '>' : ' ', stderr);
    fprintf(stderr, "] %lld/%lld  loss %.4f", (long long)e->step, (long long)e->steps, e->loss);
    if (!isnan(e->accuracy))
        fprintf(stderr, "  acc %.2f%%", 100 * e->accuracy);
    fprintf(stderr, "  %.0f images/s  ", e->images_per_second);
    put_time(e->seconds_left);
    fputs(" left", stderr);
    fflush(stderr);
}

static void put_metric(const char *name, double value, const char *format) {
    if (isnan(value))
        return;
    fprintf(stderr, "  %s ", name);
    fprintf(stderr, format, value);
}

static void epoch_line(const Progress *p, const cnnrt_fit_event *e) {
    progress_end(p);
    fprintf(stderr, "epoch %lld/%lld", (long long)e->epoch, (long long)e->epochs);
    put_metric("loss", e->loss, "%.4f");
    put_metric("acc", 100 * e->accuracy, "%.2f%%");
    put_metric("val loss", e->val_loss, "%.4f");
    put_metric("val acc", 100 * e->val_accuracy, "%.2f%%");
    put_metric("top-5", 100 * e->val_top5, "%.2f%%");
    put_metric("lr", e->lr, "%.3g");
    put_metric("images/s", e->images_per_second, "%.0f");
    fputs("  ", stderr);
    put_time(e->seconds);
    fputc('\n', stderr);
    fflush(stderr);
}

int progress_event(void *user, const cnnrt_fit_event *e) {
    Progress *p = user;
    if (!p->lines)
        return 0;
    if (e->kind == CNNRT_FIT_STEP || e->kind == CNNRT_FIT_VALIDATION)
        draw_bar(p, e);
    else if (e->kind == CNNRT_FIT_EPOCH)
        epoch_line(p, e);
    else if (e->kind == CNNRT_FIT_STOP && e->text) {
        progress_end(p);
        fprintf(stderr, "stopped: %s\n", e->text);
    }
    return 0;
}

void progress_end(const Progress *p) {
    if (p->bar)
        fputs("\r\033[K", stderr);
}

/* ---- The report ---- */

static void print_confusion(const cnnrt_fit_result *r, const char *const *classes, uint32_t n_classes) {
    enum { MOST = 20 };
    if (!r->confusion || r->classes > MOST)
        return;
    printf("confusion matrix (rows: true class; columns: predicted)\n%16s", "");
    for (int64_t k = 0; k < r->classes; k++)
        printf("%7lld", (long long)k);
    putchar('\n');
    for (int64_t i = 0; i < r->classes; i++) {
        printf("%3lld %-12.12s", (long long)i, i < n_classes ? classes[i] : "");
        for (int64_t k = 0; k < r->classes; k++)
            printf("%7lld", (long long)r->confusion[i * r->classes + k]);
        putchar('\n');
    }
}

void progress_report(const Compile *c, const cnnrt_fit_result *r, const char *const *classes,
                     uint32_t n_classes) {
    if (c->source->n_classes == r->classes) {
        classes = c->source->classes;
        n_classes = c->source->n_classes;
    }
    print_confusion(r, classes, n_classes);
    printf("%lld epochs, %lld steps", (long long)r->epochs, (long long)r->steps);
    if (!isnan(r->val_loss))
        printf(", validation loss %.4f", r->val_loss);
    if (!isnan(r->val_accuracy))
        printf(", validation accuracy %.2f%%", 100 * r->val_accuracy);
    if (!isnan(r->val_top5))
        printf(", top-5 %.2f%%", 100 * r->val_top5);
    putchar('\n');
    if (c->o->save)
        printf("weights: %s\n", c->o->save);
}

void progress_json(const Compile *c, const cnnrt_fit_result *r) {
    static const char *const reasons[] = {"epochs", "early stopping", "interrupted"};
    JsonOut j = json_begin(&c->cx->arena, "cnnc-train/1");
    json_text(&j, "model", compile_model_name(c));
    json_text(&j, "cpu", c->target.cpu);
    json_text(&j, "stopped_by", reasons[r->stopped]);
    json_int(&j, "epochs", r->epochs);
    json_int(&j, "steps", r->steps);
    json_int(&j, "best_epoch", r->best_epoch);
    json_real(&j, "train_loss", r->train_loss);
    json_real(&j, "train_accuracy", r->train_accuracy);
    json_real(&j, "val_loss", r->val_loss);
    json_real(&j, "val_accuracy", r->val_accuracy);
    json_real(&j, "val_top5", r->val_top5);
    json_real(&j, "seconds", r->seconds);
    json_open(&j, "confusion", '[');
    for (int64_t i = 0; r->confusion && i < r->classes; i++) {
        json_open(&j, NULL, '[');
        for (int64_t k = 0; k < r->classes; k++)
            json_int(&j, NULL, r->confusion[i * r->classes + k]);
        json_close(&j, ']');
    }
    json_close(&j, ']');
    json_text(&j, "weights", c->o->save);
    json_end(&j);
}
