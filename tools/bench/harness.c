/* Runs the front end on a bare RV32 machine and counts the instructions of every frame.
 *
 * Reads the file "input" from the host by semihosting: step in milliseconds (uint32), then int16 samples.
 * Writes the file "output": sizeof(fe_state), the count of NOPS instructions that do nothing, the number
 * of frames (uint32 each), the instructions of each frame (uint32[frames]), its features
 * (uint16[frames][40]) and its row of the model's input (int8[frames][40]). All little-endian.
 *
 * The counter is the CSR minstret (RISC-V Privileged Architecture 1.12, 3.1.10).
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "frontend.h"

#define SECONDS 16
#define FRAMES 1600 /* of SECONDS, at the shorter step */
#define ROWS 49     /* of the model's input */
#define NOPS 1000
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

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

/* The assembler counts CSR instructions as an extension; naming it on the command line would make GCC
 * look for a C library built with it. */
__asm__(".option arch, +zicsr");

/* The low word: a frame is far shorter than 2^32 instructions, so differences are right. */
static inline uint32_t retired(void) {
    uint32_t count;
    __asm__ volatile("csrr %0, minstret" : "=r"(count) : : "memory");
    return count;
}

/* What two readings with nothing between them differ by. */
static uint32_t reading(void) {
    const uint32_t before = retired();
    return retired() - before;
}

static uint32_t nops(void) {
    const uint32_t before = retired();
    __asm__ volatile(".rept " TEXT(NOPS) "\n nop\n .endr");
    return retired() - before - reading();
}

static size_t run(size_t samples) {
    const size_t step = input.step_ms * (FE_RATE / 1000);
    const int16_t *pcm = input.pcm;
    size_t used, frames = 0;
    /* Now each further step of samples completes one frame. */
    fe_push(&counted, pcm, FE_WINDOW - step, window[0], ROWS);
    fe_feed(&plain, pcm, FE_WINDOW - step, &used, features[0]);
    for (size_t at = FE_WINDOW - step; at + step <= samples; at += step, frames++) {
        const uint32_t before = retired();
        fe_push(&counted, pcm + at, step, window[0], ROWS);
        counts[frames] = retired() - before - reading();
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
    const uint32_t head[] = {fe_sizeof(), nops(), frames};
    const int to = open("output", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    write(to, head, sizeof head);
    write(to, counts, frames * sizeof *counts);
    write(to, features, frames * sizeof *features);
    write(to, rows, frames * sizeof *rows);
    return close(to);
}
