/* Module `fifo`: see firmware/modules/fifo.pyi for its contract. */
#include <string.h>

#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/obj.h"
#include "py/runtime.h"

#include "extmod/modmachine.h"

#define FRAME_BYTES 6u
#define EACH 1u
#define BIG_ENDIAN_VALUES 2u
/* ADXL345 data sheet, rev. E, "Retrieving data from FIFO": 5 us from the end of one read to the next. */
#define PAUSE_US 5

#ifndef mp_hal_delay_us_fast
#define mp_hal_delay_us_fast(us) mp_hal_delay_us(us)
#endif

/* What to read and where to. */
typedef struct {
    uint8_t *into;
    size_t frames;
    uint8_t command;
    unsigned flags;
} job;

static mp_int_t in_range(mp_obj_t value, mp_int_t most) {
    const mp_int_t number = mp_obj_get_int(value);
    if (number < 0 || number > most) {
        mp_raise_ValueError(MP_ERROR_TEXT("argument out of range"));
    }
    return number;
}

/* Reads command, frames, buffer, at, flags. */
static job told(const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[2], &buffer, MP_BUFFER_WRITE);
    if (buffer.typecode != 'h') {
        mp_raise_TypeError(MP_ERROR_TEXT("buffer must be array('h')"));
    }
    const size_t room = buffer.len / FRAME_BYTES;
    const size_t at = (size_t)in_range(args[3], (mp_int_t)room);
    job made;
    made.command = (uint8_t)in_range(args[0], 255);
    made.frames = (size_t)in_range(args[1], (mp_int_t)(room - at));
    made.into = (uint8_t *)buffer.buf + at * FRAME_BYTES;
    made.flags = (unsigned)in_range(args[4], EACH | BIG_ENDIAN_VALUES);
    return made;
}

/* Puts the low byte of each value first: the machines this is built for are little endian. */
static void finish(const job *todo) {
    if (todo->flags & BIG_ENDIAN_VALUES) {
        for (size_t i = 0; i < todo->frames * FRAME_BYTES; i += 2) {
            const uint8_t high = todo->into[i];
            todo->into[i] = todo->into[i + 1];
            todo->into[i + 1] = high;
        }
    }
}

static bool is_i2c(mp_obj_t bus) {
    const mp_obj_type_t *type = mp_obj_get_type(bus);
#if MICROPY_PY_MACHINE_SOFTI2C
    if (type == &mp_machine_soft_i2c_type) {
        return true;
    }
#endif
    return type == &machine_i2c_type;
}

/* Sends one byte and reads `count` after a repeated start. */
static void read_i2c(mp_obj_base_t *bus, uint16_t address, uint8_t command, uint8_t *into, size_t count) {
    const mp_machine_i2c_p_t *protocol = MP_OBJ_TYPE_GET_SLOT(bus->type, protocol);
    mp_machine_i2c_buf_t parts[2] = {{.len = 1, .buf = &command}, {.len = count, .buf = into}};
    int result;
#if MICROPY_PY_MACHINE_I2C_TRANSFER_WRITE1
    if (protocol->transfer_supports_write1) {
        result = protocol->transfer(bus, address, 2, parts,
                                    MP_MACHINE_I2C_FLAG_WRITE1 | MP_MACHINE_I2C_FLAG_READ |
                                        MP_MACHINE_I2C_FLAG_STOP);
        if (result < 0) {
            mp_raise_OSError(-result);
        }
        return;
    }
#endif
    result = protocol->transfer(bus, address, 1, parts, 0);
    if (result >= 0 && result != 1) {
        /* The address was acknowledged and the byte was not: the bus is still held. */
        parts[0].len = 0;
        protocol->transfer(bus, address, 1, parts, MP_MACHINE_I2C_FLAG_STOP);
        result = -MP_EIO;
    }
    if (result >= 0) {
        result = protocol->transfer(bus, address, 1, &parts[1],
                                    MP_MACHINE_I2C_FLAG_READ | MP_MACHINE_I2C_FLAG_STOP);
    }
    if (result < 0) {
        mp_raise_OSError(-result);
    }
}

