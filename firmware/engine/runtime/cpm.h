/* Runs packed models (.cpm): INT8 networks that the host has compiled, executed where they lie in flash.
 *
 * No heap, no operating system, no floating point, no writable globals: a model's RAM is its `cpm_model` and
 * the arena, both the caller's. Everything in the blob is checked before it is believed: a model that passes
 * cannot read or write outside of blob, arena and structure. See docs/packed.md.
 *
 *     const char *wrong = cpm_check(blob, size);       (a phrase for people, NULL if all is well)
 *     cpm_open(&model, blob, arena);                   (cpm_about(blob)->arena bytes)
 *     memcpy(cpm_input(&model), features, cpm_about(blob)->input.size);
 *     cpm_invoke(&model);
 *     use(cpm_output(&model));
 */
#ifndef CICADA_CPM_H
#define CICADA_CPM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of blob and arena, bytes. Kernels read and write words where they can. */
#define CPM_ALIGNMENT 4

typedef struct cpm_kernel cpm_kernel; /* kernel.h */

typedef struct {
    const uint8_t *blob;
    uint8_t *arena;
    const cpm_kernel *const *accelerated; /* by kind, as cpm_accelerate took them; NULL without */
    uint32_t position[CPM_RINGS];         /* of each ring: bytes from its start to its oldest row */
} cpm_model;

/* Checks everything in a blob: magic, version, lengths, CRC, each operator with every place, shape and number
 * in it. Returns NULL, or in one short phrase what is wrong. Needs no RAM but the stack. */
const char *cpm_check(const void *blob, size_t size);

/* Of a checked blob. */
const cpm_header *cpm_about(const void *blob);

/* Makes a model of a checked blob and an arena of cpm_about(blob)->arena bytes, and resets it. */
void cpm_open(cpm_model *model, const void *blob, void *arena);

/* Puts the state of a streaming model back to what it was at first. */
void cpm_reset(cpm_model *model);

/* Where the input goes, and where the output lies after cpm_invoke: input.size and output.size bytes of the
 * header. */
void *cpm_input(const cpm_model *model);
const void *cpm_output(const cpm_model *model);

/* Runs the model once. */
void cpm_invoke(cpm_model *model);

/* Runs the self-test that the compiler put into the blob: `selftest_steps` inferences from a reset state,
 * whose inputs are the bytes of a xorshift generator, and the CRC-32 of all their outputs. Resets the state
 * before and after. False if the outputs are not those of TensorFlow Lite Micro's reference kernels; true if
 * there is no self-test (selftest_steps is 0). The generator is xorshift32 (Marsaglia 2003): x ^= x << 13; x
 * ^= x >> 17; x ^= x << 5, from selftest_seed on, one step and the lowest byte of it for each byte of input.
 */
bool cpm_selftest(cpm_model *model);

/* From now on operators of those kinds for which `kernels` (CPM_KINDS entries, which stay where they are) has
 * an entry are run by it; only the two plain kinds can have one. First each of these operators is checked by
 * its new kernel, then what it writes is compared with what the portable kernel writes, on the self-test's
 * first input, and then the self-test is run. False, and everything as it was, if one of these fails, if
 * there is no self-test, or if the model has no such operator. Resets the state. */
bool cpm_accelerate(cpm_model *model, const cpm_kernel *const *kernels);

#ifdef __cplusplus
}
#endif

#endif
