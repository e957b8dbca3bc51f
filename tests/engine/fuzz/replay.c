/* Runs the fuzz target on the files named as arguments, or else on those that follow one another on the
 * standard input, each behind its length as a uint32_t. For each it prints a line: what the loader said, or
 * "ran". A sanitiser that finds a fault ends the program.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern const char *fuzz_verdict;

static void run(FILE *file, size_t size) {
    uint8_t *const data = malloc(size + 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        fprintf(stderr, "cannot read %zu bytes\n", size);
        exit(2);
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    puts(fuzz_verdict != NULL ? fuzz_verdict : "ran");
}

int main(int argc, char **argv) {
    uint32_t length;
    for (int i = 1; i < argc; i++) {
        FILE *const file = fopen(argv[i], "rb");
        if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
            fprintf(stderr, "cannot open %s\n", argv[i]);
            return 2;
        }
        const long size = ftell(file);
        rewind(file);
        run(file, (size_t)size);
        fclose(file);
    }
    while (argc == 1 && fread(&length, sizeof length, 1, stdin) == 1) {
        run(stdin, length);
    }
    return 0;
}
