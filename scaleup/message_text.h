// A text from outside as a value of JSON, whatever its bytes are.
#ifndef MEC_SCALEUP_MESSAGE_TEXT_H
#define MEC_SCALEUP_MESSAGE_TEXT_H

#include <jansson.h>

// As it is when it is UTF-8 without control characters, else as ASCII with '?' for what is none (then at most MESSAGE_TEXT_MAX bytes): for texts that were cut to fit,
// maybe within a character. A new object that the caller owns; NULL only without memory.
json_t *message_text_value(const char *text);

#endif
