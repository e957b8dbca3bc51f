/* The types `nn.Model` and `nn.Arena`: a model, the engine that runs it, and memory for both.
 *
 * Memory: the object holds three heap blocks (model bytes, instance, arena) by pointers to their starts,
 * which is what the collector follows. The output's memoryview holds the arena the same way, so it stays
 * readable for whoever kept it when the model is gone.
 *
 * Models that keep nothing in their arena between two runs may use one `nn.Arena`. They run one at a time
 * anyway, and each writes its input before it runs. What one has said must outlast the run of the next, so
 * its output is copied to a block of the model's own before another may begin.
 */
#include <stdio.h>
#include <string.h>

#include "py/mpthread.h"
#include "py/runtime.h"

#include "engine.h"
#include "nn.h"

/* Engines of this build, each as X(engine). */
#ifndef NN_ENGINES
#define NN_ENGINES
#endif
#define X(engine) extern const nn_engine engine;
NN_ENGINES
#undef X
#define X(engine) &engine,
static const nn_engine *const engines[] = {NN_ENGINES NULL};
#undef X

/* True while any model runs without the lock: kernels of one engine share memory between models (ESP-NN's
 * scratch buffers are static). Only changed with the lock held. */
static bool engine_busy;

/* A heap block; data is where it is aligned. */
typedef struct {
    uint8_t *start;
    size_t size;
    uint8_t *data;
} nn_block;

typedef struct {
    mp_obj_base_t base;
    const nn_engine *engine;
    bool loaded;  /* there is an instance to unload */
    bool running; /* invoke is at work without the lock */
    mp_obj_t model;
    const uint8_t *bytes;
    size_t size;
    nn_block instance, arena;
    int8_t *said; /* of a model in a shared arena: its output's own block; else NULL */
    nn_info info;
    mp_obj_t input_shape, output_shape, output;
} nn_model;

static bool block_new(nn_block *block, size_t size) {
    block->size = size + NN_ALIGNMENT - 1;
    block->start = m_new_maybe(uint8_t, block->size);
    if (block->start == NULL) {
        return false;
    }
    block->data = block->start + (-(uintptr_t)block->start & (NN_ALIGNMENT - 1));
    return true;
}

typedef struct {
    mp_obj_base_t base;
    nn_block block;
    size_t size;
} nn_arena;

static void block_free(nn_block *block) {
    m_del(uint8_t, block->start, block->size);
    block->start = NULL;
}

static MP_NORETURN void refuse(const char *reason) {
    mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("model: %s"), reason);
}

/* One attempt to load into an arena of `size` bytes. The arena remains only if it succeeds. */
static nn_status try_load(nn_model *self, size_t size) {
    if (!block_new(&self->arena, size)) {
        mp_raise_msg_varg(&mp_type_MemoryError,
                          MP_ERROR_TEXT("model: no %u bytes in one piece for its arena"), (unsigned)size);
    }
    nn_status status =
        self->engine->load(self->instance.data, self->bytes, self->size, self->arena.data, size, &self->info);
    if (status == NN_OK) {
        self->loaded = true;
    } else {
        block_free(&self->arena);
    }
    return status;
}

static void unload(nn_model *self) {
    if (self->loaded) {
        self->loaded = false;
        self->engine->unload(self->instance.data);
    }
}

/* Loads into exactly `size` bytes. */
static void load_given(nn_model *self, size_t size) {
    nn_status status = try_load(self, size);
    if (status == NN_ARENA) {
        mp_raise_msg_varg(&mp_type_MemoryError,
                          MP_ERROR_TEXT("model: arena_size %u is too small, it needs %u or more"),
                          (unsigned)size, (unsigned)self->info.arena);
    }
    if (status != NN_OK) {
        refuse(self->info.reason);
    }
    self->info.arena = size;
}

/* Finds out how large the arena must be: grows it until the model loads, then loads again into what it used.
 * Loading can need a little more than what is in use afterwards, hence small steps from there back up. */
