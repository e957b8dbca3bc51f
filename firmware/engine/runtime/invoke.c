/* Opens, resets and runs packed models, and tests them: what lies between the caller and the kernels. */
#include "small.h"

#include <string.h>

#include "crc32.h"
#include "kernel.h"

/* The one copy for all that do not need to be fast. */
__attribute__((noinline)) int8_t *cpm_row_at(const cpm_model *model, const cpm_view *view, unsigned ring,
                                             uint32_t y) {
    return cpm_row(model, view, ring, y);
}

const cpm_header *cpm_about(const void *blob) {
    return blob;
}

void cpm_open(cpm_model *model, const void *blob, void *arena) {
    model->blob = blob;
    model->arena = arena;
    model->accelerated = NULL;
    cpm_reset(model);
}

void cpm_reset(cpm_model *model) {
    const cpm_header *const header = cpm_about(model->blob);
    const cpm_state *state = cpm_data(model, header->states_at);
    for (unsigned i = 0; i < header->states; i++, state++) {
        int8_t *const to = cpm_memory(model, state->at);
        if (state->from != 0) {
            memcpy(to, cpm_data(model, state->from), state->size);
        } else {
            memset(to, (int)(state->fill & 255), state->size);
        }
    }
    memset(model->position, 0, sizeof model->position);
}

void *cpm_input(const cpm_model *model) {
    return cpm_memory(model, cpm_about(model->blob)->input.at);
}

const void *cpm_output(const cpm_model *model) {
    return cpm_memory(model, cpm_about(model->blob)->output.at);
}

/* The accelerated kernel for a kind, or NULL. */
static const cpm_kernel *accelerated(const cpm_model *model, unsigned kind) {
    return model->accelerated == NULL ? NULL : model->accelerated[kind];
}

static const cpm_op *next(const cpm_op *op) {
    return (const void *)((const uint8_t *)op + op->length);
}

static void run(cpm_model *model, const cpm_op *op, const cpm_kernel *kernel) {
    kernel->run(model, op);
    if (op->advance != 0) {
        const cpm_ring *const ring = cpm_ring_of(model, op->advance);
        uint32_t *const position = &model->position[op->advance - 1];
        *position += op->advance_rows * ring->row;
        if (*position >= ring->rows * ring->row) {
            *position -= ring->rows * ring->row;
        }
    }
}

void cpm_invoke(cpm_model *model) {
    const cpm_header *const header = cpm_about(model->blob);
    const cpm_op *op = cpm_data(model, header->ops_at);
    for (unsigned i = header->ops; i != 0; i--, op = next(op)) {
        const cpm_kernel *const other = accelerated(model, op->kind);
        run(model, op, other != NULL ? other : cpm_kernels[op->kind]);
    }
}

/* The next input of the self-test from the generator's state; returns its new state. */
static uint32_t generate(const cpm_model *model, uint32_t x) {
    uint8_t *const input = cpm_input(model);
    for (uint32_t i = 0; i < cpm_about(model->blob)->input.size; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        input[i] = (uint8_t)x;
    }
    return x;
}

bool cpm_selftest(cpm_model *model) {
    const cpm_header *const header = cpm_about(model->blob);
    if (header->selftest_steps == 0) {
        return true;
    }
    uint32_t x = header->selftest_seed, crc = 0;
    cpm_reset(model);
    for (unsigned step = header->selftest_steps; step != 0; step--) {
        x = generate(model, x);
        cpm_invoke(model);
        crc = cpm_crc32(crc, cpm_output(model), header->output.size);
    }
    cpm_reset(model);
    return crc == header->selftest_crc;
}

/* Of what a plain operator has written. */
static uint32_t written(const cpm_model *model, const cpm_op *op) {
    const cpm_view *const out = &((const cpm_plain *)(const void *)op)->out;
    uint32_t crc = 0;
    for (uint32_t y = 0; y < out->h; y++) {
        const void *const row = cpm_row_at(model, out, op->out_ring, y);
        crc = cpm_crc32(crc, row, (out->w - 1u) * out->pitch + out->c);
    }
    return crc;
}

/* Runs the self-test's first inference; true if each operator with an accelerated kernel writes the same with
 * the portable one. Outputs of classifiers are the same for most inputs, so they alone would not tell. */
static bool agrees(cpm_model *model) {
    const cpm_header *const header = cpm_about(model->blob);
    const cpm_op *op = cpm_data(model, header->ops_at);
    bool same = true;
    cpm_reset(model);
    generate(model, header->selftest_seed);
    for (unsigned i = header->ops; i != 0; i--, op = next(op)) {
        const cpm_kernel *const other = accelerated(model, op->kind);
        uint32_t crc = 0;
        if (other != NULL) {
            other->run(model, op);
            crc = written(model, op);
        }
        run(model, op, cpm_kernels[op->kind]);
        same &= other == NULL || crc == written(model, op);
    }
    return same;
}

bool cpm_accelerate(cpm_model *model, const cpm_kernel *const *kernels) {
    const cpm_header *const header = cpm_about(model->blob);
    const cpm_checker checker = {model->blob, header->size - 4, header};
    const cpm_kernel *const *const before = model->accelerated;
    model->accelerated = kernels;
    const cpm_op *op = cpm_data(model, header->ops_at);
    bool used = false, right = header->selftest_steps != 0;
    for (unsigned i = header->ops; i != 0; i--, op = next(op)) {
        const cpm_kernel *const other = accelerated(model, op->kind);
        if (other != NULL) {
            used = true;
            right &= other->check(&checker, op) == NULL;
        }
    }
    right = used && right && agrees(model) && cpm_selftest(model);
    if (!right) {
        model->accelerated = before;
    }
    return right;
}
