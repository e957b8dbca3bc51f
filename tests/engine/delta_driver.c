/* Adds bytes in exactly sized heap blocks, so that a sanitiser sees every stray access. Arguments: distance
 * of target and of difference from a multiple of 16, number of bytes. Reads target and difference from stdin,
 * writes the sums; fails if a byte before the target changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "add.h"

int main(int argc, char **argv) {
    size_t n[3];
    if (argc != 4) {
        return 2;
    }
    for (int i = 0; i < 3; i++) {
        n[i] = (size_t)strtoul(argv[i + 1], NULL, 10);
    }
    uint8_t *target = malloc(n[0] + n[2]), *difference = malloc(n[1] + n[2]);
    if ((target == NULL && n[0] + n[2] != 0) || (difference == NULL && n[1] + n[2] != 0)) {
        return 3;
    }
    memset(target, 0x55, n[0]);
    if (fread(target + n[0], 1, n[2], stdin) != n[2] || fread(difference + n[1], 1, n[2], stdin) != n[2]) {
        return 4;
    }
    delta_add(target + n[0], difference + n[1], n[2]);
    for (size_t i = 0; i < n[0]; i++) {
        if (target[i] != 0x55) {
            return 5;
        }
    }
    const int failed = fwrite(target + n[0], 1, n[2], stdout) != n[2];
    free(target);
    free(difference);
    return failed;
}
