#include "pool.h"

const char *cpm_pool_check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_pool *const pool = (const void *)op;
    if (!CPM_LENGTH(op, cpm_pool) || !cpm_view_fits(checker, &pool->in, op->in_ring) ||
        !cpm_view_fits(checker, &pool->out, op->out_ring) || pool->in.c != pool->out.c ||
        !cpm_window_fits(&pool->window, &pool->in, &pool->out) || pool->window.dilation_h != 1 ||
        pool->window.dilation_w != 1 || pool->low > pool->high) {
        return "a pool does not fit";
    }
    return NULL;
}

/* The part of a window side that lies in the input. The check has seen to it that there is one. */
static void clip(int32_t start, uint32_t kernel, uint32_t in, uint32_t *first, uint32_t *end) {
    const int32_t stop = start + (int32_t)kernel;
    *first = start < 0 ? 0 : (uint32_t)start;
    *end = stop < (int32_t)in ? (uint32_t)stop : in;
}

void cpm_pool_each(const cpm_model *model, const cpm_op *op, cpm_pool_fn pixel) {
    const cpm_pool *const pool = (const void *)op;
    const cpm_window *const window = &pool->window;
    cpm_area area;
    int32_t row = -(int32_t)window->pad_h;
    for (uint32_t y = 0; y < pool->out.h; y++, row += window->stride_h) {
        clip(row, window->kernel_h, pool->in.h, &area.y0, &area.y1);
        int8_t *out = cpm_row(model, &pool->out, op->out_ring, y);
        int32_t column = -(int32_t)window->pad_w;
        for (uint32_t x = 0; x < pool->out.w; x++, column += window->stride_w, out += pool->out.pitch) {
            clip(column, window->kernel_w, pool->in.w, &area.x0, &area.x1);
            pixel(model, pool, &area, out);
        }
    }
}
