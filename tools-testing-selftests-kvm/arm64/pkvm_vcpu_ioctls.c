// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_vcpu_ioctls - What the VMM can do to a protected vCPU: choose PC and x0
 * of the boot vCPU before the VM first runs, and nothing else.  Each ioctl
 * works or has one errno, before and after.  The registers of a vCPU that has
 * never run are what the VMM itself wrote, so it may read them.  For a
 * non-protected VM, in any mode of the host, all ioctls work at every moment.
 */
#include <linux/bitfield.h>

#include "arch_timer.h"
#include "gic.h"
#include "gic_v3.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_canary.h"
#include "pkvm_secret.h"
#include "processor.h"
#include "ucall_common.h"
#include "vgic.h"

#include "kselftest_harness.h"

#define GARBAGE		0xa5a5a5a5a5a5a5a5ul
#define NR_VCPUS	2
#define VTIMER_INTID	27
#define X19		ARM64_CORE_REG(regs.regs[19])

static u64 sysreg_op0(u64 id)
{
	return FIELD_GET(KVM_REG_ARM64_SYSREG_OP0_MASK, id);
}

static u64 sysreg_crn(u64 id)
{
	return FIELD_GET(KVM_REG_ARM64_SYSREG_CRN_MASK, id);
}

/* Guest side */

static struct {
	u64 sctlr;
	gpa_t probe;
	gpa_t second;
} params;

static void check_reset_state(struct reset_probe *probe)
{
	/* In the order of the probe; SCTLR_EL1's value is the CPU's own. */
	static const struct {
		const char *name;
		u64 val;
	} sysregs[] = {
		{ "SCTLR_EL1", 0 },	{ "CPACR_EL1", 0 },	{ "TTBR0_EL1", 0 },
		{ "TTBR1_EL1", 0 },	{ "TCR_EL1", 0 },	{ "MAIR_EL1", 0 },
		{ "AMAIR_EL1", 0 },	{ "VBAR_EL1", 0 },	{ "CONTEXTIDR_EL1", 0 },
		{ "ESR_EL1", 0 },	{ "FAR_EL1", 0 },	{ "AFSR0_EL1", 0 },
		{ "AFSR1_EL1", 0 },	{ "PAR_EL1", 0 },	{ "ELR_EL1", 0 },
		{ "SPSR_EL1", 0 },	{ "TPIDR_EL0", 0 },	{ "TPIDRRO_EL0", 0 },
		{ "TPIDR_EL1", 0 },	{ "CNTKCTL_EL1", 0 },	{ "CNTV_CTL_EL0", 0 },
		{ "CNTV_CVAL_EL0", 0 },	{ "SP_EL0", 0 },	{ "SPSel", 1 },
		{ "DAIF", 0x3c0 },	{ "CurrentEL", 0x4 },
	};
	kvm_static_assert(ARRAY_SIZE(sysregs) == NR_RESET_SYSREGS);
	int i;

	for (i = 1; i < ARRAY_SIZE(probe->regs.x); i++)
		__GUEST_ASSERT(!probe->regs.x[i], "x%u is 0x%lx", i, probe->regs.x[i]);
	for (i = 0; i < ARRAY_SIZE(probe->regs.v); i++)
		__GUEST_ASSERT(!probe->regs.v[i][0] && !probe->regs.v[i][1],
			       "v%u is 0x%lx, 0x%lx", i, probe->regs.v[i][0], probe->regs.v[i][1]);
	for (i = 0; i < NR_RESET_SYSREGS; i++) {
		u64 want = i ? sysregs[i].val : params.sctlr;

		__GUEST_ASSERT(probe->sysregs[i] == want, "%s is 0x%lx instead of 0x%lx",
			       sysregs[i].name, probe->sysregs[i], want);
	}
	GUEST_ASSERT_EQ(probe->regs.sp, 0);
	GUEST_ASSERT_EQ(probe->regs.nzcv, 0);
	GUEST_ASSERT_EQ(probe->regs.fpcr, 0);
	GUEST_ASSERT_EQ(probe->regs.fpsr, 0);
}

static void guest_reset_boot(struct reset_probe *probe)
{
	check_reset_state(probe);
	GUEST_ASSERT_EQ(psci_cpu_on(1, params.probe, params.second), PSCI_RET_SUCCESS);
	GUEST_SYNC(0);
	GUEST_DONE();
}

static void guest_reset_second(struct reset_probe *probe)
{
	check_reset_state(probe);
	GUEST_DONE();
}