static void load_fitting(nn_model *self) {
    size_t size = self->info.arena, enough = 0;
    for (;;) {
        size = (size + NN_ALIGNMENT - 1) / NN_ALIGNMENT * NN_ALIGNMENT;
        nn_status status = try_load(self, size);
        size_t needed = self->info.arena;
        if (status == NN_INVALID || (status == NN_ARENA && (needed <= size || size == enough))) {
            refuse(status == NN_INVALID ? self->info.reason
                                        : "its engine does not know how much memory it needs");
        }
        if (status == NN_OK && (enough != 0 || needed >= size)) {
            self->info.arena = size;
            return;
        }
        if (status == NN_OK) {
            enough = size;
            unload(self);
            block_free(&self->arena);
            size = needed;
        } else if (enough != 0) {
            size = MIN(needed, enough);
        } else {
            size = MAX(needed, size + size / 4);
        }
    }
}

/* Loads into the arena of other models. */
static void load_shared(nn_model *self, const nn_arena *arena) {
    if (self->engine->keeps == NULL || self->engine->keeps(self->bytes)) {
        refuse("it keeps state in its arena, which must be its own");
    }
    if (self->engine->load(self->instance.data, self->bytes, self->size, arena->block.data, arena->size,
                           &self->info) != NN_OK) {
        mp_raise_msg_varg(&mp_type_MemoryError,
                          MP_ERROR_TEXT("model: an arena of %u bytes is too small, it needs %u or more"),
                          (unsigned)arena->size, (unsigned)self->info.arena);
    }
    self->loaded = true;
    self->arena = arena->block;
    self->said = m_new(int8_t, self->info.output.size);
    memset(self->said, 0, self->info.output.size);
}

static mp_obj_t shape_tuple(const nn_tensor *tensor) {
    mp_obj_t items[NN_RANK];
    for (size_t i = 0; i < tensor->rank; i++) {
        items[i] = mp_obj_new_int(tensor->shape[i]);
    }
    return mp_obj_new_tuple(tensor->rank, items);
}

static void choose_engine(nn_model *self) {
    for (const nn_engine *const *engine = engines; *engine != NULL; engine++) {
        if ((*engine)->probe(self->bytes, self->size)) {
            self->engine = *engine;
            return;
        }
    }
    if (self->size >= 8 && memcmp(self->bytes + 4, "TFL3", 4) == 0) {
        refuse("a TensorFlow Lite model, and this firmware was built without TFLM");
    }
    if (self->size >= 4 && memcmp(self->bytes, "CMOD", 4) == 0) {
        refuse("a container, open it with node.model first");
    }
    if (self->size >= 4 && memcmp(self->bytes, "CPM", 3) == 0) {
        refuse("a packed model (.cpm), and this firmware was built without its engine");
    }
    refuse("no format that an engine of this firmware knows");
}

/* Checks the bytes of a model and asks its engine about it. */
static void look_into(nn_model *self, mp_obj_t model) {
    mp_buffer_info_t blob;
    mp_get_buffer_raise(model, &blob, MP_BUFFER_READ);
    self->model = model;
    self->bytes = blob.buf;
    self->size = blob.len;
    if (self->size > NN_MODEL_MAX) {
        refuse("larger than 16 MiB");
    }
    choose_engine(self);
    if ((uintptr_t)self->bytes % NN_ALIGNMENT != 0) {
        refuse("its bytes must lie at an address divisible by 16, copy them with bytes()");
    }
    if (self->engine->plan(self->bytes, self->size, &self->info) != NN_OK) {
        refuse(self->info.reason);
    }
}

static mp_obj_t needs(mp_obj_t model_in) {
    nn_model asked;
    memset(&asked, 0, sizeof(asked));
    look_into(&asked, model_in);
    const bool keeps = asked.engine->keeps == NULL || asked.engine->keeps(asked.bytes);
    mp_obj_t items[] = {mp_obj_new_int_from_uint(asked.info.arena), mp_obj_new_bool(!keeps)};
    return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
MP_DEFINE_CONST_FUN_OBJ_1(nn_needs_obj, needs);

static mp_obj_t arena_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    const mp_int_t size = mp_obj_get_int(args[0]);
    if (size < 1 || (size_t)size > NN_MODEL_MAX) {
        mp_raise_ValueError(MP_ERROR_TEXT("an arena has 1 byte to 16 MiB"));
    }
    nn_arena *self = mp_obj_malloc(nn_arena, type);
    self->size = (size_t)size;
    if (!block_new(&self->block, self->size)) {
        mp_raise_msg_varg(&mp_type_MemoryError, MP_ERROR_TEXT("no %u bytes in one piece for an arena"),
                          (unsigned)size);
    }
    return MP_OBJ_FROM_PTR(self);
}

