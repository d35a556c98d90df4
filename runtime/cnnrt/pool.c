/* The thread pool. Workers are made once; each call gives thread t the same share [t*count/T, (t+1)*count/T),
 * the calling thread being thread 0, so that a layer finds its rows where the layer before left them. Between
 * calls workers spin for a moment (a layer follows a layer within microseconds), then sleep. The moment is
 * longer than one thread's share of a layer exceeds another's: a thread that sleeps may wake on the CPU of
 * the thread that woke it, and wait there until that one sleeps in turn. For the same reason a thread that
 * spins soon gives way to any other on its CPU. */
#define _GNU_SOURCE
#include "cnnrt.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 4096, LINE = 64, SPIN_NANOSECONDS = 1000000, KEEP_NANOSECONDS = 50000, SPIN_BATCH = 64 };

typedef struct Pool Pool;
typedef struct Worker {
    Pool *pool;
    pthread_t thread;
    unsigned number; /* from 1 */
} Worker;

struct Pool {        /* NOLINT(clang-analyzer-optin.performance.Padding): it keeps cache lines apart */
    cnnrt_pool base; /* first: callers hold a pointer to it */
    bool spin;
    unsigned forks; /* fork_count when the workers were made */
    Worker *workers;
    unsigned n_workers;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    /* The job: written by the caller before `call` changes. */
    cnnrt_task *task;
    void *arg;
    size_t count;
    atomic_bool busy, stop, caller_sleeps;
    atomic_uint sleepers;
    /* Each on a cache line of its own: all threads poll them. */
    _Alignas(LINE) atomic_uint call;
    _Alignas(LINE) atomic_uint pending; /* workers that have not finished this call */
    char pad[LINE - sizeof(atomic_uint)];
};

/* Threads do not survive fork: a pool made before it runs everything on the calling thread. */
static atomic_uint fork_count;
static void count_fork(void) {
    atomic_fetch_add(&fork_count, 1);
}
static void watch_forks(void) {
    pthread_atfork(NULL, NULL, count_fork);
}

static void run_share(Pool *p, unsigned t) {
    size_t threads = p->base.threads, each = p->count / threads, rest = p->count % threads;
    size_t begin = t * each + t * rest / threads, end = (t + 1) * each + (t + 1) * rest / threads;
    if (begin < end)
        p->task(p->arg, begin, end, t);
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

static long long nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Poll until *x is `value` (or, `other`, anything else), for a bounded time: first keeping the CPU, then
 * offering it to other threads. Did it come? */
static bool spin_until(const Pool *p, atomic_uint *x, unsigned value, bool other) {
    long long began = 0;
    for (;;) {
        for (int i = 0; i < SPIN_BATCH; i++) {
            if ((atomic_load_explicit(x, memory_order_acquire) == value) != other)
                return true;
            if (!p->spin)
                return false;
            relax();
        }
        long long now = nanoseconds();
        if (began == 0)
            began = now;
        else if (now > began + SPIN_NANOSECONDS)
            return false;
        else if (now > began + KEEP_NANOSECONDS)
            sched_yield();
    }
}

/* Sleepers announce themselves before they look once more, and wakers publish before they look for sleepers
 * (both sequentially consistent), so no wake-up is lost. */
static void wait_for_call(Pool *p, unsigned seen) {
    if (spin_until(p, &p->call, seen, true))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load(&p->call) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *arg) {
    Worker *w = arg;
    Pool *p = w->pool;
    for (unsigned seen = 0;; seen++) {
        wait_for_call(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        run_share(p, w->number);
        if (atomic_fetch_sub(&p->pending, 1) == 1 && atomic_load(&p->caller_sleeps)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

/* Start a call: workers see everything written before. */
static void publish(Pool *p) {
    atomic_fetch_add(&p->call, 1);
    if (atomic_load(&p->sleepers) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_workers(Pool *p) {
    if (spin_until(p, &p->pending, 0, false))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while (atomic_load(&p->pending) != 0)
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

static void parallel_for(cnnrt_pool *base, size_t count, cnnrt_task *task, void *arg) {
    Pool *p = (Pool *)base;
    if (count == 0)
        return;
    if (count == 1 || base->threads == 1 || p->forks != atomic_load(&fork_count) ||
        atomic_exchange_explicit(&p->busy, true, memory_order_acquire)) {
        task(arg, 0, count, 0);
        return;
    }
    p->task = task;
    p->arg = arg;
    p->count = count;
    atomic_store_explicit(&p->pending, p->n_workers, memory_order_relaxed);
    publish(p);
    run_share(p, 0);
    wait_for_workers(p);
    atomic_store_explicit(&p->busy, false, memory_order_release);
}

/* Make the workers with all signals blocked: signals are the application's threads' affair. */
static bool start_workers(Pool *p) {
    sigset_t all, old;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
        return false;
    bool ok = true;
    for (unsigned i = 1; i < p->base.threads && ok; i++) {
        Worker *w = &p->workers[i - 1];
        *w = (Worker){.pool = p, .number = i};
        ok = pthread_create(&w->thread, NULL, work, w) == 0;
        p->n_workers += ok;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

cnnrt_pool *cnnrt_pool_create(unsigned threads) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    unsigned cpus = cnnrt_default_threads();
    threads = threads == 0 ? cpus : threads;
    if (threads > MAX_THREADS || pthread_once(&once, watch_forks) != 0)
        return NULL;
    Pool *p = aligned_alloc(LINE, sizeof(Pool)); /* a multiple of LINE by its alignment */
    if (!p)
        return NULL;
    memset(p, 0, sizeof *p);
    p->base = (cnnrt_pool){CNNRT_ABI_VERSION, threads, parallel_for};
    p->spin = threads <= cpus; /* spinning on a CPU that another thread needs only delays it */
    p->forks = atomic_load(&fork_count);
    p->workers = calloc(threads, sizeof *p->workers);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    if (p->workers && start_workers(p))
        return &p->base;
    cnnrt_pool_destroy(&p->base);
    return NULL;
}

void cnnrt_pool_destroy(cnnrt_pool *pool) {
    Pool *p = (Pool *)pool;
    if (!p)
        return;
    if (p->forks == atomic_load(&fork_count)) {
        atomic_store(&p->stop, true);
        publish(p);
        for (unsigned i = 0; i < p->n_workers; i++)
            pthread_join(p->workers[i].thread, NULL);
        pthread_cond_destroy(&p->wake);
        pthread_cond_destroy(&p->done);
        pthread_mutex_destroy(&p->lock);
    }
    free(p->workers);
    free(p);
}
