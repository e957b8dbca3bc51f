// esp32-camera's headers name one type of espressif/esp_jpeg. Used where that component is absent; then the
// converters that need it are not built either (scripts/components.cmake).
#pragma once
typedef int esp_jpeg_image_scale_t;