static void guest_sync_and_done(void)
{
	GUEST_SYNC(0);
	GUEST_DONE();
}

/* VMM side */

static gva_t load_probe(struct kvm_vm *vm)
{
	gva_t gva = vm_alloc_page(vm);

	memcpy(addr_gva2hva(vm, gva), pkvm_reset_probe, pkvm_reset_probe_end - pkvm_reset_probe);
	return gva;
}

static gva_t add_probe_data(struct kvm_vm *vm)
{
	gva_t gva = vm_alloc(vm, sizeof(struct reset_probe), KVM_UTIL_MIN_VADDR);

	/* What the guest finds is what was stored there. */
	memset(addr_gva2hva(vm, gva), 0xff, sizeof(struct reset_probe));
	return gva;
}

static void set_probe_next(struct kvm_vm *vm, gva_t gva, struct pkvm_start next)
{
	struct reset_probe *probe = addr_gva2hva(vm, gva);

	probe->entry = next.entry;
	probe->context = next.context;
}

/*
 * Something else than the reset value, for the registers that a guest can see
 * without harm to the entry code.  The others are set to what they are.
 */
static void change_value(u64 id, u64 *val)
{
	switch (id & KVM_REG_ARM_COPROC_MASK) {
	case KVM_REG_ARM_CORE:
		if (id == ARM64_CORE_REG(regs.pstate))
			*val = PSR_MODE_EL1h | PSR_N_BIT;
		else
			memset(val, (u8)GARBAGE, KVM_REG_SIZE(id));
		return;
	case KVM_REG_ARM64_SYSREG:
		break;
	default:
		return;
	}

	if (id == KVM_ARM64_SYS_REG(SYS_SCTLR_EL1))
		*val |= SCTLR_EL1_UCI | SCTLR_EL1_UCT;
	else if (id == KVM_ARM64_SYS_REG(SYS_CPACR_EL1))
		*val = CPACR_EL1_FPEN;
	else if (id == KVM_REG_ARM_TIMER_CTL)
		*val = 3;
	else if (id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT)
		return;
	else if (sysreg_op0(id) == 3 && sysreg_crn(id))
		*val = GARBAGE;
}

/* Returns 0 or errno. */
static int set_reg(struct kvm_vcpu *vcpu, u64 id, bool *known)
{
	u64 buf[2048 / 64];
	struct kvm_one_reg reg = { .id = id, .addr = (u64)buf };

	memset(buf, 0, sizeof(buf));
	*known = !__vcpu_get_reg(vcpu, id, buf);
	if (!*known)
		return 0;

	change_value(id, buf);
	return __vcpu_ioctl(vcpu, KVM_SET_ONE_REG, &reg) ? errno : 0;
}

TEST(only_pc_and_x0_of_the_boot_vcpu_reach_the_guest)
{
	struct kvm_vcpu *vcpus[NR_VCPUS], *np_vcpu;
	struct kvm_vm *vm, *np_vm;
	struct kvm_reg_list *list;
	struct pkvm_start own;
	gva_t data[2];
	struct ucall uc;
	int i, err, np_err;
	bool known;
	u64 n;

	TEST_REQUIRE_PKVM();

	np_vm = vm_create_with_one_vcpu(&np_vcpu, NULL);
	vm = __vm_create_with_vcpus(VM_SHAPE_PROTECTED, NR_VCPUS, 16, NULL, vcpus);
	vcpu_arch_set_entry_point(vcpus[0], guest_reset_boot);

	for (i = 0; i < 2; i++)
		data[i] = add_probe_data(vm);
	own.entry = vcpu_get_reg(vcpus[0], ARM64_CORE_REG(regs.pc));
	own.context = vcpu_get_reg(vcpus[0], ARM64_CORE_REG(regs.regs[0]));
	set_probe_next(vm, data[0], own);
	vcpu_args_set(vcpus[0], 1, data[0]);
	set_probe_next(vm, data[1],
		       pkvm_vcpu_add_start(vcpus[1], guest_reset_second, 1, data[1]));

	params.probe = addr_gva2gpa(vm, load_probe(vm));
	params.second = addr_gva2gpa(vm, data[1]);
	params.sctlr = vcpu_get_reg(vcpus[0], KVM_ARM64_SYS_REG(SYS_SCTLR_EL1));
	sync_global_to_guest(vm, params);

	/* As it is for a VMM that does not know what it makes */
	list = vcpu_get_reg_list(vcpus[0]);
	for (n = 0; n < list->n; n++) {
		np_err = set_reg(np_vcpu, list->reg[n], &known);
		if (!known)
			continue;
		for (i = 0; i < 2; i++) {
			err = set_reg(vcpus[i], list->reg[n], &known);
			EXPECT_TRUE(known);
			EXPECT_EQ(err, np_err)
				TH_LOG("0x%llx of vCPU %d: errno %d, but %d if not protected",
				       list->reg[n], i, err, np_err);
		}
	}
	free(list);

	vcpu_set_reg(vcpus[0], ARM64_CORE_REG(regs.pc), params.probe);
	vcpu_set_reg(vcpus[0], ARM64_CORE_REG(regs.regs[0]), addr_gva2gpa(vm, data[0]));

	vcpu_run_until(vcpus[0], UCALL_SYNC, &uc);
	vcpu_run_until(vcpus[1], UCALL_DONE, &uc);
	vcpu_run_until(vcpus[0], UCALL_DONE, &uc);

	kvm_vm_free(vm);
	kvm_vm_free(np_vm);
}

