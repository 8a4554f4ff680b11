// Pressure stall information (PSI) as the kernel writes it: /proc/pressure/memory, or memory.pressure of a cgroup. Pure, any thread.
#ifndef MEC_SCALEUP_PRESSURE_H
#define MEC_SCALEUP_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>

// "some avg10=0.12 ..." and "full avg10=0.00 ...", in percent. A kernel may write no line of "full": *full is then negative. False, both unchanged: no line
// of "some", or not a percentage on it.
bool pressure_parse(const char *text, size_t len, double *some, double *full);

#endif
