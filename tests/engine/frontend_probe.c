/* Makes stages of the front end callable for inputs that sound hardly brings about. */
#include "noise_reduction.c"

void probe_spectrum(const int16_t *samples, unsigned shift, uint32_t *energies);
uint32_t probe_noise(uint32_t noise, uint32_t signal, uint32_t smoothing, uint32_t *left);
unsigned probe_bits(uint32_t x);

/* 512 samples; energies[k] of the bins that the filter bank reads. */
void probe_spectrum(const int16_t *samples, unsigned shift, uint32_t *energies) {
    fe_bin bins[FE_FFT / 2];
    for (unsigned n = 0; n < FE_FFT / 2; n++) {
        fe_bin *bin = &bins[fe_slot[n % (FE_FFT / 8)] + n / (FE_FFT / 8)];
        bin->z = (fe_complex){samples[2 * n], samples[2 * n + 1]};
    }
    fe_power_spectrum(bins, shift);
    for (unsigned k = FE_BIN_FIRST; k < FE_BIN_END; k++) {
        energies[k] = bins[k].energy;
    }
}

uint32_t probe_noise(uint32_t noise, uint32_t signal, uint32_t smoothing, uint32_t *left) {
    *left = reduced(&noise, signal, smoothing);
    return noise;
}

unsigned probe_bits(uint32_t x) {
    return fe_bit_length(x);
}
