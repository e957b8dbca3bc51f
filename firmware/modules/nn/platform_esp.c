/* Partitions on ESP-IDF. */
#include "esp_partition.h"

#include "platform.h"

/* As they survive soft resets, so must this. */
static struct {
    const esp_partition_t *partition;
    const void *data;
} mappings[NN_MAPPINGS];

nn_mapping nn_map_partition(const char *label, const void **data, size_t *size) {
    const esp_partition_t *partition =
        esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, label);
    if (partition == NULL) {
        return NN_NO_PARTITION;
    }
    *size = partition->size;
    for (size_t i = 0; i < NN_MAPPINGS; i++) {
        if (mappings[i].partition == NULL) {
            esp_partition_mmap_handle_t handle;
            if (esp_partition_mmap(partition, 0, partition->size, ESP_PARTITION_MMAP_DATA, &mappings[i].data,
                                   &handle) != ESP_OK) {
                return NN_NO_ROOM;
            }
            mappings[i].partition = partition;
        }
        if (mappings[i].partition == partition) {
            *data = mappings[i].data;
            return NN_MAPPED;
        }
    }
    return NN_TOO_MANY;
}
