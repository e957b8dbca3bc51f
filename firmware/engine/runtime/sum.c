#include "sum.h"

void cpm_sum(const cpm_model *model, const cpm_view *view, unsigned ring, const cpm_area *area, uint32_t k,
             unsigned count, int32_t *sums) {
    const uint32_t pitch = view->pitch, first = area->x0 * pitch + k;
    int32_t a = 0, b = 0, c = 0, d = 0;
    for (uint32_t y = area->y0; y < area->y1; y++) {
        const int8_t *in = cpm_row(model, view, ring, y) + first;
        uint32_t left = area->x1 - area->x0;
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
