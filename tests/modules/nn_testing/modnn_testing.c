/* The module `nn_testing`: what a test has to see of the engine for tests. */
#include "py/mphal.h"
#include "py/runtime.h"

#include "testing.h"

#if MICROPY_PY_THREAD
int8_t nn_testing_wait(void) {
    mp_uint_t start = mp_hal_ticks_ms();
    while (!nn_testing_released && mp_hal_ticks_ms() - start < 2000) {
    }
    return nn_testing_released;
}
#else
int8_t nn_testing_wait(void) {
    return 0;
}
#endif

static mp_obj_t live(void) {
    return MP_OBJ_NEW_SMALL_INT(nn_testing_live);
}
static MP_DEFINE_CONST_FUN_OBJ_0(live_obj, live);

static mp_obj_t let_go(void) {
    nn_testing_released = true;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(let_go_obj, let_go);

static const mp_rom_map_elem_t globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_nn_testing)},
    {MP_ROM_QSTR(MP_QSTR_live), MP_ROM_PTR(&live_obj)},
    {MP_ROM_QSTR(MP_QSTR_let_go), MP_ROM_PTR(&let_go_obj)},
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t nn_testing_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&globals,
};

MP_REGISTER_MODULE(MP_QSTR_nn_testing, nn_testing_module);
