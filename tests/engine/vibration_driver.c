/* Feeds a vibration front end from stdin, for sanitizers.
 *
 * Arguments: samples, bands, axes, frames a call. Writes the features of every window. Memory, frames and
 * features are heap blocks of exactly the size promised to the engine.
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
    if (argc != 5) {
        return 2;
    }
    const unsigned samples = (unsigned)atoi(argv[1]), bands = (unsigned)atoi(argv[2]),
                   axes = (unsigned)atoi(argv[3]);
    const size_t chunk = (size_t)atoi(argv[4]);
    vib_state *s = block(vib_size(samples, bands, axes));
    if (!vib_init(s, samples, bands, axes)) {
        return 4;
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
