/* The types of the module `nn`. */
#ifndef CICADA_NN_H
#define CICADA_NN_H

#include "py/obj.h"

extern const mp_obj_type_t nn_type_AudioFrontEnd;
extern const mp_obj_type_t nn_type_VibrationFrontEnd;
extern const mp_obj_type_t nn_type_Arena;
extern const mp_obj_type_t nn_type_Model;

MP_DECLARE_CONST_FUN_OBJ_1(nn_needs_obj); /* model.c */

/* A memoryview of `count` items of `typecode`, `offset` items behind the start of a heap block. It keeps the
 * block alive, which one made at the address itself would not. */
mp_obj_t nn_memoryview(char typecode, void *block, size_t offset, size_t count, bool writable);

#endif
