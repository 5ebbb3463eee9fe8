// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_cpu_state - The registers of a protected guest are its own: it finds
 * them as they were after every exit, and the VMM can neither see nor change
 * them, by any ioctl, nor in the memory that it shares with KVM.
 *
 * The guest holds a random value, a canary, in every register while it exits,
 * and the VMM looks for these values at that moment.  A non-protected guest is
 * the control: there the same search finds all of them.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include <linux/bitfield.h>
#include <linux/psci.h>

#include "arch_timer.h"
#include "gic.h"
#include "gic_v3.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_canary.h"
#include "processor.h"
#include "ucall_common.h"
#include "vgic.h"

#include "kselftest_harness.h"

/* Of which the second test of interruption has one too many */
#define NR_HOST_CPUS	2
#define MAX_VCPUS	(NR_HOST_CPUS + 1)
#define NR_ROUNDS	4
#define NR_KICKS	8
#define VTIMER_INTID	27
#define TIMER_MS	10

#define MMIO_GPA	0x10000000ul
#define LOOK_GPA	(MMIO_GPA + 0x800)
#define MMIO_VALUE	0x0ddba11d0ddba11dul
#define FAULT_VALUE	0xf00df00df00df00dul
#define GARBAGE		0xa5

enum canary_exit {
	EXIT_MMIO_READ,
	EXIT_MMIO_WRITE,
	EXIT_FAULT,
	EXIT_WFI,
	EXIT_HVC,
	EXIT_HVC_UNKNOWN,
	EXIT_CPU_SUSPEND,
	EXIT_ID_REG,
	EXIT_TIMER_REG,
	EXIT_SGI,
	NR_SINGLE_EXITS,
	/* As many exits as the VMM cares to make */
	EXIT_SPIN = NR_SINGLE_EXITS,
	NR_EXITS,
};

/* What a vCPU's guest code works on, in guest memory */
struct guest_cpu {
	struct canary_cpu	canary;
	u64			protected;
	u64			nr_vcpus;
	u64			untouched;	/* pages, filled with FAULT_VALUE */
	u64			page_size;
	u32			*flag;		/* in a page shared with the VMM */
	gpa_t			flag_gpa;
};

/* Guest side */

static void arm_timer(void)
{
	timer_set_next_cval_ms(VIRTUAL, TIMER_MS);
	timer_set_ctl(VIRTUAL, CTL_ENABLE);
}

/*
 * Sets the registers that the exit needs.  Returns, as a bitmap, those that
 * come out of it with another value than they went in.
 */
static u64 prepare_exit(struct guest_cpu *cpu, enum canary_exit exit, u64 *x)
{
	switch (exit) {
	case EXIT_MMIO_READ:
		x[6] = MMIO_GPA;
		return BIT(5);
	case EXIT_MMIO_WRITE:
		x[5] = MMIO_VALUE;
		x[6] = MMIO_GPA;
		return 0;
	case EXIT_FAULT:
		x[6] = cpu->untouched;
		cpu->untouched += cpu->page_size;
		return BIT(5);
	case EXIT_WFI:
		arm_timer();
		return 0;
	case EXIT_HVC:
		x[0] = PKVM_HVC_FEATURES;
		return GENMASK(3, 0);
	case EXIT_HVC_UNKNOWN:
		x[0] = PKVM_HVC(0xff00);
		return GENMASK(3, 0);
	case EXIT_CPU_SUSPEND:
		x[0] = PSCI_0_2_FN64_CPU_SUSPEND;
		x[1] = 0;
		arm_timer();
		return GENMASK(3, 0);
	case EXIT_SGI:
		/* To nobody: the target list is empty. */
		x[5] = 0;
		return 0;
	case EXIT_SPIN:
		x[6] = (u64)cpu->flag;
		return BIT(5);
	case EXIT_ID_REG:
	case EXIT_TIMER_REG:
		return BIT(5);
	default:
		GUEST_FAIL("Unknown exit %u", exit);
		return 0;
	}
}

