/* The packed model, format 1: what the compiler writes and the runtime executes in place.
 *
 * Little-endian, every structure and table at a multiple of 4 bytes. All `*_at` that point into the blob are
 * offsets from its start; all that point into the arena (`at` of views, rings, states; `scratch`) are offsets
 * from the arena's start. The last four bytes are the CRC-32 (ISO-HDLC, as zlib's) of all before them.
 * docs/packed.md describes the format for people.
 *
 * The runtime keeps nothing of the format in RAM but the rings' positions, one uint32_t a ring, which lie in
 * the model's own structure and not in the arena: nothing an operator writes can reach them.
 */
#ifndef CICADA_RUNTIME_FORMAT_H
#define CICADA_RUNTIME_FORMAT_H

#include <stdint.h>

#define CPM_MAGIC 0x314d5043u /* "CPM1" */
#define CPM_VERSION 1
#define CPM_RANK 6
#define CPM_RINGS 32 /* at most in a model */

enum cpm_dtype { CPM_INT8 = 0, CPM_UINT8 = 1 };

/* Input or output of the model: contiguous bytes in the arena. */
typedef struct {
    uint32_t at, size;
    uint32_t scale; /* bits of an IEEE 754 binary32 */
    int16_t zero_point;
    uint8_t dtype, rank;
    uint32_t shape[CPM_RANK]; /* unused ones are 0 */
} cpm_io;

typedef struct {
    uint32_t magic;
    uint16_t version, header_size;
    uint32_t size;  /* of the whole blob, CRC included; a multiple of 4 */
    uint32_t arena; /* bytes the caller provides */
    uint32_t ops_at, rings_at, states_at;
    uint16_t ops, rings, states;
    uint16_t selftest_steps;              /* 0: no self-test */
    uint32_t selftest_seed, selftest_crc; /* see cpm_selftest */
    uint32_t macs;                        /* of one invoke, as TFLite's shapes say; for people */
    uint32_t instructions;                /* predicted for one invoke on RV32IMC; for people */
    cpm_io input, output;
} cpm_header;

/* A ring: `rows` rows of `row` bytes in the arena. Its position is the row that was written longest ago. */
typedef struct {
    uint32_t at, row, rows;
} cpm_ring;

/* Arena bytes that a reset sets: to a copy of `size` bytes of the blob at `from`, or, where `from` is 0, each
 * to `fill`. A reset also sets every ring's position to 0. */
typedef struct {
    uint32_t at, size, from;
    uint32_t fill;
} cpm_state;

/* A block of memory of h rows, w pixels, c channels of a byte each. Element (y, x, k) lies at
 * at + y * row + x * pitch + k. If the operator names a ring for it, at counts from the start of the ring's
 * row at its position, and whatever reaches the ring's end goes on at its start; row is then the ring's row.
 */
typedef struct {
    uint32_t at, row;
    uint16_t h, w, c, pitch;
} cpm_view;

enum cpm_kind {
    CPM_CONV = 1,      /* CONV_2D with more than one output pixel */
    CPM_DENSE = 2,     /* FULLY_CONNECTED, and CONV_2D with one output pixel */
    CPM_DEPTHWISE = 3, /* DEPTHWISE_CONV_2D, channel by channel */
    CPM_COLUMN = 4,    /* DEPTHWISE_CONV_2D of a k x 1 kernel on a column, straight from memory or a ring */
    CPM_AVERAGE_POOL = 5, /* AVERAGE_POOL_2D */
    CPM_MAX_POOL = 6,     /* MAX_POOL_2D */
    CPM_MEAN = 7,         /* MEAN over rows, columns or both */
    CPM_ADD = 8,          /* ADD, SUB */
    CPM_MUL = 9,          /* MUL */
    CPM_SOFTMAX = 10,     /* SOFTMAX */
    CPM_LUT = 11,         /* any function of one value */
    CPM_COPY = 12, /* moves of bytes: slices, concatenations, transpositions, rows into and out of rings */
    CPM_FILL = 13, /* bytes of one value */
    CPM_PLAIN_CONV = 14,      /* CONV_2D, weights as TFLite lays them out, for accelerated kernels */
    CPM_PLAIN_DEPTHWISE = 15, /* DEPTHWISE_CONV_2D likewise */
    CPM_KINDS = 16
};

/* What every operator begins with. A ring is given as its number plus one, 0 is none. After the operator has
 * run, the position of ring `advance` moves on by `advance_rows`. */
typedef struct {
    uint8_t kind, flags;
    uint16_t length; /* bytes of the whole record, a multiple of 4 */
    uint8_t in_ring, out_ring, advance, advance_rows;
} cpm_op;

