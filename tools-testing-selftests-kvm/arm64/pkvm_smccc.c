// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_smccc - EL2 answers every call of a protected guest: the documented
 * ones as documented, all others with NOT_SUPPORTED, whatever the VMM would
 * like the answer to be.  HVC is the only conduit, SMC is UNDEFINED.
 */
#include <linux/psci.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

#define FAST		BIT(31)
#define SMC64		BIT(30)
#define SVE_HINT	BIT(16)
#define OWNER(nr)	((u32)(nr) << 24)
#define NR_OWNERS	64

#define ARG		(~0ul)		/* invalid in every call that looks at it */
#define PRESERVED(n)	(0xcafe000000000000ul | (n))
#define MAX_REPORTS	8

/* What the functions return whose arguments are all ARG; all others are not supported. */
static const struct {
	u32 id;
	s64 ret;
} answers[] = {
	{ ARM_SMCCC_VERSION_FUNC_ID,				ARM_SMCCC_VERSION_1_1 },
	{ ARM_SMCCC_ARCH_WORKAROUND_1,				SMCCC_RET_SUCCESS },
	{ ARM_SMCCC_ARCH_WORKAROUND_2,				SMCCC_RET_SUCCESS },
	{ ARM_SMCCC_ARCH_WORKAROUND_3,				SMCCC_RET_SUCCESS },
	{ PSCI_0_2_FN_PSCI_VERSION,				PSCI_VERSION(1, 1) },
	{ PSCI_0_2_FN_CPU_ON,					PSCI_RET_INVALID_PARAMS },
	{ PSCI_0_2_FN64_CPU_ON,					PSCI_RET_INVALID_PARAMS },
	{ PSCI_0_2_FN_AFFINITY_INFO,				PSCI_RET_INVALID_PARAMS },
	{ PSCI_0_2_FN64_AFFINITY_INFO,				PSCI_RET_INVALID_PARAMS },
	{ PSCI_0_2_FN_MIGRATE_INFO_TYPE,			PSCI_0_2_TOS_MP },
	{ PSCI_1_1_FN_SYSTEM_RESET2,				PSCI_RET_INVALID_PARAMS },
	{ PSCI_1_1_FN64_SYSTEM_RESET2,				PSCI_RET_INVALID_PARAMS },
	/*
	 * A bit for each function of the service: itself, HYP_MEMINFO, MEM_SHARE,
	 * MEM_UNSHARE, and those of MMIO guard
	 */
	{ PKVM_HVC_FEATURES,					0xdfd },
	{ PKVM_HVC_HYP_MEMINFO,					SMCCC_RET_INVALID_PARAMETER },
	{ PKVM_HVC_MEM_SHARE,					SMCCC_RET_INVALID_PARAMETER },
	{ PKVM_HVC_MEM_UNSHARE,					SMCCC_RET_INVALID_PARAMETER },
	{ PKVM_HVC_MMIO_GUARD_INFO,				SMCCC_RET_INVALID_PARAMETER },
	{ PKVM_HVC_MMIO_GUARD_MAP,				SMCCC_RET_INVALID_PARAMETER },
	{ PKVM_HVC_MMIO_GUARD_UNMAP,				SMCCC_RET_INVALID_PARAMETER },
	{ PKVM_HVC_MMIO_RGUARD_MAP,				SMCCC_RET_INVALID_PARAMETER },
	{ PKVM_HVC_MMIO_RGUARD_UNMAP,				SMCCC_RET_INVALID_PARAMETER },
};

/*
 * Functions that end or stop the vCPU, or the way out by MMIO: see pkvm_psci,
 * pkvm_cpu_state and pkvm_mmio_guard
 */
static const u32 no_return[] = {
	PKVM_HVC_MMIO_GUARD_ENROLL,
	PSCI_0_2_FN_CPU_SUSPEND,
	PSCI_0_2_FN64_CPU_SUSPEND,
	PSCI_0_2_FN_CPU_OFF,
	PSCI_0_2_FN_SYSTEM_OFF,
	PSCI_0_2_FN_SYSTEM_RESET,
};

/* Numbers that are not at the begin of a range, but somebody's in some version of the world */
static const u32 more_ids[] = {
	ARM_SMCCC_ARCH_SOC_ID,
	ARM_SMCCC_VENDOR_HYP_CALL_UID_FUNC_ID | SMC64,
	/* KVM's own of before PSCI 0.2 */
	KVM_PSCI_FN_CPU_SUSPEND, KVM_PSCI_FN_CPU_OFF, KVM_PSCI_FN_CPU_ON, KVM_PSCI_FN_MIGRATE,
	0xffffffff,
};

/* Guest side */

struct call {
	u64 id;		/* all of x0 */
	u64 args;	/* x1 to x7 */
	u64 res[4];
};

