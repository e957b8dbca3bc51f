/* What runs models: the line between the Python type `Model` and its engines.
 *
 * An engine allocates nothing. Its instance and its arena are memory of MicroPython's heap, which the caller
 * provides and keeps; the model's bytes stay where they are and are read at every run. Only this header
 * passes between MicroPython and an engine, so that an engine may be C++ and know nothing of Python.
 */
#ifndef CICADA_NN_ENGINE_H
#define CICADA_NN_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NN_RANK 6               /* most dimensions of a tensor */
#define NN_REASON 96            /* characters of a reason, its end included */
#define NN_ALIGNMENT 16         /* of instance, arena and model */
#define NN_MODEL_MAX 0x1000000u /* bytes of a model: 16 MiB, more than any flash here */

/* The input or output of a model. A real value is scale * (q - zero_point). */
typedef struct {
    int32_t shape[NN_RANK];
    size_t rank;
    size_t size;      /* bytes; every value is an int8_t, or a uint8_t */
    bool is_unsigned; /* which of the two */
    float scale;
    int32_t zero_point;
    void *data; /* in the arena */
} nn_tensor;

typedef enum {
    NN_OK,
    NN_INVALID, /* the model cannot be loaded at all; `reason` says why */
    NN_ARENA    /* the arena is too small; `arena` says how much it needs at least */
} nn_status;

/* What came of the self-test that a model carries. */
typedef enum { NN_PASSED, NN_FAILED, NN_NO_SELFTEST } nn_selftest;

/* What an engine says about a model. */
typedef struct {
    nn_tensor input, output;
    size_t arena; /* bytes: after plan a guess; after NN_OK those in use; after NN_ARENA more than given */
    char reason[NN_REASON];
} nn_info;

typedef struct {
    const char *name;     /* for people, "TFLM" */
    size_t instance_size; /* bytes */

    /* True if the first bytes are of this engine's format. */
    bool (*probe)(const uint8_t *model, size_t size);

    /* Checks a whole model, so that nothing in it is read out of bounds later, and guesses its arena.
     * NN_OK or NN_INVALID. */
    nn_status (*plan)(const uint8_t *model, size_t size, nn_info *info);

    /* Makes an instance of a model that `plan` accepted. After anything but NN_OK instance and arena are
     * garbage and may be used again, and `unload` must not be called. */
    nn_status (*load)(void *instance, const uint8_t *model, size_t size, void *arena, size_t arena_size,
                      nn_info *info);

    /* Runs the model once, from input.data to output.data; false if it failed. No Python lock is held. */
    bool (*invoke)(void *instance);

    /* Zeroes the state of a streaming model; false if it failed. */
    bool (*state_reset)(void *instance);

    /* Runs the model's own self-test and resets its state; NULL if the engine knows none. No Python lock is
     * held. */
    nn_selftest (*selftest)(void *instance);

    /* Releases what the instance holds outside the memory it was given. */
    void (*unload)(void *instance);

    /* True if the arena of a model that `plan` accepted holds anything from one run to the next; only an
     * arena that holds nothing can be lent to other models between two runs. NULL: every model's does. */
    bool (*keeps)(const uint8_t *model);
} nn_engine;

/* Packed models. */
extern const nn_engine nn_packed;

/* TensorFlow Lite Micro; only in images built by ESP-IDF, and there if asked for. */
extern const nn_engine nn_tflm;

#ifdef __cplusplus
}
#endif

#endif
