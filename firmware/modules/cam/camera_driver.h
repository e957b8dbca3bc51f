/* The line between the module `cam` and the camera: esp_driver.c on chips, a made-up one in tests.
 *
 * There is one camera. Functions that can fail return 0 or an errno of MicroPython and then set *reason, a
 * constant string for people. */
#ifndef CICADA_CAMERA_DRIVER_H
#define CICADA_CAMERA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in esp32-camera's camera_config_t. */
enum {
    CAMERA_D0,
    CAMERA_D7 = CAMERA_D0 + 7,
    CAMERA_XCLK,
    CAMERA_PCLK,
    CAMERA_VSYNC,
    CAMERA_HREF,
    CAMERA_SDA,
    CAMERA_SCL,
    CAMERA_PWDN,
    CAMERA_RESET,
    CAMERA_PINS
};

typedef struct {
    int pins[CAMERA_PINS]; /* GPIO numbers; -1: not wired */
    uint32_t width, height;
    bool grayscale; /* else RGB565, high byte first */
    uint32_t xclk_hz;
    uint32_t buffers; /* frames in memory */
} camera_settings;

typedef struct {
    const uint8_t *data; /* rows without gaps */
    uint32_t width, height;
    int64_t begun_us; /* when the sensor began with it, on the clock of camera_now_us */
    void *handle;     /* the driver's */
} camera_frame;

typedef enum { CAMERA_VFLIP, CAMERA_HMIRROR } camera_switch;

int camera_open(const camera_settings *settings, const char **reason);
void camera_close(void);
int camera_set(camera_switch which, bool on, const char **reason);

/* Waits for a frame, some seconds at most. Runs without MicroPython's lock and must not call it. */
int camera_take(camera_frame *frame, const char **reason);
/* Every frame taken is given back. */
void camera_give(camera_frame *frame);

int64_t camera_now_us(void);

#endif