TEST(setting_the_counters_does_not_make_the_host_warn)
{
	static const u64 ids[] = { KVM_REG_ARM_TIMER_CNT, KVM_REG_ARM_PTIMER_CNT };
	unsigned long warnings;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	int i;

	TEST_REQUIRE_PKVM();
	warnings = kernel_warnings();

	vm = vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &vcpu, guest_sync_and_done);
	for (i = 0; i < ARRAY_SIZE(ids); i++)
		__vcpu_set_reg(vcpu, ids[i], 0);
	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		EXPECT_EQ(__vcpu_set_reg(vcpu, ids[i], 0), -1);
		EXPECT_EQ(errno, EPERM);
	}
	vcpu_run_until(vcpu, UCALL_DONE, &uc);
	kvm_vm_free(vm);

	EXPECT_EQ(kernel_warnings(), warnings);
}

/* The virtual counter is the physical one, and so the same for all vCPUs. */
static void guest_counters(void)
{
	u64 before, virtual, after;
	int i;

	for (i = 0; i < 100; i++) {
		before = timer_get_cntct(PHYSICAL);
		virtual = timer_get_cntct(VIRTUAL);
		after = timer_get_cntct(PHYSICAL);
		__GUEST_ASSERT(before <= virtual && virtual <= after,
			       "CNTVCT 0x%lx is not between CNTPCT 0x%lx and 0x%lx",
			       virtual, before, after);
	}
	GUEST_DONE();
}

TEST(virtual_counter_has_no_offset_on_any_vcpu)
{
	static const u64 ids[] = { KVM_REG_ARM_TIMER_CNT, KVM_REG_ARM_PTIMER_CNT };
	struct kvm_arm_counter_offset offset = { .counter_offset = 1ul << 40 };
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm;
	struct ucall uc;
	int i, j;

	TEST_REQUIRE_PKVM();

	vm = __vm_create_with_vcpus(VM_SHAPE_PROTECTED, NR_VCPUS, 0, guest_counters, vcpus);
	__vm_ioctl(vm, KVM_ARM_SET_COUNTER_OFFSET, &offset);
	for (i = 0; i < NR_VCPUS; i++) {
		for (j = 0; j < ARRAY_SIZE(ids); j++)
			__vcpu_set_reg(vcpus[i], ids[j], i << 20);
	}
	for (i = 0; i < NR_VCPUS; i++)
		vcpu_run_until(vcpus[i], UCALL_DONE, &uc);
	kvm_vm_free(vm);
}

TEST(second_boot_vcpu_is_refused)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm;
	struct ucall uc;
	int i;

	TEST_REQUIRE_PKVM();

	vm = __vm_create_with_vcpus(VM_SHAPE_PROTECTED, NR_VCPUS, 0, NULL, vcpus);
	vcpu_arch_set_entry_point(vcpus[0], guest_sync_and_done);
	vcpu_ioctl(vcpus[1], KVM_ARM_VCPU_INIT, &vcpus[0]->init);

	vcpu_run_until(vcpus[0], UCALL_SYNC, &uc);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(__vcpu_run(vcpus[1]), -1);
		EXPECT_EQ(errno, EINVAL);
	}
	/* It is the second one's problem. */
	vcpu_run_until(vcpus[0], UCALL_DONE, &uc);
	kvm_vm_free(vm);
}

/* Each of these returns 0 or errno. */

static int result(int ret)
{
	return ret < 0 ? errno : 0;
}

