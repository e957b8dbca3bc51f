/* A stand-in for ESP-NN: right, or wrong where it is told to be. It uses all scratch memory that it asked
 * for, and ends the program if an address has not the alignment of vectors. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Its settings come first. */
#include "sdkconfig.h"

#include "esp_nn.h"
#include "runtime/requant.h"

/* What tests read and set. */
int stand_in_calls[2];     /* of convolutions and depthwise ones */
int stand_in_asks = 32;    /* bytes of scratch memory */
int stand_in_wrong_stride; /* with this stride each row's last value is one off */

static void *scratch[2];

static void aligned(const void *address) {
    if ((uintptr_t)address % 16 != 0) {
        abort();
    }
}

/* Both kinds; `group` output channels see `depth` input channels. */
static void compute(const data_dims_t *in_dims, const int8_t *in, const data_dims_t *filter_dims,
                    const int8_t *filter, const int32_t *bias, const data_dims_t *out_dims, int8_t *out,
                    const conv_params_t *params, const quant_data_t *quant, int32_t multiplier) {
    const int32_t n = out_dims->channels, c = in_dims->channels, depth = multiplier ? 1 : c;
    void *const buffer = scratch[multiplier != 0];
    stand_in_calls[multiplier != 0]++;
    aligned(in);
    aligned(filter);
    aligned(out);
    aligned(buffer);
    memset(buffer, 0x5a, (size_t)stand_in_asks);
    for (int32_t at = 0; at < out_dims->height * out_dims->width * n; at++) {
        const int32_t k = at % n, x = at / n % out_dims->width, y = at / n / out_dims->width;
        int32_t sum = bias[k];
        for (int32_t tap = 0; tap < filter_dims->height * filter_dims->width; tap++) {
            const int32_t row = y * params->stride.height - params->padding.height + tap / filter_dims->width;
            const int32_t column =
                x * params->stride.width - params->padding.width + tap % filter_dims->width;
            if (row < 0 || row >= in_dims->height || column < 0 || column >= in_dims->width) {
                continue;
            }
            for (int32_t d = 0; d < depth; d++) {
                const int32_t from = (row * in_dims->width + column) * c + (multiplier ? k / multiplier : d);
                const int32_t taps = filter_dims->height * filter_dims->width;
                sum += (in[from] + params->in_offset) *
                       filter[multiplier ? tap * n + k : (k * taps + tap) * depth + d];
            }
        }
        int32_t value = cpm_scale(sum, (uint32_t)quant->mult[k] * 2, -quant->shift[k]) + params->out_offset;
        value = cpm_clamp(value, params->activation.min, params->activation.max);
        if (params->stride.height == stand_in_wrong_stride && x == out_dims->width - 1 && k == n - 1) {
            value += value == params->activation.max ? -1 : 1;
        }
        out[at] = (int8_t)value;
    }
}

int esp_nn_get_conv_scratch_size(const data_dims_t *in, const data_dims_t *filter, const data_dims_t *out,
                                 const conv_params_t *params) {
    (void)in, (void)filter, (void)out, (void)params;
    return stand_in_asks;
}

void esp_nn_set_conv_scratch_buf(void *buffer) {
    scratch[0] = buffer;
}

void esp_nn_conv_s8(const data_dims_t *in_dims, const int8_t *in, const data_dims_t *filter_dims,
                    const int8_t *filter, const int32_t *bias, const data_dims_t *out_dims, int8_t *out,
                    const conv_params_t *params, const quant_data_t *quant) {
    compute(in_dims, in, filter_dims, filter, bias, out_dims, out, params, quant, 0);
}

int esp_nn_get_depthwise_conv_scratch_size(const data_dims_t *in, const data_dims_t *filter,
                                           const data_dims_t *out, const dw_conv_params_t *params) {
    (void)in, (void)filter, (void)out, (void)params;
    return stand_in_asks;
}

void esp_nn_set_depthwise_conv_scratch_buf(void *buffer) {
    scratch[1] = buffer;
}

void esp_nn_depthwise_conv_s8(const data_dims_t *in_dims, const int8_t *in, const data_dims_t *filter_dims,
                              const int8_t *filter, const int32_t *bias, const data_dims_t *out_dims,
                              int8_t *out, const dw_conv_params_t *params, const quant_data_t *quant) {
    const conv_params_t same = {params->in_offset, params->out_offset, params->stride,
                                params->padding,   params->dilation,   params->activation};
    compute(in_dims, in, filter_dims, filter, bias, out_dims, out, &same, quant, params->ch_mult);
}