/* For a protected guest whose answers may be wrong: it goes on and tells a few of them. */
static u64 nr_wrong;
static u64 nr_undefined;

#define __do_call(insn, call)							\
do {										\
	register u64 x0 asm("x0") = (call)->id;					\
	register u64 x1 asm("x1") = (call)->args;				\
	register u64 x2 asm("x2") = (call)->args;				\
	register u64 x3 asm("x3") = (call)->args;				\
	register u64 x4 asm("x4") = (call)->args;				\
	register u64 x5 asm("x5") = (call)->args;				\
	register u64 x6 asm("x6") = (call)->args;				\
	register u64 x7 asm("x7") = (call)->args;				\
	register u64 x8 asm("x8") = PRESERVED(8);				\
	register u64 x17 asm("x17") = PRESERVED(17);				\
										\
	asm volatile(insn							\
		     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4),	\
		       "+r"(x5), "+r"(x6), "+r"(x7), "+r"(x8), "+r"(x17)	\
		     : : "memory");						\
	(call)->res[0] = x0;							\
	(call)->res[1] = x1;							\
	(call)->res[2] = x2;							\
	(call)->res[3] = x3;							\
	/* SMCCC 1.1: a call changes nothing but x0 to x3. */			\
	GUEST_ASSERT(x4 == (call)->args && x5 == (call)->args &&		\
		     x6 == (call)->args && x7 == (call)->args &&		\
		     x8 == PRESERVED(8) && x17 == PRESERVED(17));		\
} while (0)

static s64 guest_hvc(u64 id, u64 args)
{
	struct call call = { .id = id, .args = args };

	__do_call("hvc #0", &call);
	return call.res[0];
}

static bool is_no_return(u32 id)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(no_return); i++) {
		/* A hint does not make it another function. */
		if ((id & ~SVE_HINT) == no_return[i])
			return true;
	}

	return false;
}

static bool is_trng(u32 id)
{
	return (id >= ARM_SMCCC_TRNG_VERSION && id <= ARM_SMCCC_TRNG_RND32) ||
	       id == ARM_SMCCC_TRNG_RND64;
}

static s64 trng_answer(u32 id)
{
	switch (id) {
	case ARM_SMCCC_TRNG_VERSION:
		return 0x10000;
	case ARM_SMCCC_TRNG_GET_UUID:
		/* Whatever it is, it stays. */
		return guest_hvc(id, 0);
	case ARM_SMCCC_TRNG_RND32:
	case ARM_SMCCC_TRNG_RND64:
		/* INVALID_PARAMETERS of the TRNG's */
		return -2;
	default:
		return SMCCC_RET_NOT_SUPPORTED;
	}
}

static s64 expected_answer(u32 id)
{
	int i;

	/* The answer is an id of 128 bits. */
	if ((id & ~SVE_HINT) == ARM_SMCCC_VENDOR_HYP_CALL_UID_FUNC_ID)
		return ARM_SMCCC_VENDOR_HYP_UID_KVM_REG_0;

	/* It depends on the machine whether there is a TRNG, see pkvm_trng. */
	if (is_trng(id & ~SVE_HINT) && guest_hvc(ARM_SMCCC_TRNG_VERSION, 0) > 0)
		return trng_answer(id & ~SVE_HINT);

	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		if ((id & FAST ? id & ~SVE_HINT : id) == answers[i].id)
			return answers[i].ret;
	}

	return SMCCC_RET_NOT_SUPPORTED;
}

static void guest_check_hvc(u32 id)
{
	s64 ret;

	if (is_no_return(id))
		return;

	ret = guest_hvc(id, ARG);
	if (ret == expected_answer(id))
		return;
	if (nr_wrong++ < MAX_REPORTS)
		GUEST_SYNC3(id, ret, expected_answer(id));
}

static void guest_done(void)
{
	GUEST_SYNC3(0, nr_wrong, nr_wrong);
	GUEST_DONE();
}

static void guest_sweep_owner(u32 first, u32 last)
{
	u32 owner, class, nr;

	for (owner = first; owner <= last; owner++) {
		for (class = 0; class < 4; class++) {
			u32 base = class << 30 | OWNER(owner);

			for (nr = 0; nr < 0x100; nr++) {
				guest_check_hvc(base | nr);
				guest_check_hvc(base | 0xff00 | nr);
			}
		}
	}
	guest_done();
}

static u64 next_random(u64 val)
{
	val ^= val << 13;
	val ^= val >> 7;
	val ^= val << 17;
	return val;
}

static void guest_sweep_random(u64 seed, u64 nr)
{
	u64 i, val = seed | 1;

	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		/* The other width and the other class of what exists */
		guest_check_hvc(answers[i].id);
		guest_check_hvc(answers[i].id ^ SMC64);
		guest_check_hvc(answers[i].id ^ FAST);
	}
	for (i = 0; i < ARRAY_SIZE(more_ids); i++)
		guest_check_hvc(more_ids[i]);
	for (i = 0; i < nr; i++) {
		val = next_random(val);
		guest_check_hvc(val);
	}
	guest_done();
}

