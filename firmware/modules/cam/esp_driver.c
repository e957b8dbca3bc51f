/* The camera of ESP32 and ESP32-S3 through Espressif's component esp32-camera (v2.1). */
#include "py/mpconfig.h"
#include "py/mperrno.h"

#include "driver/gpio.h"
#include "esp_camera.h"
#include "esp_heap_caps.h"
#include "esp_idf_version.h"
#include "esp_timer.h"
#include "sdkconfig.h"

#include "camera_driver.h"

/* Linking ESP-IDF's two I2C drivers into one image ends in abort() at every boot
 * (components/driver/i2c/i2c.c, check_i2c_driver_conflict), so the camera must use the one machine.I2C uses.
 */
#if ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(5, 4, 0) && !MICROPY_HW_ESP_NEW_I2C_DRIVER &&                     \
    !CONFIG_SCCB_HARDWARE_I2C_DRIVER_LEGACY
#error "put CONFIG_SCCB_HARDWARE_I2C_DRIVER_LEGACY=y into the board's sdkconfig.board"
#endif

/* On ESP32 the pixels come in through I2S0, which esp32-camera takes without asking. Reserved here, so that
 * machine.I2S(0) and the camera refuse each other instead of spoiling each other's data. */
#if !CONFIG_IDF_TARGET_ESP32
#define RESERVE_I2S() ESP_OK
#define RELEASE_I2S()
#elif ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(5, 4, 0)
#include "esp_private/i2s_platform.h"
#define RESERVE_I2S() i2s_platform_acquire_occupation(I2S_CTLR_HP, 0, "camera")
#define RELEASE_I2S() i2s_platform_release_occupation(I2S_CTLR_HP, 0)
#else
#include "esp_private/i2s_platform.h"
#define RESERVE_I2S() i2s_platform_acquire_occupation(0, "camera")
#define RELEASE_I2S() i2s_platform_release_occupation(0)
#endif

static framesize_t frame_size(uint32_t width, uint32_t height) {
    int size = 0;
    while (size < FRAMESIZE_INVALID &&
           (resolution[size].width != width || resolution[size].height != height)) {
        size++;
    }
    return (framesize_t)size;
}

static bool pins_exist(const int *pins) {
    for (int i = 0; i < CAMERA_PINS; i++) {
        const bool out = i == CAMERA_XCLK || i >= CAMERA_SDA;
        const bool exists = out ? GPIO_IS_VALID_OUTPUT_GPIO(pins[i]) : GPIO_IS_VALID_GPIO(pins[i]);
        if (pins[i] >= 0 && !exists) {
            return false;
        }
    }
    return true;
}

int camera_open(const camera_settings *settings, const char **reason) {
    const int *pins = settings->pins;
    if (!pins_exist(pins)) {
        *reason = "pins: the chip has not all of them";
        return MP_EINVAL;
    }
    const bool psram = heap_caps_get_total_size(MALLOC_CAP_SPIRAM) > 0;
    const size_t bytes = settings->width * settings->height * (settings->grayscale ? 1u : 2u);
    if (heap_caps_get_largest_free_block(psram ? MALLOC_CAP_SPIRAM : MALLOC_CAP_INTERNAL) < bytes) {
        *reason = "no room for a frame: choose a smaller one";
        return MP_ENOMEM;
    }
    if (RESERVE_I2S() != ESP_OK) {
        *reason = "I2S 0, which the camera needs, is in use: give the microphone I2S 1";
        return MP_EBUSY;
    }
    const camera_config_t config = {
        .pin_pwdn = pins[CAMERA_PWDN],
        .pin_reset = pins[CAMERA_RESET],
        .pin_xclk = pins[CAMERA_XCLK],
        .pin_sccb_sda = pins[CAMERA_SDA],
        .pin_sccb_scl = pins[CAMERA_SCL],
        .pin_d7 = pins[CAMERA_D0 + 7],
        .pin_d6 = pins[CAMERA_D0 + 6],
        .pin_d5 = pins[CAMERA_D0 + 5],
        .pin_d4 = pins[CAMERA_D0 + 4],
        .pin_d3 = pins[CAMERA_D0 + 3],
        .pin_d2 = pins[CAMERA_D0 + 2],
        .pin_d1 = pins[CAMERA_D0 + 1],
        .pin_d0 = pins[CAMERA_D0],
        .pin_vsync = pins[CAMERA_VSYNC],
        .pin_href = pins[CAMERA_HREF],
        .pin_pclk = pins[CAMERA_PCLK],
        .xclk_freq_hz = (int)settings->xclk_hz,
        /* The last ones: machine.PWM hands them out from the first. */
        .ledc_timer = LEDC_TIMER_MAX - 1,
        .ledc_channel = LEDC_CHANNEL_MAX - 1,
        .pixel_format = settings->grayscale ? PIXFORMAT_GRAYSCALE : PIXFORMAT_RGB565,
        .frame_size = frame_size(settings->width, settings->height),
        .fb_count = settings->buffers,
        .fb_location = psram ? CAMERA_FB_IN_PSRAM : CAMERA_FB_IN_DRAM,
        .grab_mode = settings->buffers > 1 ? CAMERA_GRAB_LATEST : CAMERA_GRAB_WHEN_EMPTY,
    };
    const esp_err_t error = esp_camera_init(&config);
    if (error == ESP_OK) {
        return 0;
    }
    RELEASE_I2S();
    switch (error) {
    case ESP_ERR_NO_MEM:
        *reason = "no memory for the camera";
        return MP_ENOMEM;
    case ESP_ERR_NOT_FOUND:
    case ESP_ERR_NOT_SUPPORTED:
        *reason = "no camera that esp32-camera knows answers at sda and scl";
        return MP_ENODEV;
    default:
        *reason = esp_err_to_name(error);
        return MP_EIO;
    }
}

void camera_close(void) {
    esp_camera_deinit();
    RELEASE_I2S();
}

int camera_set(camera_switch which, bool on, const char **reason) {
    sensor_t *sensor = esp_camera_sensor_get();
    if (sensor == NULL ||
        (which == CAMERA_VFLIP ? sensor->set_vflip : sensor->set_hmirror)(sensor, on) != 0) {
        *reason = "the sensor did not take the setting";
        return MP_EIO;
    }
    return 0;
}

int camera_take(camera_frame *frame, const char **reason) {
    camera_fb_t *taken = esp_camera_fb_get(); /* gives up after 4 s */
    if (taken == NULL) {
        *reason = "no frame from the camera within 4 s";
        return MP_ETIMEDOUT;
    }
    if (taken->len != taken->width * taken->height * (taken->format == PIXFORMAT_GRAYSCALE ? 1u : 2u)) {
        esp_camera_fb_return(taken);
        *reason = "a part of the frame is missing";
        return MP_EIO;
    }
    frame->data = taken->buf;
    frame->width = taken->width;
    frame->height = taken->height;
    frame->begun_us = (int64_t)taken->timestamp.tv_sec * 1000000 + taken->timestamp.tv_usec;
    frame->handle = taken;
    return 0;
}

void camera_give(camera_frame *frame) {
    esp_camera_fb_return(frame->handle);
}

int64_t camera_now_us(void) {
    return esp_timer_get_time(); /* which also stamps the frames (cam_hal.c, cam_start_frame) */
}
