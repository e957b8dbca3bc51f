/* Plain convolutions through ESP-NN (https://github.com/espressif/esp-nn, include/esp_nn.h), which uses the
 * vector unit of an ESP32-S3. Only in builds that ask for it: micropython.cmake.
 *
 * ESP-NN checks nothing and counts in int, so a record must be small and regular before it gets there: what
 * training/pack/esp_nn.py says. What it computes is compared with TFLM by the model's self-test.
 *
 * ESP-NN keeps the address of its scratch memory in globals, one for each kind, so two models must not run at
 * a time. model.c sees to that, whatever the engine.
 */
#include "accelerated.h"

/* The settings by which esp_nn.h chooses the kernels of the chip; it does not include them itself. */
#include "sdkconfig.h"

#include <esp_nn.h>

/* Of addresses, as vectors are loaded. nn.Model's arenas and models begin at such a multiple. */
#define ALIGNMENT 16u
/* Scratch memory beyond what is asked for: depthwise kernels up to 1.2.0 write as much as 16 bytes more. */
#define SPARE 64u
/* Most bytes of a padded input, of an output and of filled up weights: sums of a few fit an int. */
#define MOST (1u << 24)

/* A record as ESP-NN wants it told. */
typedef struct {
    data_dims_t in, out, filter;
    conv_params_t conv;
    dw_conv_params_t depthwise;
} arguments;

static data_dims_t dims(const cpm_view *view) {
    return (data_dims_t){.width = view->w, .height = view->h, .channels = view->c, .extra = 1};
}

static arguments arguments_of(const cpm_plain *plain) {
    const cpm_window *const w = &plain->window;
    const data_2d_t stride = {w->stride_w, w->stride_h}, padding = {w->pad_w, w->pad_h}, dilation = {1, 1};
    const act_params_t activation = {plain->low, plain->high};
    return (arguments){
        .in = dims(&plain->in),
        .out = dims(&plain->out),
        .filter = {.width = w->kernel_w, .height = w->kernel_h, .channels = plain->in.c, .extra = 1},
        .conv = {.in_offset = plain->in_offset,
                 .out_offset = plain->out_zero,
                 .stride = stride,
                 .padding = padding,
                 .dilation = dilation,
                 .activation = activation},
        .depthwise = {.in_offset = plain->in_offset,
                      .out_offset = plain->out_zero,
                      .ch_mult = plain->multiplier,
                      .stride = stride,
                      .padding = padding,
                      .dilation = dilation,
                      .activation = activation},
    };
}

/* A whole image without gaps, in no ring. */
static bool regular(const cpm_view *view, unsigned ring) {
    return ring == 0 && view->at % ALIGNMENT == 0 && view->pitch == view->c &&
           (view->h == 1 || view->row == (uint32_t)view->w * view->c);
}

/* Rows or columns that are counted in int16_t. */
static bool counted(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t pad) {
    return in + 2 * pad <= INT16_MAX && out * stride + kernel <= INT16_MAX;
}

/* The outputs see no more padding behind the input than before it. */
static bool even(const cpm_plain *plain) {
    const cpm_window *const w = &plain->window;
    return CPM_EXTENT(plain->out.h, w->stride_h, w->kernel_h, 1) <= plain->in.h + 2u * w->pad_h &&
           CPM_EXTENT(plain->out.w, w->stride_w, w->kernel_w, 1) <= plain->in.w + 2u * w->pad_w;
}

static bool fits(const cpm_checker *checker, const cpm_plain *plain) {
    const cpm_window *const w = &plain->window;
    const cpm_view *const in = &plain->in, *const out = &plain->out;
    /* With what is seen behind them; channels are filled up to 16. */
    const uint64_t rows = in->h + 2u * w->pad_h + w->kernel_h + w->stride_h;
    const uint64_t columns = in->w + 2u * w->pad_w + w->kernel_w + w->stride_w;
    const uint64_t taps = (uint32_t)w->kernel_h * w->kernel_w;
    const uint32_t depth = plain->op.kind == CPM_PLAIN_CONV ? in->c + 15u : 16;
    return w->dilation_h == 1 && w->dilation_w == 1 && regular(in, plain->op.in_ring) &&
           regular(out, plain->op.out_ring) && counted(in->h, out->h, w->kernel_h, w->stride_h, w->pad_h) &&
           counted(in->w, out->w, w->kernel_w, w->stride_w, w->pad_w) &&
           rows * columns * (in->c + 15u) <= MOST && (uint64_t)out->h * out->w * (out->c + 15u) <= MOST &&
           taps * depth * out->c <= MOST && plain->scratch % ALIGNMENT == 0 &&
           ((uintptr_t)checker->blob + plain->weights) % ALIGNMENT == 0;
}

