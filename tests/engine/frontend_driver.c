/* Runs the front end over the samples on stdin, for a build with sanitisers.
 *
 *     frontend_driver STEP_MS CHUNK FRAMES
 *
 * Feeds CHUNK samples at a time three ways at once and writes to stdout: each frame of fe_feed as
 * uint16[40], then the frames of fe_batch as uint16[n][40] and int8[n][40], then fe_push's window of
 * FRAMES rows. Every buffer is a heap block of exactly the size promised to the engine, so that touching
 * one element more is caught.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend.h"

static void *block(size_t size) {
    void *p = malloc(size);
    if (p == NULL && size != 0) {
        exit(3);
    }
    return p;
}

static void put(const void *data, size_t size) {
    if (size != 0 && fwrite(data, 1, size, stdout) != size) {
        exit(3);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        return 2;
    }
    const unsigned step_ms = (unsigned)strtoul(argv[1], NULL, 10);
    const size_t chunk = strtoul(argv[2], NULL, 10), rows = strtoul(argv[3], NULL, 10);
    fe_state *feed = block(fe_sizeof()), *push = block(fe_sizeof()), *batch = block(fe_sizeof());
    if (fe_init(feed, 5) || fe_init(feed, 0) || !fe_init(feed, step_ms) || !fe_init(push, step_ms) ||
        !fe_init(batch, step_ms)) {
        return 4;
    }
    int8_t *window = block(rows * FE_CHANNELS);
    if (rows != 0) {
        memset(window, 0, rows * FE_CHANNELS);
    }
    uint16_t *raw = NULL;
    int8_t *quantised = NULL;
    size_t frames = 0;
    int16_t *buffer = block(chunk * sizeof *buffer);
    for (size_t n; (n = fread(buffer, sizeof *buffer, chunk, stdin)) != 0;) {
        int16_t *pcm = block(n * sizeof *pcm);
        memcpy(pcm, buffer, n * sizeof *pcm);

        const size_t fresh = fe_frames(batch, n);
        raw = realloc(raw, (frames + fresh + 1) * FE_CHANNELS * sizeof *raw);
        quantised = realloc(quantised, (frames + fresh + 1) * FE_CHANNELS);
        uint16_t *fresh_raw = block(fresh * FE_CHANNELS * sizeof *raw);
        int8_t *fresh_quantised = block(fresh * FE_CHANNELS);
        if (fe_batch(batch, pcm, n, fresh_raw, fresh_quantised, fresh) != fresh ||
            fe_push(push, pcm, n, window, rows) != fresh) {
            return 5;
        }
        memcpy(raw + frames * FE_CHANNELS, fresh_raw, fresh * FE_CHANNELS * sizeof *raw);
        memcpy(quantised + frames * FE_CHANNELS, fresh_quantised, fresh * FE_CHANNELS);
        frames += fresh;
        free(fresh_raw);
        free(fresh_quantised);

        for (size_t done = 0, taken; done < n; done += taken) {
            uint16_t *out = block(FE_CHANNELS * sizeof *out);
            if (fe_feed(feed, pcm + done, n - done, &taken, out)) {
                put(out, FE_CHANNELS * sizeof *out);
            }
            free(out);
        }
        free(pcm);
    }
    put(raw, frames * FE_CHANNELS * sizeof *raw);
    put(quantised, frames * FE_CHANNELS);
    put(window, rows * FE_CHANNELS);
    free(raw);
    free(quantised);
    free(buffer);
    free(window);
    free(feed);
    free(push);
    free(batch);
    return 0;
}