static void check_exit(enum canary_exit exit, const u64 *x)
{
	switch (exit) {
	case EXIT_MMIO_READ:
		GUEST_ASSERT_EQ(x[5], MMIO_VALUE);
		break;
	case EXIT_FAULT:
		GUEST_ASSERT_EQ(x[5], FAULT_VALUE);
		break;
	case EXIT_WFI:
		GUEST_ASSERT(timer_get_cntct(VIRTUAL) >= timer_get_cval(VIRTUAL));
		break;
	case EXIT_HVC_UNKNOWN:
		GUEST_ASSERT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED);
		break;
	case EXIT_CPU_SUSPEND:
		GUEST_ASSERT(timer_get_cntct(VIRTUAL) >= timer_get_cval(VIRTUAL));
		GUEST_ASSERT_EQ(x[0], PSCI_RET_SUCCESS);
		break;
	case EXIT_TIMER_REG:
		GUEST_ASSERT_EQ(x[5], 0);
		break;
	default:
		break;
	}
}

static void (* const windows[])(struct canary_window *w) = {
	[EXIT_MMIO_READ]	= canary_mmio_read,
	[EXIT_MMIO_WRITE]	= canary_mmio_write,
	[EXIT_FAULT]		= canary_fault,
	[EXIT_WFI]		= canary_wfi,
	[EXIT_HVC]		= canary_hvc,
	[EXIT_HVC_UNKNOWN]	= canary_hvc,
	[EXIT_CPU_SUSPEND]	= canary_hvc,
	[EXIT_ID_REG]		= canary_id_reg,
	[EXIT_TIMER_REG]	= canary_timer_reg,
	[EXIT_SGI]		= canary_sgi,
	[EXIT_SPIN]		= canary_spin,
};

static void guest_exit(struct guest_cpu *cpu, enum canary_exit exit, bool on_sp_el0)
{
	bool uses_timer = exit == EXIT_WFI || exit == EXIT_CPU_SUSPEND;
	struct canary_cpu *canary = &cpu->canary;
	u64 groups = uses_timer ? canary->groups & ~CANARY_G_TIMER : canary->groups;
	u64 changed;

	canary_load(canary, on_sp_el0);
	canary->window.load.x[9] = exit;
	canary->window.load.x[10] = LOOK_GPA;
	changed = prepare_exit(cpu, exit, canary->window.load.x);
	canary_run(canary, windows[exit], groups);
	canary_check(canary, groups, changed, exit);

	check_exit(exit, canary->window.got.x);
	timer_set_ctl(VIRTUAL, 0);
}

static void guest_setup(struct guest_cpu *cpu)
{
	asm volatile("msr daifset, #0xf" : : : "memory");

	if (cpu->protected)
		GUEST_ASSERT_EQ(pkvm_mem_share(cpu->flag_gpa), 0);

	gic_init(GIC_V3, cpu->nr_vcpus);
	gic_irq_enable(VTIMER_INTID);

	write_sysreg_s(read_sysreg_s(SYS_TCR_EL1) | TCR_EPD1_MASK, SYS_TCR_EL1);
	isb();
}

static void guest_single_exits(struct guest_cpu *cpu)
{
	int exit, round;

	guest_setup(cpu);
	for (round = 0; round < NR_ROUNDS; round++) {
		for (exit = 0; exit < NR_SINGLE_EXITS; exit++)
			guest_exit(cpu, exit, round % 2);
	}
	GUEST_DONE();
}

static void guest_spin(struct guest_cpu *cpu)
{
	int round;

	guest_setup(cpu);
	GUEST_SYNC(0);
	for (round = 0; round < NR_ROUNDS; round++) {
		guest_exit(cpu, EXIT_SPIN, round % 2);
		WRITE_ONCE(*cpu->flag, 0);
	}
	GUEST_DONE();
}

/* VMM side */

/* Where the VMM looks */
enum {
	IN_ONE_REG,
	IN_OTHER_IOCTL,
	IN_KVM_RUN,
	NR_PLACES,
};

static const char * const places[] = {
	[IN_ONE_REG]		= "KVM_GET_ONE_REG",
	[IN_OTHER_IOCTL]	= "other ioctls",
	[IN_KVM_RUN]		= "the vCPU's mapping",
};

struct vmm_vcpu {
	struct kvm_vcpu *vcpu;
	struct kvm_reg_list *list;
	struct guest_cpu *guest;	/* the host's view, until the guest runs */
	u32 *flag;
	pthread_t thread;
	bool attack;
	bool protected;

	struct canary canaries[NR_PLACES][MAX_CANARIES];
	int nr_canaries;

