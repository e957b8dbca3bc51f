/* Bytes of one value: what PAD puts around its input. */
#include <string.h>

#include "kernel.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_fill *const fill = (const void *)op;
    return cpm_fits(CPM_LENGTH(op, cpm_fill) && cpm_view_fits(checker, &fill->out, op->out_ring));
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_fill *const fill = (const void *)op;
    const bool whole = fill->out.pitch == fill->out.c;
    const uint32_t count = whole ? (uint32_t)fill->out.w * fill->out.c : fill->out.c;
    const uint32_t pixels = whole ? 1 : fill->out.w;
    for (uint32_t y = 0; y < fill->out.h; y++) {
        int8_t *out = cpm_row_at(model, &fill->out, op->out_ring, y);
        for (uint32_t x = 0; x < pixels; x++, out += fill->out.pitch) {
            memset(out, (int)(fill->value & 255), count);
        }
    }
}

const cpm_kernel cpm_kernel_fill = {check, run};
