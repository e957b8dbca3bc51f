/* Whether a packed model may run: everything that is read without further checks later.
 *
 * A blob is an attacker's until cpm_check returns NULL. Sizes are sums and products of its numbers, in 64
 * bits where they might not fit.
 */
#include "crc32.h"
#include "kernel.h"

/* Bytes of arena at most, so that sums of four places fit 32 bits. */
#define ARENA_MAX (1u << 28)
/* Steps of inner loops at most, in one invoke and in a self-test: some minutes on a small CPU. */
#define WORK_MAX (UINT32_MAX - 1)

const char cpm_unfit[] = "an operator that does not fit";

const char *cpm_fits(bool fits) {
    return fits ? NULL : cpm_unfit;
}

bool cpm_in_blob(const cpm_checker *checker, uint32_t at, uint64_t size) {
    return at % 4 == 0 && at <= checker->size && size <= checker->size - at;
}

bool cpm_in_arena(const cpm_checker *checker, uint32_t at, uint64_t size) {
    const uint32_t arena = checker->header->arena;
    return at <= arena && size <= arena - at;
}

static const cpm_ring *rings(const cpm_checker *checker) {
    return (const void *)(checker->blob + checker->header->rings_at);
}

bool cpm_view_fits(const cpm_checker *checker, const cpm_view *view, unsigned ring) {
    if (view->h == 0 || view->w == 0 || view->c == 0 || view->pitch < view->c) {
        return false;
    }
    const uint32_t width = (view->w - 1u) * view->pitch + view->c;
    if (ring == 0) {
        return (view->h == 1 || view->row >= width) &&
               cpm_in_arena(checker, view->at, (uint64_t)(view->h - 1u) * view->row + width);
    }
    const cpm_ring *const r = rings(checker) + (ring - 1);
    return view->row == r->row && view->h <= r->rows && view->at < r->row * r->rows && width <= r->row &&
           view->at % r->row <= r->row - width;
}

bool cpm_requant_fits(const cpm_checker *checker, const cpm_requant *requant, unsigned flags, uint32_t n) {
    const bool fast = flags & CPM_FAST;
    if (!cpm_in_blob(checker, requant->at, n * 8 + (n + 3) / 4 * 4) || requant->low > requant->high ||
        requant->out_zero != (int8_t)requant->out_zero ||
        (flags & CPM_NONNEG && (!fast || requant->low != requant->out_zero))) {
        return false;
    }
    const int32_t *const bias = (const void *)(checker->blob + requant->at);
    const uint32_t *const multiplier = (const uint32_t *)(const void *)bias + n;
    const int8_t *const shift = (const int8_t *)(multiplier + n);
    const int lowest = fast ? 1 : -30;
    const unsigned span = fast ? 21 : 61;
    for (uint32_t i = 0; i < n; i++) {
        if ((uint32_t)bias[i] + (1u << 30) > 1u << 31 ||
            multiplier[i] - 1 < INT32_MAX || /* neither 0 nor with its top bit set */
            (unsigned)(shift[i] - lowest) > span) {
            return false;
        }
    }
    return true;
}

/* One dimension of a window over `in` values that gives `out`. */
static bool side_fits(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t dilation,
                      uint32_t pad) {
    return kernel != 0 && stride != 0 && dilation != 0 && pad < CPM_EXTENT(1, 1, kernel, dilation) &&
           (out - 1) * stride < in + pad;
}

bool cpm_window_fits(const cpm_window *window, const cpm_view *in, const cpm_view *out) {
    return (uint32_t)window->kernel_h * window->kernel_w <= UINT16_MAX &&
           side_fits(in->h, out->h, window->kernel_h, window->stride_h, window->dilation_h, window->pad_h) &&
           side_fits(in->w, out->w, window->kernel_w, window->stride_w, window->dilation_w, window->pad_w);
}

static uint32_t times(uint32_t a, uint32_t b) {
    const uint64_t product = (uint64_t)a * b;
    return product > UINT32_MAX ? UINT32_MAX : (uint32_t)product;
}

