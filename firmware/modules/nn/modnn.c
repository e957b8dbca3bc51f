/* The module `nn`; modules/nn.pyi says what it offers. */
#include <string.h>

#include "py/objarray.h"
#include "py/runtime.h"

#include "audio/pcm.h"
#include "builtin_models.h"
#include "nn.h"
#include "platform.h"

mp_obj_t nn_memoryview(char typecode, void *block, size_t offset, size_t count, bool writable) {
    size_t flags = writable ? MP_OBJ_ARRAY_TYPECODE_FLAG_RW : 0;
    mp_obj_array_t *view = m_new_obj(mp_obj_array_t);
    mp_obj_memoryview_init(view, (size_t)(unsigned char)typecode | flags, offset, count, block);
    return MP_OBJ_FROM_PTR(view);
}

/* Bytes outside the heap: flash. */
static mp_obj_t constant(const void *data, size_t size) {
    return nn_memoryview('B', (void *)(uintptr_t)data, 0, size, false);
}

static mp_obj_t nn_builtins(void) {
    mp_obj_t names = mp_obj_new_tuple(cicada_models_count, NULL);
    mp_obj_tuple_t *items = MP_OBJ_TO_PTR(names);
    for (size_t i = 0; i < cicada_models_count; i++) {
        items->items[i] = mp_obj_new_str_from_cstr(cicada_models[i].name);
    }
    return names;
}
static MP_DEFINE_CONST_FUN_OBJ_0(nn_builtins_obj, nn_builtins);

static mp_obj_t nn_builtin(mp_obj_t name_in) {
    const char *name = mp_obj_str_get_str(name_in);
    for (size_t i = 0; i < cicada_models_count; i++) {
        if (strcmp(name, cicada_models[i].name) == 0) {
            return constant(cicada_models[i].data, cicada_models[i].size);
        }
    }
    mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("no model '%s' is built into this image"), name);
}
static MP_DEFINE_CONST_FUN_OBJ_1(nn_builtin_obj, nn_builtin);

static mp_obj_t nn_map_partition_py(mp_obj_t label_in) {
    const char *label = mp_obj_str_get_str(label_in);
    const void *data = NULL;
    size_t size = 0;
    switch (nn_map_partition(label, &data, &size)) {
    case NN_MAPPED:
        return constant(data, size);
    case NN_NO_ROOM:
        mp_raise_msg_varg(&mp_type_MemoryError, MP_ERROR_TEXT("no address space left for partition '%s'"),
                          label);
    case NN_TOO_MANY:
        mp_raise_msg_varg(
            &mp_type_MemoryError,
            MP_ERROR_TEXT("partition '%s' is one too many: %u others are mapped until a hard reset"), label,
            (unsigned)NN_MAPPINGS);
    default:
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("no data partition '%s'"), label);
    }
}
static MP_DEFINE_CONST_FUN_OBJ_1(nn_map_partition_obj, nn_map_partition_py);

static mp_obj_t nn_mono16(size_t count, const mp_obj_t *arguments) {
    mp_buffer_info_t frames, out, level;
    mp_get_buffer_raise(arguments[0], &frames, MP_BUFFER_READ);
    mp_get_buffer_raise(arguments[1], &out, MP_BUFFER_WRITE);
    mp_int_t slot = mp_obj_get_int(arguments[2]), gain_bits = mp_obj_get_int(arguments[3]);
    if (frames.len % 8 != 0 || frames.len != 4 * out.len || slot < 0 || slot > 1 || gain_bits < 0 ||
        gain_bits > 16) {
        mp_raise_ValueError(
            MP_ERROR_TEXT("mono16: 8 bytes a frame for 2 a sample, slot 0 or 1, gain_bits 0 to 16"));
    }
    if ((uintptr_t)frames.buf % sizeof(int32_t) != 0 || (uintptr_t)out.buf % sizeof(int16_t) != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("mono16: frames must lie at a multiple of 4 bytes, samples of 2"));
    }
    uint32_t span;
    if (count == 5) {
        mp_get_buffer_raise(arguments[4], &level, MP_BUFFER_WRITE);
        if (level.typecode != 'i' || level.len != sizeof(int32_t) || gain_bits > 8) {
            mp_raise_ValueError(MP_ERROR_TEXT("mono16: level must be array('i') of one, gain_bits 0 to 8"));
        }
        span = pcm_mono16_centred(frames.buf, frames.len / 8, (unsigned)slot, (unsigned)gain_bits, level.buf,
                                  out.buf);
    } else {
        span = pcm_mono16(frames.buf, frames.len / 8, (unsigned)slot, (unsigned)gain_bits, out.buf);
    }
    return MP_OBJ_NEW_SMALL_INT((mp_int_t)span);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(nn_mono16_obj, 4, 5, nn_mono16);

static const mp_rom_map_elem_t nn_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_nn)},
    {MP_ROM_QSTR(MP_QSTR_builtins), MP_ROM_PTR(&nn_builtins_obj)},
    {MP_ROM_QSTR(MP_QSTR_builtin), MP_ROM_PTR(&nn_builtin_obj)},
    {MP_ROM_QSTR(MP_QSTR_map_partition), MP_ROM_PTR(&nn_map_partition_obj)},
    {MP_ROM_QSTR(MP_QSTR_mono16), MP_ROM_PTR(&nn_mono16_obj)},
    {MP_ROM_QSTR(MP_QSTR_needs), MP_ROM_PTR(&nn_needs_obj)},
    {MP_ROM_QSTR(MP_QSTR_Arena), MP_ROM_PTR(&nn_type_Arena)},
    {MP_ROM_QSTR(MP_QSTR_AudioFrontEnd), MP_ROM_PTR(&nn_type_AudioFrontEnd)},
    {MP_ROM_QSTR(MP_QSTR_VibrationFrontEnd), MP_ROM_PTR(&nn_type_VibrationFrontEnd)},
    {MP_ROM_QSTR(MP_QSTR_Model), MP_ROM_PTR(&nn_type_Model)},
};
static MP_DEFINE_CONST_DICT(nn_globals, nn_globals_table);

const mp_obj_module_t nn_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&nn_globals,
};

MP_REGISTER_MODULE(MP_QSTR_nn, nn_module);
