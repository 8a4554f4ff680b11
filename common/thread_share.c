#include "common/thread_share.h"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COMPUTE_NICE    5
#define PROMPT_SLICE_NS 100000u // the least that the kernel takes

void thread_share_compute(void)
{
    (void)setpriority(PRIO_PROCESS, 0, COMPUTE_NICE); // Linux: of the calling thread alone
}

void thread_share_prompt(void)
{
    struct sched_attr attr = {
        .size = sizeof attr,
        .sched_policy = SCHED_NORMAL,
        .sched_nice = getpriority(PRIO_PROCESS, 0),
        .sched_runtime = PROMPT_SLICE_NS,
    };
    (void)syscall(SYS_sched_setattr, 0, &attr, 0);
}