/* Sets of kinds, a bit for each. */
enum {
    CONVS = 1 << CPM_CONV | 1 << CPM_PLAIN_CONV,
    DEPTHWISE = 1 << CPM_DEPTHWISE | 1 << CPM_PLAIN_DEPTHWISE | 1 << CPM_COLUMN,
    WINDOWS = CONVS | DEPTHWISE | 1 << CPM_AVERAGE_POOL | 1 << CPM_MAX_POOL,
    BINARIES = 1 << CPM_ADD | 1 << CPM_MUL,
};

uint32_t cpm_work(const cpm_op *op) {
    if (op->kind == CPM_COPY) {
        const uint16_t *const dims = ((const cpm_copy *)(const void *)op)->dims;
        return times((uint32_t)dims[0] * dims[1], (uint32_t)dims[2] * dims[3]);
    }
    const cpm_conv *const conv = (const void *)op; /* as far as they go, all others are like this one */
    const cpm_window *const w = &conv->window;
    const cpm_view *view = &conv->in; /* the larger one of those without a window */
    const unsigned kind = 1u << op->kind;
    uint32_t each = 1; /* steps for a value of it */
    if (kind & WINDOWS) {
        view = &conv->out;
        each = (uint32_t)w->kernel_h * w->kernel_w;
    }
    if (kind & CONVS) {
        each *= conv->in.c;
    }
    if (op->kind == CPM_DEPTHWISE) {
        /* In strips of a row each, all input between the first and the last taps is gathered anew. */
        each = times(CPM_EXTENT(2u, w->stride_h, w->kernel_h, w->dilation_h),
                     CPM_EXTENT(2u, w->stride_w, w->kernel_w, w->dilation_w));
    }
    if (op->kind == CPM_DENSE) {
        each = conv->out.c;
    }
    if (kind & BINARIES) {
        view = &((const cpm_binary *)(const void *)op)->out;
    }
    /* The view fits the arena. */
    return times((uint32_t)view->h * view->w * view->c, each);
}

static bool io_fits(const cpm_checker *checker, const cpm_io *io) {
    if (io->rank > CPM_RANK || io->dtype > CPM_UINT8) {
        return false;
    }
    uint32_t size = 1;
    for (unsigned i = 0; i < io->rank; i++) {
        size = times(size, io->shape[i]);
    }
    return io->size != 0 && size == io->size && cpm_in_arena(checker, io->at, size);
}

static bool rings_fit(const cpm_checker *checker) {
    const cpm_ring *const all = rings(checker);
    for (unsigned i = 0; i < checker->header->rings; i++) {
        const uint64_t size = (uint64_t)all[i].row * all[i].rows;
        if (size == 0 || !cpm_in_arena(checker, all[i].at, size)) {
            return false;
        }
    }
    return true;
}

static bool states_fit(const cpm_checker *checker) {
    const cpm_state *state = (const void *)(checker->blob + checker->header->states_at);
    uint32_t left = checker->header->arena; /* as states do not overlap */
    for (unsigned i = 0; i < checker->header->states; i++, state++) {
        if (state->size > left || !cpm_in_arena(checker, state->at, state->size) ||
            (state->from != 0 && !cpm_in_blob(checker, state->from, state->size))) {
            return false;
        }
        left -= state->size;
    }
    return true;
}

/* What all records of a kind have: bytes at least, and the views that they begin with, the output's last. */
static const struct {
    uint8_t size, views;
} layouts[CPM_KINDS] = {
    [CPM_CONV] = {sizeof(cpm_conv), 2},
    [CPM_DENSE] = {sizeof(cpm_dense), 2},
    [CPM_DEPTHWISE] = {sizeof(cpm_depthwise), 2},
    [CPM_COLUMN] = {sizeof(cpm_column), 2},
    [CPM_AVERAGE_POOL] = {sizeof(cpm_pool), 2},
    [CPM_MAX_POOL] = {sizeof(cpm_pool), 2},
    [CPM_MEAN] = {sizeof(cpm_mean), 2},
    [CPM_ADD] = {sizeof(cpm_binary), 3},
    [CPM_MUL] = {sizeof(cpm_binary), 3},
    [CPM_SOFTMAX] = {sizeof(cpm_softmax), 2},
    [CPM_LUT] = {sizeof(cpm_lut), 2},
    [CPM_COPY] = {sizeof(cpm_copy), 0},
    [CPM_FILL] = {sizeof(cpm_fill), 1},
    [CPM_PLAIN_CONV] = {sizeof(cpm_plain), 2},
    [CPM_PLAIN_DEPTHWISE] = {sizeof(cpm_plain), 2},
};

