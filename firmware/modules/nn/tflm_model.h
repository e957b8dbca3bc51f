/* Checks of TensorFlow Lite models. TensorFlow Lite Micro does none: it reads what a damaged model points to.
 *
 * Checked are the flatbuffer, every index and the length of every buffer. Whether shapes, scales and options
 * fit each other is not: kernels take it for granted, so a model's bytes must have been verified before.
 */
#ifndef CICADA_TFLM_MODEL_H
#define CICADA_TFLM_MODEL_H

#include <cstddef>
#include <cstdint>

#include "engine.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace cicada {

/* The model in `bytes` after all checks, or nullptr with the reason in `info`. Fills in input and output
 * (without data) and a guess of the arena. */
const tflite::Model *check_model(const uint8_t *bytes, size_t size, const tflite::MicroOpResolver &operators,
                                 nn_info *info);

/* How many resource variables the model has at most: one for each VAR_HANDLE. */
int count_variables(const tflite::Model &model);

} // namespace cicada

#endif
