/* SOFTMAX over a pixel's channels, in fixed point:
 *
 *     d = (in - largest in) scaled to Q5.26;  e = exp(d), but 0 where in - largest in < diff_min
 *     out = round(256 * e / sum of e) - 128, cut to int8
 *
 * Equals Softmax of tensorflow/lite/kernels/internal/reference/softmax.h on int8, with exp_on_negative_values
 * and one_over_one_plus_x_for_x_in_0_1 of gemmlowp's fixedpoint/fixedpoint.h, from where the constants are.
 * Qm.n is an int32_t with n bits after the point.
 */
#include "binary.h"

/* A function that is no copy at each of its calls: a softmax is short, and flash is dear. */
#define ONCE __attribute__((noinline))

/* So many values of 1 fit the sum, which is Q12.19. */
#define CHANNELS_MAX 4095

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_softmax *const softmax = (const void *)op;
    (void)checker;
    /* No difference that counts becomes less than -31. */
    return cpm_fits(cpm_unary_fits(op) && softmax->in.c <= CHANNELS_MAX && softmax->multiplier <= INT32_MAX &&
                    softmax->left_shift >= 0 && softmax->left_shift <= 31 && softmax->diff_min <= 0 &&
                    0 - (uint32_t)softmax->diff_min <= 31u << 26 >> softmax->left_shift);
}

/* SaturatingRoundingDoublingHighMul: the product of Qm.x and Qn.y as Q(m + n). Never both are -2^31. */
ONCE static int32_t product(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* RoundingDivideByPOT of what is not negative. */
static inline uint32_t shift_down(int32_t x, unsigned right) {
    return ((uint32_t)x + (1u << (right - 1))) >> right;
}

/* e^a as Q0.31 of a Q5.26 not above 0: a polynomial for -1/4 up to 0, and a factor for each bit above. */
static int32_t exponential(int32_t a) {
    static const int32_t factor[7] = {/* e^-1/4, e^-1/2, e^-1 ... e^-16 */
                                      1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    if (a == 0) {
        return INT32_MAX;
    }
    const int32_t quarter = 1 << 24, inner = (a & (quarter - 1)) - quarter;
    const int32_t x = inner * 32 + (1 << 28); /* Q0.31, from -1/8 to 1/8 */
    const int32_t x2 = product(x, x), x3 = product(x2, x), x4 = product(x2, x2);
    /* The rest of the polynomial, not negative, as x2 outweighs all else. */
    const int32_t third = product((int32_t)shift_down(x4, 2) + x3, 715827883 /* 1/3 */);
    const int32_t higher = (int32_t)shift_down(third + x2, 1);
    const int32_t eighth = 1895147668; /* e^-1/8 */
    int32_t result = eighth + product(eighth, x + higher);
    uint32_t bits = (uint32_t)(inner - a) >> 24;
    for (const int32_t *f = factor; bits != 0; bits >>= 1, f++) {
        if (bits & 1) {
            result = product(result, *f);
        }
    }
    return result;
}

/* 1 / (2 * a) as Q0.31 of a Q0.31 from 1/2 to 1: three steps of Newton's method. A step corrects by at most
 * 1/17, so only the result can be too large, and is by a bit where a is 1/2. */
static int32_t reciprocal(int32_t a) {
    int32_t x = 1515870810 /* 48/17 in Q2.29 */ + product(a, -1010580540 /* -32/17 */);
    for (unsigned i = 0; i < 3; i++) {
        x += product(x, (1 << 29) - product(a, x)) * 4;
    }
    return x > INT32_MAX / 2 ? INT32_MAX : x * 2;
}

/* e to the scaled difference, Q0.31. */
ONCE static int32_t weight(const cpm_softmax *softmax, int32_t difference) {
    if (difference < softmax->diff_min) {
        return 0;
    }
    const int32_t shifted = (int32_t)((uint32_t)difference << softmax->left_shift);
    return exponential(product(shifted, (int32_t)softmax->multiplier));
}

/* The softmax of one pixel's channels, of which there is one at least. */
static void pixel(const cpm_softmax *softmax, const int8_t *in, int8_t *out) {
    const int8_t *const end = in + softmax->in.c, *x = in;
    int32_t largest = *x;
    do {
        largest = *x > largest ? *x : largest;
    } while (++x != end);
    uint32_t sum = 0; /* Q12.19, from 1 to 4095 */
    x = in;
    do {
        sum += shift_down(weight(softmax, *x - largest), 12);
    } while (++x != end);
    /* The sum as 1/2 to 1, and how far its reciprocal goes to the right. From 512 on, sums leave a shift of
     * 32 or more, and nothing of a Q0.31. */
    unsigned right = 35;
    for (; !(sum >> 31); sum <<= 1) {
        right--;
    }
    const int32_t inverse = reciprocal((int32_t)(sum >> 1));
    x = in;
    do {
        const int32_t share = product(inverse, weight(softmax, *x - largest));
        const uint32_t value = right > 31 ? 0 : shift_down(share, right);
        *out++ = (int8_t)((int32_t)(value > 255 ? 255 : value) + INT8_MIN);
    } while (++x != end);
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_softmax *const softmax = (const void *)op;
    for (uint32_t y = 0; y < softmax->in.h; y++) {
        const int8_t *in = cpm_row_at(model, &softmax->in, op->in_ring, y);
        int8_t *out = cpm_row_at(model, &softmax->out, op->out_ring, y);
        for (uint32_t x = softmax->in.w; x != 0; x--) {
            pixel(softmax, in, out);
            in += softmax->in.pitch;
            out += softmax->out.pitch;
        }
    }
}

const cpm_kernel cpm_kernel_softmax = {check, run};