static int get_reg(struct kvm_vcpu *vcpu, u64 id)
{
	u64 buf[2];

	return result(__vcpu_get_reg(vcpu, id, buf));
}

/* Writes back what is there, if that can be read. */
static int set_reg_again(struct kvm_vcpu *vcpu, u64 id)
{
	u64 buf[2] = {};
	struct kvm_one_reg reg = { .id = id, .addr = (u64)buf };

	__vcpu_get_reg(vcpu, id, buf);
	return result(__vcpu_ioctl(vcpu, KVM_SET_ONE_REG, &reg));
}

#define REG_TEST(name, id)						\
static int get_##name(struct kvm_vcpu *vcpu) { return get_reg(vcpu, id); }	\
static int set_##name(struct kvm_vcpu *vcpu) { return set_reg_again(vcpu, id); }

REG_TEST(x19, X19)
REG_TEST(pc, ARM64_CORE_REG(regs.pc))
REG_TEST(pstate, ARM64_CORE_REG(regs.pstate))
REG_TEST(v0, KVM_REG_ARM64 | KVM_REG_SIZE_U128 | KVM_REG_ARM_CORE |
	     KVM_REG_ARM_CORE_REG(fp_regs.vregs[0]))
REG_TEST(sysreg, KVM_ARM64_SYS_REG(SYS_TTBR0_EL1))
REG_TEST(id_reg, KVM_ARM64_SYS_REG(SYS_ID_AA64PFR0_EL1))
REG_TEST(timer, KVM_REG_ARM_TIMER_CVAL)
REG_TEST(psci_version, KVM_REG_ARM_PSCI_VERSION)
REG_TEST(fw_bitmap, KVM_REG_ARM_VENDOR_HYP_BMAP)
REG_TEST(std_bitmap, KVM_REG_ARM_STD_BMAP)
REG_TEST(std_hyp_bitmap, KVM_REG_ARM_STD_HYP_BMAP)
REG_TEST(workaround, KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1)
REG_TEST(workaround3, KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3)

static int get_reg_list(struct kvm_vcpu *vcpu)
{
	struct kvm_reg_list list = { .n = 0 };
	int ret = result(__vcpu_ioctl(vcpu, KVM_GET_REG_LIST, &list));

	/* There is no room in this one: that it says how much it needs is success. */
	return ret == E2BIG ? 0 : ret;
}

static int init_with(struct kvm_vcpu *vcpu, u32 feature)
{
	struct kvm_vcpu_init init = vcpu->init;

	init.features[0] |= feature;
	return result(__vcpu_ioctl(vcpu, KVM_ARM_VCPU_INIT, &init));
}

static int init_again(struct kvm_vcpu *vcpu)
{
	return init_with(vcpu, 0);
}

static int init_sve(struct kvm_vcpu *vcpu)
{
	return init_with(vcpu, BIT(KVM_ARM_VCPU_SVE));
}

static int init_32bit(struct kvm_vcpu *vcpu)
{
	return init_with(vcpu, BIT(KVM_ARM_VCPU_EL1_32BIT));
}

static int init_el2(struct kvm_vcpu *vcpu)
{
	return init_with(vcpu, BIT(KVM_ARM_VCPU_HAS_EL2));
}

static int init_el2_e2h0(struct kvm_vcpu *vcpu)
{
	return init_with(vcpu, BIT(KVM_ARM_VCPU_HAS_EL2_E2H0));
}

static int init_pmu(struct kvm_vcpu *vcpu)
{
	return init_with(vcpu, BIT(KVM_ARM_VCPU_PMU_V3));
}

static int init_half_ptrauth(struct kvm_vcpu *vcpu)
{
	return init_with(vcpu, BIT(KVM_ARM_VCPU_PTRAUTH_ADDRESS));
}

static int finalize_sve(struct kvm_vcpu *vcpu)
{
	int what = KVM_ARM_VCPU_SVE;

	return result(__vcpu_ioctl(vcpu, KVM_ARM_VCPU_FINALIZE, &what));
}

static int get_mp_state(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state state;

	return result(__vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &state));
}

static int set_mp_state(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	__vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &state);
	return result(__vcpu_ioctl(vcpu, KVM_SET_MP_STATE, &state));
}

static int get_events(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	return result(__vcpu_ioctl(vcpu, KVM_GET_VCPU_EVENTS, &events));
}

static int set_events(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events = {};

	return result(__vcpu_ioctl(vcpu, KVM_SET_VCPU_EVENTS, &events));
}

