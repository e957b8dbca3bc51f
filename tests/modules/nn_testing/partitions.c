/* Partitions and built-in models for tests.
 *
 * On this machine partition L is the file L.partition in the folder that CICADA_PARTITIONS names. On the bare
 * RV32 machine the loader has put a table of all partitions where tests/support/interpreters.py says.
 */
#include <stdint.h>
#include <string.h>

#include "builtin_models.h"
#include "platform.h"

static const uint8_t first[] __attribute__((aligned(16))) = "first container";
static const uint8_t second[] __attribute__((aligned(16))) = "second";

const cicada_model_t cicada_models[] = {{"first", first, sizeof(first) - 1},
                                        {"zwölf", second, sizeof(second) - 1}};
const uint32_t cicada_models_count = 2;

#ifdef __unix__

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

nn_mapping nn_map_partition(const char *label, const void **data, size_t *size) {
    static struct {
        char label[16];
        const void *data;
        size_t size;
    } mapped[NN_MAPPINGS];
    char path[512];
    struct stat file;
    for (size_t i = 0; i < NN_MAPPINGS; i++) {
        if (mapped[i].data == NULL) {
            snprintf(path, sizeof(path), "%s/%s.partition", getenv("CICADA_PARTITIONS"), label);
            int handle = open(path, O_RDONLY);
            if (handle < 0 || fstat(handle, &file) != 0) {
                return NN_NO_PARTITION;
            }
            mapped[i].size = (size_t)file.st_size;
            mapped[i].data = mmap(NULL, mapped[i].size, PROT_READ, MAP_PRIVATE, handle, 0);
            snprintf(mapped[i].label, sizeof(mapped[i].label), "%s", label);
            close(handle);
        }
        if (strcmp(mapped[i].label, label) == 0) {
            *data = mapped[i].data;
            *size = mapped[i].size;
            return NN_MAPPED;
        }
    }
    return NN_TOO_MANY;
}

#else

typedef struct {
    char label[16];
    uint32_t address, size;
} entry;

nn_mapping nn_map_partition(const char *label, const void **data, size_t *size) {
    for (const entry *e = (const entry *)0x81000000; e->label[0] != 0; e++) {
        if (strncmp(e->label, label, sizeof(e->label)) == 0) {
            *data = (const void *)e->address;
            *size = e->size;
            return NN_MAPPED;
        }
    }
    return NN_NO_PARTITION;
}

#endif
