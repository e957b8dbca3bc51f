/* A stand-in for ESP-NN's header: the functions and types that accel_esp_nn.c uses, as ESP-NN declares them
 * (github.com/espressif/esp-nn, include/). */
#ifndef STAND_IN_ESP_NN_H
#define STAND_IN_ESP_NN_H

#include <stdint.h>

#ifndef STAND_IN_SETTINGS
#error "ESP-NN's header chooses kernels by sdkconfig.h and does not include it"
#endif

typedef struct {
    int32_t width, height, channels, extra;
} data_dims_t;

typedef struct {
    int32_t width, height;
} data_2d_t;

typedef struct {
    int32_t min, max;
} act_params_t;

typedef struct {
    int32_t *shift, *mult;
} quant_data_t;

typedef struct {
    int32_t in_offset, out_offset;
    data_2d_t stride, padding, dilation;
    act_params_t activation;
} conv_params_t;

typedef struct {
    int32_t in_offset, out_offset, ch_mult;
    data_2d_t stride, padding, dilation;
    act_params_t activation;
} dw_conv_params_t;

int esp_nn_get_conv_scratch_size(const data_dims_t *in, const data_dims_t *filter, const data_dims_t *out,
                                 const conv_params_t *params);
void esp_nn_set_conv_scratch_buf(void *buffer);
void esp_nn_conv_s8(const data_dims_t *in_dims, const int8_t *in, const data_dims_t *filter_dims,
                    const int8_t *filter, const int32_t *bias, const data_dims_t *out_dims, int8_t *out,
                    const conv_params_t *params, const quant_data_t *quant);

int esp_nn_get_depthwise_conv_scratch_size(const data_dims_t *in, const data_dims_t *filter,
                                           const data_dims_t *out, const dw_conv_params_t *params);
void esp_nn_set_depthwise_conv_scratch_buf(void *buffer);
void esp_nn_depthwise_conv_s8(const data_dims_t *in_dims, const int8_t *in, const data_dims_t *filter_dims,
                              const int8_t *filter, const int32_t *bias, const data_dims_t *out_dims,
                              int8_t *out, const dw_conv_params_t *params, const quant_data_t *quant);

#endif