static int debug(struct kvm_vcpu *vcpu, u32 control)
{
	struct kvm_guest_debug debug = { .control = control };

	return result(__vcpu_ioctl(vcpu, KVM_SET_GUEST_DEBUG, &debug));
}

static int debug_on(struct kvm_vcpu *vcpu)
{
	return debug(vcpu, KVM_GUESTDBG_ENABLE);
}

static int debug_single_step(struct kvm_vcpu *vcpu)
{
	return debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
}

static int debug_hardware(struct kvm_vcpu *vcpu)
{
	return debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW);
}

static int debug_off(struct kvm_vcpu *vcpu)
{
	return debug(vcpu, 0);
}

static int set_pvtime(struct kvm_vcpu *vcpu)
{
	u64 ipa = 0x40000000;

	return result(__vcpu_device_attr_set(vcpu, KVM_ARM_VCPU_PVTIME_CTRL,
					     KVM_ARM_VCPU_PVTIME_IPA, &ipa));
}

static int has_pvtime(struct kvm_vcpu *vcpu)
{
	return result(__vcpu_has_device_attr(vcpu, KVM_ARM_VCPU_PVTIME_CTRL,
					     KVM_ARM_VCPU_PVTIME_IPA));
}

static int get_pvtime(struct kvm_vcpu *vcpu)
{
	u64 ipa;

	return result(__vcpu_device_attr_get(vcpu, KVM_ARM_VCPU_PVTIME_CTRL,
					     KVM_ARM_VCPU_PVTIME_IPA, &ipa));
}

static int has_pmu(struct kvm_vcpu *vcpu)
{
	return result(__vcpu_has_device_attr(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL,
					     KVM_ARM_VCPU_PMU_V3_INIT));
}

static int set_pmu(struct kvm_vcpu *vcpu)
{
	return result(__vcpu_device_attr_set(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL,
					     KVM_ARM_VCPU_PMU_V3_INIT, NULL));
}

static int get_pmu_irq(struct kvm_vcpu *vcpu)
{
	int irq;

	return result(__vcpu_device_attr_get(vcpu, KVM_ARM_VCPU_PMU_V3_CTRL,
					     KVM_ARM_VCPU_PMU_V3_IRQ, &irq));
}

