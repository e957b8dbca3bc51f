/* Runs the front end on a bare RV32 machine and counts the instructions of every frame.
 *
 * Reads the file "input" from the host by semihosting: step in milliseconds (uint32), then int16 samples.
 * Writes the file "output": sizeof(fe_state), the count of NOPS instructions that do nothing, the number
 * of frames, the stack of fe_push in bytes (uint32 each), the instructions of each frame (uint32[frames]),
 * its features (uint16[frames][40]) and its row of the model's input (int8[frames][40]). All little-endian.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bare.h"
#include "frontend.h"

#define SECONDS 16
#define FRAMES 1600 /* of SECONDS, at the shorter step */
#define ROWS 49     /* of the model's input */

static struct {
    uint32_t step_ms;
    int16_t pcm[SECONDS * FE_RATE];
} input;

static uint32_t counts[FRAMES];
static uint16_t features[FRAMES][FE_CHANNELS];
static int8_t rows[FRAMES][FE_CHANNELS];
/* Aligned as a heap block is, since memmove goes by words where it can. */
static int8_t window[ROWS][FE_CHANNELS] __attribute__((aligned(4)));
static fe_state counted, plain;

/* Three frames on a stack that is measured; the state goes on from where it was. */
static void push(void) {
    fe_push(&counted, input.pcm, 3 * input.step_ms * (FE_RATE / 1000), window[0], ROWS);
}

static size_t run(size_t samples) {
    const size_t step = input.step_ms * (FE_RATE / 1000);
    const int16_t *pcm = input.pcm;
    size_t used, frames = 0;
    /* Now each further step of samples completes one frame. */
    fe_push(&counted, pcm, FE_WINDOW - step, window[0], ROWS);
    fe_feed(&plain, pcm, FE_WINDOW - step, &used, features[0]);
    for (size_t at = FE_WINDOW - step; at + step <= samples; at += step, frames++) {
        const uint32_t before = counter();
        fe_push(&counted, pcm + at, step, window[0], ROWS);
        counts[frames] = counter() - before - reading();
        memcpy(rows[frames], window[ROWS - 1], FE_CHANNELS);
        fe_feed(&plain, pcm + at, step, &used, features[frames]);
    }
    return frames;
}

int main(void) {
    const int from = open("input", O_RDONLY);
    const ssize_t size = read(from, &input, sizeof input);
    close(from);
    if (size < (ssize_t)sizeof input.step_ms || !fe_init(&counted, input.step_ms) ||
        !fe_init(&plain, input.step_ms)) {
        return 2;
    }
    const size_t frames = run(((size_t)size - sizeof input.step_ms) / sizeof(int16_t));
    const uint32_t head[] = {fe_sizeof(), nops(), frames, stack_used(push)};
    const int to = open("output", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    write(to, head, sizeof head);
    write(to, counts, frames * sizeof *counts);
    write(to, features, frames * sizeof *features);
    write(to, rows, frames * sizeof *rows);
    return close(to);
}
