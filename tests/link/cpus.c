/* Prints how many threads cnnrt would use: run with affinity masks and container quotas. */
#include <stdio.h>

#include "cnnrt.h"

int main(void) {
    printf("%u\n", cnnrt_default_threads());
    return 0;
}
