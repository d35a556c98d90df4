/* Progress of a training run on standard error, the result on standard output. */
#include "driver/progress.h"
#include "driver/json_out.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_WIDTH = 24, TIME_TEXT = 32 };

Progress progress_new(const Compile *c) {
    const bool shown = !c->o->quiet && !c->o->json, terminal = isatty(STDERR_FILENO);
    return (Progress){.c = c, .bar = shown && terminal, .lines = shown, .top5 = c->recipe->fit.top5};
}

/* "1:02:03" or "2:03"; "0:00" when it is not known. */
static void time_text(char out[TIME_TEXT], double seconds) {
    const long s = seconds > 0 && seconds < 1e8 ? lround(seconds) : 0;
    if (s >= 3600)
        snprintf(out, TIME_TEXT, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, TIME_TEXT, "%ld:%02ld", s / 60, s % 60);
}

static int terminal_columns(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* What stands behind the bar. Returns its length. */
static int bar_text(char *out, size_t size, const cnnrt_fit_event *e) {
    const bool testing = e->kind == CNNRT_FIT_VALIDATION;
    const double loss = testing ? e->val_loss : e->loss, accuracy = testing ? e->val_accuracy : e->accuracy;
    char left[TIME_TEXT], percent[24] = "";
    time_text(left, e->seconds_left);
    if (!isnan(accuracy))
        snprintf(percent, sizeof percent, "  acc %.2f%%", 100 * accuracy);
    return snprintf(out, size, " %lld/%lld  loss %.4g%s  %.0f images/s  %s left", (long long)e->step,
                    (long long)e->steps, loss, percent, e->images_per_second, left);
}

/* `width` characters, or nothing where there is no room. */
static void put_bar(double share, int width) {
    if (width < 4)
        return;
    fputc('[', stderr);
    for (int i = 0; i < width; i++)
        fputc(i + 1 <= share * width ? '=' : i <= share * width ? '>' : ' ', stderr);
    fputc(']', stderr);
}

/* One line that fits the terminal: the bar takes what room there is. */
static void draw_bar(Progress *p, const cnnrt_fit_event *e) {
    char head[80], tail[160];
    if (!p->bar || (e->step < e->steps && e->seconds - p->shown < 0.1))
        return;
    p->shown = e->seconds;
    int room = terminal_columns() - 1;
    room -= snprintf(head, sizeof head, "epoch %lld/%lld%s ", (long long)e->epoch, (long long)e->epochs,
                     e->kind == CNNRT_FIT_VALIDATION ? " test" : "");
    const int length = bar_text(tail, sizeof tail, e), most = room > 0 ? room : 0;
    room -= length + 2;
    fprintf(stderr, "\r\033[K%s", head);
    put_bar(e->steps > 0 ? (double)e->step / (double)e->steps : 0, room < BAR_WIDTH ? room : BAR_WIDTH);
    fprintf(stderr, "%.*s", length < most ? length : most, tail);
    fflush(stderr);
}

static void put_metric(const char *name, double value, const char *format) {
    if (isnan(value))
        return;
    fprintf(stderr, "  %s ", name);
    fprintf(stderr, format, value);
}

static void epoch_line(const Progress *p, const cnnrt_fit_event *e) {
    char time[TIME_TEXT];
    time_text(time, e->seconds);
    progress_end(p);
    fprintf(stderr, "epoch %lld/%lld", (long long)e->epoch, (long long)e->epochs);
    put_metric("loss", e->loss, "%.4f");
    put_metric("acc", 100 * e->accuracy, "%.2f%%");
    put_metric("val loss", e->val_loss, "%.4f");
    put_metric("val acc", 100 * e->val_accuracy, "%.2f%%");
    if (p->top5)
        put_metric("top-5", 100 * e->val_top5, "%.2f%%");
    put_metric("lr", e->lr, "%.3g");
    put_metric("images/s", e->images_per_second, "%.0f");
    fprintf(stderr, "  %s\n", time);
    fflush(stderr);
}

int progress_event(void *user, const cnnrt_fit_event *e) {
    Progress *p = user;
    if (!p->lines)
        return 0;
    if (e->kind == CNNRT_FIT_START)
        fprintf(stderr, "%s\n", training_start(p->c, e->text, e->epoch, e->step > 0));
    else if (e->kind == CNNRT_FIT_STEP || e->kind == CNNRT_FIT_VALIDATION)
        draw_bar(p, e);
    else if (e->kind == CNNRT_FIT_EPOCH)
        epoch_line(p, e);
    else if (e->kind == CNNRT_FIT_STOP && e->epoch < e->epochs) {
        progress_end(p);
        fprintf(stderr, "%s after epoch %lld\n", e->text, (long long)e->epoch);
    }
    return 0;
}

void progress_end(const Progress *p) {
    if (p->bar)
        fputs("\r\033[K", stderr);
}

/* ---- The report ---- */

/* Classes have the model's names, where it has as many, else those of the data. */
static void print_confusion(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid) {
    enum { MOST = 20 };
    const bool models = c->source->n_classes == r->classes;
    const char *const *classes = models ? c->source->classes : valid->classes;
    const uint32_t n_classes = models ? c->source->n_classes : valid->n_classes;
    if (!r->confusion || r->classes > MOST)
        return;
    printf("confusion matrix (rows: true class; columns: predicted)\n%16s", "");
    for (int64_t k = 0; k < r->classes; k++)
        printf("%7lld", (long long)k);
    putchar('\n');
    for (int64_t i = 0; i < r->classes; i++) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)i);
        const bool named = i < n_classes && strcmp(classes[i], number) != 0;
        printf("%3s %-12.12s", number, named ? classes[i] : "");
        for (int64_t k = 0; k < r->classes; k++)
            printf("%7lld", (long long)r->confusion[i * r->classes + k]);
        putchar('\n');
    }
}

