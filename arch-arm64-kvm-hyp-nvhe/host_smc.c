// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which firmware calls of the host get to EL3.
 *
 * EL3 sees an SMC of EL2, whoever it is for, and does with the rights of EL2
 * what the caller may ask for: it enters a handler of the caller's at EL2
 * (SDEI), reads and writes non-secure memory at an address of the caller's
 * (MM_COMMUNICATE, DRTM, the firmware's own services), takes memory away from
 * the non-secure world (RMI), or replaces itself (firmware update). So a call
 * gets there only if it is listed here. The proxies of PSCI and FF-A come first,
 * see psci-relay.c and ffa.c.
 *
 * Functions that are listed by number take no address. What belongs to the
 * vendor of the machine can't be listed, and many boards do not work without:
 * that is let through as a whole, unless the host was booted to be strict.
 */

#include <linux/arm-smccc.h>
#include <linux/arm_ffa.h>
#include <linux/atomic.h>
#include <linux/kvm_host.h>

#include <asm/kvm_hyp.h>
#include <asm/kvm_hypevents.h>

#include <nvhe/ffa.h>
#include <nvhe/host_smc.h>

/* Set by the host before it loses its privileges: kvm-arm.host_smc_policy=strict */
bool __ro_after_init host_smc_strict;

static bool host_smc_is_listed(u32 fid)
{
	switch (fid) {
	/* The architecture's: what is there, workarounds for errata */
	case ARM_SMCCC_VERSION_FUNC_ID:
	case ARM_SMCCC_ARCH_FEATURES_FUNC_ID:
	case ARM_SMCCC_ARCH_SOC_ID:
	case ARM_SMCCC_ARCH_SOC_ID64:
	case ARM_SMCCC_ARCH_WORKAROUND_1:
	case ARM_SMCCC_ARCH_WORKAROUND_2:
	case ARM_SMCCC_ARCH_WORKAROUND_3:
	case ARM_SMCCC_CPU_WORKAROUND_4193714:
	/* Random numbers: results in registers */
	case ARM_SMCCC_TRNG_VERSION:
	case ARM_SMCCC_TRNG_FEATURES:
	case ARM_SMCCC_TRNG_GET_UUID:
	case ARM_SMCCC_TRNG_RND32:
	case ARM_SMCCC_TRNG_RND64:
	/* What the proxy of FF-A has let through */
	case FFA_SMC_32(FFA_MIN_FUNC_NUM) ... FFA_SMC_32(FFA_MAX_FUNC_NUM):
	case FFA_SMC_64(FFA_MIN_FUNC_NUM) ... FFA_SMC_64(FFA_MAX_FUNC_NUM):
		return true;
	}

	return false;
}

/* Services whose functions only the vendor of the machine knows */
static bool host_smc_is_vendors(u32 fid)
{
	/*
	 * Yielding calls are all of the trusted OS, but for those of owners 0
	 * and 1, which are of before SMCCC. Nobody uses those that look like a
	 * standard service.
	 */
	if (!ARM_SMCCC_IS_FAST_CALL(fid))
		return ARM_SMCCC_OWNER_NUM(fid) < ARM_SMCCC_OWNER_STANDARD ||
		       ARM_SMCCC_OWNER_NUM(fid) > ARM_SMCCC_OWNER_VENDOR_HYP;

	switch (ARM_SMCCC_OWNER_NUM(fid)) {
	case ARM_SMCCC_OWNER_CPU:
	case ARM_SMCCC_OWNER_SIP:
	case ARM_SMCCC_OWNER_OEM:
	case ARM_SMCCC_OWNER_VENDOR_EL3:
	case ARM_SMCCC_OWNER_TRUSTED_APP ... ARM_SMCCC_OWNER_TRUSTED_APP_END:
	case ARM_SMCCC_OWNER_TRUSTED_OS ... ARM_SMCCC_OWNER_TRUSTED_OS_END:
		return true;
	}

	return false;
}

/**
 * host_smc_is_allowed() - May a firmware call of the host get to EL3?
 * @fid:	the function, without SMCCC's hints
 *
 * Return: false for what is to return NOT_SUPPORTED to the host
 */
bool host_smc_is_allowed(u32 fid)
{
	return host_smc_is_listed(fid) || (!host_smc_strict && host_smc_is_vendors(fid));
}

/**
 * host_smc_deny() - Count and trace a firmware call that does not get to EL3
 * @fid:	x0 of the call, as the host had it
 */
void host_smc_deny(u64 fid)
{
	static atomic64_t nr_denied = ATOMIC64_INIT(0);
	u64 count = atomic64_inc_return(&nr_denied);

	trace_host_smc_denied(fid, count);
}
