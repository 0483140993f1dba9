// Loaded before a program (LD_PRELOAD), it puts the program's clock CLOCK_OFF seconds off. What measures time that passes
// (CLOCK_MONOTONIC) stays right. libfaketime does this too, but does not know the waiting of C11 threads, which
// librdkafka uses: it would wait for hours, or not at all.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static long off;

__attribute__((constructor)) static void begin(void) {
    const char *seconds = getenv("CLOCK_OFF");
    off = seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += off;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    if (failed || !now) return failed;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (told) *told = exact.tv_sec;
    return exact.tv_sec;
}

// What is waited for is a time of our clock; the kernel goes by its own.
int cnd_timedwait(cnd_t *condition, mtx_t *lock, const struct timespec *until) {
    int (*next)(cnd_t *, mtx_t *, const struct timespec *) = dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec real = {.tv_sec = until->tv_sec - off, .tv_nsec = until->tv_nsec};
    return next(condition, lock, &real);
}
