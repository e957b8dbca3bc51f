/* The type `nn.AudioFrontEnd`: the engine's front end with a rolling window of features. */
#include <string.h>

#include "py/runtime.h"

#include "frontend/frontend.h"
#include "nn.h"

#define FRAMES_MAX 255

typedef struct {
    mp_obj_base_t base;
    mp_obj_t window; /* memoryview of rows */
    int8_t *rows;    /* frames * FE_CHANNELS, a heap block of its own */
    size_t frames;
    fe_state state;
} nn_frontend;

static mp_obj_t frontend_reset(mp_obj_t self_in) {
    nn_frontend *self = MP_OBJ_TO_PTR(self_in);
    fe_reset(&self->state);
    memset(self->rows, -128, self->frames * FE_CHANNELS);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(frontend_reset_obj, frontend_reset);

static mp_obj_t frontend_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
                                  const mp_obj_t *args) {
    static const mp_arg_t allowed[] = {
        {MP_QSTR_step_ms, MP_ARG_REQUIRED | MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_frames, MP_ARG_REQUIRED | MP_ARG_INT, {.u_int = 0}},
    };
    mp_arg_val_t values[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all_kw_array(n_args, n_kw, args, MP_ARRAY_SIZE(allowed), allowed, values);
    mp_int_t step_ms = values[0].u_int, frames = values[1].u_int;
    nn_frontend *self = mp_obj_malloc(nn_frontend, type);
    if (frames < 1 || frames > FRAMES_MAX || step_ms < 0 || !fe_init(&self->state, (unsigned)step_ms)) {
        mp_raise_ValueError(MP_ERROR_TEXT("step_ms must be 10 or 20, frames 1 to 255"));
    }
    self->frames = (size_t)frames;
    self->rows = m_new(int8_t, self->frames *FE_CHANNELS);
    self->window = nn_memoryview('b', self->rows, 0, self->frames * FE_CHANNELS, true);
    frontend_reset(MP_OBJ_FROM_PTR(self));
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t frontend_feed(mp_obj_t self_in, mp_obj_t pcm_in) {
    nn_frontend *self = MP_OBJ_TO_PTR(self_in);
    mp_buffer_info_t pcm;
    mp_get_buffer_raise(pcm_in, &pcm, MP_BUFFER_READ);
    if (pcm.len % sizeof(int16_t) != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("samples have 2 bytes each, and there is one too many or too few"));
    }
    size_t count = pcm.len / sizeof(int16_t), gained = 0;
    if ((uintptr_t)pcm.buf % sizeof(int16_t) == 0) {
        gained = fe_push(&self->state, pcm.buf, count, self->rows, self->frames);
    } else {
        /* Samples at an odd address, such as those behind a header: chips cannot read them there. */
        int16_t some[64];
        for (size_t done = 0; done < count;) {
            size_t n = MIN(count - done, MP_ARRAY_SIZE(some));
            memcpy(some, (const uint8_t *)pcm.buf + done * sizeof(int16_t), n * sizeof(int16_t));
            gained += fe_push(&self->state, some, n, self->rows, self->frames);
            done += n;
        }
    }
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)gained);
}
static MP_DEFINE_CONST_FUN_OBJ_2(frontend_feed_obj, frontend_feed);

static void frontend_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    nn_frontend *self = MP_OBJ_TO_PTR(self_in);
    if (dest[0] != MP_OBJ_NULL) {
        return; /* nothing may be assigned */
    }
    if (attr == MP_QSTR_window) {
        dest[0] = self->window;
    } else {
        dest[1] = MP_OBJ_SENTINEL; /* go on with the methods */
    }
}

static const mp_rom_map_elem_t frontend_locals_table[] = {
    {MP_ROM_QSTR(MP_QSTR_feed), MP_ROM_PTR(&frontend_feed_obj)},
    {MP_ROM_QSTR(MP_QSTR_reset), MP_ROM_PTR(&frontend_reset_obj)},
};
static MP_DEFINE_CONST_DICT(frontend_locals, frontend_locals_table);

/* clang-format off */
MP_DEFINE_CONST_OBJ_TYPE(
    nn_type_AudioFrontEnd,
    MP_QSTR_AudioFrontEnd,
    MP_TYPE_FLAG_NONE,
    make_new, frontend_make_new,
    attr, frontend_attr,
    locals_dict, &frontend_locals
    );
/* clang-format on */
