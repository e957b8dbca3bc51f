/* Fuzzes the loader and the kernels of packed models: whatever cpm_check lets through must run without a
 * fault.
 *
 * An input is a packed model. It is checked as it is, and once more with length and CRC put right, as no
 * mutation would get past these. If it passes, it is opened with an arena of just the size it asks for,
 * tested and run some times, unless that would take long. AddressSanitizer and UndefinedBehaviorSanitizer
 * watch.
 *
 * tests/engine/test_fuzz.py runs this for some seconds. A long run, from the repository's root, on all cores:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Ifirmware/engine/runtime \
 *         tests/engine/fuzz/packed_fuzzer.c firmware/engine/runtime/[a-z]*.c -o build/packed_fuzzer
 *     mkdir -p build/fuzz && cd build/fuzz
 *     ../packed_fuzzer -max_len=8192 -timeout=10 -jobs=$(nproc) -max_total_time=86400 . \
 *         ../../tests/engine/fuzz/corpus
 *
 * What fails stays behind as crash-*; after the repair it joins the corpus. Without clang, the file replay.c
 * beside this one makes a program of it that runs inputs from files.
 */
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "kernel.h"

/* Steps of inner loops in one invoke, and bytes of arena: more is not run. */
#define WORK_MAX (1u << 20)
#define ARENA_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What became of the last input, for replay.c: what cpm_check said of it, NULL if it was let through. */
const char *fuzz_verdict;

/* As accelerated kernels the portable ones: their results are right, and cpm_accelerate takes all its ways.
 */
static const cpm_kernel *const again[CPM_KINDS] = {
    [CPM_PLAIN_CONV] = &cpm_kernel_plain_conv,
    [CPM_PLAIN_DEPTHWISE] = &cpm_kernel_plain_depthwise,
};

static uint64_t work_of(const uint8_t *blob) {
    const cpm_header *const header = cpm_about(blob);
    uint64_t work = 0;
    uint32_t at = header->ops_at;
    for (unsigned i = 0; i < header->ops; i++) {
        const cpm_op *const op = (const void *)(blob + at);
        work += cpm_work(op);
        at += op->length;
    }
    return work;
}

static void use(const uint8_t *blob) {
    const cpm_header *const header = cpm_about(blob);
    if (header->arena > ARENA_MAX || work_of(blob) > WORK_MAX) {
        return;
    }
    cpm_model model;
    uint8_t *const arena = malloc(header->arena);
    memset(arena, 0xa5, header->arena);
    cpm_open(&model, blob, arena);
    if (!cpm_accelerate(&model, again)) {
        cpm_selftest(&model);
    }
    for (unsigned run = 0; run < 3; run++) {
        uint8_t *const input = cpm_input(&model);
        for (uint32_t i = 0; i < header->input.size; i++) {
            input[i] = (uint8_t)(i * 37 + run * 101);
        }
        cpm_invoke(&model);
        const cpm_ring *const ring = cpm_data(&model, header->rings_at);
        for (unsigned i = 0; i < header->rings; i++) {
            if (model.position[i] >= ring[i].row * ring[i].rows || model.position[i] % ring[i].row != 0) {
                abort(); /* a ring's position is one of its rows */
            }
        }
        /* Reads all of the output; the sum is of no interest. */
        volatile uint32_t sum = cpm_crc32(0, cpm_output(&model), header->output.size);
        (void)sum;
    }
    free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *const blob = malloc(size); /* of just this size, and aligned */
    memcpy(blob, data, size);
    fuzz_verdict = cpm_check(blob, size);
    if (fuzz_verdict != NULL && size % 4 == 0 && size > sizeof(cpm_header)) {
        cpm_header *const header = (void *)blob;
        header->size = (uint32_t)size;
        header->selftest_steps &= 3;
        const uint32_t crc = cpm_crc32_words(blob, size / 4 - 1);
        memcpy(blob + size - 4, &crc, 4);
        fuzz_verdict = cpm_check(blob, size);
    }
    if (fuzz_verdict == NULL) {
        use(blob);
    }
    free(blob);
    return 0;
}
