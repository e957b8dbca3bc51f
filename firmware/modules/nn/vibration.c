/* The type `nn.VibrationFrontEnd`: the engine's vibration front end and the features of its newest window. */
#include <string.h>

#include "py/runtime.h"

#include "nn.h"
#include "vibration/vibration.h"

typedef struct {
    mp_obj_base_t base;
    mp_obj_t view; /* memoryview of features */
    int8_t *features;
    size_t count;
    size_t frame; /* bytes */
    vib_state *state;
} nn_vibration;

static mp_obj_t vibration_reset(mp_obj_t self_in) {
    nn_vibration *self = MP_OBJ_TO_PTR(self_in);
    vib_reset(self->state);
    memset(self->features, -128, self->count);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(vibration_reset_obj, vibration_reset);

static mp_obj_t vibration_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
                                   const mp_obj_t *args) {
    static const mp_arg_t allowed[] = {
        {MP_QSTR_samples, MP_ARG_REQUIRED | MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_bands, MP_ARG_REQUIRED | MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_axes, MP_ARG_REQUIRED | MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_envelope, MP_ARG_INT, {.u_int = 0}},
    };
    mp_arg_val_t values[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all_kw_array(n_args, n_kw, args, MP_ARRAY_SIZE(allowed), allowed, values);
    /* A negative number becomes one that is too large. */
    const unsigned samples = (unsigned)values[0].u_int, bands = (unsigned)values[1].u_int,
                   axes = (unsigned)values[2].u_int, envelope = (unsigned)values[3].u_int;
    const size_t size = vib_size(samples, bands, axes, envelope);
    if (size == 0) {
        mp_raise_ValueError(MP_ERROR_TEXT(
            "samples must be 256, 512 or 1024, bands 8 to 32, axes 1 or 3, envelope 0 or 8 to 32"));
    }
    nn_vibration *self = mp_obj_malloc(nn_vibration, type);
    self->state = m_malloc(size);
    vib_init(self->state, samples, bands, axes, envelope);
    self->frame = axes * sizeof(int16_t);
    self->count = vib_features(self->state);
    self->features = m_new(int8_t, self->count);
    self->view = nn_memoryview('b', self->features, 0, self->count, true);
    vibration_reset(MP_OBJ_FROM_PTR(self));
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t vibration_feed(mp_obj_t self_in, mp_obj_t frames_in) {
    nn_vibration *self = MP_OBJ_TO_PTR(self_in);
    mp_buffer_info_t frames;
    mp_get_buffer_raise(frames_in, &frames, MP_BUFFER_READ);
    if (frames.len % self->frame != 0) {
        mp_raise_ValueError(
            MP_ERROR_TEXT("frames have 2 bytes for each axis, and the last one is not whole"));
    }
    size_t count = frames.len / self->frame, windows = 0;
    if ((uintptr_t)frames.buf % sizeof(int16_t) == 0) {
        windows = vib_feed(self->state, frames.buf, count, self->features);
    } else {
        /* Samples at an odd address, such as those behind a header: chips cannot read them there. */
        int16_t some[20 * VIB_AXES_MAX];
        for (size_t done = 0; done < count;) {
            size_t n = MIN(count - done, 20);
            memcpy(some, (const uint8_t *)frames.buf + done * self->frame, n * self->frame);
            windows += vib_feed(self->state, some, n, self->features);
            done += n;
        }
    }
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)windows);
}
static MP_DEFINE_CONST_FUN_OBJ_2(vibration_feed_obj, vibration_feed);

/* In tenths; on the host tools/vibration.py rounds alike. */
static uint32_t tenths(mp_obj_t number, mp_float_t least) {
    const mp_float_t value = mp_obj_get_float(number);
    if (!(value >= least && value < MICROPY_FLOAT_CONST(1e8))) {
        mp_raise_ValueError(MP_ERROR_TEXT("rate_hz must be 0.1 to 1e8 and rpm 0 to 1e8"));
    }
    return (uint32_t)(10 * value + MICROPY_FLOAT_CONST(0.5));
}

static mp_obj_t vibration_speed(mp_obj_t self_in, mp_obj_t rate, mp_obj_t rpm) {
    nn_vibration *self = MP_OBJ_TO_PTR(self_in);
    if (!vib_set_speed(self->state, tenths(rate, MICROPY_FLOAT_CONST(0.1)), tenths(rpm, 0))) {
        mp_raise_ValueError(MP_ERROR_TEXT("only the bands of an envelope follow the speed"));
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(vibration_speed_obj, vibration_speed);

static void vibration_attr(mp_obj_t self_in, qstr attr, mp_obj_t *dest) {
    nn_vibration *self = MP_OBJ_TO_PTR(self_in);
    if (dest[0] != MP_OBJ_NULL) {
        return; /* nothing may be assigned */
    }
    if (attr == MP_QSTR_features) {
        dest[0] = self->view;
    } else {
        dest[1] = MP_OBJ_SENTINEL; /* go on with the methods */
    }
}

static const mp_rom_map_elem_t vibration_locals_table[] = {
    {MP_ROM_QSTR(MP_QSTR_feed), MP_ROM_PTR(&vibration_feed_obj)},
    {MP_ROM_QSTR(MP_QSTR_reset), MP_ROM_PTR(&vibration_reset_obj)},
    {MP_ROM_QSTR(MP_QSTR_speed), MP_ROM_PTR(&vibration_speed_obj)},
};
static MP_DEFINE_CONST_DICT(vibration_locals, vibration_locals_table);

/* clang-format off */
MP_DEFINE_CONST_OBJ_TYPE(
    nn_type_VibrationFrontEnd,
    MP_QSTR_VibrationFrontEnd,
    MP_TYPE_FLAG_NONE,
    make_new, vibration_make_new,
    attr, vibration_attr,
    locals_dict, &vibration_locals
    );
/* clang-format on */