static mp_obj_t fifo_drain_i2c(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    if (!is_i2c(args[0])) {
        mp_raise_TypeError(MP_ERROR_TEXT("bus must be machine.I2C or SoftI2C"));
    }
    mp_obj_base_t *bus = MP_OBJ_TO_PTR(args[0]);
    const uint16_t address = (uint16_t)in_range(args[1], 127);
    const job todo = told(args + 2);
    if (todo.flags & EACH) {
        for (size_t i = 0; i < todo.frames; i++) {
            read_i2c(bus, address, todo.command, todo.into + i * FRAME_BYTES, FRAME_BYTES);
            mp_hal_delay_us_fast(PAUSE_US);
        }
    } else if (todo.frames != 0) {
        read_i2c(bus, address, todo.command, todo.into, todo.frames * FRAME_BYTES);
    }
    finish(&todo);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fifo_drain_i2c_obj, 7, 7, fifo_drain_i2c);

static bool is_spi(mp_obj_t bus) {
    const mp_obj_type_t *type = mp_obj_get_type(bus);
#if MICROPY_PY_MACHINE_SOFTSPI
    if (type == &mp_machine_soft_spi_type) {
        return true;
    }
#endif
    return type == &machine_spi_type;
}

/* One transfer: the command, and the bytes that follow. */
static void read_spi(mp_obj_base_t *bus, mp_hal_pin_obj_t cs, const job *todo, uint8_t *into, size_t count) {
    const mp_machine_spi_p_t *protocol = MP_OBJ_TYPE_GET_SLOT(bus->type, protocol);
    mp_hal_pin_write(cs, 0);
    if (count == FRAME_BYTES) {
        /* Both in one go: on a chip each call of the driver costs more than seven bytes on the wires. */
        uint8_t both[1 + FRAME_BYTES] = {todo->command};
        protocol->transfer(bus, sizeof(both), both, both);
        memcpy(into, both + 1, FRAME_BYTES);
    } else {
        uint8_t command = todo->command;
        protocol->transfer(bus, 1, &command, &command);
        memset(into, 0, count);
        protocol->transfer(bus, count, into, into);
    }
    mp_hal_pin_write(cs, 1);
}

static mp_obj_t fifo_drain_spi(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    if (!is_spi(args[0])) {
        mp_raise_TypeError(MP_ERROR_TEXT("bus must be machine.SPI or SoftSPI"));
    }
    mp_obj_base_t *bus = MP_OBJ_TO_PTR(args[0]);
    mp_hal_pin_obj_t cs = mp_hal_get_pin_obj(args[1]);
    const job todo = told(args + 2);
    nlr_buf_t caught;
    if (nlr_push(&caught) == 0) {
        if (todo.flags & EACH) {
            for (size_t i = 0; i < todo.frames; i++) {
                read_spi(bus, cs, &todo, todo.into + i * FRAME_BYTES, FRAME_BYTES);
                mp_hal_delay_us_fast(PAUSE_US);
            }
        } else if (todo.frames != 0) {
            read_spi(bus, cs, &todo, todo.into, todo.frames * FRAME_BYTES);
        }
        nlr_pop();
    } else {
        mp_hal_pin_write(cs, 1);
        nlr_jump(caught.ret_val);
    }
    finish(&todo);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fifo_drain_spi_obj, 7, 7, fifo_drain_spi);

static const mp_rom_map_elem_t fifo_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_fifo)},
    {MP_ROM_QSTR(MP_QSTR_EACH), MP_ROM_INT(EACH)},
    {MP_ROM_QSTR(MP_QSTR_BIG_ENDIAN), MP_ROM_INT(BIG_ENDIAN_VALUES)},
    {MP_ROM_QSTR(MP_QSTR_drain_i2c), MP_ROM_PTR(&fifo_drain_i2c_obj)},
    {MP_ROM_QSTR(MP_QSTR_drain_spi), MP_ROM_PTR(&fifo_drain_spi_obj)},
};
static MP_DEFINE_CONST_DICT(fifo_globals, fifo_globals_table);

const mp_obj_module_t fifo_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&fifo_globals,
};

MP_REGISTER_MODULE(MP_QSTR_fifo, fifo_module);
