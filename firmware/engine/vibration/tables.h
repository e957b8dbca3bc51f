/* Made by gen_tables.py, which gives the formula. Do not edit. */
/* clang-format off */
#ifndef CICADA_VIBRATION_TABLES_H
#define CICADA_VIBRATION_TABLES_H

#include <stdint.h>

extern const int32_t vib_cosine[257];

#endif