static bool enough(const cpm_plain *plain, int asked) {
    return asked >= 0 && (uint32_t)asked + SPARE <= plain->scratch_size;
}

/* Tables that ESP-NN does not write to, though its structure does not say so. */
static quant_data_t scaling(const cpm_model *model, const cpm_plain *plain) {
    int32_t *const bias = (int32_t *)(uintptr_t)cpm_data(model, plain->bias);
    return (quant_data_t){.shift = bias + 2 * plain->out.c, .mult = bias + plain->out.c};
}

static const char *check_conv(const cpm_checker *checker, const cpm_op *op) {
    const cpm_plain *const plain = (const void *)op;
    if (!fits(checker, plain) || !even(plain)) {
        return "a convolution that ESP-NN cannot do";
    }
    const arguments a = arguments_of(plain);
    const int asked = esp_nn_get_conv_scratch_size(&a.in, &a.filter, &a.out, &a.conv);
    return enough(plain, asked) ? NULL : "too little scratch memory for ESP-NN";
}

static void run_conv(const cpm_model *model, const cpm_op *op) {
    const cpm_plain *const plain = (const void *)op;
    const arguments a = arguments_of(plain);
    const quant_data_t quant = scaling(model, plain);
    esp_nn_set_conv_scratch_buf(cpm_memory(model, plain->scratch));
    esp_nn_conv_s8(&a.in, cpm_memory(model, plain->in.at), &a.filter, cpm_data(model, plain->weights),
                   cpm_data(model, plain->bias), &a.out, cpm_memory(model, plain->out.at), &a.conv, &quant);
}

static const char *check_depthwise(const cpm_checker *checker, const cpm_op *op) {
    const cpm_plain *const plain = (const void *)op;
    const cpm_window *const w = &plain->window;
    /* Those of 3 x 3 have a path for no padding before the input, and one for 1 on all sides. */
    const bool special = plain->multiplier == 1 && w->kernel_h == 3 && w->kernel_w == 3;
    const bool bare = w->pad_h == 0 && w->pad_w == 0, framed = w->pad_h == 1 && w->pad_w == 1 && even(plain);
    if (!fits(checker, plain) || (special && !bare && !framed)) {
        return "a depthwise convolution that ESP-NN cannot do";
    }
    const arguments a = arguments_of(plain);
    const int asked = esp_nn_get_depthwise_conv_scratch_size(&a.in, &a.filter, &a.out, &a.depthwise);
    return enough(plain, asked) ? NULL : "too little scratch memory for ESP-NN";
}

static void run_depthwise(const cpm_model *model, const cpm_op *op) {
    const cpm_plain *const plain = (const void *)op;
    const arguments a = arguments_of(plain);
    const quant_data_t quant = scaling(model, plain);
    esp_nn_set_depthwise_conv_scratch_buf(cpm_memory(model, plain->scratch));
    esp_nn_depthwise_conv_s8(&a.in, cpm_memory(model, plain->in.at), &a.filter,
                             cpm_data(model, plain->weights), cpm_data(model, plain->bias), &a.out,
                             cpm_memory(model, plain->out.at), &a.depthwise, &quant);
}

static const cpm_kernel conv = {check_conv, run_conv}, depthwise = {check_depthwise, run_depthwise};

const cpm_kernel *const nn_accelerated[CPM_KINDS] = {
    [CPM_PLAIN_CONV] = &conv,
    [CPM_PLAIN_DEPTHWISE] = &depthwise,
};
