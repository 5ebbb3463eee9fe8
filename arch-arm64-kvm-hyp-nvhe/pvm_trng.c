// SPDX-License-Identifier: GPL-2.0-only
/*
 * The true random number generator (TRNG, Arm DEN0098) for protected guests.
 *
 * A guest's keys are worth as much as its random numbers, so the host must
 * neither choose nor see them. They come from EL3, whose generator the guest
 * gets at by the same calls; where EL3 has none, neither has the guest.
 *
 * What there is and its identity were recorded before the host lost its
 * privileges. A request for random numbers is one call of EL3, which is not to
 * block: the guest comes again if there is not enough entropy now.
 */

#include <kvm/arm_hypercalls.h>

#include <linux/kvm_host.h>
#include <linux/string.h>

#include <asm/kvm_emulate.h>

#include <nvhe/arm-smccc.h>
#include <nvhe/pvm_vcpu.h>

/* Those values are deliberately separate from the generic SMCCC definitions. */
#define TRNG_SUCCESS			0UL
#define TRNG_NOT_SUPPORTED		((unsigned long)-1)
#define TRNG_INVALID_PARAMETER		((unsigned long)-2)
#define TRNG_NO_ENTROPY			((unsigned long)-3)

#define TRNG_VERSION_1_0		0x10000UL

/* Bits of random numbers that fit into the result, three registers of each width */
#define TRNG_MAX_BITS32			96
#define TRNG_MAX_BITS64			192

struct kvm_pvm_trng __ro_after_init kvm_pvm_trng_config;

/* The lowest @nr bits of @val */
static u64 low_bits(u64 val, s64 nr)
{
	if (nr <= 0)
		return 0;

	return nr < 64 ? val & GENMASK_ULL(nr - 1, 0) : val;
}

/*
 * @bits random bits, the lowest in @rnd[0]. Not one more, and nothing else, may
 * get to the guest, whatever EL3 does.
 */
static bool pvm_trng_get(u64 bits, u64 rnd[3])
{
	struct arm_smccc_1_2_regs args = {
		.a0	= ARM_SMCCC_TRNG_RND64,
		.a1	= bits,
	};
	struct arm_smccc_1_2_regs res;
	bool success;

	hyp_smccc_1_2_smc(&args, &res);

	/* The arguments are valid: for any other status there is one reason left. */
	success = res.a0 == TRNG_SUCCESS;
	if (success) {
		rnd[0] = low_bits(res.a3, bits);
		rnd[1] = low_bits(res.a2, (s64)bits - 64);
		rnd[2] = low_bits(res.a1, (s64)bits - 128);
	}

	memzero_explicit(&res, sizeof(res));
	return success;
}

static void pvm_trng_rnd(u32 fn, u64 bits, u64 *val)
{
	bool is_64 = fn == ARM_SMCCC_TRNG_RND64;
	u64 rnd[3];

	if (!bits || bits > (is_64 ? TRNG_MAX_BITS64 : TRNG_MAX_BITS32)) {
		val[0] = TRNG_INVALID_PARAMETER;
		return;
	}

	if (!pvm_trng_get(bits, rnd)) {
		val[0] = TRNG_NO_ENTROPY;
		return;
	}

	val[0] = TRNG_SUCCESS;
	if (is_64) {
		val[1] = rnd[2];
		val[2] = rnd[1];
		val[3] = rnd[0];
	} else {
		val[1] = lower_32_bits(rnd[1]);
		val[2] = upper_32_bits(rnd[0]);
		val[3] = lower_32_bits(rnd[0]);
	}

	memzero_explicit(rnd, sizeof(rnd));
}

/**
 * pvm_trng_call() - Serve a TRNG call of a protected guest
 * @vcpu:	the vCPU, stopped at the HVC
 * @fn:		the function, bits 31:0 of x0 without SMCCC's hints
 * @val:	what the guest gets in x0 to x3; @val[1] to @val[3] are zero
 *
 * The caller clears @val when the guest has it.
 */
void pvm_trng_call(struct kvm_vcpu *vcpu, u32 fn, u64 *val)
{
	int i;

	val[0] = TRNG_NOT_SUPPORTED;
	if (!kvm_pvm_trng_config.present)
		return;

	switch (fn) {
	case ARM_SMCCC_TRNG_VERSION:
		val[0] = TRNG_VERSION_1_0;
		break;
	case ARM_SMCCC_TRNG_FEATURES:
		switch (lower_32_bits(smccc_get_arg1(vcpu))) {
		case ARM_SMCCC_TRNG_VERSION:
		case ARM_SMCCC_TRNG_FEATURES:
		case ARM_SMCCC_TRNG_GET_UUID:
		case ARM_SMCCC_TRNG_RND32:
		case ARM_SMCCC_TRNG_RND64:
			val[0] = TRNG_SUCCESS;
		}
		break;
	case ARM_SMCCC_TRNG_GET_UUID:
		for (i = 0; i < ARRAY_SIZE(kvm_pvm_trng_config.uuid); i++)
			val[i] = kvm_pvm_trng_config.uuid[i];
		break;
	case ARM_SMCCC_TRNG_RND32:
		pvm_trng_rnd(fn, lower_32_bits(smccc_get_arg1(vcpu)), val);
		break;
	case ARM_SMCCC_TRNG_RND64:
		pvm_trng_rnd(fn, smccc_get_arg1(vcpu), val);
		break;
	}
}
