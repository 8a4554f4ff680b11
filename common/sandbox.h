// A seccomp filter for a program that has started: the system calls that it goes on with, and no others.
//
//   call                                         what comes of it
//   on the list                                  it runs
//   needed by nobody who serves: execve,         the process is killed, in every mode but off; no handler runs
//   ptrace, process_vm_*, bpf, mount, modules
//   all else (mode on)                           a line on standard error names the call, then the process ends by
//                                                SIGSYS
//   all else (mode log)                          it runs; the kernel's log has it (audit type 1326)
//
// Why not EPERM for "all else": a call that nobody foresaw is either an attack, which would then try the next one, or
// a fault of the list, which half-working code hides. What fails by design is told so: memory that could be run
// (EACCES), and clone3 (ENOSYS: its flags lie in memory where a filter cannot look; libc then takes clone, whose flags
// say that it is a thread and no process).
//
// Caveats: a filter sees numbers and not memory, so it knows no paths. What io_uring does for a ring that is open
// already passes by it (opening files, sockets; not execve). Sanitizers need calls that are never on the list (they
// fork a symbolizer, trace for leaks): in such a build no filter is applied, which *applied says.
#ifndef MEC_COMMON_SANDBOX_H
#define MEC_COMMON_SANDBOX_H

#include <stdbool.h>

#include "common/report.h"

enum sandbox_mode { SANDBOX_ON, SANDBOX_OFF, SANDBOX_LOG };
#define SANDBOX_CHOICES "on|off|log"

// Applies the filter to all threads of the process, present and future; it cannot be taken off. After start-up, when
// everything is open. True and *applied false: off, or a sanitizer build. False and *e set: the kernel has no seccomp
// or refuses (the process is as before). Once a process, any thread.
bool sandbox_apply(enum sandbox_mode mode, bool *applied, struct error *e);

#endif