	u64 nr_regs_read;
	u64 nr_looks[NR_EXITS];
	u64 nr_interrupted;
	u64 cpus_seen;
	timer_t timer;
	bool interrupt;
};

struct canary_vm {
	struct kvm_vm *vm;
	struct vmm_vcpu vcpus[MAX_VCPUS];
	int nr_vcpus;
	size_t mapping_size;
};

FIXTURE(pkvm_cpu_state) {
	struct canary_vm vm;
};

FIXTURE_VARIANT(pkvm_cpu_state) {
	bool protected;
};

FIXTURE_VARIANT_ADD(pkvm_cpu_state, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(pkvm_cpu_state, non_protected) {
	.protected = false,
};

static void setup(struct canary_vm *cvm, bool protected)
{
	int kvm_fd;

	if (protected)
		TEST_REQUIRE_PKVM();
	TEST_REQUIRE(kvm_supports_vgic_v3());

	kvm_fd = open_kvm_dev_path_or_exit();
	cvm->mapping_size = __kvm_ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	close(kvm_fd);
}

static void teardown(struct canary_vm *cvm)
{
	int i;

	for (i = 0; i < cvm->nr_vcpus; i++)
		free(cvm->vcpus[i].list);
	kvm_vm_free(cvm->vm);
}

FIXTURE_SETUP(pkvm_cpu_state)
{
	setup(&self->vm, variant->protected);
}

FIXTURE_TEARDOWN(pkvm_cpu_state)
{
	teardown(&self->vm);
}

/* x9 and x10 are for the VMM to see, on every exit. */
static void list_canaries(struct vmm_vcpu *v)
{
	int i;

	v->nr_canaries = canary_list(&v->guest->canary, BIT(9) | BIT(10), v->canaries[0]);
	for (i = 1; i < NR_PLACES; i++)
		memcpy(v->canaries[i], v->canaries[0], sizeof(v->canaries[0]));
}

static void look_for_canaries(struct vmm_vcpu *v, int place, const void *buf, size_t size)
{
	/* A register's value is where it belongs, what leaks can be anywhere. */
	size_t offset, step = place == IN_ONE_REG ? sizeof(u64) : 1;
	struct canary *canaries = v->canaries[place];
	u64 val;
	int i;

	for (offset = 0; offset + sizeof(val) <= size; offset += step) {
		memcpy(&val, buf + offset, sizeof(val));
		if (!val)
			continue;
		for (i = 0; i < v->nr_canaries; i++) {
			if (val == canaries[i].val)
				canaries[i].found = true;
		}
	}
}

static void read_registers(struct vmm_vcpu *v)
{
	u8 buf[2048 / 8] __aligned(16);
	u64 i;

	for (i = 0; i < v->list->n; i++) {
		memset(buf, 0, sizeof(buf));
		if (__vcpu_get_reg(v->vcpu, v->list->reg[i], buf)) {
			TEST_ASSERT(v->protected && errno == EPERM,
				    "KVM_GET_ONE_REG of 0x%llx: errno %d", v->list->reg[i], errno);
			/* Nor did it fill the buffer before. */
		} else {
			v->nr_regs_read++;
		}
		look_for_canaries(v, IN_ONE_REG, buf, sizeof(buf));
	}
}

/* What else tells something of a vCPU; whether it fails is another test's. */
static void read_the_rest(struct vmm_vcpu *v)
{
	static const struct { u32 group; u64 attr; } attrs[] = {
		{ KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER },
		{ KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_PTIMER },
		{ KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ },
		{ KVM_ARM_VCPU_PVTIME_CTRL, KVM_ARM_VCPU_PVTIME_IPA },
	};
	static const u32 icc_regs[] = {
		SYS_ICC_PMR_EL1, SYS_ICC_BPR0_EL1, SYS_ICC_BPR1_EL1, SYS_ICC_AP0R0_EL1,
		SYS_ICC_AP1R0_EL1, SYS_ICC_CTLR_EL1, SYS_ICC_SRE_EL1, SYS_ICC_IGRPEN0_EL1,
		SYS_ICC_IGRPEN1_EL1,
	};
	static const unsigned long ioctls[] = {
		KVM_GET_VCPU_EVENTS, KVM_GET_MP_STATE, KVM_GET_REGS, KVM_GET_SREGS, KVM_GET_FPU,
	};
	u64 mpidr = (u64)v->vcpu->id << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT;
	u8 buf[4096];
	int i;

	memset(buf, 0, sizeof(buf));
	for (i = 0; i < ARRAY_SIZE(ioctls); i++) {
		ioctl(v->vcpu->fd, ioctls[i], buf);
		look_for_canaries(v, IN_OTHER_IOCTL, buf, 1024);
	}
	for (i = 0; i < ARRAY_SIZE(attrs); i++) {
		__vcpu_device_attr_get(v->vcpu, attrs[i].group, attrs[i].attr, buf);
		look_for_canaries(v, IN_OTHER_IOCTL, buf, 64);
	}
	for (i = 0; i < ARRAY_SIZE(icc_regs); i++) {
		u64 attr = mpidr | FIELD_PREP(KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK, icc_regs[i] >> 5);

		__kvm_device_attr_get(v->vcpu->vm->arch.gic_fd,
				      KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, attr, buf);
		look_for_canaries(v, IN_OTHER_IOCTL, buf, 64);
	}
}

static void look(struct vmm_vcpu *v, size_t mapping_size)
{
	look_for_canaries(v, IN_KVM_RUN, v->vcpu->run, mapping_size);
	read_registers(v);
	read_the_rest(v);
}

static void set_registers(struct vmm_vcpu *v)
{
	struct kvm_vcpu_events events = {
		.exception.serror_pending = 1,
		.exception.ext_dabt_pending = 1,
	};
	struct kvm_mp_state stopped = { .mp_state = KVM_MP_STATE_STOPPED };
	u8 buf[2048 / 8] __aligned(16);
	u64 i, refused = 0;

	memset(buf, GARBAGE, sizeof(buf));
	for (i = 0; i < v->list->n; i++) {
		struct kvm_one_reg reg = { .id = v->list->reg[i], .addr = (u64)buf };

		refused += __vcpu_ioctl(v->vcpu, KVM_SET_ONE_REG, &reg) && errno == EPERM;
	}
	/* The guest would not survive it if they were not. */
	TEST_ASSERT(refused == v->list->n,
		    "KVM_SET_ONE_REG is EPERM for %lu of %llu registers only", refused, v->list->n);

	TEST_ASSERT(__vcpu_ioctl(v->vcpu, KVM_SET_VCPU_EVENTS, &events) && errno == EPERM,
		    "KVM_SET_VCPU_EVENTS: errno %d", errno);
	TEST_ASSERT(__vcpu_ioctl(v->vcpu, KVM_SET_MP_STATE, &stopped) && errno == EPERM,
		    "KVM_SET_MP_STATE: errno %d", errno);
	TEST_ASSERT(__vcpu_ioctl(v->vcpu, KVM_ARM_VCPU_INIT, &v->vcpu->init) && errno == EPERM,
		    "KVM_ARM_VCPU_INIT: errno %d", errno);
}

/*
 * All of it is the VMM's to write, but only the data of an MMIO read has a
 * meaning for the guest; without exit_reason KVM would not take that.
 */
static void scribble(struct kvm_run *run, size_t mapping_size)
{
	u32 exit_reason = run->exit_reason;

	memset(run, GARBAGE, mapping_size);
	run->exit_reason = exit_reason;
	run->immediate_exit = 0;
}

static void migrate(struct vmm_vcpu *v)
{
	u64 nr_cpus = min_t(u64, sysconf(_SC_NPROCESSORS_ONLN), NR_HOST_CPUS);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((v->nr_interrupted + v->vcpu->id) % nr_cpus, &set);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity() failed");
	v->cpus_seen |= BIT(sched_getcpu());
}

/* Run to the end of the guest, or to its first GUEST_SYNC(). */
static void run_vcpu(struct vmm_vcpu *v, size_t mapping_size)
{
	/* And again, for a signal that comes before KVM_RUN */
	static const struct itimerspec soon = {
		.it_value.tv_nsec = 1000 * 1000,
		.it_interval.tv_nsec = 1000 * 1000,
	};
	struct kvm_run *run = v->vcpu->run;
	u64 data, kicks = 0;
	bool is_read;
	struct ucall uc;

	for (;;) {
		if (v->interrupt)
			TEST_ASSERT(!timer_settime(v->timer, 0, &soon, NULL),
				    "timer_settime() failed");
		if (__vcpu_run(v->vcpu)) {
			TEST_ASSERT(errno == EINTR, "KVM_RUN: errno %d", errno);
			v->nr_interrupted++;
			look(v, mapping_size);
			migrate(v);
			if (++kicks % NR_KICKS == 0)
				WRITE_ONCE(*v->flag, 1);
			continue;
		}

		switch (get_ucall(v->vcpu, &uc)) {
		case UCALL_SYNC:
		case UCALL_DONE:
			return;
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(uc);
		}

		TEST_ASSERT_KVM_EXIT_REASON(v->vcpu, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(run->mmio.len, sizeof(u64));
		memcpy(&data, run->mmio.data, sizeof(data));
		is_read = !run->mmio.is_write;

		if (run->mmio.phys_addr == LOOK_GPA) {
			TEST_ASSERT(!is_read && data < NR_EXITS, "Unknown exit %lu", data);
			v->nr_looks[data]++;
			kicks = 0;
		} else {
			TEST_ASSERT_EQ(run->mmio.phys_addr, MMIO_GPA);
			if (!is_read)
				TEST_ASSERT_EQ(data, MMIO_VALUE);
		}

		look(v, mapping_size);
		if (v->attack) {
			set_registers(v);
			scribble(run, mapping_size);
		}
		data = MMIO_VALUE;
		if (is_read)
			memcpy(run->mmio.data, &data, sizeof(data));
	}
}

static void create_vm(struct canary_vm *cvm, bool protected, int nr_vcpus,
		      void *guest_code)
{
	struct vm_shape shape = protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT;
	struct kvm_vcpu_init init;
	struct kvm_vm *vm;
	u64 groups;
	gva_t gva;
	int i, j;

	vm = __vm_create(shape, nr_vcpus, 16 + nr_vcpus * (4 + NR_ROUNDS));
	kvm_get_default_vcpu_target(vm, &init);
	/* EL2 is not what this is about. */
	init.features[0] &= ~BIT(KVM_ARM_VCPU_HAS_EL2);
	init.features[0] |= BIT(KVM_ARM_VCPU_PSCI_0_2);
	if (vm_check_cap(vm, KVM_CAP_ARM_PTRAUTH_ADDRESS))
		init.features[0] |= BIT(KVM_ARM_VCPU_PTRAUTH_ADDRESS) |
				    BIT(KVM_ARM_VCPU_PTRAUTH_GENERIC);
	virt_map(vm, MMIO_GPA, MMIO_GPA, 1);

	cvm->vm = vm;
	cvm->nr_vcpus = nr_vcpus;
	for (i = 0; i < nr_vcpus; i++) {
		struct vmm_vcpu *v = &cvm->vcpus[i];
		struct guest_cpu *guest;

		v->vcpu = aarch64_vcpu_add(vm, i, &init, guest_code);
		v->protected = protected;

		gva = vm_alloc(vm, sizeof(*guest), KVM_UTIL_MIN_VADDR);
		guest = addr_gva2hva(vm, gva);
		v->guest = guest;
		memset(guest, 0, sizeof(*guest));
		guest->protected = protected;
		guest->nr_vcpus = nr_vcpus;
		guest->page_size = vm->page_size;
		groups = CANARY_G_ALWAYS | CANARY_G_TIMER;
		if (init.features[0] & BIT(KVM_ARM_VCPU_PTRAUTH_ADDRESS))
			groups |= CANARY_G_PTRAUTH;
		canary_create(&guest->canary, groups);
		list_canaries(v);
		vcpu_args_set(v->vcpu, 1, gva);

		gva = vm_alloc_page(vm);
		guest->flag = (void *)gva;
		guest->flag_gpa = addr_gva2gpa(vm, gva);
		v->flag = addr_gva2hva(vm, gva);

		gva = vm_alloc_pages(vm, NR_ROUNDS);
		guest->untouched = gva;
		for (j = 0; j < NR_ROUNDS; j++)
			*(u64 *)addr_gva2hva(vm, gva + j * vm->page_size) = FAULT_VALUE;

		v->list = vcpu_get_reg_list(v->vcpu);
	}
	kvm_arch_vm_finalize_vcpus(vm);
}

/* Returns how many were found. */
static int log_canaries(struct __test_metadata *_metadata, struct vmm_vcpu *v, int place)
{
	char names[MAX_CANARIES * sizeof(v->canaries[0][0].name)] = "";
	const char *last = "";
	int i, nr = 0;

	for (i = 0; i < v->nr_canaries; i++) {
		struct canary *canary = &v->canaries[place][i];

		if (!canary->found)
			continue;
		nr++;
		/* Both halves of a vector have one name. */
		if (strcmp(last, canary->name)) {
			strcat(names, " ");
			strcat(names, canary->name);
		}
		last = canary->name;
	}
	if (nr)
		TH_LOG("In %s: %d of %d canaries:%s", places[place], nr, v->nr_canaries, names);

	return nr;
}

static void expect_none_found(struct __test_metadata *_metadata, struct vmm_vcpu *v)
{
	int i;

	for (i = 0; i < NR_PLACES; i++)
		EXPECT_EQ(log_canaries(_metadata, v, i), 0);
	EXPECT_EQ(v->nr_regs_read, 0);
}

/* The control: of those that the CPU's registers can hold. */
static void expect_all_found(struct __test_metadata *_metadata, struct vmm_vcpu *v)
{
	struct canary *canary;
	int i;

	for (i = 0; i < v->nr_canaries; i++) {
		canary = &v->canaries[IN_ONE_REG][i];
		if (!canary_is_held(&v->guest->canary, canary))
			continue;
		EXPECT_TRUE(canary->found)
			TH_LOG("%s not found", canary->name);
	}
	EXPECT_NE(v->nr_regs_read, 0);
}

TEST_F(pkvm_cpu_state, guest_keeps_its_registers_and_the_vmm_sees_none)
{
	struct vmm_vcpu *v = &self->vm.vcpus[0];
	int i;

	create_vm(&self->vm, variant->protected, 1, guest_single_exits);
	run_vcpu(v, self->vm.mapping_size);

	for (i = 0; i < NR_SINGLE_EXITS; i++)
		EXPECT_EQ(v->nr_looks[i], NR_ROUNDS);
	if (variant->protected)
		expect_none_found(_metadata, v);
	else
		expect_all_found(_metadata, v);
}

TEST(vmm_changes_no_register_of_a_protected_guest)
{
	struct canary_vm cvm = {};
	struct vmm_vcpu *v = &cvm.vcpus[0];

	setup(&cvm, true);
	create_vm(&cvm, true, 1, guest_single_exits);
	v->attack = true;
	run_vcpu(v, cvm.mapping_size);
	teardown(&cvm);
}

/* No state of these, so none to lose: a protected guest has no debug registers. */
static void guest_debug_registers(void)
{
	write_sysreg(~0ul, mdscr_el1);
	write_sysreg(~0ul, dbgbvr0_el1);
	write_sysreg(~0ul, dbgbcr0_el1);
	write_sysreg(~0ul, dbgwvr0_el1);
	write_sysreg(~0ul, dbgwcr0_el1);
	isb();
	GUEST_ASSERT_EQ(read_sysreg(mdscr_el1), 0);
	GUEST_ASSERT_EQ(read_sysreg(dbgbvr0_el1), 0);
	GUEST_ASSERT_EQ(read_sysreg(dbgbcr0_el1), 0);
	GUEST_ASSERT_EQ(read_sysreg(dbgwvr0_el1), 0);
	GUEST_ASSERT_EQ(read_sysreg(dbgwcr0_el1), 0);
	GUEST_DONE();
}

TEST(debug_registers_of_a_protected_guest_are_raz_wi)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	TEST_REQUIRE_PKVM();

	vm = vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &vcpu, guest_debug_registers);
	vcpu_run_until(vcpu, UCALL_DONE, &uc);
	kvm_vm_free(vm);
}

