#include "area.h"

/* The part of a window's side that lies in the input. The check has seen to it that there is one. */
static void clip(int32_t start, uint32_t kernel, uint32_t in, uint32_t *first, uint32_t *end) {
    const int32_t stop = start + (int32_t)kernel;
    *first = start < 0 ? 0 : (uint32_t)start;
    *end = stop < (int32_t)in ? (uint32_t)stop : in;
}

void cpm_areas(const cpm_model *model, const cpm_op *op, const cpm_window *window, cpm_area_fn pixel) {
    const cpm_pool *const pool = (const void *)op;
    cpm_area area;
    int32_t row = -(int32_t)window->pad_h;
    for (uint32_t y = 0; y < pool->out.h; y++, row += window->stride_h) {
        clip(row, window->kernel_h, pool->in.h, &area.y0, &area.y1);
        int8_t *out = cpm_row_at(model, &pool->out, op->out_ring, y);
        int32_t column = -(int32_t)window->pad_w;
        for (uint32_t x = 0; x < pool->out.w; x++, column += window->stride_w, out += pool->out.pitch) {
            clip(column, window->kernel_w, pool->in.w, &area.x0, &area.x1);
            pixel(model, op, &area, out);
        }
    }
}

bool cpm_pool_fits(const cpm_checker *checker, const cpm_op *op) {
    const cpm_pool *const pool = (const void *)op;
    return cpm_views_fit(checker, op, sizeof(cpm_pool)) && pool->in.c == pool->out.c &&
           cpm_window_fits(&pool->window, &pool->in, &pool->out) && pool->window.dilation_h == 1 &&
           pool->window.dilation_w == 1 && pool->low <= pool->high;
}

void cpm_sum(const cpm_model *model, const cpm_op *op, const cpm_area *area, uint32_t k, unsigned count,
             int32_t *sums) {
    const cpm_view *const view = &((const cpm_pool *)(const void *)op)->in;
    const uint32_t pitch = view->pitch, first = area->x0 * pitch + k;
    uint32_t rows = area->y1 - area->y0, width = area->x1 - area->x0;
    if (op->in_ring == 0 && width * pitch == view->row) { /* whole rows without gaps are one */
        width *= rows;
        rows = 1;
    }
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (uint32_t y = 0; y < rows; y++) {
        const int8_t *in = cpm_row_at(model, view, op->in_ring, area->y0 + y) + first;
        uint32_t left = width;
        if (count == 1) {
            for (; left != 0; left--, in += pitch) {
                a += in[0];
            }
            continue;
        }
        for (; left != 0; left--, in += pitch) {
            a += in[0];
            b += in[1];
            c += in[2];
            d += in[3];
        }
    }
    sums[0] = a;
    if (count != 1) {
        sums[1] = b;
        sums[2] = c;
        sums[3] = d;
    }
}
