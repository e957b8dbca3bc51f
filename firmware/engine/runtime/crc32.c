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
#include "small.h"

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

static inline const uint32_t *later(const uint32_t *a, const uint32_t *b) {
    return a > b ? a : b;
}

uint32_t cpm_crc32_words(const void *words, size_t count) {
    const word_t *word = words;
    /* The last DEGREE reduced words as a ring: the next one goes `to` where the oldest one is, which it sees,
     * and a to d are the others that it sees. The first one finds the register full of ones. */
    uint32_t ring[DEGREE] = {UINT32_MAX};
    const uint32_t *const end = ring + DEGREE;
    uint32_t *to = ring, crc = 0;
    const uint32_t *a = end - 17, *b = end - 80, *c = end - 118, *d = end - 124;
    while (count != 0) {
        /* Pairs of words, as far as none of the five places comes to the ring's end. */
        const size_t room = (size_t)(end - later(to, later(later(a, b), later(c, d))));
        size_t pairs = count < DEGREE + room ? 0 : room / 2;
        if (pairs != 0) {
            count -= 2 * pairs;
            do {
                to[0] ^= word[0] ^ a[0] ^ b[0] ^ c[0] ^ d[0];
                to[1] ^= word[1] ^ a[1] ^ b[1] ^ c[1] ^ d[1];
                to += 2, word += 2, a += 2, b += 2, c += 2, d += 2;
            } while (--pairs != 0);
        } else {
            *to ^= *word++ ^ *a++ ^ *b++ ^ *c++ ^ *d++;
            if (count <= DEGREE) { /* of the last words nothing is left for others */
                crc = shift_out(crc ^ *to, 8);
                *to = 0;
            }
            to++;
            count--;
        }
        to = to == end ? ring : to;
        a = a == end ? ring : a;
        b = b == end ? ring : b;
        c = c == end ? ring : c;
        d = d == end ? ring : d;
    }
    return ~crc;
}