/* What nobody has written comes out of reset. */
static void guest_gic_cpu_interface(bool writes)
{
	write_sysreg_s(read_sysreg_s(SYS_ICC_SRE_EL1) | ICC_SRE_EL1_SRE, SYS_ICC_SRE_EL1);
	isb();
	if (writes) {
		write_sysreg_s(0xa8, SYS_ICC_PMR_EL1);
		write_sysreg_s(1, SYS_ICC_IGRPEN1_EL1);
		write_sysreg_s(5, SYS_ICC_BPR1_EL1);
		isb();
		GUEST_ASSERT_EQ(read_sysreg_s(SYS_ICC_PMR_EL1), 0xa8);
	} else {
		GUEST_ASSERT_EQ(read_sysreg_s(SYS_ICC_PMR_EL1), 0);
		GUEST_ASSERT_EQ(read_sysreg_s(SYS_ICC_IGRPEN1_EL1), 0);
		GUEST_ASSERT_NE(read_sysreg_s(SYS_ICC_BPR1_EL1), 5);
	}
	GUEST_DONE();
}

TEST(gic_cpu_interface_of_a_guest_is_not_the_one_of_the_guest_before)
{
	static const struct {
		bool protected, writes;
	} guests[] = {
		{ false, true }, { true, false }, { true, true }, { true, false },
		{ false, false },
	};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	int i;

	TEST_REQUIRE_PKVM();
	TEST_REQUIRE(kvm_supports_vgic_v3());

	pin_self_to_cpu(sched_getcpu());
	for (i = 0; i < ARRAY_SIZE(guests); i++) {
		vm = vm_create_shape_with_one_vcpu(guests[i].protected ? VM_SHAPE_PROTECTED :
						   VM_SHAPE_DEFAULT, &vcpu,
						   guest_gic_cpu_interface);
		vcpu_args_set(vcpu, 1, (u64)guests[i].writes);
		vcpu_run_until(vcpu, UCALL_DONE, &uc);
		kvm_vm_free(vm);
	}
}

