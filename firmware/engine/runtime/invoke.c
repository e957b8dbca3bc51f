/* Opens, resets and runs packed models, and tests them: what lies between the caller and the kernels. */
#include <string.h>

#include "crc32.h"
#include "kernel.h"

int8_t *cpm_row_at(const cpm_model *model, const cpm_view *view, unsigned ring, uint32_t y) {
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

void cpm_invoke(cpm_model *model) {
    const cpm_header *const header = cpm_about(model->blob);
    const cpm_op *op = cpm_data(model, header->ops_at);
    for (unsigned i = header->ops; i != 0; i--) {
        const cpm_kernel *const other = accelerated(model, op->kind);
        (other != NULL ? other : cpm_kernels[op->kind])->run(model, op);
        if (op->advance != 0) {
            const cpm_ring *const ring = cpm_ring_of(model, op->advance);
            uint32_t *const position = &model->position[op->advance - 1];
            *position += op->advance_rows * ring->row;
            if (*position >= ring->rows * ring->row) {
                *position -= ring->rows * ring->row;
            }
        }
        op = next(op);
    }
}

bool cpm_selftest(cpm_model *model) {
    const cpm_header *const header = cpm_about(model->blob);
    if (header->selftest_steps == 0) {
        return true;
    }
    uint32_t x = header->selftest_seed, crc = 0;
    cpm_reset(model);
    for (unsigned step = header->selftest_steps; step != 0; step--) {
        uint8_t *const input = cpm_input(model);
        for (uint32_t i = 0; i < header->input.size; i++) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            input[i] = (uint8_t)x;
        }
        cpm_invoke(model);
        crc = cpm_crc32(crc, cpm_output(model), header->output.size);
    }
    cpm_reset(model);
    return crc == header->selftest_crc;
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
    right = used && right && cpm_selftest(model);
    if (!right) {
        model->accelerated = before;
    }
    return right;
}
