/* Module `cam`: see firmware/modules/cam.pyi for its contract. */
#include <string.h>

#include "py/mperrno.h"
#include "py/mpthread.h"
#include "py/obj.h"
#include "py/runtime.h"

#include "camera_driver.h"
#include "image/scale.h"

/* Names and sizes as in esp32-camera's sensor.h and sensor.c, up to the OV2640's largest. */
static const struct {
    const char *name;
    uint16_t width, height;
} SIZES[] = {
    {"96X96", 96, 96},     {"QQVGA", 160, 120},  {"QCIF", 176, 144}, {"HQVGA", 240, 176},
    {"240X240", 240, 240}, {"QVGA", 320, 240},   {"CIF", 400, 296},  {"HVGA", 480, 320},
    {"VGA", 640, 480},     {"SVGA", 800, 600},   {"XGA", 1024, 768}, {"HD", 1280, 720},
    {"SXGA", 1280, 1024},  {"UXGA", 1600, 1200},
};

static const qstr PIN_NAMES[CAMERA_PINS] = {
    MP_QSTR_d0,  MP_QSTR_d1,  MP_QSTR_d2,   MP_QSTR_d3,    MP_QSTR_d4,    MP_QSTR_d5,
    MP_QSTR_d6,  MP_QSTR_d7,  MP_QSTR_xclk, MP_QSTR_pclk,  MP_QSTR_vsync, MP_QSTR_href,
    MP_QSTR_sda, MP_QSTR_scl, MP_QSTR_pwdn, MP_QSTR_reset,
};

typedef struct {
    mp_obj_base_t base;
    camera_settings settings;
    bool open;
} camera_obj;

/* The one camera: does an object own it, and is a thread waiting for its frame? */
static bool taken, waiting;

static MP_NORETURN void fail(int error, const char *reason) {
    if (error == MP_EINVAL) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%s"), reason);
    }
    mp_obj_t arguments[2] = {MP_OBJ_NEW_SMALL_INT(error), mp_obj_new_str_from_cstr(reason)};
    nlr_raise(mp_obj_exception_make_new(&mp_type_OSError, 2, 0, arguments));
}

static void read_pins(mp_obj_t pins, int *numbers) {
    if (!mp_obj_is_dict_or_ordereddict(pins)) {
        mp_raise_TypeError(MP_ERROR_TEXT("pins must be a dict"));
    }
    mp_map_t *map = mp_obj_dict_get_map(pins);
    size_t known = 0;
    for (size_t i = 0; i < CAMERA_PINS; i++) {
        mp_map_elem_t *found = mp_map_lookup(map, MP_OBJ_NEW_QSTR(PIN_NAMES[i]), MP_MAP_LOOKUP);
        const bool spare = i == CAMERA_XCLK || i >= CAMERA_PWDN;
        numbers[i] = -1;
        known += found != NULL;
        if (found != NULL && !(spare && found->value == mp_const_none)) {
            const mp_int_t number = mp_obj_get_int(found->value);
            if (number < 0 || number > 63) {
                mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("pins: '%q' must be a pin's number"),
                                  PIN_NAMES[i]);
            }
            numbers[i] = (int)number;
        } else if (!spare) {
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("pins: '%q' is missing"), PIN_NAMES[i]);
        }
    }
    if (known != map->used) {
        mp_raise_ValueError(MP_ERROR_TEXT("pins: unknown name"));
    }
}

static void read_size(const char *name, camera_settings *settings) {
    for (size_t i = 0; i < MP_ARRAY_SIZE(SIZES); i++) {
        if (strcmp(name, SIZES[i].name) == 0) {
            settings->width = SIZES[i].width;
            settings->height = SIZES[i].height;
            return;
        }
    }
    mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("unknown frame '%s'"), name);
}

