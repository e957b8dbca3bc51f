/* The model containers of an image. Defined by a source file that scripts/embed_models.py writes. */
#ifndef CICADA_BUILTIN_MODELS_H
#define CICADA_BUILTIN_MODELS_H

#include <stdint.h>

typedef struct {
    const char *name;
    const uint8_t *data; /* aligned to 16 bytes */
    uint32_t size;
} cicada_model_t;

extern const cicada_model_t cicada_models[];
extern const uint32_t cicada_models_count;

#endif
