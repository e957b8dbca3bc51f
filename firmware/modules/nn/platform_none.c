/* For ports that have neither flash partitions nor built-in models. A build that has them defines the same.
 */
#include "builtin_models.h"
#include "platform.h"

#define WEAK __attribute__((weak))

WEAK const cicada_model_t cicada_models[1] = {{0}};
WEAK const uint32_t cicada_models_count = 0;

WEAK nn_mapping nn_map_partition(const char *label, const void **data, size_t *size) {
    (void)label;
    (void)data;
    (void)size;
    return NN_NO_PARTITION;
}