static void guest_undef_handler(struct ex_regs *regs)
{
	WRITE_ONCE(nr_undefined, nr_undefined + 1);
	regs->pc += 4;
}

static void guest_check_smc(u32 id)
{
	struct call call = { .id = id, .args = ARG };
	u64 was = READ_ONCE(nr_undefined);

	__do_call("smc #0", &call);
	if (READ_ONCE(nr_undefined) == was + 1 && call.res[0] == id && call.res[1] == ARG)
		return;
	if (nr_wrong++ < MAX_REPORTS)
		GUEST_SYNC3(id, call.res[0], READ_ONCE(nr_undefined) - was);
}

static void guest_sweep_smc(u64 seed, u64 nr)
{
	u64 i, val = seed | 1;
	u32 owner, class;

	for (i = 0; i < ARRAY_SIZE(answers); i++)
		guest_check_smc(answers[i].id);
	for (i = 0; i < ARRAY_SIZE(no_return); i++)
		guest_check_smc(no_return[i]);
	for (i = 0; i < ARRAY_SIZE(more_ids); i++)
		guest_check_smc(more_ids[i]);
	for (owner = 0; owner < NR_OWNERS; owner++) {
		for (class = 0; class < 4; class++)
			guest_check_smc(class << 30 | OWNER(owner));
	}
	for (i = 0; i < nr; i++) {
		val = next_random(val);
		guest_check_smc(val);
	}
	guest_done();
}

static void guest_services(void)
{
	/* With arguments that whoever had the function would take */
	static const struct {
		u32 id;
		u64 args;
	} unsupported[] = {
		{ ARM_SMCCC_ARCH_FEATURES_FUNC_ID, ARM_SMCCC_HV_PV_TIME_FEATURES },
		{ ARM_SMCCC_HV_PV_TIME_FEATURES, ARM_SMCCC_HV_PV_TIME_ST },
		{ ARM_SMCCC_HV_PV_TIME_ST, 0 },
		{ ARM_SMCCC_VENDOR_HYP_KVM_PTP_FUNC_ID, 0 },
	};
	static const u32 workarounds[] = {
		ARM_SMCCC_ARCH_WORKAROUND_1,
		ARM_SMCCC_ARCH_WORKAROUND_2,
		ARM_SMCCC_ARCH_WORKAROUND_3,
	};
	struct call call = { .id = ARM_SMCCC_VENDOR_HYP_CALL_UID_FUNC_ID };
	s64 ret;
	int i;

	/* What a guest asks before it asks for anything else */
	__do_call("hvc #0", &call);
	GUEST_ASSERT_EQ(call.res[0], ARM_SMCCC_VENDOR_HYP_UID_KVM_REG_0);
	GUEST_ASSERT_EQ(call.res[1], ARM_SMCCC_VENDOR_HYP_UID_KVM_REG_1);
	GUEST_ASSERT_EQ(call.res[2], ARM_SMCCC_VENDOR_HYP_UID_KVM_REG_2);
	GUEST_ASSERT_EQ(call.res[3], ARM_SMCCC_VENDOR_HYP_UID_KVM_REG_3);

	ret = guest_hvc(PKVM_HVC_HYP_MEMINFO, 0);
	GUEST_ASSERT(ret >= 4096 && !(ret & (ret - 1)));

	GUEST_ASSERT_EQ(guest_hvc(PSCI_1_0_FN_PSCI_FEATURES, ARM_SMCCC_VERSION_FUNC_ID), 0);
	GUEST_ASSERT_EQ(guest_hvc(ARM_SMCCC_VERSION_FUNC_ID, 0), ARM_SMCCC_VERSION_1_1);

	for (i = 0; i < ARRAY_SIZE(unsupported); i++) {
		ret = guest_hvc(unsupported[i].id, unsupported[i].args);
		__GUEST_ASSERT(ret == SMCCC_RET_NOT_SUPPORTED, "0x%x gives %ld",
			       unsupported[i].id, ret);
	}

	/* Which one it is depends on the machine, but there are no others. */
	for (i = 0; i < ARRAY_SIZE(workarounds); i++) {
		ret = guest_hvc(ARM_SMCCC_ARCH_FEATURES_FUNC_ID, workarounds[i]);
		GUEST_ASSERT(ret == SMCCC_RET_NOT_SUPPORTED || ret == SMCCC_RET_SUCCESS ||
			     ret == SMCCC_ARCH_WORKAROUND_RET_UNAFFECTED ||
			     ret == SMCCC_RET_NOT_REQUIRED);
		GUEST_SYNC1(ret);
	}

	GUEST_DONE();
}