/* Flags of operators that requantise. */
#define CPM_FAST 1   /* every shift is 1 to 22, low <= out_zero <= high, and every sum is within 2^30 */
#define CPM_NONNEG 2 /* with CPM_FAST: low is out_zero, so the sign needs no care */

/* How a sum becomes an output, for each of n output channels: three tables one after the other at `requant`,
 *   int32_t  bias[n]        the layer's bias, less in_zero times the sum of the channel's weights
 *   uint32_t multiplier[n]  TFLite's Q31 multiplier times two
 *   int8_t   shift[n]       TFLite's shift times -1: positive shifts right; filled up to a multiple of 4 with
 * 0 out = clamp(MultiplyByQuantizedMultiplier(sum + bias) + out_zero, low, high), with TFLite's two
 * roundings. */
typedef struct {
    uint32_t at;
    int16_t out_zero;
    int8_t low, high;
} cpm_requant;

/* Kernel, strides, dilations and padding, rows first. Taps on padding see `pad_value` (the input's zero
 * point, whose product the bias already takes off). Output pixel (y, x) begins at input pixel (y * stride_h -
 * pad_h, x * stride_w - pad_w). */
typedef struct {
    uint16_t kernel_h, kernel_w, pad_h, pad_w;
    uint8_t stride_h, stride_w, dilation_h, dilation_w;
    int8_t pad_value;
    uint8_t zero[3];
} cpm_window;

/* CPM_CONV. With taps = CPM_CONV_TAPS(kernel_h * kernel_w * in.c), weights: int8, in blocks of 4 output
 * channels [n/4][taps][4], a block's taps in the order [kernel_h][kernel_w][in.c]; the tap that fills up to
 * an even number, and the channels that fill up the last block, are zeros. Output in raster order, 4 pixels
 * at a time: all input of 4 pixels is read before any of them is written. scratch: at a multiple of 4,
 * CPM_CONV_SCRATCH(taps, run) bytes with run = kernel_w * in.c, but 0 for a kernel of 1 x 1. */
#define CPM_CONV_TAPS(n) (((n) + 1u) / 2u * 2u)
#define CPM_CONV_SCRATCH(taps, run) (8u * (taps) + 4u * (run))
typedef struct {
    cpm_op op;
    cpm_view in, out;
    cpm_window window;
    cpm_requant requant;
    uint32_t weights, scratch;
} cpm_conv;

/* Channels of a block of CPM_DENSE and CPM_COLUMN: as 16, but there is no rest of n channels by blocks of 15.
 */
#define CPM_BLOCK(n) ((n) % 16u != 0 && (n) % 15u == 0 ? 15u : 16u)

/* CPM_DENSE. Takes in.h rows, each in.w * in.c contiguous bytes (pitch == c), K bytes together; gives out.c
 * values (out.h == out.w == 1). Weights: int8, blocks of CPM_BLOCK(n) output channels [taps][channels] with
 * taps = CPM_DENSE_TAPS(K), then such blocks of 4 channels for the rest, then of 1; taps from K on are zeros.
 * scratch: taps bytes if the rows are not contiguous or come from a ring or K % 4 is not 0, else 0 bytes.
 * With scratch, all of the input is read before the first write, unless it comes from a ring that the output
 * is not in; without, it may be read until the last write. */
#define CPM_DENSE_TAPS(n) (((n) + 3u) / 4u * 4u)
typedef struct {
    cpm_op op;
    cpm_view in, out;
    cpm_requant requant;
    uint32_t weights, scratch;
} cpm_dense;

/* CPM_DEPTHWISE. out.c == in.c * multiplier; output channel k sees input channel k / multiplier. Weights:
 * int8 [out.c][kernel_h][kernel_w]. Works in strips of `strip` output rows (the last may be shorter); in a
 * strip, for each input channel all input is read before any output is written. scratch: CPM_PLANE(...)
 * bytes. */
typedef struct {
    cpm_op op;
    cpm_view in, out;
    cpm_window window;
    cpm_requant requant;
    uint32_t weights, scratch;
    uint16_t multiplier, strip;
} cpm_depthwise;

/* CPM_COLUMN. Kernel k x 1, no padding, in.w == out.w == 1, in.c == out.c, depth multiplier 1. Output row y
 * sees input rows y * stride_h + t * dilation_h. Weights: int8, blocks of CPM_BLOCK(c) channels
 * [kernel_h][channels], and one such block of the rest. Output in raster order, value by value: all input of
 * a value is read before it is written. */
typedef struct {
    cpm_op op;
    cpm_view in, out;
    cpm_window window;
    cpm_requant requant;
    uint32_t weights;
} cpm_column;

