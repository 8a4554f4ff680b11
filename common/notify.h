// What a program tells the service manager that started it: the protocol of sd_notify(3), datagrams to the socket that
// NOTIFY_SOCKET names. Without that variable every function does nothing.
//
//   READY=1                                it serves
//   RELOADING=1, MONOTONIC_USEC=...        it reads its configuration anew; READY=1 follows
//   STOPPING=1                             it is about to end
//   STATUS=...                             one line for `systemctl status`
//   WATCHDOG=1                             all of its threads go on (keyserver/watchdog.h)
//   MAINPID=...                            another process takes its place
//   EXTEND_TIMEOUT_USEC=...                it is at work that takes long, and lives
//
// Sending never waits: a manager that does not read loses messages. One set a process; notify_setup() first, then any
// thread. The sandbox lets it through: the socket is made by notify_setup(), and sendto is on the list.
#ifndef MEC_COMMON_NOTIFY_H
#define MEC_COMMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/report.h"

// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and makes the socket. False and *e: the variable is there and
// cannot be used.
bool notify_setup(struct error *e);
void notify_teardown(void);
// Whether somebody listens.
bool notify_wanted(void);
// How often WATCHDOG=1 is to come at least, in microseconds; 0: not at all.
uint64_t notify_watchdog_us(void);
// The same from a process whose place this one takes; what the environment says wins.
void notify_set_watchdog_us(uint64_t us);

void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(const char *status);
void notify_status(const char *status);
void notify_alive(void);
void notify_main_pid(pid_t pid);

// Work that may take longer than the manager waits for READY=1, or for the end: until notify_long_end() a thread of its own
// asks for more time, twice in each time asked for. One at a time, on the main thread.
void notify_long_begin(const char *status);
void notify_long_end(void);

#endif
