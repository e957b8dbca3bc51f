/* ESP-IDF's settings, of which the stand-in needs none. */
#define STAND_IN_SETTINGS 1
