/* Module `delta`: see firmware/modules/delta.pyi for its contract. */
#include "py/obj.h"
#include "py/runtime.h"

#include "delta/add.h"

static mp_obj_t delta_add_py(mp_obj_t target_in, mp_obj_t difference_in) {
    mp_buffer_info_t target, difference;
    mp_get_buffer_raise(target_in, &target, MP_BUFFER_WRITE);
    mp_get_buffer_raise(difference_in, &difference, MP_BUFFER_READ);
    if (target.len != difference.len) {
        mp_raise_ValueError(MP_ERROR_TEXT("target and difference must have the same number of bytes"));
    }
    delta_add(target.buf, difference.buf, target.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(delta_add_obj, delta_add_py);

static const mp_rom_map_elem_t delta_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_delta)},
    {MP_ROM_QSTR(MP_QSTR_add), MP_ROM_PTR(&delta_add_obj)},
};
static MP_DEFINE_CONST_DICT(delta_globals, delta_globals_table);

const mp_obj_module_t delta_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&delta_globals,
};

MP_REGISTER_MODULE(MP_QSTR_delta, delta_module);