/* CPM_AVERAGE_POOL, CPM_MAX_POOL. Dilations 1; taps on padding do not count. Output in raster order, value by
 * value: all input of a value is read before it is written. */
typedef struct {
    cpm_op op;
    cpm_view in, out;
    cpm_window window;
    int8_t low, high;
    uint8_t zero[2];
} cpm_pool;

/* CPM_MEAN. out.h is 1 or in.h, out.w is 1 or in.w, out.c == in.c: the mean over what became 1. The sum of n
 * values less n * in_zero goes through multiplier (Q31 times two) and shift (positive: right) as TFLite's.
 * Output in raster order, value by value: all input of a value is read before it is written. */
typedef struct {
    cpm_op op;
    cpm_view in, out;
    uint32_t multiplier;
    int32_t shift, correction; /* added to the sum before the multiplication */
    int16_t out_zero;
    int8_t low, high;
} cpm_mean;

/* CPM_ADD, CPM_MUL. A ring can only be the output's. out has the larger of both shapes; a dimension of 1 in a
 * or b repeats. Output in raster order, value by value, b's value read before the write. Multipliers are Q31
 * times two, shifts positive to the right. ADD: ((a + a_offset) << left) scaled by a's, plus b's likewise
 * (negative sign in b_negative for SUB), scaled by out's; a or b is scaled by a half, multiplier 2^31 and
 * shift 0, as TFLite has it for the larger scale. MUL uses a_offset, b_offset, out_multiplier and out_shift.
 */
typedef struct {
    cpm_op op;
    cpm_view a, b, out;
    int16_t a_offset, b_offset, out_zero;
    int8_t low, high;
    uint32_t a_multiplier, b_multiplier, out_multiplier;
    int8_t a_shift, b_shift, out_shift, left;
    uint32_t b_negative;
} cpm_binary;

/* CPM_SOFTMAX over in.c, for each of in.h * in.w pixels. int8 in, int8 out with scale 1/256 and zero point
 * -128. Output in raster order, value by value; all input of a pixel is read before its first value is
 * written, and a value once more just before it is written itself. in.c is at most 4095. */
typedef struct {
    cpm_op op;
    cpm_view in, out;
    uint32_t multiplier; /* Q31 (not doubled) of TFLite's PreprocessSoftmaxScaling */
    int32_t left_shift, diff_min;
} cpm_softmax;

/* CPM_LUT. out[i] = table[(uint8_t)in[i]]; in and out have one shape. uint8_t table[256] at `table`. In
 * raster order, value by value. */
typedef struct {
    cpm_op op;
    cpm_view in, out;
    uint32_t table;
} cpm_lut;

/* CPM_COPY. Element (i, j, k, l) of dims goes from in_at + i*in_step[0] + ... to out_at + ...; steps are in
 * bytes and may be negative; the last dimension is contiguous on both sides if contiguous is 1. Rings wrap by
 * dimension 0, as rows (in_step[0], out_step[0] == the ring's row); the rest stays within a row. Input and
 * output do not overlap. */
typedef struct {
    cpm_op op;
    uint32_t in_at, out_at;
    uint16_t dims[4];
    int32_t in_step[4], out_step[4];
    uint32_t contiguous;
} cpm_copy;

/* CPM_FILL. Sets a view's bytes to `value`. */
typedef struct {
    cpm_op op;
    cpm_view out;
    uint32_t value;
} cpm_fill;

/* CPM_PLAIN_CONV, CPM_PLAIN_DEPTHWISE. Weights as TFLite has them: int8 [n][kernel_h][kernel_w][in.c], for
 * depthwise [kernel_h][kernel_w][n]. At `bias` int32_t[n], multiplier int32_t[n] (Q31), shift int32_t[n]
 * (TFLite's sign: positive to the left), one after the other. scratch: scratch_size bytes, as the accelerated
 * kernel asks. */
typedef struct {
    cpm_op op;
    cpm_view in, out;
    cpm_window window;
    uint32_t weights, bias, scratch, scratch_size;
    int16_t in_offset, out_zero;
    int8_t low, high;
    uint16_t multiplier; /* of depthwise */
} cpm_plain;

/* Bytes of one channel's strip of `strip` output rows and w output columns, padding included, and 16 more so
 * that kernels may read four outputs' input at a time. */
#define CPM_EXTENT(n, stride, kernel, dilation) (((n) - 1u) * (stride) + ((kernel) - 1u) * (dilation) + 1u)
#define CPM_PLANE(rows, columns) ((((rows) * (columns)) + 3u) / 4u * 4u + 16u)

#endif
