/*
 * Makes each sync to disk slower, for measurements: most disks need milliseconds where a fast one
 * needs a tenth of one. Loaded with LD_PRELOAD; the delay is in the environment.
 *
 *     cc -shared -fPIC -O2 -o slow_sync.so slow_sync.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_for_the_disk(void) {
    const char *text = getenv("HEADCOUNT_SYNC_DELAY_MICROSECONDS");
    long micros = text ? atol(text) : 0;
    struct timespec delay = {micros / 1000000, (micros % 1000000) * 1000};
    if (micros > 0)
        nanosleep(&delay, NULL);
}

static int slowly(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    wait_for_the_disk();
    return real(file);
}

int fsync(int file) { return slowly("fsync", file); }

int fdatasync(int file) { return slowly("fdatasync", file); }
