/* Preloaded: every flush of this process takes 2 ms longer, as on a register's disk. A program that asks the kernel
 * without the C library (Go's) is not slowed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static const struct timespec flush = {.tv_nsec = 2000000};

static int slowly(const char *name, int descriptor) {
    nanosleep(&flush, 0);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(descriptor);
}

int fsync(int descriptor) { return slowly("fsync", descriptor); }
int fdatasync(int descriptor) { return slowly("fdatasync", descriptor); }
