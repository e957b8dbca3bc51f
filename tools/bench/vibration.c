/* Runs the vibration front end on a bare RV32 machine and counts the instructions of every window.
 *
 * Reads the file "input" from the host by semihosting: samples, bands, axes, envelope (uint32 each), then
 * int16 frames. Writes the file "output": the count of NOPS instructions that do nothing, vib_size(), the
 * stack of vib_feed in bytes, the number of windows (uint32 each), the instructions of each window
 * (uint32[windows]) and its features (int8[windows][features]). All little-endian.
 */
#include <fcntl.h>
#include <unistd.h>

#include "bare.h"
#include "vibration.h"

#define SAMPLES 16384 /* of all axes */
#define FEATURES ((VIB_BANDS_MAX + VIB_STATISTICS + VIB_ENVELOPE_MAX) * VIB_AXES_MAX)

static struct {
    uint32_t samples, bands, axes, envelope;
    int16_t frames[SAMPLES];
} input;

static uint64_t memory[2048];
static uint32_t counts[SAMPLES / 256];
static int8_t features[SAMPLES / 256][FEATURES];

static vib_state *state(void) {
    return (vib_state *)memory;
}

/* A window on a stack that is measured. */
static void feed(void) {
    vib_feed(state(), input.frames, input.samples, features[0]);
}

int main(void) {
    const int from = open("input", O_RDONLY);
    const ssize_t size = read(from, &input, sizeof input);
    close(from);
    const size_t needed = vib_size(input.samples, input.bands, input.axes, input.envelope);
    if (size < 16 || needed > sizeof memory ||
        !vib_init(state(), input.samples, input.bands, input.axes, input.envelope)) {
        return 2;
    }
    const uint32_t stack = stack_used(feed);
    const size_t step = input.samples * input.axes, width = vib_features(state());
    uint32_t windows = 0;
    for (size_t at = 0; at + step <= ((size_t)size - 16) / sizeof(int16_t); at += step, windows++) {
        const uint32_t before = counter();
        vib_feed(state(), input.frames + at, input.samples, features[windows]);
        counts[windows] = counter() - before - reading();
    }
    const uint32_t head[] = {nops(), needed, stack, windows};
    const int to = open("output", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    write(to, head, sizeof head);
    write(to, counts, windows * sizeof *counts);
    for (uint32_t n = 0; n < windows; n++) {
        write(to, features[n], width);
    }
    return close(to);
}
