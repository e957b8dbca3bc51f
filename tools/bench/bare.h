/* What the harnesses of the bench share: a counter, and a stack that tells how much of it was used.
 *
 * On RISC-V the counter is the CSR minstret (RISC-V Privileged Architecture 1.12, 3.1.10) and counts
 * instructions. Elsewhere it is a clock of nanoseconds, and no stack is measured.
 */
#ifndef CICADA_BENCH_BARE_H
#define CICADA_BENCH_BARE_H

#include <stddef.h>
#include <stdint.h>

#define NOPS 1000
#define STACK_WORDS 4096
#define STACK_PAINT 0xa5a5a5a5u
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

#ifdef __riscv

/* The assembler counts CSR instructions as an extension; naming it on the command line would make GCC
 * look for a C library built with it. */
__asm__(".option arch, +zicsr");

/* The low word: what is measured is far shorter than 2^32 instructions, so differences are right. */
static inline uint32_t counter(void) {
    uint32_t count;
    __asm__ volatile("csrr %0, minstret" : "=r"(count) : : "memory");
    return count;
}

/* Runs `run` on a stack of its own; returns the bytes it used. */
static inline uint32_t stack_used(void (*run)(void)) {
    static uint32_t stack[STACK_WORDS] __attribute__((aligned(16)));
    for (size_t i = 0; i < STACK_WORDS; i++) {
        stack[i] = STACK_PAINT;
    }
    /* The operands are in registers that a callee saves, since all others are clobbered. */
    __asm__ volatile("mv s1, sp\n mv sp, %1\n jalr %0\n mv sp, s1"
                     :
                     : "r"(run), "r"(stack + STACK_WORDS)
                     : "s1", "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a0", "a1", "a2", "a3", "a4",
                       "a5", "a6", "a7", "memory");
    size_t unused = 0;
    while (unused < STACK_WORDS && stack[unused] == STACK_PAINT) {
        unused++;
    }
    return (uint32_t)(sizeof stack - unused * sizeof *stack);
}

/* Makes the 4 MiB at 0x80000000, where code and constants lie, read-only as flash is: one region of the
 * physical memory protection, a power of two, locked so that it binds machine mode too (the same manual,
 * 3.7.1). A write there ends the run. */
static inline void protect_flash(void) {
    const uint32_t address = 0x80000000u / 4 + (((4u << 20) / 8) - 1);
    const uint32_t locked_napot_execute_read = 0x80 | 0x18 | 0x4 | 0x1;
    __asm__ volatile("csrw pmpaddr0, %0\n csrw pmpcfg0, %1" : : "r"(address), "r"(locked_napot_execute_read));
}

#else

#include <time.h>

static inline uint32_t counter(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

static inline uint32_t stack_used(void (*run)(void)) {
    run();
    return 0;
}

static inline void protect_flash(void) {
}

#endif

/* What two readings with nothing between them differ by. */
static inline uint32_t reading(void) {
    const uint32_t before = counter();
    return counter() - before;
}

/* What the counter says of NOPS instructions that do nothing. */
static inline uint32_t nops(void) {
    const uint32_t before = counter();
    __asm__ volatile(".rept " TEXT(NOPS) "\n nop\n .endr");
    return counter() - before - reading();
}

#endif
