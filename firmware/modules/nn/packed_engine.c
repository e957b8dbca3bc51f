/* Packed models (.cpm) as an engine: the runtime of firmware/engine/runtime. */
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "runtime/cpm.h"

#ifdef NN_ACCELERATED
#include "accelerated.h"
#endif

static bool probe(const uint8_t *model, size_t size) {
    return size >= 4 && memcmp(model, "CPM", 3) == 0; /* of any version: the check says which it knows */
}

static void describe(const cpm_io *io, nn_tensor *tensor) {
    tensor->rank = io->rank;
    for (size_t i = 0; i < io->rank; i++) {
        tensor->shape[i] = (int32_t)io->shape[i];
    }
    tensor->size = io->size;
    memcpy(&tensor->scale, &io->scale, sizeof(tensor->scale));
    tensor->zero_point = io->zero_point;
    tensor->is_unsigned = io->dtype == CPM_UINT8;
}

/* In steps of the alignment, as the arena is asked for. */
static size_t needed(const uint8_t *model) {
    return (cpm_about(model)->arena + (size_t)NN_ALIGNMENT - 1) / NN_ALIGNMENT * NN_ALIGNMENT;
}

static nn_status plan(const uint8_t *model, size_t size, nn_info *info) {
    const char *wrong = cpm_check(model, size);
    if (wrong != NULL) {
        snprintf(info->reason, sizeof(info->reason), "%s", wrong);
        return NN_INVALID;
    }
    describe(&cpm_about(model)->input, &info->input);
    describe(&cpm_about(model)->output, &info->output);
    info->arena = needed(model);
    return NN_OK;
}

static nn_status load(void *instance, const uint8_t *model, size_t size, void *arena, size_t arena_size,
                      nn_info *info) {
    (void)size; /* plan has looked */
    info->arena = needed(model);
    if (arena_size < cpm_about(model)->arena) {
        return NN_ARENA;
    }
    cpm_open(instance, model, arena);
#ifdef NN_ACCELERATED
    cpm_accelerate(instance, nn_accelerated); /* where that fails, the portable kernels run the model */
#endif
    info->input.data = cpm_input(instance);
    info->output.data = (void *)(uintptr_t)cpm_output(instance);
    return NN_OK;
}

static bool invoke(void *instance) {
    cpm_invoke(instance);
    return true;
}

static bool state_reset(void *instance) {
    cpm_reset(instance);
    return true;
}

static nn_selftest selftest(void *instance) {
    const cpm_model *model = instance;
    if (cpm_about(model->blob)->selftest_steps == 0) {
        return NN_NO_SELFTEST;
    }
    return cpm_selftest(instance) ? NN_PASSED : NN_FAILED;
}

static void unload(void *instance) {
    (void)instance;
}

/* What lasts lies in the states and rings that a reset sets. All else is written before it is read in every
 * run: training/pack gives values that live at different times one place. */
static bool keeps(const uint8_t *model) {
    return cpm_about(model)->states != 0 || cpm_about(model)->rings != 0;
}

const nn_engine nn_packed = {
    .name = "packed",
    .instance_size = sizeof(cpm_model),
    .probe = probe,
    .plan = plan,
    .load = load,
    .invoke = invoke,
    .state_reset = state_reset,
    .selftest = selftest,
    .unload = unload,
    .keeps = keeps,
};