/* The end of a line. What is NaN is not there. */
static void print_validation(double loss, double accuracy, double top5) {
    if (!isnan(loss))
        printf(", validation loss %.4f", loss);
    if (!isnan(accuracy))
        printf(", validation accuracy %.2f%%", 100 * accuracy);
    if (!isnan(top5))
        printf(", top-5 %.2f%%", 100 * top5);
    putchar('\n');
}

void progress_report(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid) {
    const bool top5 = c->recipe->fit.top5;
    print_confusion(c, r, valid);
    printf("%lld epochs, %lld steps", (long long)r->epochs, (long long)r->steps);
    print_validation(r->val_loss, r->val_accuracy, top5 ? r->val_top5 : (double)NAN);
    if (r->kept_epoch == 0 && r->steps > 0)
        printf("these are the weights of step %lld, amid epoch %lld\n", (long long)r->steps,
               (long long)r->epochs + 1);
    else if (r->kept_epoch > 0 && r->kept_epoch != r->epochs) {
        printf("these are the weights of epoch %lld, the best", (long long)r->kept_epoch);
        print_validation(r->kept_val_loss, r->kept_val_accuracy, top5 ? r->kept_val_top5 : (double)NAN);
    }
    if (c->o->save)
        printf("weights: %s\n", c->o->save);
}

void progress_evaluation(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid) {
    enum { TOP = 5 };
    print_confusion(c, r, valid);
    printf("%lld samples: loss %.4f", (long long)valid->count, r->val_loss);
    if (!isnan(r->val_accuracy))
        printf(", accuracy %.2f%%", 100 * r->val_accuracy);
    if (r->classes > TOP && !isnan(r->val_top5))
        printf(", top-5 %.2f%%", 100 * r->val_top5);
    putchar('\n');
}

static void json_validation(JsonOut *j, const cnnrt_fit_result *r) {
    json_real(j, "val_loss", r->val_loss);
    json_real(j, "val_accuracy", r->val_accuracy);
    json_real(j, "val_top5", r->val_top5);
    json_real(j, "seconds", r->seconds);
    json_open(j, "confusion", '[');
    for (int64_t i = 0; r->confusion && i < r->classes; i++) {
        json_open(j, NULL, '[');
        for (int64_t k = 0; k < r->classes; k++)
            json_int(j, NULL, r->confusion[i * r->classes + k]);
        json_close(j, ']');
    }
    json_close(j, ']');
}

void progress_evaluation_json(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid) {
    JsonOut j = json_begin(&c->cx->arena, "cnnc-evaluate/1");
    json_text(&j, "model", compile_model_name(c));
    json_text(&j, "cpu", c->target.cpu);
    json_text(&j, "weights", c->weights.file);
    json_int(&j, "samples", valid->count);
    json_validation(&j, r);
    json_end(&j);
}

void progress_json(const Compile *c, const cnnrt_fit_result *r, const cnnrt_dataset_info *valid) {
    (void)valid;
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
    json_validation(&j, r);
    json_text(&j, "weights", c->o->save);
    json_int(&j, "saved_epoch", r->kept_epoch);
    json_real(&j, "saved_val_loss", r->kept_val_loss);
    json_real(&j, "saved_val_accuracy", r->kept_val_accuracy);
    json_real(&j, "saved_val_top5", r->kept_val_top5);
    json_end(&j);
}
