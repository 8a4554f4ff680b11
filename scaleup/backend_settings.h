// Typed settings of a back-end's line of the configuration, for the back-ends themselves. Pure; any thread.
#ifndef MEC_SCALEUP_BACKEND_SETTINGS_H
#define MEC_SCALEUP_BACKEND_SETTINGS_H

#include "scaleup/backend.h"

#define BACKEND_VALUE_MAX 1024 // bytes of a value, NUL included

// Each leaves *value as it is (the default) when the key is not there. False and *e set: the value does not fit its type.
bool backend_setting_size(const char *settings, const char *key, uint64_t *bytes, struct error *e);
bool backend_setting_ms(const char *settings, const char *key, uint64_t *ms, struct error *e);
bool backend_setting_uint(const char *settings, const char *key, uint64_t max, uint64_t *value,
                          struct error *e);

#endif
