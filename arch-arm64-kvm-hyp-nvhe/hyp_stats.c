// SPDX-License-Identifier: GPL-2.0-only
/*
 * What EL2 counts, each CPU for itself.
 *
 * The counters are in EL2's per-CPU data, which the host can't get at. It may
 * know the sums, since it has a part in all that is counted: its own calls and
 * faults, guests' exits to it, and pages that it lost, got, or can read. What a
 * guest asks of EL2 alone is not counted.
 */

#include <asm/barrier.h>
#include <asm/esr.h>
#include <asm/kvm_hyp.h>

#include <nvhe/hyp_stats.h>
#include <nvhe/mem_protect.h>
#include <nvhe/memory.h>
#include <nvhe/pkvm.h>

DEFINE_PER_CPU(u64[HYP_STATS_MAX], hyp_stats);

/* Pages that the guest which runs here has shared since the host ran, less those unshared */
DEFINE_PER_CPU(u64, hyp_guest_shared);

/**
 * hyp_stat_exit() - Count the exit of a guest to the host
 * @hyp_vcpu:	The vCPU, whose state the host has got, as far as it is to get it.
 * @exit_code:	What __kvm_vcpu_run() returned.
 */
void hyp_stat_exit(struct pkvm_hyp_vcpu *hyp_vcpu, int exit_code)
{
	/* What the host has been told, not what it was: it may hide something. */
	u64 esr = READ_ONCE(hyp_vcpu->host_vcpu->arch.fault.esr_el2);
	unsigned int stat = HYP_STAT_EXIT_OTHER;

	switch (ARM_EXCEPTION_CODE(exit_code)) {
	case ARM_EXCEPTION_IRQ:
		stat = HYP_STAT_EXIT_IRQ;
		break;
	case ARM_EXCEPTION_EL1_SERROR:
		stat = HYP_STAT_EXIT_SERROR;
		break;
	case ARM_EXCEPTION_TRAP:
		switch (ESR_ELx_EC(esr)) {
		case ESR_ELx_EC_DABT_LOW:
			stat = HYP_STAT_EXIT_DABT;
			break;
		case ESR_ELx_EC_IABT_LOW:
			stat = HYP_STAT_EXIT_IABT;
			break;
		case ESR_ELx_EC_HVC32:
		case ESR_ELx_EC_HVC64:
		case ESR_ELx_EC_SMC32:
		case ESR_ELx_EC_SMC64:
			stat = HYP_STAT_EXIT_CALL;
			break;
		case ESR_ELx_EC_WFx:
			stat = HYP_STAT_EXIT_WFX;
			break;
		case ESR_ELx_EC_SYS64:
			stat = HYP_STAT_EXIT_SYSREG;
			break;
		}
		break;
	}

	hyp_stat_inc(stat);

	hyp_stat_add(HYP_STAT_PAGES_GUEST_SHARED, *this_cpu_ptr(&hyp_guest_shared));
	*this_cpu_ptr(&hyp_guest_shared) = 0;
}

/**
 * __pkvm_read_stats() - Tell the host the sums of all CPUs' counters
 * @pfn:	A page that the host shares with EL2. It gets HYP_STATS_MAX values
 *		of 64 bits, those of other CPUs as they are at some moment.
 *
 * Return: 0, -EPERM if the host doesn't share that page with EL2, -EINVAL if it
 * is no page of memory, -EBUSY if EL2 can't keep one more hold of it.
 */
int __pkvm_read_stats(u64 pfn)
{
	u64 *sums = hyp_phys_to_virt(hyp_pfn_to_phys(pfn));
	unsigned int stat, cpu;
	u64 sum;
	int ret;

	/* From here on the host can't take it back. */
	ret = hyp_pin_shared_mem(sums, (void *)sums + PAGE_SIZE);
	if (ret)
		return ret;
	/* Nor does a CPU that runs ahead write what the host named and doesn't share. */
	spec_bar();

	for (stat = 0; stat < HYP_STATS_MAX; stat++) {
		sum = 0;
		for (cpu = 0; cpu < hyp_nr_cpus; cpu++)
			sum += READ_ONCE((*per_cpu_ptr(&hyp_stats, cpu))[stat]);
		/* A page shared on one CPU and unshared on the next one, meanwhile */
		if ((s64)sum < 0)
			sum = 0;
		WRITE_ONCE(sums[stat], sum);
	}

	hyp_unpin_shared_mem(sums, (void *)sums + PAGE_SIZE);

	return 0;
}
