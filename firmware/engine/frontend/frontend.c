#include "frontend.h"

#include <string.h>

#include "stages.h"

bool fe_init(fe_state *s, unsigned step_ms) {
    if (step_ms != 10 && step_ms != 20) {
        return false;
    }
    memset(s, 0, sizeof *s);
    s->step = (uint16_t)(step_ms * (FE_RATE / 1000));
    return true;
}

void fe_reset(fe_state *s) {
    const uint16_t step = s->step;
    memset(s, 0, sizeof *s);
    s->step = step;
}

size_t fe_sizeof(void) {
    return sizeof(fe_state);
}

size_t fe_frames(const fe_state *s, size_t n) {
    const size_t available = s->filled + n;
    return available < FE_WINDOW ? 0 : (available - FE_WINDOW) / s->step + 1;
}

int fe_feed(fe_state *s, const int16_t *pcm, size_t n, size_t *consumed, uint16_t out[FE_CHANNELS]) {
    const size_t room = (size_t)FE_WINDOW - s->filled;
    const size_t taken = n < room ? n : room;
    if (taken != 0) {
        memcpy(s->samples + s->filled, pcm, taken * sizeof *pcm);
    }
    s->filled = (uint16_t)(s->filled + taken);
    *consumed = taken;
    if (s->filled < FE_WINDOW) {
        return 0;
    }

    uint32_t channels[FE_CHANNELS];
    const unsigned shift = fe_window(s->samples, s->bins);
    fe_power_spectrum(s->bins, shift);
    fe_filterbank(s->bins, shift, channels);
    fe_noise_reduction(s->noise, channels);
    fe_pcan(s->noise, channels);
    fe_log_scale(channels, out);

    s->filled = (uint16_t)(FE_WINDOW - s->step);
    memmove(s->samples, s->samples + s->step, s->filled * sizeof *s->samples);
    return 1;
}
