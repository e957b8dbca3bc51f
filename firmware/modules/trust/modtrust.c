/* Module `trust`: see firmware/modules/trust.pyi for its contract. */
#include "py/mperrno.h"
#include "py/obj.h"
#include "py/runtime.h"

#include "p256.h"

static const uint8_t *bytes_of(mp_obj_t object, size_t size, mp_rom_error_text_t complaint) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, MP_BUFFER_READ);
    if (buffer.len != size) {
        mp_raise_ValueError(complaint);
    }
    return buffer.buf;
}

static mp_obj_t trust_verify(mp_obj_t key_in, mp_obj_t signature_in, mp_obj_t digest_in) {
    const uint8_t *key = bytes_of(key_in, P256_KEY, MP_ERROR_TEXT("key must be 65 bytes: 4, X, Y"));
    const uint8_t *signature =
        bytes_of(signature_in, P256_SIGNATURE, MP_ERROR_TEXT("signature must be 64 bytes: r, s"));
    const uint8_t *digest = bytes_of(digest_in, P256_DIGEST, MP_ERROR_TEXT("digest must be 32 bytes"));
    switch (p256_verify(key, signature, digest)) {
    case P256_VALID:
        return mp_const_true;
    case P256_INVALID:
        return mp_const_false;
    case P256_NO_KEY:
        mp_raise_ValueError(MP_ERROR_TEXT("key is not a point of P-256"));
    case P256_NO_MEMORY:
        mp_raise_type(&mp_type_MemoryError);
    default:
        mp_raise_OSError(MP_EIO);
    }
}
static MP_DEFINE_CONST_FUN_OBJ_3(trust_verify_obj, trust_verify);

static const mp_rom_map_elem_t trust_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_trust)},
    {MP_ROM_QSTR(MP_QSTR_verify), MP_ROM_PTR(&trust_verify_obj)},
};
static MP_DEFINE_CONST_DICT(trust_globals, trust_globals_table);

const mp_obj_module_t trust_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&trust_globals,
};

MP_REGISTER_MODULE(MP_QSTR_trust, trust_module);
