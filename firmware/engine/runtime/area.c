#include "small.h"

#include "area.h"

/* The part of a window's side that lies in the input. The check has seen to it that there is one. */
static void clip(int32_t start, uint32_t kernel, uint32_t in, uint32_t *first, uint32_t *end) {
    const int32_t stop = start + (int32_t)kernel;
    *first = start < 0 ? 0 : (uint32_t)start;
    *end = stop < (int32_t)in ? (uint32_t)stop : in;
}

static inline int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* Takes in `left` pixels of a row, of one channel or of `four`. */
static void take(const int8_t *in, uint32_t pitch, uint32_t left, bool largest, bool four, int32_t *found) {
    int32_t a = found[0], b = found[1], c = found[2], d = found[3];
    if (!four) {
        do {
            a = largest ? larger(a, *in) : a + *in;
            in += pitch;
        } while (--left != 0);
    } else if (largest) {
        do {
            a = larger(a, in[0]);
            b = larger(b, in[1]);
            c = larger(c, in[2]);
            d = larger(d, in[3]);
            in += pitch;
        } while (--left != 0);
    } else {
        do {
            a += in[0];
            b += in[1];
            c += in[2];
            d += in[3];
            in += pitch;
        } while (--left != 0);
    }
    found[0] = a;
    found[1] = b;
    found[2] = c;
    found[3] = d;
}

/* What there is in an area of one channel or of `four` from channel k on. */
static void find(const cpm_model *model, const cpm_op *op, const cpm_area *area, uint32_t k, bool four,
                 int32_t *found) {
    const cpm_view *const view = &((const cpm_pool *)(const void *)op)->in;
    const uint32_t pitch = view->pitch;
    uint32_t y = area->y0, rows = area->y1 - y, width = area->x1 - area->x0;
    if (op->in_ring == 0 && width * pitch == view->row) { /* whole rows without gaps are one */
        width *= rows;
        rows = 1;
    }
    const bool largest = op->kind == CPM_MAX_POOL;
    found[0] = found[1] = found[2] = found[3] = largest ? INT8_MIN : 0;
    for (; rows != 0; rows--, y++) {
        const int8_t *const row = cpm_row_at(model, view, op->in_ring, y);
        take(row + area->x0 * pitch + k, pitch, width, largest, four, found);
    }
}

void cpm_areas(const cpm_model *model, const cpm_op *op, const cpm_window *window, cpm_area_fn finish) {
    const cpm_pool *const pool = (const void *)op;
    const uint32_t channels = pool->in.c;
    cpm_area area;
    int32_t row = -(int32_t)window->pad_h;
    for (uint32_t y = 0; y < pool->out.h; y++, row += window->stride_h) {
        clip(row, window->kernel_h, pool->in.h, &area.y0, &area.y1);
        int8_t *out = cpm_row_at(model, &pool->out, op->out_ring, y);
        int32_t column = -(int32_t)window->pad_w;
        for (uint32_t x = 0; x < pool->out.w; x++, column += window->stride_w, out += pool->out.pitch) {
            clip(column, window->kernel_w, pool->in.w, &area.x0, &area.x1);
            area.n = (area.y1 - area.y0) * (area.x1 - area.x0);
            area.reciprocal = UINT32_MAX / area.n;
            for (uint32_t k = 0, count; k < channels; k += count) {
                int32_t found[4];
                count = channels - k >= 4 ? 4 : 1;
                find(model, op, &area, k, count == 4, found);
                finish(op, &area, found, count, out + k);
            }
        }
    }
}

const char *cpm_check_pool(const cpm_checker *checker, const cpm_op *op) {
    const cpm_pool *const pool = (const void *)op;
    (void)checker;
    return cpm_fits(pool->in.c == pool->out.c && pool->window.dilation_h == 1 &&
                    pool->window.dilation_w == 1 && pool->low <= pool->high);
}
