/* Feeds a vibration front end from stdin, for sanitizers.
 *
 * Arguments: samples, bands, axes, frames a call, bands of the envelope, rate and speed as of vib_set_speed
 * (rate 0: it is not called). Writes the features of every window. Memory, frames and features are heap
 * blocks of exactly the size promised to the engine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vibration.h"

static void *block(size_t size) {
    void *p = malloc(size);
    if (p == NULL && size != 0) {
        exit(3);
    }
    return p;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        return 2;
    }
    const unsigned samples = (unsigned)atoi(argv[1]), bands = (unsigned)atoi(argv[2]),
                   axes = (unsigned)atoi(argv[3]);
    const size_t chunk = (size_t)atoi(argv[4]);
    const unsigned envelope = (unsigned)atoi(argv[5]);
    const uint32_t rate = (uint32_t)atoi(argv[6]), speed = (uint32_t)atoi(argv[7]);
    vib_state *s = block(vib_size(samples, bands, axes, envelope));
    if (!vib_init(s, samples, bands, axes, envelope)) {
        return 4;
    }
    if (rate != 0 && !vib_set_speed(s, rate, speed)) {
        return 5;
    }
    const size_t width = vib_features(s);
    int16_t *buffer = block(chunk * axes * sizeof *buffer);
    for (size_t n; (n = fread(buffer, axes * sizeof *buffer, chunk, stdin)) != 0;) {
        int16_t *frames = block(n * axes * sizeof *frames);
        int8_t *features = block(width);
        memcpy(frames, buffer, n * axes * sizeof *frames);
        if (vib_feed(s, frames, n, features) != 0) {
            fwrite(features, 1, width, stdout);
        }
        free(frames);
        free(features);
    }
    free(buffer);
    free(s);
    return 0;
}
