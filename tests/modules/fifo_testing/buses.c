/* Buses that write down what passes over them and answer with bytes that count up, and fail when told.
 *
 * They stand for the port's `machine.I2C` and `machine.SPI`: these ports have none of their own. */
#include <string.h>

#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/obj.h"
#include "py/runtime.h"

#include "extmod/modmachine.h"

#define LOG_BYTES 4096

static struct {
    char log[LOG_BYTES];
    size_t used;
    uint8_t next; /* byte that is read */
    int left;     /* transfers until one fails; negative: none does */
    int error;    /* what it fails with; 0: it acknowledges nothing of what is written */
    unsigned paused_us;
} fake;

static void note(const char *format, unsigned a, unsigned b) {
    VSTR_FIXED(text, 32);
    vstr_printf(&text, format, a, b);
    if (fake.used + text.len <= LOG_BYTES) {
        memcpy(fake.log + fake.used, text.buf, text.len);
        fake.used += text.len;
    }
}

static bool fails(void) {
    return fake.left >= 0 && fake.left-- == 0;
}

#ifndef __linux__
void mp_hal_delay_us(mp_uint_t us) {
    fake.paused_us += us;
}
#endif

/* I2C */

static int i2c_transfer(mp_obj_base_t *self, uint16_t address, size_t n, mp_machine_i2c_buf_t *parts,
                        unsigned int flags) {
    (void)self;
    const bool stop = flags & MP_MACHINE_I2C_FLAG_STOP;
    int total = 0;
    if (fails()) {
        note("fail ", 0, 0);
        return -fake.error;
    }
    if (flags & MP_MACHINE_I2C_FLAG_WRITE1) {
        note("%x<%x ", address, parts[0].buf[0]);
        parts++;
        n--;
        total++;
    }
    for (size_t i = 0; i < n; i++) {
        if (flags & MP_MACHINE_I2C_FLAG_READ) {
            for (size_t at = 0; at < parts[i].len; at++) {
                parts[i].buf[at] = fake.next++;
            }
            note("%x>%u ", address, (unsigned)parts[i].len);
        } else {
            note("%x<%x ", address, parts[i].len == 0 ? 0xfff : parts[i].buf[0]);
        }
        total += (int)parts[i].len;
    }
    if (stop) {
        note("| ", 0, 0);
    }
    return total;
}

static mp_machine_i2c_p_t i2c_protocol = {.transfer = i2c_transfer};

static mp_obj_t bus_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    (void)args;
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    return MP_OBJ_FROM_PTR(mp_obj_malloc(mp_obj_base_t, type));
}

MP_DEFINE_CONST_OBJ_TYPE(machine_i2c_type, MP_QSTR_I2C, MP_TYPE_FLAG_NONE, make_new, bus_make_new, protocol,
                         &i2c_protocol);

/* SPI */

static void spi_transfer(mp_obj_base_t *self, size_t length, const uint8_t *source, uint8_t *into) {
    (void)self;
    if (fails()) {
        mp_raise_OSError(fake.error);
    }
    note("%x:%u ", source[0], (unsigned)length);
    for (size_t at = 0; at < length; at++) {
        /* A chip says nothing while it is told what is wanted of it. */
        into[at] = at == 0 && source[0] ? 0xff : fake.next++;
    }
}

static const mp_machine_spi_p_t spi_protocol = {.transfer = spi_transfer};

MP_DEFINE_CONST_OBJ_TYPE(machine_spi_type, MP_QSTR_SPI, MP_TYPE_FLAG_NONE, make_new, bus_make_new, protocol,
                         &spi_protocol);

/* fifo_testing */

/* setup(next, left, error, write1) */
static mp_obj_t testing_setup(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    memset(&fake, 0, sizeof(fake));
    fake.next = (uint8_t)mp_obj_get_int(args[0]);
    fake.left = (int)mp_obj_get_int(args[1]);
    fake.error = (int)mp_obj_get_int(args[2]);
    i2c_protocol.transfer_supports_write1 = mp_obj_is_true(args[3]);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(testing_setup_obj, 4, 4, testing_setup);

static mp_obj_t testing_log(void) {
    return mp_obj_new_str(fake.log, fake.used);
}
static MP_DEFINE_CONST_FUN_OBJ_0(testing_log_obj, testing_log);

/* Writes a pin's level into the log. */
static mp_obj_t testing_pin(mp_obj_t level) {
    note(mp_obj_is_true(level) ? "high " : "low ", 0, 0);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(testing_pin_obj, testing_pin);

/* Microseconds waited for; where the machine has a clock it is asked instead. */
static mp_obj_t testing_paused(void) {
    return mp_obj_new_int_from_uint(fake.paused_us);
}
static MP_DEFINE_CONST_FUN_OBJ_0(testing_paused_obj, testing_paused);

static const mp_rom_map_elem_t testing_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_fifo_testing)},
    {MP_ROM_QSTR(MP_QSTR_I2C), MP_ROM_PTR(&machine_i2c_type)},
    {MP_ROM_QSTR(MP_QSTR_SPI), MP_ROM_PTR(&machine_spi_type)},
    {MP_ROM_QSTR(MP_QSTR_setup), MP_ROM_PTR(&testing_setup_obj)},
    {MP_ROM_QSTR(MP_QSTR_log), MP_ROM_PTR(&testing_log_obj)},
    {MP_ROM_QSTR(MP_QSTR_pin), MP_ROM_PTR(&testing_pin_obj)},
    {MP_ROM_QSTR(MP_QSTR_paused), MP_ROM_PTR(&testing_paused_obj)},
};
static MP_DEFINE_CONST_DICT(testing_globals, testing_table);

const mp_obj_module_t fifo_testing_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&testing_globals,
};

MP_REGISTER_MODULE(MP_QSTR_fifo_testing, fifo_testing_module);
