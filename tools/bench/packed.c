/* Runs one packed model and counts what each inference takes.
 *
 * The model is linked in at MODEL (a file's name), as constant data, and the memory of all constants is made
 * read-only before it is touched. KERNELS(K) lists the kernels that the model needs, as K(CONV, conv) and so
 * on; no others are linked. Reads the file "input" from the current folder: the inputs of one inference
 * after the other. Writes the file "output": sizeof(cpm_model), the count of NOPS instructions that do
 * nothing, that of cpm_check and cpm_open, the stack of these two, the stack of cpm_invoke, 1 if nothing
 * behind the arena was written, the number of operators that are counted, the number of inferences (uint32
 * each); then for each inference its count, that of each of its operators (uint32 each) and its output. All
 * little-endian.
 *
 * With COUNT_OPERATORS each operator is counted: all kernels are then called through one that does it. An
 * inference's own count is right only without it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bare.h"
#include "kernel.h"

#define ARENA (1u << 20)
#define GUARD 256
#define PAINT 0xa5
#define OPERATORS 1024

__asm__(".section .rodata.model,\"a\"\n"
        ".balign 16\n"
        ".globl model_begin\n"
        "model_begin: .incbin \"" MODEL "\"\n"
        ".globl model_end\n"
        "model_end:\n"
        ".text\n");

extern const uint8_t model_begin[], model_end[];

static uint8_t arena[ARENA + GUARD] __attribute__((aligned(16)));
static cpm_model model;
static uint32_t operators[OPERATORS], operators_done, loading;
static const char *wrong;

#define KERNEL(kind, name) [CPM_##kind] = &cpm_kernel_##name,

#ifdef COUNT_OPERATORS

static const cpm_kernel *const real[CPM_KINDS] = {KERNELS(KERNEL)};

static const char *check_real(const cpm_checker *checker, const cpm_op *op) {
    return real[op->kind]->check(checker, op);
}

static void count_real(const cpm_model *of, const cpm_op *op) {
    const uint32_t before = counter();
    real[op->kind]->run(of, op);
    operators[operators_done++] = counter() - before - reading();
}

static const cpm_kernel counted = {check_real, count_real};

#define COUNTED(kind, name) [CPM_##kind] = &counted,
const cpm_kernel *const cpm_kernels[CPM_KINDS] = {KERNELS(COUNTED)};

#else

const cpm_kernel *const cpm_kernels[CPM_KINDS] = {KERNELS(KERNEL)};

#endif

static void load(void) {
    const uint32_t before = counter();
    wrong = cpm_check(model_begin, (size_t)(model_end - model_begin));
    if (wrong == NULL) {
        cpm_open(&model, model_begin, arena);
    }
    loading = counter() - before - reading();
}

static void invoke(void) {
    operators_done = 0;
    cpm_invoke(&model);
}

static uint32_t guard_whole(size_t used) {
    for (size_t i = used; i < used + GUARD; i++) {
        if (arena[i] != PAINT) {
            return 0;
        }
    }
    return 1;
}

int main(void) {
    protect_flash();
    memset(arena, PAINT, sizeof arena);
    const uint32_t stack_load = stack_used(load);
    if (wrong != NULL || cpm_about(model_begin)->arena > ARENA || cpm_about(model_begin)->ops > OPERATORS) {
        fprintf(stderr, "error: %s\n", wrong != NULL ? wrong : "larger than the harness");
        return 2;
    }
    const cpm_header *about = cpm_about(model_begin);
    const int from = open("input", O_RDONLY), to = open("output", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    uint32_t head[8] = {sizeof model, nops(), loading, stack_load};
    write(to, head, sizeof head);
    while (read(from, cpm_input(&model), about->input.size) == (ssize_t)about->input.size) {
        operators_done = 0;
        const uint32_t before = counter();
        cpm_invoke(&model);
        const uint32_t count = counter() - before - reading();
        write(to, &count, sizeof count);
        write(to, operators, operators_done * sizeof *operators);
        write(to, cpm_output(&model), about->output.size);
        head[6] = operators_done;
        head[7]++;
    }
    head[4] = stack_used(invoke);
    head[5] = guard_whole(about->arena);
    lseek(to, 0, SEEK_SET);
    write(to, head, sizeof head);
    close(from);
    return close(to);
}
