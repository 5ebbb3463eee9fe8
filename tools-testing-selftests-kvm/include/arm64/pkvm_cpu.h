/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The power of the host over CPUs: it turns them off and on, at an entry point
 * of its choice.  Built on pkvm_adversary.h; pkvm_stub.h is what a CPU may find
 * at that entry point.
 */
#ifndef SELFTEST_KVM_PKVM_CPU_H
#define SELFTEST_KVM_PKVM_CPU_H

#include "pkvm_adversary.h"
#include "pkvm_stub.h"

#define PATIENCE_US	10000000

/* Of arch/arm64/include/asm/virt.h */
#define HVC_STUB_HCALL_NR	5

/* Files of the kernel: 0 or errno */
int write_file(const char *path, const char *val);

int cpu_set_online(int cpu, bool online);
bool cpu_can_be_offline(int cpu);
u64 cpu_mpidr(int cpu);
/* As PSCI has it */
s64 cpu_affinity_info(int cpu);
void wait_until_cpu_is_off(int cpu);

/*
 * Make the calls on @cpu that only the boot of the kernel is trusted with.
 * Returns how many of them were not refused, and prints the first of them.
 */
u32 attack_boot(int cpu);

/*
 * Memory with the stub's code, where it starts, and a copy of @stub, whose
 * address is what x0 has to be.
 */
u64 stub_create(const struct pkvm_stub *stub);
u64 stub_data(u64 pa);
void stub_read(u64 pa, struct pkvm_stub *stub);
/* Until all is tried */
void stub_wait(u64 pa);
/* The CPU turns itself off. */
void stub_release(u64 pa, int cpu);
void stub_free(u64 pa);

/*
 * A stub that tries, on @cpu, to get at EL2's memory and the page @guest_pa, and
 * to boot EL2 again.  It ends with a branch to @resume if that is not 0, else it
 * waits to be released.
 */
u64 stub_create_attack(int cpu, u64 guest_pa, u64 resume);
/* Returns how much of it has worked, or did not happen, and prints that. */
u32 stub_check_attack(u64 pa);

#endif /* SELFTEST_KVM_PKVM_CPU_H */