/* What it is by default */
static int set_timer_irq(struct kvm_vcpu *vcpu)
{
	int irq = VTIMER_INTID;

	return result(__vcpu_device_attr_set(vcpu, KVM_ARM_VCPU_TIMER_CTRL,
					     KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
}

static int get_timer_irq(struct kvm_vcpu *vcpu)
{
	int irq;

	return result(__vcpu_device_attr_get(vcpu, KVM_ARM_VCPU_TIMER_CTRL,
					     KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &irq));
}

static int get_regs(struct kvm_vcpu *vcpu)
{
	struct kvm_regs regs;

	return result(__vcpu_ioctl(vcpu, KVM_GET_REGS, &regs));
}

static int set_regs(struct kvm_vcpu *vcpu)
{
	struct kvm_regs regs = {};

	return result(__vcpu_ioctl(vcpu, KVM_SET_REGS, &regs));
}

static int get_fpu(struct kvm_vcpu *vcpu)
{
	u8 buf[4096];

	return result(__vcpu_ioctl(vcpu, KVM_GET_FPU, buf));
}

static int get_sregs(struct kvm_vcpu *vcpu)
{
	u8 buf[4096];

	return result(__vcpu_ioctl(vcpu, KVM_GET_SREGS, buf));
}

/* The vGIC's part of the state of a vCPU */
static int vgic_attr(struct kvm_vcpu *vcpu, bool set, u32 reg, u64 *val)
{
	u64 attr = (u64)vcpu->id << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT |
		   FIELD_PREP(KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK, reg >> 5);
	int fd = vcpu->vm->arch.gic_fd, ret;

	if (set)
		ret = __kvm_device_attr_set(fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, attr, val);
	else
		ret = __kvm_device_attr_get(fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, attr, val);

	return result(ret);
}

static int get_icc_pmr(struct kvm_vcpu *vcpu)
{
	u64 val;

	return vgic_attr(vcpu, false, SYS_ICC_PMR_EL1, &val);
}

static int set_icc_pmr(struct kvm_vcpu *vcpu)
{
	u64 val = 0x10;

	return vgic_attr(vcpu, true, SYS_ICC_PMR_EL1, &val);
}

static int get_icc_ap1r0(struct kvm_vcpu *vcpu)
{
	u64 val;

	return vgic_attr(vcpu, false, SYS_ICC_AP1R0_EL1, &val);
}

static int set_icc_ap1r0(struct kvm_vcpu *vcpu)
{
	u64 val = 0;

	return vgic_attr(vcpu, true, SYS_ICC_AP1R0_EL1, &val);
}

/* The lines of a CPU, which only a vCPU without vGIC has */
static int raise_cpu_irq(struct kvm_vcpu *vcpu)
{
	struct kvm_irq_level level = {
		.irq = KVM_ARM_IRQ_TYPE_CPU << KVM_ARM_IRQ_TYPE_SHIFT |
		       vcpu->id << KVM_ARM_IRQ_VCPU_SHIFT | KVM_ARM_IRQ_CPU_IRQ,
		.level = 1,
	};

	return result(__vm_ioctl(vcpu->vm, KVM_IRQ_LINE, &level));
}

static int set_counter_offset(struct kvm_vcpu *vcpu)
{
	struct kvm_arm_counter_offset offset = { .counter_offset = 0 };

	return result(__vm_ioctl(vcpu->vm, KVM_ARM_SET_COUNTER_OFFSET, &offset));
}

static int set_smccc_filter(struct kvm_vcpu *vcpu)
{
	struct kvm_smccc_filter filter = {
		/* It takes each function once. */
		.base = PSCI_0_2_FN_SYSTEM_OFF + vcpu->id,
		.nr_functions = 1,
		.action = KVM_SMCCC_FILTER_FWD_TO_USER,
	};

	return result(__kvm_device_attr_set(vcpu->vm->fd, KVM_ARM_VM_SMCCC_CTRL,
					    KVM_ARM_VM_SMCCC_FILTER, &filter));
}

static int has_smccc_filter(struct kvm_vcpu *vcpu)
{
	return result(__kvm_has_device_attr(vcpu->vm->fd, KVM_ARM_VM_SMCCC_CTRL,
					    KVM_ARM_VM_SMCCC_FILTER));
}

static int get_reg_masks(struct kvm_vcpu *vcpu)
{
	u64 masks[KVM_ARM_FEATURE_ID_RANGE_SIZE];
	struct reg_mask_range range = { .addr = (u64)masks };

	return result(__vm_ioctl(vcpu->vm, KVM_ARM_GET_REG_WRITABLE_MASKS, &range));
}

static int enable_mte(struct kvm_vcpu *vcpu)
{
	return result(__vm_enable_cap(vcpu->vm, KVM_CAP_ARM_MTE, 0));
}

static int copy_mte_tags(struct kvm_vcpu *vcpu)
{
	struct kvm_arm_copy_mte_tags copy = { .flags = KVM_ARM_TAGS_FROM_GUEST };

	return result(__vm_ioctl(vcpu->vm, KVM_ARM_MTE_COPY_TAGS, &copy));
}

static int enable_nisv_exits(struct kvm_vcpu *vcpu)
{
	return result(__vm_enable_cap(vcpu->vm, KVM_CAP_ARM_NISV_TO_USER, 0));
}

static int enable_system_suspend(struct kvm_vcpu *vcpu)
{
	return result(__vm_enable_cap(vcpu->vm, KVM_CAP_ARM_SYSTEM_SUSPEND, 0));
}

static int enable_sea_exits(struct kvm_vcpu *vcpu)
{
	return result(__vm_enable_cap(vcpu->vm, KVM_CAP_ARM_SEA_TO_USER, 0));
}

#define GUEST_PMR	0xa0

static void guest_icc_registers(void)
{
	u64 bpr1;

	gic_init(GIC_V3, NR_VCPUS);
	write_sysreg_s(GUEST_PMR, SYS_ICC_PMR_EL1);
	isb();
	bpr1 = read_sysreg_s(SYS_ICC_BPR1_EL1);
	GUEST_SYNC(0);
	GUEST_ASSERT_EQ(read_sysreg_s(SYS_ICC_PMR_EL1), GUEST_PMR);
	GUEST_ASSERT_EQ(read_sysreg_s(SYS_ICC_IGRPEN1_EL1), 1);
	GUEST_ASSERT_EQ(read_sysreg_s(SYS_ICC_BPR1_EL1), bpr1);
	GUEST_DONE();
}

/*
 * The VMM may write them, to no effect, as it may read them: pkvm.rst says which
 * of them the host has to know.
 */
TEST(vmm_does_not_set_the_guests_gic_cpu_interface)
{
	static const struct { u32 reg; u64 val; } writes[] = {
		{ SYS_ICC_PMR_EL1, 0 }, { SYS_ICC_IGRPEN0_EL1, 0 }, { SYS_ICC_IGRPEN1_EL1, 0 },
		{ SYS_ICC_BPR0_EL1, 7 }, { SYS_ICC_BPR1_EL1, 7 }, { SYS_ICC_AP1R0_EL1, ~0u },
		{ SYS_ICC_AP0R0_EL1, ~0u },
	};
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm;
	struct ucall uc;
	u64 pmr;
	int i;

	TEST_REQUIRE_PKVM();
	TEST_REQUIRE(kvm_supports_vgic_v3());

	vm = __vm_create_with_vcpus(VM_SHAPE_PROTECTED, NR_VCPUS, 0, NULL, vcpus);
	vcpu_arch_set_entry_point(vcpus[0], guest_icc_registers);
	vcpu_run_until(vcpus[0], UCALL_SYNC, &uc);
	EXPECT_EQ(vgic_attr(vcpus[0], false, SYS_ICC_PMR_EL1, &pmr), 0);
	EXPECT_EQ(pmr, GUEST_PMR);
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		u64 val = writes[i].val;

		EXPECT_EQ(vgic_attr(vcpus[0], true, writes[i].reg, &val), 0);
	}
	vcpu_run_until(vcpus[0], UCALL_DONE, &uc);
	kvm_vm_free(vm);
}

#define ANY	-1	/* depends on the machine, or on what was done before */

static const struct {
	const char *name;
	int (*fn)(struct kvm_vcpu *vcpu);
	/* errno before the VM's first KVM_RUN; after, of the boot vCPU and of one that never ran */
	int protected[3];
	int non_protected[2];
} ioctls[] = {
#define X(fn, ...)	{ #fn, fn, __VA_ARGS__ }
	X(get_x19,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_x19,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_pc,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_pc,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_pstate,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_pstate,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_v0,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_v0,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_sysreg,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_sysreg,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_id_reg,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_id_reg,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_timer,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_timer,		{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_psci_version,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_psci_version,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_fw_bitmap,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_fw_bitmap,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_std_bitmap,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_std_bitmap,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_std_hyp_bitmap,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_std_hyp_bitmap,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_workaround,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_workaround,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_workaround3,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(set_workaround3,	{ 0, EPERM, 0 },		{ 0, 0 }),
	X(get_reg_list,		{ 0, 0, 0 },			{ 0, 0 }),
	X(get_reg_masks,	{ EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	X(get_regs,		{ EINVAL, EINVAL, EINVAL },	{ EINVAL, EINVAL }),
	X(set_regs,		{ EINVAL, EINVAL, EINVAL },	{ EINVAL, EINVAL }),
	X(get_fpu,		{ EINVAL, EINVAL, EINVAL },	{ EINVAL, EINVAL }),
	X(get_sregs,		{ EINVAL, EINVAL, EINVAL },	{ EINVAL, EINVAL }),
	X(get_mp_state,		{ 0, 0, 0 },			{ 0, 0 }),
	X(set_mp_state,		{ 0, EPERM, EPERM },		{ 0, 0 }),
	X(get_events,		{ EPERM, EPERM, EPERM },	{ 0, 0 }),
	X(set_events,		{ EPERM, EPERM, EPERM },	{ 0, 0 }),
	X(debug_on,		{ EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	X(debug_single_step,	{ EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	X(debug_hardware,	{ EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	X(debug_off,		{ 0, 0, 0 },			{ 0, 0 }),
	X(finalize_sve,		{ EINVAL, EINVAL, EINVAL },	{ EINVAL, EINVAL }),
	X(has_pvtime,		{ ENXIO, ENXIO, ENXIO },	{ ANY, ANY }),
	X(set_pvtime,		{ ENXIO, ENXIO, ENXIO },	{ ANY, ANY }),
	X(get_pvtime,		{ ENXIO, ENXIO, ENXIO },	{ ANY, ANY }),
	X(get_timer_irq,	{ 0, 0, 0 },			{ 0, 0 }),
	X(set_timer_irq,	{ 0, EBUSY, EBUSY },		{ 0, EBUSY }),
	X(has_pmu,		{ ENXIO, ENXIO, ENXIO },	{ ENXIO, ENXIO }),
	X(set_pmu,		{ ENODEV, ENODEV, ENODEV },	{ ENODEV, ENODEV }),
	X(get_pmu_irq,		{ ENODEV, ENODEV, ENODEV },	{ ENODEV, ENODEV }),
	X(get_icc_pmr,		{ 0, 0, 0 },			{ 0, 0 }),
	X(set_icc_pmr,		{ 0, 0, 0 },			{ 0, 0 }),
	X(get_icc_ap1r0,	{ 0, 0, 0 },			{ 0, 0 }),
	X(set_icc_ap1r0,	{ 0, 0, 0 },			{ 0, 0 }),
	X(raise_cpu_irq,	{ ENXIO, ENXIO, ENXIO },	{ ENXIO, ENXIO }),
	X(set_counter_offset,	{ EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	X(set_smccc_filter,	{ EINVAL, EINVAL, EINVAL },	{ 0, EBUSY }),
	X(has_smccc_filter,	{ EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	X(enable_mte,		{ EINVAL, EINVAL, EINVAL },	{ EINVAL, EINVAL }),
	X(copy_mte_tags,	{ EINVAL, EINVAL, EINVAL },	{ EINVAL, EINVAL }),
	X(enable_nisv_exits,	{ EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	X(enable_system_suspend, { EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	X(enable_sea_exits,	{ EINVAL, EINVAL, EINVAL },	{ 0, 0 }),
	/* The last ones: they reset the vCPU where they work. */
	X(init_sve,		{ EINVAL, EPERM, EPERM },	{ EINVAL, EINVAL }),
	X(init_32bit,		{ EINVAL, EPERM, EPERM },	{ EINVAL, EINVAL }),
	X(init_el2,		{ EINVAL, EPERM, EPERM },	{ EINVAL, EINVAL }),
	X(init_el2_e2h0,	{ EINVAL, EPERM, EPERM },	{ EINVAL, EINVAL }),
	X(init_pmu,		{ EINVAL, EPERM, EPERM },	{ EINVAL, EINVAL }),
	X(init_half_ptrauth,	{ EINVAL, EPERM, EPERM },	{ EINVAL, EINVAL }),
	X(init_again,		{ 0, EPERM, EPERM },		{ 0, 0 }),
#undef X
};

FIXTURE(vcpu_ioctls) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[NR_VCPUS];
};

FIXTURE_VARIANT(vcpu_ioctls) {
	bool protected;
};

FIXTURE_VARIANT_ADD(vcpu_ioctls, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(vcpu_ioctls, non_protected) {
	.protected = false,
};

FIXTURE_SETUP(vcpu_ioctls)
{
	struct vm_shape shape = variant->protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT;

	if (variant->protected)
		TEST_REQUIRE_PKVM();

	self->vm = __vm_create_with_vcpus(shape, NR_VCPUS, 0, NULL, self->vcpus);
	vcpu_arch_set_entry_point(self->vcpus[0], guest_sync_and_done);
}

FIXTURE_TEARDOWN(vcpu_ioctls)
{
	kvm_vm_free(self->vm);
}

/* On the vCPU that runs, and on one that never did.  Returns the number of wrong answers. */
static int try_ioctls(struct __test_metadata *_metadata, struct kvm_vcpu *vcpus[],
		      bool protected, bool after)
{
	int i, j, err, want, nr_wrong = 0;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++) {
		for (j = 0; j < NR_VCPUS; j++) {
			if (protected)
				want = ioctls[i].protected[after ? 1 + j : 0];
			else
				want = ioctls[i].non_protected[after];
			err = ioctls[i].fn(vcpus[j]);
			if (err == want || want == ANY)
				continue;
			TH_LOG("%s of vCPU %d: errno %d instead of %d",
			       ioctls[i].name, j, err, want);
			nr_wrong++;
		}
	}

	return nr_wrong;
}

TEST_F(vcpu_ioctls, before_the_vm_first_runs)
{
	EXPECT_EQ(try_ioctls(_metadata, self->vcpus, variant->protected, false), 0);
}

TEST_F(vcpu_ioctls, after_the_vm_first_ran)
{
	struct ucall uc;

	vcpu_run_until(self->vcpus[0], UCALL_SYNC, &uc);
	ASSERT_EQ(try_ioctls(_metadata, self->vcpus, variant->protected, true), 0);
	/* It has not noticed. */
	if (variant->protected)
		vcpu_run_until(self->vcpus[0], UCALL_DONE, &uc);
}

TEST_HARNESS_MAIN
