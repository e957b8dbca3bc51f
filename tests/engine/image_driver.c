/* Scales the frame on stdin, from exactly sized heap blocks, so that a sanitiser sees every stray access.
 * Arguments: frame width, frame height, crop x, y, width, height (width 0: the centred one), width, height,
 * form. */
#include <stdio.h>
#include <stdlib.h>

#include "scale.h"

int main(int argc, char **argv) {
    uint32_t n[9];
    if (argc != 10) {
        return 2;
    }
    for (int i = 0; i < 9; i++) {
        n[i] = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    const img_form form = (img_form)n[8];
    img_rect crop = {n[2], n[3], n[4], n[5]};
    if (crop.width == 0) {
        crop = img_centred(n[0], n[1], n[6], n[7]);
    }
    if (!img_fits(n[0], n[1], &crop, n[6], n[7])) {
        return 3;
    }
    const size_t in = (size_t)n[0] * n[1] * img_bytes(form), out = (size_t)n[6] * n[7] * img_bytes(form);
    uint8_t *frame = malloc(in), *result = malloc(out);
    if (frame == NULL || result == NULL || fread(frame, 1, in, stdin) != in) {
        return 4;
    }
    img_scale(frame, n[0], &crop, result, n[6], n[7], form);
    const int failed = fwrite(result, 1, out, stdout) != out;
    free(frame);
    free(result);
    return failed;
}