static void arena_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    const nn_arena *self = MP_OBJ_TO_PTR(self_in);
    if (dest[0] == MP_OBJ_NULL && attr == MP_QSTR_size) {
        dest[0] = mp_obj_new_int_from_uint(self->size);
    }
}

/* clang-format off */
MP_DEFINE_CONST_OBJ_TYPE(
    nn_type_Arena,
    MP_QSTR_Arena,
    MP_TYPE_FLAG_NONE,
    make_new, arena_make_new,
    attr, arena_attr
    );
/* clang-format on */

/* The arena that was given, or NULL for None. */
static const nn_arena *arena_of(mp_obj_t given) {
    if (given != mp_const_none && !mp_obj_is_type(given, &nn_type_Arena)) {
        mp_raise_TypeError(MP_ERROR_TEXT("model: arena must be an nn.Arena"));
    }
    return given == mp_const_none ? NULL : MP_OBJ_TO_PTR(given);
}

static mp_obj_t model_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    static const mp_arg_t allowed[] = {
        {MP_QSTR_blob, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
        {MP_QSTR_arena_size, MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_arena, MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
    };
    mp_arg_val_t values[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all_kw_array(n_args, n_kw, args, MP_ARRAY_SIZE(allowed), allowed, values);
    if (values[1].u_int < 0) {
        refuse("arena_size must not be negative");
    }
    const nn_arena *const shared = arena_of(values[2].u_obj);
    if (shared != NULL && values[1].u_int != 0) {
        refuse("arena_size or arena, not both");
    }

    nn_model *self = mp_obj_malloc_with_finaliser(nn_model, type);
    memset((uint8_t *)self + sizeof(self->base), 0, sizeof(*self) - sizeof(self->base));
    look_into(self, values[0].u_obj);
    if (!block_new(&self->instance, self->engine->instance_size)) {
        m_malloc_fail(self->engine->instance_size);
    }
    while (engine_busy) { /* loading may run the model, to test accelerated kernels */
        mp_event_wait_ms(1);
    }
    if (shared != NULL) {
        load_shared(self, shared);
    } else if (values[1].u_int != 0) {
        load_given(self, (size_t)values[1].u_int);
    } else {
        load_fitting(self);
    }
    self->input_shape = shape_tuple(&self->info.input);
    self->output_shape = shape_tuple(&self->info.output);
    /* A shared arena is the other models' next. */
    uint8_t *block = self->said != NULL ? (uint8_t *)self->said : self->arena.start;
    size_t offset = self->said != NULL ? 0 : (size_t)((uint8_t *)self->info.output.data - block);
    self->output = nn_memoryview(self->info.output.is_unsigned ? 'B' : 'b', block, offset,
                                 self->info.output.size, false);
    return MP_OBJ_FROM_PTR(self);
}

/* The object, if it can run now. */
static nn_model *ready(mp_obj_t self_in) {
    nn_model *self = MP_OBJ_TO_PTR(self_in);
    if (!self->loaded) {
        refuse("it was closed");
    }
    if (self->running) {
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("model: it is running in another thread"));
    }
    return self;
}

/* Until the engine is free, and then the object, if it still can run. Call `done` when it has. */
static nn_model *begin(mp_obj_t self_in) {
    while (engine_busy) {
        mp_event_wait_ms(1);
    }
    nn_model *self = ready(self_in);
    self->running = engine_busy = true;
    return self;
}

static void done(nn_model *self) {
    self->running = engine_busy = false;
}

static mp_obj_t model_invoke(mp_obj_t self_in, mp_obj_t features_in) {
    nn_model *self = ready(self_in);
    mp_buffer_info_t features;
    mp_get_buffer_raise(features_in, &features, MP_BUFFER_READ);
    if (features.len != self->info.input.size) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("model: it takes %u features, not %u"),
                          (unsigned)self->info.input.size, (unsigned)features.len);
    }
    self = begin(self_in);
    memcpy(self->info.input.data, features.buf, features.len);
    MP_THREAD_GIL_EXIT();
    bool ran = self->engine->invoke(self->instance.data);
    MP_THREAD_GIL_ENTER();
    if (self->said != NULL) {
        memcpy(self->said, self->info.output.data, self->info.output.size);
    }
    done(self);
    if (!ran) {
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("model: its engine failed to run it"));
    }
    return self->output;
}
static MP_DEFINE_CONST_FUN_OBJ_2(model_invoke_obj, model_invoke);