static void guest_hints(void)
{
	struct call call = { .id = PSCI_0_2_FN_PSCI_VERSION };
	s64 granule = guest_hvc(PKVM_HVC_HYP_MEMINFO, 0);

	/* "No live SVE state" is a hint, and the function is in W0. */
	GUEST_ASSERT_EQ(guest_hvc(PSCI_0_2_FN_PSCI_VERSION | SVE_HINT, 0), PSCI_VERSION(1, 1));
	GUEST_ASSERT_EQ(guest_hvc(PKVM_HVC_HYP_MEMINFO | SVE_HINT, 0), granule);
	GUEST_ASSERT_EQ(guest_hvc(PKVM_HVC_MEM_SHARE | SVE_HINT, ARG),
			SMCCC_RET_INVALID_PARAMETER);
	GUEST_ASSERT_EQ(guest_hvc(PKVM_HVC_HYP_MEMINFO | BIT(63) | BIT(32), 0), granule);

	/* The immediate is not looked at. */
	__do_call("hvc #1", &call);
	GUEST_ASSERT_EQ(call.res[0], PSCI_VERSION(1, 1));
	call.id = PKVM_HVC_HYP_MEMINFO;
	__do_call("hvc #0xffff", &call);
	GUEST_ASSERT_EQ((s64)call.res[0], granule);
	call.id = PKVM_HVC(0xff00);
	__do_call("hvc #0x8000", &call);
	GUEST_ASSERT_EQ((s64)call.res[0], SMCCC_RET_NOT_SUPPORTED);

	GUEST_DONE();
}

/* VMM side */

FIXTURE(pkvm_smccc) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
};

FIXTURE_SETUP(pkvm_smccc)
{
	TEST_REQUIRE_PKVM();

	self->vm = vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &self->vcpu, guest_services);
	vm_init_descriptor_tables(self->vm);
	vcpu_init_descriptor_tables(self->vcpu);
	vm_install_sync_handler(self->vm, VECTOR_SYNC_CURRENT, ESR_ELx_EC_UNKNOWN,
				guest_undef_handler);
}

FIXTURE_TEARDOWN(pkvm_smccc)
{
	kvm_vm_free(self->vm);
}

/* Any exit that is not the guest's ucall is one too many. */
static void expect_no_wrong_answer(struct __test_metadata *_metadata, struct kvm_vcpu *vcpu,
				   const char *what)
{
	struct ucall uc;

	for (;;) {
		vcpu_run_until(vcpu, UCALL_SYNC, &uc);
		if (!uc.args[0] && uc.args[1] == uc.args[2])
			break;
		TH_LOG("%s 0x%08lx: x0 is 0x%lx (%s %ld)", what, uc.args[0], uc.args[1],
		       *what == 'H' ? "expected" : "exceptions:", uc.args[2]);
	}
	EXPECT_EQ(uc.args[1], 0)
		TH_LOG("%lu wrong answers", uc.args[1]);
	vcpu_run_until(vcpu, UCALL_DONE, &uc);
}

TEST_F(pkvm_smccc, guest_finds_its_services)
{
	struct ucall uc;
	int i;

	for (i = 0; i < 3; i++) {
		vcpu_run_until(self->vcpu, UCALL_SYNC, &uc);
		TH_LOG("ARCH_WORKAROUND_%d: %ld", i + 1, (s64)uc.args[0]);
	}
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

TEST_F(pkvm_smccc, hints_and_immediates_change_nothing)
{
	struct ucall uc;

	vcpu_arch_set_entry_point(self->vcpu, guest_hints);
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

TEST_F(pkvm_smccc, standard_owners_have_the_documented_functions_only)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_sweep_owner);
	vcpu_args_set(self->vcpu, 2, 0, 7);
	expect_no_wrong_answer(_metadata, self->vcpu, "HVC");
}

TEST_F(pkvm_smccc, other_owners_have_no_functions)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_sweep_owner);
	vcpu_args_set(self->vcpu, 2, 8, NR_OWNERS - 1);
	expect_no_wrong_answer(_metadata, self->vcpu, "HVC");
}

TEST_F(pkvm_smccc, random_functions_are_not_supported)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_sweep_random);
	vcpu_args_set(self->vcpu, 2, getpid() * 0x9e3779b97f4a7c15ul, 10000);
	expect_no_wrong_answer(_metadata, self->vcpu, "HVC");
}

TEST_F(pkvm_smccc, smc_is_undefined)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_sweep_smc);
	vcpu_args_set(self->vcpu, 2, getpid() * 0x9e3779b97f4a7c15ul, 200);
	expect_no_wrong_answer(_metadata, self->vcpu, "SMC");
}

TEST_HARNESS_MAIN
