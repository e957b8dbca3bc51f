/* The heap mbedTLS gets in tests, the same in every interpreter: first fit in a fixed area, so that what a
 * check needs can be measured and running out can be tried. Module `heap_testing`: limit(bytes), used(),
 * peak(). */
#include <string.h>

#include "py/obj.h"
#include "py/runtime.h"

void *testing_calloc(size_t count, size_t size);
void testing_free(void *block);

#define AREA 32768
#define UNIT 16

/* Each block: its units, then that many units of payload. 0 units end the area. */
typedef struct {
    uint32_t units;
    uint32_t taken;
    uint8_t pad[UNIT - 8];
} head;

static head area[AREA / UNIT + 1];
static size_t limit = AREA, used, peak;

void *testing_calloc(size_t count, size_t size) {
    if (size != 0 && count > AREA / size) {
        return NULL;
    }
    const size_t units = (count * size + UNIT - 1) / UNIT + 1; /* with the head */
    if (area[0].units == 0) {
        area[0].units = AREA / UNIT;
    }
    if (used + units * UNIT > limit) {
        return NULL;
    }
    for (head *h = area; h->units != 0; h += h->units) {
        while (!h->taken && h[h->units].units != 0 && !h[h->units].taken) {
            h->units += h[h->units].units;
        }
        if (h->taken || h->units < units) {
            continue;
        }
        if (h->units > units) {
            h[units].units = h->units - (uint32_t)units;
            h[units].taken = 0;
            h->units = (uint32_t)units;
        }
        h->taken = 1;
        used += units * UNIT;
        peak = used > peak ? used : peak;
        return memset(h + 1, 0, (units - 1) * UNIT);
    }
    return NULL;
}

void testing_free(void *block) {
    if (block != NULL) {
        head *h = (head *)block - 1;
        h->taken = 0;
        used -= h->units * UNIT;
    }
}

static mp_obj_t heap_limit(mp_obj_t bytes) {
    limit = mp_obj_get_int(bytes);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(heap_limit_obj, heap_limit);

static mp_obj_t heap_used(void) {
    return mp_obj_new_int_from_uint(used);
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_used_obj, heap_used);

static mp_obj_t heap_peak(void) {
    return mp_obj_new_int_from_uint(peak);
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_peak_obj, heap_peak);

static const mp_rom_map_elem_t heap_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_heap_testing)},
    {MP_ROM_QSTR(MP_QSTR_limit), MP_ROM_PTR(&heap_limit_obj)},
    {MP_ROM_QSTR(MP_QSTR_used), MP_ROM_PTR(&heap_used_obj)},
    {MP_ROM_QSTR(MP_QSTR_peak), MP_ROM_PTR(&heap_peak_obj)},
};
static MP_DEFINE_CONST_DICT(heap_globals, heap_globals_table);

const mp_obj_module_t heap_testing_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&heap_globals,
};

MP_REGISTER_MODULE(MP_QSTR_heap_testing, heap_testing_module);