static mp_obj_t camera_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
                                const mp_obj_t *given) {
    enum { PINS, GRAYSCALE, FRAME, XCLK_HZ, BUFFERS };
    static const mp_arg_t allowed[] = {
        {MP_QSTR_pins, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
        {MP_QSTR_grayscale, MP_ARG_KW_ONLY | MP_ARG_BOOL, {.u_bool = true}},
        {MP_QSTR_frame, MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_rom_obj = MP_ROM_QSTR(MP_QSTR_QVGA)}},
        {MP_QSTR_xclk_hz, MP_ARG_KW_ONLY | MP_ARG_INT, {.u_int = 20000000}},
        {MP_QSTR_buffers, MP_ARG_KW_ONLY | MP_ARG_INT, {.u_int = 1}},
    };
    mp_arg_val_t arguments[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all_kw_array(n_args, n_kw, given, MP_ARRAY_SIZE(allowed), allowed, arguments);

    camera_obj *self = mp_obj_malloc_with_finaliser(camera_obj, type);
    self->open = false;
    read_pins(arguments[PINS].u_obj, self->settings.pins);
    read_size(mp_obj_str_get_str(arguments[FRAME].u_obj), &self->settings);
    self->settings.grayscale = arguments[GRAYSCALE].u_bool;
    if (arguments[XCLK_HZ].u_int < 1000000 || arguments[XCLK_HZ].u_int > 40000000) {
        mp_raise_ValueError(MP_ERROR_TEXT("xclk_hz must be 1000000 to 40000000"));
    }
    self->settings.xclk_hz = (uint32_t)arguments[XCLK_HZ].u_int;
    if (arguments[BUFFERS].u_int < 1 || arguments[BUFFERS].u_int > 2) {
        mp_raise_ValueError(MP_ERROR_TEXT("buffers must be 1 or 2"));
    }
    self->settings.buffers = (uint32_t)arguments[BUFFERS].u_int;

    if (taken) {
        fail(MP_EBUSY, "the camera is in use");
    }
    const char *reason = "";
    const int error = camera_open(&self->settings, &reason);
    if (error != 0) {
        fail(error, reason);
    }
    taken = self->open = true;
    return MP_OBJ_FROM_PTR(self);
}

/* The camera of an object, if nobody else is at work with it. */
static camera_obj *ready(mp_obj_t self_in) {
    camera_obj *self = MP_OBJ_TO_PTR(self_in);
    if (!self->open) {
        fail(MP_ENODEV, "the camera is off");
    }
    if (waiting) {
        fail(MP_EBUSY, "another thread waits for a frame");
    }
    return self;
}

/* Finaliser: nobody holds the object any more, or (soft reset) the threads are gone, waiting or not. */
static mp_obj_t camera_del(mp_obj_t self_in) {
    camera_obj *self = MP_OBJ_TO_PTR(self_in);
    if (self->open) {
        camera_close();
        taken = waiting = self->open = false;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(camera_del_obj, camera_del);

static mp_obj_t camera_deinit(mp_obj_t self_in) {
    camera_obj *self = MP_OBJ_TO_PTR(self_in);
    return self->open ? camera_del(ready(self_in)) : mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(camera_deinit_obj, camera_deinit);

static mp_obj_t camera_set_py(size_t n_args, const mp_obj_t *positional, mp_map_t *named) {
    static const mp_arg_t allowed[] = {
        {MP_QSTR_vflip, MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
        {MP_QSTR_hmirror, MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
    };
    static const camera_switch switches[] = {CAMERA_VFLIP, CAMERA_HMIRROR};
    mp_arg_val_t arguments[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all(n_args - 1, positional + 1, named, MP_ARRAY_SIZE(allowed), allowed, arguments);
    ready(positional[0]);
    for (size_t i = 0; i < MP_ARRAY_SIZE(allowed); i++) {
        if (arguments[i].u_obj != mp_const_none) {
            const char *reason = "";
            const int error = camera_set(switches[i], mp_obj_is_true(arguments[i].u_obj), &reason);
            if (error != 0) {
                fail(error, reason);
            }
        }
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(camera_set_obj, 1, camera_set_py);

/* A frame that the sensor began after this call; the driver keeps older ones. Each try takes one of those,
 * and there are no more than its buffers. */
static int take_new(const camera_settings *settings, camera_frame *frame, const char **reason) {
    const int64_t now = camera_now_us();
    for (uint32_t tries = 0; tries <= settings->buffers; tries++) {
        const int error = camera_take(frame, reason);
        if (error != 0) {
            return error;
        }
        if (frame->begun_us >= now) {
            return 0;
        }
        camera_give(frame);
    }
    *reason = "the camera delivers old frames only";
    return MP_EIO;
}

static uint32_t side(mp_int_t n) {
    return n < 1 || n > IMG_SIDE_MAX ? 0 : (uint32_t)n;
}

static mp_obj_t camera_capture_into(size_t n_args, const mp_obj_t *positional, mp_map_t *named) {
    enum { BUFFER, WIDTH, HEIGHT, CROP, SIGNED };
    static const mp_arg_t allowed[] = {
        {MP_QSTR_buffer, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
        {MP_QSTR_width, MP_ARG_REQUIRED | MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_height, MP_ARG_REQUIRED | MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_crop, MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
        {MP_QSTR_signed, MP_ARG_KW_ONLY | MP_ARG_BOOL, {.u_bool = false}},
    };
    mp_arg_val_t arguments[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all(n_args - 1, positional + 1, named, MP_ARRAY_SIZE(allowed), allowed, arguments);
    const camera_settings *settings = &ready(positional[0])->settings;

    const uint32_t width = side(arguments[WIDTH].u_int), height = side(arguments[HEIGHT].u_int);
    if (width == 0 || height == 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("width and height must be 1 to 4096"));
    }
    img_rect crop;
    if (arguments[CROP].u_obj == mp_const_none) {
        crop = img_centred(settings->width, settings->height, width, height);
    } else {
        mp_obj_t *items;
        mp_obj_get_array_fixed_n(arguments[CROP].u_obj, 4, &items);
        uint32_t n[4];
        for (size_t i = 0; i < 4; i++) {
            const mp_int_t item = mp_obj_get_int(items[i]);
            n[i] = item < 0 || item > IMG_SIDE_MAX ? UINT32_MAX : (uint32_t)item;
        }
        crop = (img_rect){n[0], n[1], n[2], n[3]};
    }
    if (!img_fits(settings->width, settings->height, &crop, width, height)) {
        mp_raise_ValueError(MP_ERROR_TEXT("crop must lie within the frame"));
    }
    if (arguments[SIGNED].u_bool && !settings->grayscale) {
        mp_raise_ValueError(MP_ERROR_TEXT("signed pixels are grayscale ones"));
    }
    const img_form form = !settings->grayscale ? IMG_RGB565 : arguments[SIGNED].u_bool ? IMG_INT8 : IMG_GRAY;
    const size_t size = (size_t)width * height * img_bytes(form);
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(arguments[BUFFER].u_obj, &buffer, MP_BUFFER_WRITE);
    if (buffer.len != size) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("buffer must be %u bytes, not %u"),
                          (unsigned)size, (unsigned)buffer.len);
    }

    camera_frame frame;
    const char *reason = "";
    waiting = true;
    MP_THREAD_GIL_EXIT();
    int error = take_new(settings, &frame, &reason);
    MP_THREAD_GIL_ENTER();
    waiting = false;
    if (error != 0) {
        fail(error, reason);
    }
    /* Nothing raises until the frame is given back. Meanwhile another thread may have changed the buffer. */
    if (!mp_get_buffer(arguments[BUFFER].u_obj, &buffer, MP_BUFFER_WRITE) || buffer.len != size) {
        error = MP_EINVAL;
        reason = "buffer changed its size";
    } else if (frame.width != settings->width || frame.height != settings->height) {
        error = MP_EIO;
        reason = "the sensor delivers frames of another size";
    } else {
        img_scale(frame.data, frame.width, &crop, buffer.buf, width, height, form);
    }
    camera_give(&frame);
    if (error != 0) {
        fail(error, reason);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(camera_capture_into_obj, 1, camera_capture_into);

static void camera_attr(mp_obj_t self_in, qstr name, mp_obj_t *dest) {
    const camera_settings *settings = &((camera_obj *)MP_OBJ_TO_PTR(self_in))->settings;
    if (dest[0] != MP_OBJ_NULL) {
        return; /* read only */
    }
    if (name == MP_QSTR_width) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(settings->width);
    } else if (name == MP_QSTR_height) {
        dest[0] = MP_OBJ_NEW_SMALL_INT(settings->height);
    } else if (name == MP_QSTR_grayscale) {
        dest[0] = mp_obj_new_bool(settings->grayscale);
    } else {
        dest[1] = MP_OBJ_SENTINEL; /* a method */
    }
}

static const mp_rom_map_elem_t camera_locals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&camera_del_obj)},
    {MP_ROM_QSTR(MP_QSTR_capture_into), MP_ROM_PTR(&camera_capture_into_obj)},
    {MP_ROM_QSTR(MP_QSTR_deinit), MP_ROM_PTR(&camera_deinit_obj)},
    {MP_ROM_QSTR(MP_QSTR_set), MP_ROM_PTR(&camera_set_obj)},
};
static MP_DEFINE_CONST_DICT(camera_locals, camera_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(cam_type_Camera, MP_QSTR_Camera, MP_TYPE_FLAG_NONE, make_new, camera_make_new,
                                attr, camera_attr, locals_dict, &camera_locals);

static const mp_rom_map_elem_t cam_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_cam)},
    {MP_ROM_QSTR(MP_QSTR_Camera), MP_ROM_PTR(&cam_type_Camera)},
};
static MP_DEFINE_CONST_DICT(cam_globals, cam_globals_table);

const mp_obj_module_t cam_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&cam_globals,
};

MP_REGISTER_MODULE(MP_QSTR_cam, cam_module);
