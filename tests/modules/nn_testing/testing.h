/* Between the engine for tests and the module `nn_testing`. */
#ifndef NN_TESTING_H
#define NN_TESTING_H

#include <stdbool.h>
#include <stdint.h>

/* Instances loaded and not yet unloaded. */
extern int nn_testing_live;
/* Set by nn_testing.let_go(). */
extern volatile bool nn_testing_released;

/* Waits for let_go() of another thread; 1 if it came within 2 s. */
int8_t nn_testing_wait(void);

#endif
