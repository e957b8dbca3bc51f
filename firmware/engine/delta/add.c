#include "add.h"

/* Four bytes in one word. It may alias the buffers' bytes; memcpy, the portable way to load it, is a call
 * where ESP-IDF compiles. */
typedef uint32_t __attribute__((may_alias)) word_t;
#define WORD sizeof(word_t)
#define ALIGNED(pointer) ((uintptr_t)(pointer) % WORD == 0)

static void add_bytes(uint8_t *target, const uint8_t *difference, size_t count) {
    for (size_t i = 0; i < count; i++) {
        target[i] = (uint8_t)(target[i] + difference[i]);
    }
}

/* Sums of four bytes each. The lower seven bits are added where no carry can leave the byte; its top bit is
 * the sum without carry of both top bits and what came up. */
static inline uint32_t sums(uint32_t a, uint32_t b) {
    const uint32_t top = 0x80808080u;
    return ((a & ~top) + (b & ~top)) ^ ((a ^ b) & top);
}

void delta_add(uint8_t *target, const uint8_t *difference, size_t count) {
    const size_t ahead = (0u - (uintptr_t)target) % WORD, first = ahead < count ? ahead : count;
    add_bytes(target, difference, first);
    if (first == count) {
        return; /* target may never have come to a word's boundary */
    }
    target += first;
    difference += first;
    const size_t words = (count - first) / WORD;
    word_t *const to = (void *)target;
    /* Two loops: the small CPUs cannot load a word that is not aligned, so it is put together byte by byte.
     */
    if (ALIGNED(difference)) {
        const word_t *const from = (const void *)difference;
        for (size_t i = 0; i < words; i++) {
            to[i] = sums(to[i], from[i]);
        }
    } else {
        for (size_t i = 0; i < words; i++) {
            const uint8_t *from = difference + i * WORD;
            const union {
                uint8_t bytes[WORD];
                uint32_t word;
            } four = {{from[0], from[1], from[2], from[3]}};
            to[i] = sums(to[i], four.word);
        }
    }
    add_bytes(target + words * WORD, difference + words * WORD, (count - first) % WORD);
}