struct vcpu_thread {
	struct vmm_vcpu *v;
	size_t mapping_size;
};

static void *vcpu_thread(void *arg)
{
	struct vcpu_thread *thread = arg;
	struct vmm_vcpu *v = thread->v;
	struct sigevent sev = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGUSR1,
		._sigev_un._tid = gettid(),
	};

	/*
	 * The guest has shared its page.  From now on each KVM_RUN gets some
	 * CPU time, of this thread, and then a signal.
	 */
	run_vcpu(v, thread->mapping_size);
	TEST_ASSERT(!timer_create(CLOCK_THREAD_CPUTIME_ID, &sev, &v->timer),
		    "timer_create() failed");
	v->interrupt = true;
	run_vcpu(v, thread->mapping_size);
	timer_delete(v->timer);
	return NULL;
}

static void nothing(int sig)
{
}

/* Interrupt all vCPUs over and over.  They continue on another CPU each time. */
static void run_interrupted(struct canary_vm *cvm, bool protected, int nr_vcpus)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct vcpu_thread threads[MAX_VCPUS];
	int i;

	sigaction(SIGUSR1, &sa, NULL);
	create_vm(cvm, protected, nr_vcpus, guest_spin);

	for (i = 0; i < nr_vcpus; i++) {
		threads[i] = (struct vcpu_thread) { &cvm->vcpus[i], cvm->mapping_size };
		pthread_create(&cvm->vcpus[i].thread, NULL, vcpu_thread, &threads[i]);
	}
	for (i = 0; i < nr_vcpus; i++)
		pthread_join(cvm->vcpus[i].thread, NULL);
}

TEST_F(pkvm_cpu_state, registers_are_kept_when_interrupted_and_migrated)
{
	struct vmm_vcpu *v = &self->vm.vcpus[0];

	run_interrupted(&self->vm, variant->protected, 1);

	EXPECT_GE(v->nr_interrupted, NR_ROUNDS * NR_KICKS);
	EXPECT_EQ(v->nr_looks[EXIT_SPIN], NR_ROUNDS);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		EXPECT_NE(v->cpus_seen & (v->cpus_seen - 1), 0);
	if (variant->protected)
		expect_none_found(_metadata, v);
}

TEST_F(pkvm_cpu_state, registers_are_kept_when_more_vcpus_than_cpus_run)
{
	int i;

	run_interrupted(&self->vm, variant->protected, MAX_VCPUS);

	for (i = 0; i < MAX_VCPUS; i++) {
		EXPECT_GE(self->vm.vcpus[i].nr_interrupted, NR_ROUNDS * NR_KICKS);
		if (variant->protected)
			expect_none_found(_metadata, &self->vm.vcpus[i]);
	}
}

TEST_HARNESS_MAIN