/* Length, views and window of a record. */
static bool layout_fits(const cpm_checker *checker, const cpm_op *op) {
    const cpm_conv *const conv = (const void *)op; /* all begin alike */
    if (op->length < layouts[op->kind].size) {
        return false;
    }
    const cpm_view *view = &conv->in;
    for (unsigned left = layouts[op->kind].views; left != 0; left--) {
        if (!cpm_view_fits(checker, view++, left == 1 ? op->out_ring : op->in_ring)) {
            return false;
        }
    }
    return !(WINDOWS >> op->kind & 1) || cpm_window_fits(&conv->window, &conv->in, &conv->out);
}

static const char *check_op(const cpm_checker *checker, const cpm_op *op) {
    const unsigned count = checker->header->rings;
    if (op->in_ring > count || op->out_ring > count || op->advance > count ||
        (op->advance != 0 && op->advance_rows > rings(checker)[op->advance - 1].rows)) {
        return "a ring does not fit";
    }
    if (op->kind >= CPM_KINDS || cpm_kernels[op->kind] == NULL) {
        return "an operator this firmware does not have";
    }
    return layout_fits(checker, op) ? cpm_kernels[op->kind]->check(checker, op) : cpm_unfit;
}

static const char *check_ops(const cpm_checker *checker) {
    const cpm_header *const header = checker->header;
    uint32_t at = header->ops_at;
    uint32_t work = 0;
    for (unsigned i = 0; i < header->ops; i++) {
        if (!cpm_in_blob(checker, at, sizeof(cpm_op))) {
            return "an operator lies outside";
        }
        const cpm_op *const op = (const void *)(checker->blob + at);
        if (op->length % 4 != 0 || op->length < sizeof(cpm_op) || !cpm_in_blob(checker, at, op->length)) {
            return "an operator lies outside";
        }
        const char *const wrong = check_op(checker, op);
        if (wrong != NULL) {
            return wrong;
        }
        const uint32_t more = cpm_work(op);
        work = more > UINT32_MAX - work ? UINT32_MAX : work + more;
        if (work > WORK_MAX || times(work, header->selftest_steps) > WORK_MAX) {
            return "too much to compute";
        }
        at += op->length;
    }
    return NULL;
}

const char *cpm_check(const void *blob, size_t size) {
    const cpm_header *const header = blob;
    if ((uintptr_t)blob % CPM_ALIGNMENT != 0) {
        return "not at a multiple of 4 bytes";
    }
    if (size < sizeof(cpm_header) + 4 || header->magic != CPM_MAGIC) {
        return "not a packed model";
    }
    if (header->version != CPM_VERSION) {
        return "of another version";
    }
    if (header->header_size != sizeof(cpm_header) || header->size != size || size % 4 != 0) {
        return "of another length";
    }
    const cpm_checker checker = {blob, header->size - 4, header};
    const uint32_t *const crc = (const void *)(checker.blob + checker.size);
    if (cpm_crc32_words(blob, checker.size / 4) != *crc) {
        return "damaged: its CRC is wrong";
    }
    if (header->arena > ARENA_MAX) {
        return "too large an arena";
    }
    if (!io_fits(&checker, &header->input) || !io_fits(&checker, &header->output)) {
        return "input or output does not fit";
    }
    if (header->rings > CPM_RINGS ||
        !cpm_in_blob(&checker, header->rings_at, (uint64_t)header->rings * sizeof(cpm_ring)) ||
        !rings_fit(&checker)) {
        return "a ring does not fit";
    }
    if (!cpm_in_blob(&checker, header->states_at, (uint64_t)header->states * sizeof(cpm_state)) ||
        !states_fit(&checker)) {
        return "a state does not fit";
    }
    return check_ops(&checker);
}
