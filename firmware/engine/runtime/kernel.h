/* What a kernel is to the runtime, and what it may use. Not for callers.
 *
 * A kernel is a file with one function that checks a record and one that runs it. What the check has let
 * through, the run believes. The numbers in a record are the attacker's until then: sums and products of them
 * are made in 64 bits or after their factors have been found small.
 */
#ifndef CICADA_RUNTIME_KERNEL_H
#define CICADA_RUNTIME_KERNEL_H

#include "cpm.h"

typedef struct {
    const uint8_t *blob;
    uint32_t size; /* bytes that records may point into: the blob without its CRC */
    const cpm_header *header;
} cpm_checker;

/* NULL, or in a short phrase what is wrong with the record. It is aligned and lies in the blob, and cpm_check
 * has found right what all kinds have: it is at least as long as this kind's structure, its views fit by
 * cpm_view_fits with the rings that it names, its window by cpm_window_fits. */
typedef const char *(*cpm_check_fn)(const cpm_checker *checker, const cpm_op *op);
typedef void (*cpm_run_fn)(const cpm_model *model, const cpm_op *op);

/* A phrase for kernels that need none of their own. */
extern const char cpm_unfit[];

/* What a check returns that has one: NULL if the record fits, else cpm_unfit. */
const char *cpm_fits(bool fits);

struct cpm_kernel {
    cpm_check_fn check;
    cpm_run_fn run;
};

/* By kind; NULL where a build has no such kernel. kernels.c has all portable ones. A build that needs less
 * defines its own. Accelerated ones come on top: cpm_accelerate. */
extern const cpm_kernel *const cpm_kernels[CPM_KINDS];

extern const cpm_kernel cpm_kernel_conv, cpm_kernel_dense, cpm_kernel_depthwise, cpm_kernel_column,
    cpm_kernel_average_pool, cpm_kernel_max_pool, cpm_kernel_mean, cpm_kernel_add, cpm_kernel_mul,
    cpm_kernel_softmax, cpm_kernel_lut, cpm_kernel_copy, cpm_kernel_fill, cpm_kernel_plain_conv,
    cpm_kernel_plain_depthwise;

/* Steps of inner loops that a checked record takes in one invoke; UINT32_MAX for more than that. */
uint32_t cpm_work(const cpm_op *op);

/* `size` bytes at a multiple of 4 in the blob. */
bool cpm_in_blob(const cpm_checker *checker, uint32_t at, uint64_t size);

/* `size` bytes at `at` in the arena. */
bool cpm_in_arena(const cpm_checker *checker, uint32_t at, uint64_t size);

/* Every byte of a view in the arena, or, with a ring (number plus one), its rows within the ring's: then
 * view->row is the ring's row, at + the pixels of one row stay within the ring's bytes as at % row + width <=
 * row, and h rows are no more than the ring's. h, w, c and pitch are not 0, pitch >= c. */
bool cpm_view_fits(const cpm_checker *checker, const cpm_view *view, unsigned ring);

/* The three tables of n channels lie in the blob; every |bias| <= 2^30; every multiplier is 0 or has its top
 * bit set; every shift is -30 to 31, or as CPM_FAST promises; low <= high, out_zero is -128 to 127 and equal
 * to low for CPM_NONNEG. */
bool cpm_requant_fits(const cpm_checker *checker, const cpm_requant *requant, unsigned flags, uint32_t n);

/* Strides, dilations and kernel are not 0; the kernel has at most 65535 taps; every output pixel's taps lie
 * in the padded input, where padding is less than the kernel's extent. */
bool cpm_window_fits(const cpm_window *window, const cpm_view *in, const cpm_view *out);

static inline const void *cpm_data(const cpm_model *model, uint32_t at) {
    return model->blob + at;
}

static inline int8_t *cpm_memory(const cpm_model *model, uint32_t at) {
    return (int8_t *)model->arena + at;
}

static inline const cpm_ring *cpm_ring_of(const cpm_model *model, unsigned ring) {
    const cpm_header *header = (const void *)model->blob;
    return (const cpm_ring *)(const void *)(model->blob + header->rings_at) + (ring - 1);
}

/* Row y of a view: where its pixel 0 lies. */
static inline int8_t *cpm_row(const cpm_model *model, const cpm_view *view, unsigned ring, uint32_t y) {
    if (ring == 0) {
        return cpm_memory(model, view->at + y * view->row);
    }
    const cpm_ring *r = cpm_ring_of(model, ring);
    const uint32_t bytes = r->row * r->rows;
    uint32_t offset = model->position[ring - 1] + view->at + y * view->row;
    while (offset >= bytes) {
        offset -= bytes;
    }
    return cpm_memory(model, r->at + offset);
}

/* The same where size counts more than time. */
int8_t *cpm_row_at(const cpm_model *model, const cpm_view *view, unsigned ring, uint32_t y);

#endif
