/* An engine for tests, whose arithmetic a test can do by itself.
 *
 * A model (little endian): header as below, then one int8 weight for each input.
 * out[j] = (sum of x[i] * w[i] over i = j modulo outputs) + state[j], modulo 256; then state[j] += 1.
 * Weights are read at every run, and a pattern fills the rest of the arena: whatever the collector wrongly
 * gives away is noticed.
 */
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "testing.h"

#define FAILS 1    /* invoke fails */
#define WAITS 2    /* invoke waits until nn_testing.let_go() is called, and outputs whether it was */
#define GUESSES 4  /* plan guesses far too little */
#define LIES 8     /* load never says what it needs */
#define THIRSTY 16 /* loading needs 100 bytes more than running */
#define PATTERN 0xa5

typedef struct {
    char magic[4]; /* TEST */
    uint16_t version, flags;
    uint32_t scratch; /* bytes of arena beside the tensors */
    uint8_t input_rank, output_rank, zero[2];
    int32_t input_shape[4], output_shape[4];
    float input_scale, output_scale;
    int32_t input_zero_point, output_zero_point;
} header;

typedef struct {
    const header *model;
    const int8_t *weights;
    int8_t *input, *output;
    uint8_t *state, *scratch;
    size_t inputs, outputs, scratch_size;
} instance;

int nn_testing_live;
volatile bool nn_testing_released;

static bool probe(const uint8_t *model, size_t size) {
    return size >= 4 && memcmp(model, "TEST", 4) == 0;
}

static bool tensor(nn_tensor *tensor, unsigned rank, const int32_t *shape, float scale, int32_t zero_point) {
    tensor->rank = rank;
    tensor->size = 1;
    tensor->scale = scale;
    tensor->zero_point = zero_point;
    for (unsigned i = 0; i < rank; i++) {
        tensor->shape[i] = shape[i];
        tensor->size *= (size_t)shape[i];
        if (shape[i] < 1 || shape[i] > 1024) {
            return false;
        }
    }
    return true;
}

static size_t needed(const nn_info *info, const header *h) {
    return info->input.size + 2 * info->output.size + h->scratch;
}

static nn_status plan(const uint8_t *model, size_t size, nn_info *info) {
    const header *h = (const header *)(const void *)model;
    if (size < sizeof(*h) || h->version != 1) {
        snprintf(info->reason, sizeof(info->reason), "a test model of another version");
        return NN_INVALID;
    }
    if (!tensor(&info->input, h->input_rank, h->input_shape, h->input_scale, h->input_zero_point) ||
        !tensor(&info->output, h->output_rank, h->output_shape, h->output_scale, h->output_zero_point)) {
        snprintf(info->reason, sizeof(info->reason), "a dimension out of bounds");
        return NN_INVALID;
    }
    if (size != sizeof(*h) + info->input.size) {
        snprintf(info->reason, sizeof(info->reason), "%u weights for %u inputs",
                 (unsigned)(size - sizeof(*h)), (unsigned)info->input.size);
        return NN_INVALID;
    }
    info->arena = (h->flags & GUESSES) ? 16 : 3 * needed(info, h);
    return NN_OK;
}

static nn_status load(void *memory, const uint8_t *model, size_t size, void *arena, size_t arena_size,
                      nn_info *info) {
    (void)size;
    instance *self = memory;
    const header *h = (const header *)(const void *)model;
    size_t wanted = needed(info, h);
    if (arena_size < wanted + ((h->flags & THIRSTY) ? 100 : 0)) {
        memset(arena, 0, arena_size);
        info->arena = (h->flags & LIES) ? arena_size : arena_size + 7;
        return NN_ARENA;
    }
    *self = (instance){.model = h, .weights = (const int8_t *)(model + sizeof(*h)), .input = arena};
    self->inputs = info->input.size;
    self->outputs = info->output.size;
    self->output = self->input + self->inputs;
    self->state = (uint8_t *)self->output + self->outputs;
    self->scratch = self->state + self->outputs;
    self->scratch_size = h->scratch;
    memset(self->state, 0, self->outputs);
    memset(self->scratch, PATTERN, self->scratch_size);
    info->input.data = self->input;
    info->output.data = self->output;
    info->arena = wanted;
    nn_testing_live++;
    return NN_OK;
}

static bool invoke(void *memory) {
    instance *self = memory;
    for (size_t i = 0; i < self->scratch_size; i++) {
        if (self->scratch[i] != PATTERN) {
            return false;
        }
    }
    if (self->model->flags & WAITS) {
        self->output[0] = nn_testing_wait();
        return true;
    }
    for (size_t j = 0; j < self->outputs; j++) {
        int sum = self->state[j]++;
        for (size_t i = j; i < self->inputs; i += self->outputs) {
            sum += self->input[i] * self->weights[i];
        }
        self->output[j] = (int8_t)(uint8_t)sum;
    }
    return !(self->model->flags & FAILS);
}

static bool state_reset(void *memory) {
    instance *self = memory;
    memset(self->state, 0, self->outputs);
    return !(self->model->flags & FAILS);
}

static void unload(void *memory) {
    (void)memory;
    nn_testing_live--;
}

const nn_engine nn_test_engine = {"test", sizeof(instance), probe, plan,   load,
                                  invoke, state_reset,      NULL,  unload, NULL};
