#include "add.h"

#include <string.h>

#define WORD sizeof(uint32_t)
#define ALIGNED(pointer) ((uintptr_t)(pointer) % WORD == 0)

static void add_bytes(uint8_t *target, const uint8_t *difference, size_t count) {
    for (size_t i = 0; i < count; i++) {
        target[i] = (uint8_t)(target[i] + difference[i]);
    }
}

/* Adds four bytes to those at `target`, which is aligned. The lower seven bits of each are added where no
   carry can leave the byte; its top bit is the sum without carry of both top bits and what came up. */
static void add_word(uint8_t *target, uint32_t difference) {
    const uint32_t top = 0x80808080u;
    uint32_t word;
    target = __builtin_assume_aligned(target, WORD);
    memcpy(&word, target, WORD);
    word = ((word & ~top) + (difference & ~top)) ^ ((word ^ difference) & top);
    memcpy(target, &word, WORD);
}

void delta_add(uint8_t *target, const uint8_t *difference, size_t count) {
    size_t i = (0u - (uintptr_t)target) % WORD;
    i = i < count ? i : count;
    add_bytes(target, difference, i);
    uint32_t word;
    /* Two loops: the small CPUs cannot load a word that is not aligned, and memcpy would be a call where a
     * compiler optimises for size. There the word is put together byte by byte. */
    if (ALIGNED(difference + i)) {
        for (; count - i >= WORD; i += WORD) {
            memcpy(&word, __builtin_assume_aligned(difference + i, WORD), WORD);
            add_word(target + i, word);
        }
    } else {
        for (; count - i >= WORD; i += WORD) {
            const uint8_t *from = difference + i;
            const uint8_t bytes[WORD] = {from[0], from[1], from[2], from[3]};
            memcpy(&word, bytes, WORD);
            add_word(target + i, word);
        }
    }
    add_bytes(target + i, difference + i, count - i);
}