static mp_obj_t model_state_reset(mp_obj_t self_in) {
    nn_model *self = ready(self_in);
    if (!self->engine->state_reset(self->instance.data)) {
        mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("model: its engine failed to reset it"));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(model_state_reset_obj, model_state_reset);

static mp_obj_t model_selftest(mp_obj_t self_in) {
    nn_model *self = ready(self_in);
    if (self->engine->selftest == NULL) {
        return mp_const_none;
    }
    self = begin(self_in);
    MP_THREAD_GIL_EXIT();
    nn_selftest result = self->engine->selftest(self->instance.data);
    MP_THREAD_GIL_ENTER();
    done(self);
    return result == NN_NO_SELFTEST ? mp_const_none : mp_obj_new_bool(result == NN_PASSED);
}
static MP_DEFINE_CONST_FUN_OBJ_1(model_selftest_obj, model_selftest);

/* Closing twice is no error. What the output's memoryview shows stays. */
static mp_obj_t model_deinit(mp_obj_t self_in) {
    nn_model *self = MP_OBJ_TO_PTR(self_in);
    if (self->loaded) {
        unload(ready(self_in));
        self->model = self->output = mp_const_none;
        self->bytes = NULL;
        self->instance = self->arena = (nn_block){0};
        self->said = NULL;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(model_deinit_obj, model_deinit);

/* Within a collection: no memory may be allocated, and freeing is the collector's. Only a soft reset collects
 * a running model: it has ended the thread. */
static mp_obj_t model_del(mp_obj_t self_in) {
    nn_model *self = MP_OBJ_TO_PTR(self_in);
    if (self->running) {
        self->running = engine_busy = false;
    }
    unload(self);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(model_del_obj, model_del);

static mp_obj_t model_exit(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    return model_deinit(args[0]);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(model_exit_obj, 4, 4, model_exit);

static void model_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    nn_model *self = MP_OBJ_TO_PTR(self_in);
    if (dest[0] != MP_OBJ_NULL) {
        return; /* nothing may be assigned */
    }
    switch (attr) {
    case MP_QSTR_engine:
        dest[0] = mp_obj_new_str_from_cstr(self->engine->name);
        break;
    case MP_QSTR_size:
        dest[0] = mp_obj_new_int_from_uint(self->size);
        break;
    case MP_QSTR_arena_size:
        dest[0] = mp_obj_new_int_from_uint(self->info.arena);
        break;
    case MP_QSTR_input_shape:
        dest[0] = self->input_shape;
        break;
    case MP_QSTR_input_scale:
        dest[0] = mp_obj_new_float_from_f(self->info.input.scale);
        break;
    case MP_QSTR_input_zero_point:
        dest[0] = mp_obj_new_int(self->info.input.zero_point);
        break;
    case MP_QSTR_output_shape:
        dest[0] = self->output_shape;
        break;
    case MP_QSTR_output_scale:
        dest[0] = mp_obj_new_float_from_f(self->info.output.scale);
        break;
    case MP_QSTR_output_zero_point:
        dest[0] = mp_obj_new_int(self->info.output.zero_point);
        break;
    default:
        dest[1] = MP_OBJ_SENTINEL; /* go on with the methods */
    }
}

static const mp_rom_map_elem_t model_locals_table[] = {
    {MP_ROM_QSTR(MP_QSTR_invoke), MP_ROM_PTR(&model_invoke_obj)},
    {MP_ROM_QSTR(MP_QSTR_state_reset), MP_ROM_PTR(&model_state_reset_obj)},
    {MP_ROM_QSTR(MP_QSTR_selftest), MP_ROM_PTR(&model_selftest_obj)},
    {MP_ROM_QSTR(MP_QSTR_deinit), MP_ROM_PTR(&model_deinit_obj)},
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&model_del_obj)},
    {MP_ROM_QSTR(MP_QSTR___enter__), MP_ROM_PTR(&mp_identity_obj)},
    {MP_ROM_QSTR(MP_QSTR___exit__), MP_ROM_PTR(&model_exit_obj)},
};
static MP_DEFINE_CONST_DICT(model_locals, model_locals_table);

/* clang-format off */
MP_DEFINE_CONST_OBJ_TYPE(
    nn_type_Model,
    MP_QSTR_Model,
    MP_TYPE_FLAG_NONE,
    make_new, model_make_new,
    attr, model_attr,
    locals_dict, &model_locals
    );
/* clang-format on */
