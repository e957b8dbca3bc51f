/* CRC-32 of many words without large tables.
 *
 * A CRC is the remainder of the message, as a polynomial over GF(2), by P = x^32 + x^26 + ... + 1
 * (0x04c11db7; the byte order and inversions are those of zlib's). P divides
 *
 *     Q = x^(32 * 203) + x^(32 * 186) + x^(32 * 123) + x^(32 * 85) + x^(32 * 79) + 1
 *
 * so that the message may first be reduced by Q: each word is added (exclusive or) to the words 17, 80, 118,
 * 124 and 203 places after it, and is then gone. That is six loads and a store a word, and no table. What is
 * left are the last 203 words, and those go the usual way, four bits at a time. The test shows that P divides
 * Q; of all sums of six such powers it is the one of the lowest degree. To reduce by a sparse multiple is the
 * idea of Sam Russell's "Chorba" (arXiv:2412.16398).
 */
#include "crc32.h"

#define DEGREE 203

/* A word of memory that other code may know as something else. */
typedef uint32_t __attribute__((may_alias)) word_t;

/* The remainder of i * x^32, bit-reflected: what four bits that leave the register add to it. */
static const uint32_t nibble[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
};

static uint32_t shift_out(uint32_t crc, unsigned nibbles) {
    for (; nibbles != 0; nibbles--) {
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return crc;
}

uint32_t cpm_crc32(uint32_t before, const uint8_t *bytes, size_t count) {
    uint32_t crc = ~before;
    for (size_t i = 0; i < count; i++) {
        crc = shift_out(crc ^ bytes[i], 2);
    }
    return ~crc;
}

/* Place of the word `delay` words before the one at `at`, in a ring of DEGREE words. */
static inline uint32_t earlier(uint32_t at, uint32_t delay) {
    return at < delay ? at + DEGREE - delay : at - delay;
}

static inline uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

uint32_t cpm_crc32_words(const void *words, size_t count) {
    const word_t *word = words;
    /* The last DEGREE reduced words as a ring. The first one of the message finds the register full of ones.
     */
    uint32_t ring[DEGREE] = {UINT32_MAX};
    uint32_t at = 0, crc = 0;
    while (count != 0) {
        const uint32_t a = earlier(at, DEGREE - 186), b = earlier(at, DEGREE - 123);
        const uint32_t c = earlier(at, DEGREE - 85), d = earlier(at, DEGREE - 79);
        if (count <= DEGREE) {
            const uint32_t left = *word++ ^ ring[at] ^ ring[a] ^ ring[b] ^ ring[c] ^ ring[d];
            crc = shift_out(crc ^ left, 8);
            ring[at] = 0;
            at = at + 1 == DEGREE ? 0 : at + 1;
            count--;
            continue;
        }
        /* As far as none of the five places comes to the ring's end; two at a time. */
        uint32_t run = DEGREE - at;
        run = smaller(run, smaller(smaller(DEGREE - a, DEGREE - b), smaller(DEGREE - c, DEGREE - d)));
        run = count - DEGREE < run ? (uint32_t)(count - DEGREE) : run;
        const uint32_t *from_a = ring + a, *from_b = ring + b, *from_c = ring + c, *from_d = ring + d;
        uint32_t *to = ring + at;
        for (uint32_t i = run / 2; i != 0; i--) {
            to[0] ^= word[0] ^ from_a[0] ^ from_b[0] ^ from_c[0] ^ from_d[0];
            to[1] ^= word[1] ^ from_a[1] ^ from_b[1] ^ from_c[1] ^ from_d[1];
            to += 2, word += 2, from_a += 2, from_b += 2, from_c += 2, from_d += 2;
        }
        if (run % 2 != 0) {
            *to ^= *word++ ^ *from_a ^ *from_b ^ *from_c ^ *from_d;
        }
        count -= run;
        at = at + run == DEGREE ? 0 : at + run;
    }
    return ~crc;
}
