/* A camera that shows a pattern, counts calls and fails when told.
 *
 * Pixel (x, y) of frame n is gray 7 x + 13 y + 29 n modulo 256; as RGB565 its bytes are 5 x + 11 y + 29 n and
 * 3 x + 17 y + 29 n. */
#include <string.h>
#ifdef __linux__
#include <time.h>
#endif

#include "py/mperrno.h"
#include "py/obj.h"
#include "py/runtime.h"

#include "camera_driver.h"

static struct {
    camera_settings settings;
    bool open, vflip, hmirror;
    int opened, closed, taken, given;
    int error;   /* of the next call that can fail */
    int stale;   /* frames left that were begun before they were asked for */
    int slow_ms; /* how long a frame takes */
    int grow;    /* pixels by which frames are wider than asked for */
    int64_t now_us;
    uint8_t picture[640 * 480];
} fake;

static int failed(const char **reason) {
    const int error = fake.error;
    fake.error = 0;
    *reason = "made to fail";
    return error;
}

int camera_open(const camera_settings *settings, const char **reason) {
    const int error = failed(reason);
    if (error == 0) {
        fake.settings = *settings;
        fake.open = true;
        fake.opened++;
        fake.vflip = fake.hmirror = false;
    }
    return error;
}

void camera_close(void) {
    fake.open = false;
    fake.closed++;
}

int camera_set(camera_switch which, bool on, const char **reason) {
    *(which == CAMERA_VFLIP ? &fake.vflip : &fake.hmirror) = on;
    return failed(reason);
}

int camera_take(camera_frame *frame, const char **reason) {
    const int error = failed(reason);
    if (error != 0) {
        return error;
    }
#ifdef __linux__
    nanosleep(&(struct timespec){fake.slow_ms / 1000, fake.slow_ms % 1000 * 1000000L}, NULL);
#endif
    const uint32_t width = fake.settings.width, height = fake.settings.height, n = fake.taken++ * 29;
    const uint32_t bytes = fake.settings.grayscale ? 1 : 2;
    if (width * height * bytes > sizeof fake.picture) {
        *reason = "too large for the made-up camera";
        return MP_ENOMEM;
    }
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = fake.picture + (y * width + x) * bytes;
            pixel[0] = fake.settings.grayscale ? 7 * x + 13 * y + n : 5 * x + 11 * y + n;
            if (bytes == 2) {
                pixel[1] = 3 * x + 17 * y + n;
            }
        }
    }
    frame->data = fake.picture;
    frame->width = width + fake.grow;
    frame->height = height;
    frame->handle = &fake;
    fake.now_us += 80000;
    frame->begun_us = fake.stale > 0 ? -1 : fake.now_us;
    fake.stale -= fake.stale > 0;
    return 0;
}

void camera_give(camera_frame *frame) {
    fake.given += frame->handle == &fake;
    memset(fake.picture, 0, sizeof fake.picture); /* who reads a frame after giving it back sees black */
}

int64_t camera_now_us(void) {
    return fake.now_us;
}

/* opened, closed, taken, given, vflip, hmirror, open, xclk_hz, buffers, pins... */
static mp_obj_t testing_state(void) {
    const int values[] = {
        fake.opened,
        fake.closed,
        fake.taken,
        fake.given,
        fake.vflip,
        fake.hmirror,
        fake.open,
        fake.settings.xclk_hz,
        fake.settings.buffers,
    };
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (size_t i = 0; i < MP_ARRAY_SIZE(values); i++) {
        mp_obj_list_append(list, MP_OBJ_NEW_SMALL_INT(values[i]));
    }
    for (size_t i = 0; i < CAMERA_PINS; i++) {
        mp_obj_list_append(list, MP_OBJ_NEW_SMALL_INT(fake.settings.pins[i]));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_0(testing_state_obj, testing_state);

static mp_obj_t testing_tell(mp_obj_t what, mp_obj_t number) {
    int *const fields[] = {&fake.error, &fake.stale, &fake.slow_ms, &fake.grow, &fake.taken};
    const char *const names[] = {"error", "stale", "slow_ms", "grow", "taken"};
    for (size_t i = 0; i < MP_ARRAY_SIZE(fields); i++) {
        if (strcmp(names[i], mp_obj_str_get_str(what)) == 0) {
            *fields[i] = mp_obj_get_int(number);
            return mp_const_none;
        }
    }
    mp_raise_ValueError(MP_ERROR_TEXT("nothing of that name"));
}
static MP_DEFINE_CONST_FUN_OBJ_2(testing_tell_obj, testing_tell);

static const mp_rom_map_elem_t testing_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_cam_testing)},
    {MP_ROM_QSTR(MP_QSTR_state), MP_ROM_PTR(&testing_state_obj)},
    {MP_ROM_QSTR(MP_QSTR_tell), MP_ROM_PTR(&testing_tell_obj)},
};
static MP_DEFINE_CONST_DICT(testing_globals, testing_globals_table);

const mp_obj_module_t cam_testing_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&testing_globals,
};

MP_REGISTER_MODULE(MP_QSTR_cam_testing, cam_testing_module);
