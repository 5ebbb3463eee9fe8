// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_attack_vcpu - The registers of a protected guest belong to EL2, whatever
 * the host kernel does: after no exit are they in the host's memory, and nothing
 * that the host writes to its struct kvm_vcpu, between two runs or while EL2
 * reads it, gets into them; nor does it run a vCPU that the guest did not turn
 * on, nor one vCPU twice.
 *
 * Most of it leaves KVM out: "raw" is a run of the vCPU by the hypercalls that
 * KVM would make, with nothing between the attacker's stores and EL2.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/time.h>

#include <linux/psci.h>

#include "arch_timer.h"
#include "gic.h"
#include "gic_v3.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_canary.h"
#include "processor.h"
#include "ucall_common.h"
#include "vgic.h"

#include "kselftest_harness.h"

/* The vCPU runs on the first one, the other one interferes. */
#define CPU			0
#define OTHER_CPU		1

#define NR_VCPUS		2
#define NR_ROUNDS		4
#define NR_RACES		100

/* To be killed in the middle of an attack would be the end of the host. */
#define ATTACK_TIMEOUT		250
#define VTIMER_INTID		27
#define TIMER_MS		2
#define TIMER_CVAL		0x0011223344556677ul

#define MMIO_GPA		0x10000000ul
#define MMIO_VALUE		0x0ddba11d0ddba11dul
#define FLIP_VALUE		0xf11bf11bf11bf11bul
#define FAULT_VALUE		0xf00df00df00df00dul

/* What __kvm_vcpu_run() returns: arch/arm64/include/asm/kvm_asm.h */
#define ARM_EXCEPTION_IRQ	0
#define ARM_EXCEPTION_TRAP	2
#define ARM_EXCEPTION_IL	3

/* Of arch/arm64/include/asm/esr.h and kvm_host.h */
#define EC_WFX			0x01
#define EC_HVC64		0x16
#define EC_SYS64		0x18
#define EC_IABT_LOW		0x20
#define EC_DABT_LOW		0x24
#define ESR_WNR			BIT(6)
#define HPFAR_TO_IPA(hpfar)	(((hpfar) & GENMASK(43, 4)) << 8)
#define IFLAG_PENDING_EXCEPTION	BIT(0)
#define IFLAG_INCREMENT_PC	BIT(1)
#define KVM_REQ_VCPU_RESET	BIT(10)

enum guest_cmd {
	CMD_ROUND,		/* one exit by WFI, over and over */
	CMD_MMIO,		/* one by an MMIO read */
	CMD_EXITS,		/* one of each kind, on command */
	CMD_SPIN,		/* stay in the guest until told to leave */
	CMD_SPIN_TIMER,		/* the same, with a timer that fires meanwhile */
	CMD_IRQ,		/* take a timer interrupt */
	CMD_TIMER,		/* keep a timer that is far off, over an exit by WFI */
	CMD_CPU_ON,		/* turn on vCPU 1 */
	CMD_OFF,		/* SYSTEM_OFF */
	CMD_END,
};

/* In a page that the guest shares with the VMM */
struct shared {
	u64 cmd;
	u64 rounds;
	u64 sum;		/* of the rounds, see next_sum() */
	u64 mmio_rounds;
	u64 nr_exits;
	u64 nr_spins;
	u64 look;		/* the guest is out of its window */
	u64 irqs;
	u64 timer_rounds;
	u64 started;		/* by vCPU 1: its argument */
	u64 ended;
	u32 flag;
};

/* In memory of the guest's own */
struct guest_cpu {
	struct canary_cpu canary;
	struct shared *shared;
	gpa_t shared_gpa;
	u64 protected;
	u64 untouched;		/* pages, filled with FAULT_VALUE */
	u64 page_size;
	u64 sum;
	struct pkvm_start second;
};

/* What the guest computes meanwhile */
static u64 next_sum(u64 sum, u64 round)
{
	return sum * 0x5851f42d4c957f2dul + round;
}

/* Guest side */

static struct shared *irq_shared;

static void guest_irq(struct ex_regs *regs)
{
	GUEST_ASSERT_EQ(gic_get_and_ack_irq(), VTIMER_INTID);
	timer_set_ctl(VIRTUAL, 0);
	gic_set_eoi(VTIMER_INTID);
	WRITE_ONCE(irq_shared->irqs, irq_shared->irqs + 1);
}

static void arm_timer(void)
{
	timer_set_next_cval_ms(VIRTUAL, TIMER_MS);
	timer_set_ctl(VIRTUAL, CTL_ENABLE);
}

/* @val: what goes into x5 or, with CPU_SUSPEND, x0.  Returns x5. */
static u64 guest_exit(struct guest_cpu *cpu, void (*window)(struct canary_window *w),
		      u64 val, u64 addr)
{
	static u64 nr;
	struct canary_cpu *canary = &cpu->canary;
	u64 *x = canary->window.load.x, changed = BIT(5);

	canary_load(canary, nr++ % 2);
	/* On the way out of the window, a store that makes no exit */
	x[9] = nr;
	x[10] = (u64)&cpu->shared->look;
	if (window == canary_hvc) {
		x[0] = val;
		x[1] = 0;
		changed = GENMASK(3, 0);
	} else if (window != canary_wfi) {
		x[5] = val;
		x[6] = addr;
	} else {
		changed = 0;
	}
	canary_run(canary, window, canary->groups);
	canary_check(canary, canary->groups, changed, READ_ONCE(cpu->shared->cmd));

	return canary->window.got.x[5];
}

/* What a host has a word for in struct kvm */
struct view {
	u64 id_regs[4];
	u64 psci_version;
	u64 counter;
};

static void guest_look(struct view *view)
{
	/* Numbers 24 and 0 there */
	view->id_regs[0] = read_sysreg_s(SYS_ID_AA64PFR0_EL1);
	view->id_regs[1] = read_sysreg_s(SYS_ID_PFR0_EL1);
	view->id_regs[2] = read_sysreg_s(SYS_MIDR_EL1);
	view->id_regs[3] = read_sysreg_s(SYS_CTR_EL0);
	view->psci_version = pkvm_hvc(PSCI_0_2_FN_PSCI_VERSION, 0, 0, 0);
	view->counter = timer_get_cntct(VIRTUAL);
}

static void guest_check_view(struct view *old)
{
	struct view view;
	int i;

	guest_look(&view);
	for (i = 0; i < ARRAY_SIZE(view.id_regs); i++)
		GUEST_ASSERT_EQ(view.id_regs[i], old->id_regs[i]);
	GUEST_ASSERT_EQ(view.psci_version, old->psci_version);
	/* It goes on, and does not jump. */
	GUEST_ASSERT(view.counter - old->counter < BIT(40));
	old->counter = view.counter;
}

static void guest_exits(struct guest_cpu *cpu)
{
	u64 x5;

	guest_exit(cpu, canary_wfi, 0, 0);
	guest_exit(cpu, canary_hvc, PSCI_0_2_FN64_CPU_SUSPEND, 0);
	/* An SGI to nobody: the target list is empty. */
	guest_exit(cpu, canary_sgi, 0, 0);
	x5 = guest_exit(cpu, canary_mmio_read, 0, MMIO_GPA);
	GUEST_ASSERT_EQ(x5, MMIO_VALUE);
	x5 = guest_exit(cpu, canary_fault, 0, cpu->untouched);
	GUEST_ASSERT_EQ(x5, FAULT_VALUE);
	cpu->untouched += cpu->page_size;
	/* Here KVM stops when it is done with the fault. */
	guest_exit(cpu, canary_mmio_write, MMIO_VALUE, MMIO_GPA);
}

static void guest_spin(struct guest_cpu *cpu, bool timer)
{
	u64 x5;

	if (timer)
		arm_timer();
	x5 = guest_exit(cpu, canary_spin, 0, (u64)&cpu->shared->flag);
	GUEST_ASSERT_EQ(x5, 1);
	timer_set_ctl(VIRTUAL, 0);
	WRITE_ONCE(cpu->shared->flag, 0);
	WRITE_ONCE(cpu->shared->nr_spins, cpu->shared->nr_spins + 1);
}

static void guest_take_irq(struct shared *shared)
{
	u64 irqs = READ_ONCE(shared->irqs);

	local_irq_enable();
	arm_timer();
	while (READ_ONCE(shared->irqs) == irqs)
		;
	local_irq_disable();
}

/* Nobody else writes its registers. */
static void guest_keep_timer(struct shared *shared)
{
	timer_set_cval(VIRTUAL, TIMER_CVAL);
	timer_set_ctl(VIRTUAL, CTL_ENABLE | CTL_IMASK);
	wfi();
	GUEST_ASSERT_EQ(timer_get_cval(VIRTUAL), TIMER_CVAL);
	GUEST_ASSERT_EQ(timer_get_ctl(VIRTUAL), CTL_ENABLE | CTL_IMASK);
	timer_set_ctl(VIRTUAL, 0);
	WRITE_ONCE(shared->timer_rounds, shared->timer_rounds + 1);
}

static void guest_code(struct guest_cpu *cpu)
{
	struct shared *shared = cpu->shared;
	struct view view;
	u64 round = 0, mmio_rounds = 0, x5, pmr;

	asm volatile("msr daifset, #0xf" : : : "memory");
	if (cpu->protected)
		GUEST_ASSERT_EQ(pkvm_mem_share(cpu->shared_gpa), 0);
	irq_shared = shared;
	gic_init(GIC_V3, NR_VCPUS);
	gic_irq_enable(VTIMER_INTID);
	write_sysreg_s(read_sysreg_s(SYS_TCR_EL1) | TCR_EPD1_MASK, SYS_TCR_EL1);
	isb();
	pmr = read_sysreg_s(SYS_ICC_PMR_EL1);
	guest_look(&view);
	GUEST_SYNC(0);

	for (;;) {
		switch (READ_ONCE(shared->cmd)) {
		case CMD_ROUND:
			guest_exit(cpu, canary_wfi, 0, 0);
			/* Nor does its GIC CPU interface change, or trap. */
			GUEST_ASSERT_EQ(read_sysreg_s(SYS_ICC_PMR_EL1), pmr);
			GUEST_ASSERT_EQ(read_sysreg_s(SYS_ICC_IGRPEN1_EL1), 1);
			/* Nor what it sees of the machine. */
			if (cpu->protected)
				guest_check_view(&view);
			cpu->sum = next_sum(cpu->sum, ++round);
			WRITE_ONCE(shared->sum, cpu->sum);
			WRITE_ONCE(shared->rounds, round);
			break;
		case CMD_MMIO:
			x5 = guest_exit(cpu, canary_mmio_read, 0, MMIO_GPA);
			GUEST_ASSERT(x5 == MMIO_VALUE || x5 == FLIP_VALUE);
			WRITE_ONCE(shared->mmio_rounds, ++mmio_rounds);
			break;
		case CMD_EXITS:
			guest_exits(cpu);
			WRITE_ONCE(shared->nr_exits, shared->nr_exits + 1);
			break;
		case CMD_SPIN:
		case CMD_SPIN_TIMER:
			guest_spin(cpu, READ_ONCE(shared->cmd) == CMD_SPIN_TIMER);
			break;
		case CMD_IRQ:
			guest_take_irq(shared);
			break;
		case CMD_TIMER:
			guest_keep_timer(shared);
			break;
		case CMD_CPU_ON:
			WRITE_ONCE(shared->cmd, CMD_ROUND);
			GUEST_ASSERT_EQ(psci_cpu_on(vcpu_id_to_mpidr(1), cpu->second.entry,
						    cpu->second.context), PSCI_RET_SUCCESS);
			break;
		case CMD_OFF:
			pkvm_hvc(PSCI_0_2_FN_SYSTEM_OFF, 0, 0, 0);
			/* It does not come back from there. */
			fallthrough;
		default:
			WRITE_ONCE(shared->ended, 1);
			GUEST_DONE();
		}
	}
}

#define STARTED_BY_GUEST	1
#define STARTED_BY_HOST		2

static void guest_second(struct shared *shared, u64 started_by)
{
	WRITE_ONCE(shared->started, started_by);
	GUEST_SYNC1(started_by);
	GUEST_DONE();
}

/* Host side */

/* Where the host looks */
enum {
	IN_VCPU,
	IN_KVM,
	IN_PERCPU,
	IN_KVM_RUN,
	NR_PLACES,
};

static const char * const places[] = {
	[IN_VCPU]	= "struct kvm_vcpu",
	[IN_KVM]	= "struct kvm",
	[IN_PERCPU]	= "the host's per-CPU data",
	[IN_KVM_RUN]	= "the vCPU's mapping",
};

enum exit_kind {
	EXIT_IRQ,
	EXIT_WFI,
	EXIT_HVC,
	EXIT_SYSREG,
	EXIT_MMIO_READ,
	EXIT_MMIO_WRITE,
	EXIT_FAULT,
	EXIT_UNKNOWN,
	/* of KVM_RUN */
	EXIT_SIGNAL,
	NR_EXITS,
};

static const char * const exits[] = {
	[EXIT_IRQ]		= "an interrupt",
	[EXIT_WFI]		= "WFI",
	[EXIT_HVC]		= "HVC",
	[EXIT_SYSREG]		= "a write of a register",
	[EXIT_MMIO_READ]	= "an MMIO read",
	[EXIT_MMIO_WRITE]	= "an MMIO write",
	[EXIT_FAULT]		= "a fault on memory",
	[EXIT_UNKNOWN]		= "something else",
	[EXIT_SIGNAL]		= "a signal",
};

#define MAX_FAULTS		256
#define FAULT_SLOT		10
#define FAULT_GPA		0x80000000ul

/* The VM under attack */
struct victim {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct adv_object kvm;
	struct adv_object objects[NR_VCPUS];
	struct shared *shared;
	struct guest_cpu *guest;	/* the host's view, until the guest runs */
	struct pkvm_start evil;
	size_t mapping_size;

	u64 load, run, put;		/* hypercalls */
	u64 esr_va, hpfar_va, arch;	/* arch: offset in struct kvm_vcpu */
	void *saved, *hostile;		/* contents of struct kvm_vcpu */
	bool racing;			/* The host's kernel must not come across it. */
	u64 attacked;			/* offset in struct kvm_vcpu, or 0 */
	int nr_served;
	bool done;

	struct canary canaries[NR_PLACES][MAX_CANARIES];
	int nr_canaries;
	u64 nr_looks[NR_EXITS];
};

FIXTURE(vcpu) {
	struct victim v;
};

static void host_read(u64 va, void *buf, size_t len)
{
	int ret = adv_read(va, ADV_VA, buf, len);

	TEST_ASSERT(!ret, "Can't read 0x%lx: %s", va, adv_fault_name(ret));
}

static void host_write(u64 va, const void *buf, size_t len)
{
	int ret = adv_write(va, ADV_VA, buf, len);

	TEST_ASSERT(!ret, "Can't write 0x%lx: %s", va, adv_fault_name(ret));
}

static u64 host_read64(u64 va)
{
	u64 val;

	host_read(va, &val, sizeof(val));
	return val;
}

static void random_bytes(void *buf, size_t len)
{
	size_t off, n;

	for (off = 0; off < len; off += n) {
		n = min_t(size_t, len - off, 256);
		TEST_ASSERT_EQ(getrandom(buf + off, n, 0), n);
	}
}

static void pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity() failed");
}

static void nothing(int sig)
{
}

/* No KVM_RUN lasts longer. */
static void set_alarm(u64 us)
{
	const struct itimerval timer = {
		.it_value.tv_usec = us,
		.it_interval.tv_usec = us,
	};
	struct sigaction sa = { .sa_handler = nothing };

	sigaction(SIGALRM, &sa, NULL);
	TEST_ASSERT(!setitimer(ITIMER_REAL, &timer, NULL), "setitimer() failed");
}

#define ALARM_US	20000

static void create_vm(struct victim *v, bool protected)
{
	struct vm_shape shape = protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT;
	/* The timers' registers are the host's to read. */
	u64 groups = CANARY_G_ALWAYS;
	struct kvm_vcpu_init init;
	struct guest_cpu *guest;
	struct kvm_vm *vm;
	gva_t gva, shared;
	int i;

	vm = __vm_create(shape, NR_VCPUS, 64 + MAX_FAULTS);
	kvm_get_default_vcpu_target(vm, &init);
	init.features[0] &= ~BIT(KVM_ARM_VCPU_HAS_EL2);
	init.features[0] |= BIT(KVM_ARM_VCPU_PSCI_0_2);
	if (vm_check_cap(vm, KVM_CAP_ARM_PTRAUTH_ADDRESS)) {
		init.features[0] |= BIT(KVM_ARM_VCPU_PTRAUTH_ADDRESS) |
				    BIT(KVM_ARM_VCPU_PTRAUTH_GENERIC);
		groups |= CANARY_G_PTRAUTH;
	}
	virt_map(vm, MMIO_GPA, MMIO_GPA, 1);

	v->vm = vm;
	v->vcpus[0] = aarch64_vcpu_add(vm, 0, &init, guest_code);
	init.features[0] |= BIT(KVM_ARM_VCPU_POWER_OFF);
	v->vcpus[1] = aarch64_vcpu_add(vm, 1, &init, NULL);

	shared = vm_alloc_page(vm);
	v->shared = addr_gva2hva(vm, shared);
	gva = vm_alloc(vm, sizeof(*guest), KVM_UTIL_MIN_VADDR);
	guest = addr_gva2hva(vm, gva);
	v->guest = guest;
	memset(guest, 0, sizeof(*guest));
	guest->shared = (void *)shared;
	guest->shared_gpa = addr_gva2gpa(vm, shared);
	guest->protected = protected;
	guest->page_size = vm->page_size;
	canary_create(&guest->canary, groups);
	v->nr_canaries = canary_list(&guest->canary, BIT(9) | BIT(10), v->canaries[0]);
	for (i = 1; i < NR_PLACES; i++)
		memcpy(v->canaries[i], v->canaries[0], sizeof(v->canaries[0]));
	vcpu_args_set(v->vcpus[0], 1, gva);

	if (protected) {
		guest->second = pkvm_vcpu_add_start(v->vcpus[1], guest_second, 2, shared,
						    (u64)STARTED_BY_GUEST);
		v->evil = pkvm_vcpu_add_start(v->vcpus[1], guest_second, 2, shared,
					      (u64)STARTED_BY_HOST);
	}

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, FAULT_GPA, FAULT_SLOT, MAX_FAULTS, 0);
	virt_map(vm, FAULT_GPA, FAULT_GPA, MAX_FAULTS);
	guest->untouched = FAULT_GPA;
	for (i = 0; i < MAX_FAULTS; i++)
		*(u64 *)addr_gva2hva(vm, FAULT_GPA + i * vm->page_size) = FAULT_VALUE;

	vm_init_descriptor_tables(vm);
	vcpu_init_descriptor_tables(v->vcpus[0]);
	vm_install_exception_handler(vm, VECTOR_IRQ_CURRENT, guest_irq);
	kvm_arch_vm_finalize_vcpus(vm);
}

static void start(struct victim *v, bool protected)
{
	struct adv_field field;
	int i, kvm_fd;
	struct ucall uc;

	pin_to_cpu(CPU);

	kvm_fd = open_kvm_dev_path_or_exit();
	v->mapping_size = __kvm_ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	close(kvm_fd);

	create_vm(v, protected);
	vcpu_run_until(v->vcpus[0], UCALL_SYNC, &uc);

	adv_vm(v->vm, &v->kvm);
	for (i = 0; i < NR_VCPUS; i++)
		adv_vcpu(v->vcpus[i], &v->objects[i]);
	v->load = HOST_HVC(__pkvm_vcpu_load);
	v->run = HOST_HVC(__kvm_vcpu_run);
	v->put = HOST_HVC(__pkvm_vcpu_put);
	v->esr_va = adv_field(&v->objects[0], "esr_el2", NULL);
	v->hpfar_va = adv_field(&v->objects[0], "hpfar_el2", NULL);
	TEST_ASSERT(__adv_field(ADV_VCPU, "x0", &field), "No field x0");
	v->arch = field.offset;
	v->saved = malloc(v->objects[0].size);
	v->hostile = malloc(v->objects[0].size);
	set_alarm(ALARM_US);
}

FIXTURE_SETUP(vcpu)
{
	TEST_REQUIRE_ADVERSARY();
	TEST_REQUIRE_PKVM();
	TEST_REQUIRE(kvm_supports_vgic_v3());
	TEST_REQUIRE(adv_info()->nr_cpus > OTHER_CPU);

	start(&self->v, true);
}

/* Attacks */

static void raw_load(struct victim *v)
{
	adv_hvc(ADV_CPU_ANY, v->load, v->kvm.handle, 0);
}

static void raw_put(struct victim *v)
{
	adv_hvc(ADV_CPU_ANY, v->put);
}

static enum exit_kind raw_run(struct victim *v)
{
	s64 ret = adv_hvc(ADV_CPU_ANY, v->run, v->objects[0].va);
	u64 esr;

	if (ret == ARM_EXCEPTION_IRQ)
		return EXIT_IRQ;
	TEST_ASSERT_EQ(ret, ARM_EXCEPTION_TRAP);

	esr = host_read64(v->esr_va);
	switch (ESR_ELx_EC(esr)) {
	case EC_WFX:
		return EXIT_WFI;
	case EC_HVC64:
		return EXIT_HVC;
	case EC_SYS64:
		return EXIT_SYSREG;
	case EC_IABT_LOW:
		return EXIT_FAULT;
	case EC_DABT_LOW:
		if (HPFAR_TO_IPA(host_read64(v->hpfar_va)) != MMIO_GPA)
			return EXIT_FAULT;
		return esr & ESR_WNR ? EXIT_MMIO_WRITE : EXIT_MMIO_READ;
	default:
		return EXIT_UNKNOWN;
	}
}

static void search(struct victim *v, int place, const void *buf, size_t size)
{
	static u64 filter[65536 / 64];
	struct canary *canaries = v->canaries[place];
	size_t offset;
	u64 val, key;
	int i;

	for (i = 0; i < v->nr_canaries; i++) {
		key = canaries[i].val & 0xffff;
		filter[key / 64] |= BIT(key % 64);
	}
	for (offset = 0; offset + sizeof(val) <= size; offset++) {
		memcpy(&val, buf + offset, sizeof(val));
		key = val & 0xffff;
		if (!(filter[key / 64] & BIT(key % 64)))
			continue;
		for (i = 0; i < v->nr_canaries; i++) {
			if (val == canaries[i].val)
				canaries[i].found = true;
		}
	}
}

static void look_at(struct victim *v, int place, u64 va, size_t size)
{
	/* Whole pages, as what is shared with EL2 is shared by the page */
	u64 start = va & ~(adv_info()->page_size - 1ul);
	size_t len = align_up(va + size, adv_info()->page_size) - start;
	void *buf = malloc(len);

	host_read(start, buf, len);
	search(v, place, buf, len);
	free(buf);
}

/* The host's view, at this moment */
static void look(struct victim *v, enum exit_kind exit)
{
	u64 start = adv_sym_va("__per_cpu_start"), size = adv_sym_va("__per_cpu_end") - start;
	u64 offset;
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		look_at(v, IN_VCPU, v->objects[i].va, v->objects[i].size);
	look_at(v, IN_KVM, v->kvm.va, v->kvm.size);
	for (i = 0; i < adv_info()->nr_cpus; i++) {
		offset = host_read64(adv_sym_va("__per_cpu_offset") + i * sizeof(offset));
		look_at(v, IN_PERCPU, start + offset, size);
	}
	search(v, IN_KVM_RUN, v->vcpus[0]->run, v->mapping_size);
	v->nr_looks[exit]++;
}

static const char *field_name(u64 offset)
{
	static char name[128];
	struct adv_field field;
	int i;

	snprintf(name, sizeof(name), "offset 0x%lx", offset);
	for (i = 0;; i++) {
		memset(&field, 0, sizeof(field));
		field.index = i;
		if (__adv_ioctl(ADV_IOC_FIELD, &field))
			return name;
		if (field.kind == ADV_VCPU && offset >= field.offset &&
		    offset < field.offset + field.size * field.count) {
			snprintf(name, sizeof(name), "%s, element %llu", field.name,
				 (offset - field.offset) / field.size);
			return name;
		}
	}
}

/*
 * Let KVM serve the exit, and stop before the guest is run again if it is MMIO.
 * Then it has the answer that it waits for.
 */
static void serve(struct victim *v, bool looking)
{
	struct kvm_vcpu *vcpu = v->vcpus[0];
	struct kvm_run *run = vcpu->run;
	u64 data = MMIO_VALUE;
	struct ucall uc;

	if (__vcpu_run(vcpu)) {
		TEST_ASSERT(errno == EINTR, "KVM_RUN: errno %d", errno);
		if (looking)
			look(v, EXIT_SIGNAL);
		return;
	}

	switch (get_ucall(vcpu, &uc)) {
	case UCALL_ABORT:
		if (v->attacked)
			ksft_print_msg("The host had changed %s\n", field_name(v->attacked));
		REPORT_GUEST_ASSERT(uc);
	case UCALL_DONE:
		v->done = true;
		return;
	}
	TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(run->mmio.phys_addr, MMIO_GPA);
	TEST_ASSERT_EQ(run->mmio.len, sizeof(data));
	if (run->mmio.is_write)
		TEST_ASSERT_EQ(*(u64 *)run->mmio.data, MMIO_VALUE);
	if (looking)
		look(v, run->mmio.is_write ? EXIT_MMIO_WRITE : EXIT_MMIO_READ);
	if (!run->mmio.is_write)
		memcpy(run->mmio.data, &data, sizeof(data));

	run->immediate_exit = 1;
	TEST_ASSERT(__vcpu_run(vcpu) == -1 && errno == EINTR, "KVM_RUN: errno %d", errno);
	run->immediate_exit = 0;
}

/* With KVM, until the guest has done something that @counter counts */
static void run_until(struct victim *v, enum guest_cmd cmd, u64 *counter)
{
	u64 old = READ_ONCE(*counter);
	int i;

	WRITE_ONCE(v->shared->cmd, cmd);
	for (i = 0; READ_ONCE(*counter) == old; i++) {
		TEST_ASSERT(i < 500, "The guest does not do command %u", cmd);
		serve(v, false);
	}
}

/* The guest has kept count, and has nothing to complain about. */
static void check_guest(struct __test_metadata *_metadata, struct victim *v)
{
	u64 sum = 0, i, rounds;

	/* A round that is half done */
	run_until(v, CMD_ROUND, &v->shared->rounds);
	run_until(v, CMD_IRQ, &v->shared->irqs);
	run_until(v, CMD_END, &v->shared->ended);
	while (!v->done)
		serve(v, false);

	rounds = v->shared->rounds;
	for (i = 1; i <= rounds; i++)
		sum = next_sum(sum, i);
	EXPECT_EQ(v->shared->sum, sum);
}

FIXTURE_TEARDOWN(vcpu)
{
	check_guest(_metadata, &self->v);
	set_alarm(0);
	free(self->v.saved);
	free(self->v.hostile);
	kvm_vm_free(self->v.vm);
}

static void save(struct victim *v)
{
	host_read(v->objects[0].va, v->saved, v->objects[0].size);
}

static void restore(struct victim *v)
{
	host_write(v->objects[0].va + v->arch, v->saved + v->arch,
		   v->objects[0].size - v->arch);
}

/*
 * Runs the vCPU, loaded, until its next WFI.  With what the host has written it
 * may be interrupted again and again; returns whether it got there.
 */
static bool raw_round(struct victim *v)
{
	enum exit_kind exit;
	int i;

	for (i = 0; i < 8; i++) {
		exit = raw_run(v);
		if (exit == EXIT_WFI)
			return true;
		if (exit == EXIT_IRQ)
			continue;
		/* What the exit was then cannot be told; raw_check() will. */
		if (v->racing)
			return true;

		/* It touches a page for the first time, or complains.  KVM knows which. */
		raw_put(v);
		restore(v);
		TEST_ASSERT(v->nr_served++ < 64, "The guest makes more exits (%s) than it should",
			    exits[exit]);
		serve(v, false);
		save(v);
		raw_load(v);
		return false;
	}

	return false;
}

/* It goes on as if nothing had been. */
static void raw_check(struct victim *v)
{
	u64 rounds = READ_ONCE(v->shared->rounds);
	int i;

	for (i = 0; READ_ONCE(v->shared->rounds) < rounds + 2; i++) {
		TEST_ASSERT(i < 1000, "The guest does not go on");
		raw_round(v);
	}
}

static void expect_none_found(struct __test_metadata *_metadata, struct victim *v)
{
	int i, j;

	for (i = 0; i < NR_PLACES; i++) {
		for (j = 0; j < v->nr_canaries; j++) {
			EXPECT_FALSE(v->canaries[i][j].found)
				TH_LOG("%s is in %s", v->canaries[i][j].name, places[i]);
		}
	}
}

/* Until the guest's next exit */
static void step_and_look(struct victim *v)
{
	enum exit_kind exit;

	raw_load(v);
	exit = raw_run(v);
	raw_put(v);
	look(v, exit);
	/* The others need no answer. */
	if (exit == EXIT_MMIO_READ || exit == EXIT_MMIO_WRITE || exit == EXIT_FAULT ||
	    exit == EXIT_UNKNOWN)
		serve(v, true);
}

TEST_F_TIMEOUT(vcpu, no_register_is_in_memory_of_the_host_after_any_exit, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	struct shared *shared = v->shared;
	int i;

	WRITE_ONCE(shared->cmd, CMD_EXITS);
	for (i = 0; READ_ONCE(shared->nr_exits) <= NR_ROUNDS; i++) {
		ASSERT_LT(i, 1000);
		step_and_look(v);
	}

	WRITE_ONCE(shared->cmd, CMD_SPIN);
	for (i = 0; v->nr_looks[EXIT_IRQ] < NR_ROUNDS; i++) {
		ASSERT_LT(i, 1000);
		step_and_look(v);
	}

	WRITE_ONCE(shared->cmd, CMD_SPIN_TIMER);
	WRITE_ONCE(shared->flag, 1);
	for (i = 0; READ_ONCE(shared->nr_spins) < NR_ROUNDS + 1; i++) {
		ASSERT_LT(i, 1000);
		serve(v, true);
		WRITE_ONCE(shared->flag, 1);
	}

	for (i = 0; i < NR_EXITS; i++) {
		if (i == EXIT_UNKNOWN)
			continue;
		EXPECT_GE(v->nr_looks[i], NR_ROUNDS)
			TH_LOG("There was %s %lu times only", exits[i], v->nr_looks[i]);
	}
	expect_none_found(_metadata, v);
}

/* The control: the same search */
TEST(registers_of_a_non_protected_guest_are_in_memory_of_the_host)
{
	struct victim *v = calloc(1, sizeof(*v));
	struct canary *canary;
	int i, j;

	TEST_REQUIRE_ADVERSARY();
	TEST_REQUIRE_PKVM();
	TEST_REQUIRE(kvm_supports_vgic_v3());

	start(v, false);
	WRITE_ONCE(v->shared->cmd, CMD_MMIO);
	/* To see the SP_EL of both */
	for (i = 0; i < 2 * NR_ROUNDS; i++)
		serve(v, true);
	for (j = 0; j < v->nr_canaries; j++) {
		canary = &v->canaries[IN_VCPU][j];
		if (canary_is_held(&v->guest->canary, canary) && strcmp(canary->name, "x5") &&
		    strcmp(canary->name, "x6"))
			EXPECT_TRUE(canary->found) TH_LOG("%s is not found", canary->name);
	}

	/* Likewise, of what is there on purpose */
	v->canaries[IN_KVM_RUN][0].val = MMIO_VALUE;
	v->canaries[IN_KVM][0].val = adv_field_read(&v->kvm, "pgt");
	v->canaries[IN_PERCPU][0].val = adv_sym_va("init_task");
	serve(v, true);
	look(v, EXIT_MMIO_READ);
	for (i = 0; i < NR_PLACES; i++) {
		EXPECT_TRUE(v->canaries[i][0].found)
			TH_LOG("Nothing is found in %s", places[i]);
	}

	check_guest(_metadata, v);
	set_alarm(0);
	kvm_vm_free(v->vm);
	free(v->saved);
	free(v->hostile);
	free(v);
}

/* Every word of struct kvm_vcpu from arch on, which is what EL2 has a use for */
TEST_F_TIMEOUT(vcpu, no_word_of_the_hosts_vcpu_reaches_the_guest, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	const u64 vals[] = { 0, ~0ul, v->evil.entry, v->objects[0].va };
	u64 offset, va, val, nr = 0, rounds = v->shared->rounds;
	int i;

	/* All of it has to be in place. */
	run_until(v, CMD_ROUND, &v->shared->rounds);
	run_until(v, CMD_ROUND, &v->shared->rounds);
	save(v);
	raw_load(v);
	for (offset = v->arch; offset + 8 <= v->objects[0].size; offset += 8) {
		va = v->objects[0].va + offset;
		v->attacked = offset;
		for (i = 0; i < 2; i++) {
			val = vals[nr / 2 % ARRAY_SIZE(vals)];
			if (i)
				random_bytes(&val, sizeof(val));
			host_write(va, &val, sizeof(val));
			raw_round(v);
			host_write(va, v->saved + offset, sizeof(val));
			nr++;
		}
		/* EL2 writes what the exit has to tell. */
		restore(v);
		if (offset % 256 == 0)
			raw_check(v);
	}
	raw_check(v);
	v->attacked = 0;
	raw_put(v);
	restore(v);
	TH_LOG("%lu values in %llu words, %lu rounds of the guest", nr,
	       (v->objects[0].size - v->arch) / 8, READ_ONCE(v->shared->rounds));
	EXPECT_GT(READ_ONCE(v->shared->rounds), rounds);
}

TEST_F_TIMEOUT(vcpu, no_content_of_the_hosts_vcpu_reaches_the_guest, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	u64 va = v->objects[0].va + v->arch, i, j;
	size_t len = v->objects[0].size - v->arch;

	run_until(v, CMD_ROUND, &v->shared->rounds);
	run_until(v, CMD_ROUND, &v->shared->rounds);
	save(v);
	raw_load(v);
	for (i = 0; i < 20; i++) {
		switch (i) {
		case 0:
			memset(v->hostile, 0, len);
			break;
		case 1:
			memset(v->hostile, 0xff, len);
			break;
		case 2:
			for (j = 0; j + 8 <= len; j += 8)
				*(u64 *)(v->hostile + j) = v->evil.entry;
			break;
		default:
			random_bytes(v->hostile, len);
		}
		/* In particular the first entry, and those after an interrupt */
		for (j = 0; j < 3; j++) {
			host_write(va, v->hostile, len);
			raw_round(v);
		}
		restore(v);
		raw_check(v);
	}
	raw_put(v);
	restore(v);
}

/* Fields of struct kvm: EL2 took what it needs when the VM was created. */
TEST_F_TIMEOUT(vcpu, no_field_of_the_hosts_vm_reaches_the_guest, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	static const char * const names[] = {
		"handle", "is_protected", "is_created", "flags", "vcpu_features0", "vmid", "vtcr",
		"pgd_phys", "voffset", "poffset", "psci_version", "vgic_model", "fgu0", "id_reg0",
		"id_reg8", "id_reg24", "midr_el1", "ctr_el0", "std_bmap", "std_hyp_bmap",
		"vendor_hyp_bmap", "created_vcpus",
	};
	u64 vals[] = { 0, ~0ul, 0 }, old;
	int i, j;

	run_until(v, CMD_ROUND, &v->shared->rounds);
	save(v);
	raw_load(v);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		old = adv_field_read(&v->kvm, names[i]);
		for (j = 0; j < ARRAY_SIZE(vals); j++) {
			random_bytes(&vals[2], sizeof(vals[2]));
			v->racing = true;
			adv_field_write(&v->kvm, names[i], vals[j]);
			raw_put(v);
			raw_load(v);
			raw_round(v);
			adv_field_write(&v->kvm, names[i], old);
			v->racing = false;
		}
		raw_check(v);
	}
	raw_put(v);
}

/* With flippers on the other CPU */
static const struct {
	const char *field;
	u64 a, b;
} flips[] = {
	{ "iflags", 0, 0xff },
	{ "hcr_el2", 0, ~0ul },
	{ "x0", MMIO_VALUE, ~0ul },
	{ "pc", 0, ~0ul },
	{ "pstate", 0, ~0ul },
	{ "esr_el2", 0, ~0ul },
	{ "hpfar_el2", 0, ~0ul },
	{ "mdcr_el2", 0, ~0ul },
	{ "vsesr_el2", 0, ~0ul },
	{ "vgic.used_lrs", 0, UINT_MAX },
	{ "vgic.hcr", 0, ~0ul },
	{ "vgic.lr0", 0, ~0ul },
	{ "vgic.lr15", 0, ~0ul },
	{ "mp_state", KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_STOPPED },
	{ "debug_owner", 0, 2 },
	{ "memcache.nr_pages", 0, ~0ul },
};

static u32 flip(struct victim *v, const char *name, u64 a, u64 b)
{
	u32 size;
	u64 va = adv_field(&v->objects[0], name, &size);

	return adv_flip_start(va, ADV_VA, size, OTHER_CPU, a, b);
}

TEST_F_TIMEOUT(vcpu, no_field_that_changes_while_el2_reads_it_reaches_the_guest, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	u64 nr_flips = 0, rounds = 0;
	u32 ids[2];
	int i, j;

	run_until(v, CMD_ROUND, &v->shared->rounds);
	save(v);
	raw_load(v);
	for (i = 0; i < ARRAY_SIZE(flips); i++) {
		ids[0] = flip(v, flips[i].field, flips[i].a, flips[i].b);
		/* Together with the one that says what all others mean */
		ids[1] = flip(v, "iflags", 0, 0xff);
		v->racing = true;
		for (j = 0; j < NR_RACES; j++)
			rounds += raw_round(v);
		nr_flips += adv_flip_stop(ids[0]);
		adv_flip_stop(ids[1]);
		v->racing = false;
		restore(v);
		raw_check(v);
	}
	raw_put(v);
	restore(v);
	TH_LOG("%lu rounds, %lu stores", rounds, nr_flips);
	EXPECT_GT(nr_flips, NR_RACES);
	EXPECT_GT(rounds, NR_RACES);
}

/* An MMIO read takes x0, once, and goes on or is done again. */
TEST_F_TIMEOUT(vcpu, mmio_answer_that_changes_while_el2_reads_it_is_taken_once, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	enum exit_kind exit;
	u64 iflags_va = adv_field(&v->objects[0], "iflags", NULL);
	u8 iflags, increment_pc = IFLAG_INCREMENT_PC;
	u32 ids[2];
	int i;

	run_until(v, CMD_ROUND, &v->shared->rounds);
	run_until(v, CMD_MMIO, &v->shared->mmio_rounds);
	host_read(iflags_va, &iflags, sizeof(iflags));
	save(v);
	WRITE_ONCE(v->shared->cmd, CMD_MMIO);
	ids[0] = flip(v, "x0", MMIO_VALUE, FLIP_VALUE);
	raw_load(v);
	for (i = 0; i < 2 * NR_RACES; i++) {
		exit = raw_run(v);
		if (exit == EXIT_MMIO_READ) {
			host_write(iflags_va, &increment_pc, sizeof(increment_pc));
			continue;
		}
		if (exit == EXIT_IRQ || exit == EXIT_WFI)
			continue;
		/* As in raw_round() */
		break;
	}
	EXPECT_EQ(i, 2 * NR_RACES);
	/* What it means is open as well. */
	ids[1] = flip(v, "iflags", 0, IFLAG_INCREMENT_PC);
	for (i = 0; i < 2 * NR_RACES; i++) {
		exit = raw_run(v);
		if (exit != EXIT_IRQ && exit != EXIT_WFI && exit != EXIT_MMIO_READ)
			break;
	}
	EXPECT_EQ(i, 2 * NR_RACES);
	raw_put(v);
	adv_flip_stop(ids[0]);
	adv_flip_stop(ids[1]);
	restore(v);
	host_write(iflags_va, &iflags, sizeof(iflags));
	EXPECT_GT(READ_ONCE(v->shared->mmio_rounds), NR_RACES);
	run_until(v, CMD_MMIO, &v->shared->mmio_rounds);
}

/* After an exit that is no access to memory, the host has no say in how it goes on. */
TEST_F_TIMEOUT(vcpu, host_skips_no_instruction_and_raises_no_exception_unasked, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	u64 iflags_va = adv_field(&v->objects[0], "iflags", NULL);
	u64 rounds;
	u8 iflags;
	int i;

	run_until(v, CMD_ROUND, &v->shared->rounds);
	save(v);
	raw_load(v);
	rounds = READ_ONCE(v->shared->rounds);
	for (i = 0; i < 256; i++) {
		iflags = i;
		host_write(iflags_va, &iflags, sizeof(iflags));
		/* VSE, VI, VF, and those that EL2 takes */
		adv_field_write(&v->objects[0], "hcr_el2", BIT(8) | BIT(7) | BIT(6) | BIT(13));
		raw_round(v);
	}
	EXPECT_GE(READ_ONCE(v->shared->rounds), rounds + 128);

	/* The same in a loop that makes no exit by itself */
	WRITE_ONCE(v->shared->cmd, CMD_SPIN);
	for (i = 1; i < 64; i++) {
		iflags = i;
		host_write(iflags_va, &iflags, sizeof(iflags));
		raw_run(v);
	}
	WRITE_ONCE(v->shared->flag, 1);
	WRITE_ONCE(v->shared->cmd, CMD_ROUND);
	restore(v);
	raw_check(v);
	raw_put(v);
	restore(v);
	EXPECT_EQ(READ_ONCE(v->shared->nr_spins), 1);
}

static const char * const vgic_fields[] = {
	"vgic.used_lrs", "vgic.hcr", "vgic.vmcr", "vgic.sre", "vgic.ap0r0", "vgic.ap0r1",
	"vgic.ap0r2", "vgic.ap0r3", "vgic.ap1r0", "vgic.ap1r1", "vgic.ap1r2", "vgic.ap1r3",
};

TEST_F_TIMEOUT(vcpu, hostile_vgic_state_does_no_more_than_interrupts, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	const u64 patterns[] = {
		~0ul, 0,
		/* Pending, group 1, of highest priority; with HW, a PPI and an SPI of the host's */
		BIT(62) | BIT(60) | VTIMER_INTID,
		BIT(62) | BIT(61) | BIT(60) | 30ul << 32 | VTIMER_INTID,
		BIT(62) | BIT(61) | BIT(60) | 33ul << 32 | 33,
		/* Active, of all INTIDs that are none */
		BIT(63) | BIT(60) | 1023, BIT(63) | BIT(60) | 0xffffffff,
	};
	char name[16];
	int i, j, lr;

	/* As it has to be afterwards */
	run_until(v, CMD_IRQ, &v->shared->irqs);
	run_until(v, CMD_ROUND, &v->shared->rounds);
	save(v);
	raw_load(v);
	for (i = 0; i < ARRAY_SIZE(vgic_fields); i++) {
		for (j = 0; j < 2; j++) {
			adv_field_write(&v->objects[0], vgic_fields[i], patterns[j]);
			raw_put(v);
			raw_load(v);
			raw_round(v);
			restore(v);
		}
		raw_check(v);
	}
	/* All traps, without the maintenance interrupts, with which it would not get far */
	for (i = 0; i < 4; i++) {
		adv_field_write(&v->objects[0], "vgic.hcr", GENMASK(14, 10) | BIT(0));
		raw_round(v);
	}
	restore(v);
	for (i = 0; i < ARRAY_SIZE(patterns); i++) {
		for (j = 0; j < 3; j++) {
			adv_field_write(&v->objects[0], "vgic.used_lrs", j ? UINT_MAX : 4);
			adv_field_write(&v->objects[0], "vgic.hcr", j == 1 ? ~0ul : BIT(0));
			for (lr = 0; lr < 16; lr++) {
				snprintf(name, sizeof(name), "vgic.lr%d", lr);
				adv_field_write(&v->objects[0], name, patterns[i]);
			}
			raw_round(v);
		}
		restore(v);
		raw_check(v);
	}
	raw_put(v);
	restore(v);

	/* Of which none stays in the CPU, and the vGIC does its work as before. */
	for (i = 0; i < 3; i++)
		run_until(v, CMD_IRQ, &v->shared->irqs);
	EXPECT_GE(v->shared->irqs, 4);
}

/* Where the host would have the vCPU begin */
static void write_evil_start(struct victim *v, int vcpu)
{
	struct adv_object *object = &v->objects[vcpu];

	adv_field_write(object, "pc", v->evil.entry);
	adv_field_write(object, "x0", v->evil.context);
	adv_field_write(object, "pstate", PSR_MODE_EL1h | PSR_D_BIT | PSR_A_BIT | PSR_I_BIT |
			PSR_F_BIT);
	adv_field_write(object, "SCTLR_EL1", 0);
	adv_field_write(object, "reset.pc", v->evil.entry);
	adv_field_write(object, "reset.r0", v->evil.context);
	adv_field_write(object, "reset.reset", 1);
	adv_field_write(object, "mp_state", KVM_MP_STATE_RUNNABLE);
}

/* Until it stops by itself, not by a signal: 0 or the errno of KVM_RUN */
static int run_not_interrupted(struct kvm_vcpu *vcpu)
{
	int i;

	for (i = 0; i < 250; i++) {
		if (!__vcpu_run(vcpu))
			return 0;
		if (errno != EINTR)
			break;
	}

	return errno;
}

TEST_F_TIMEOUT(vcpu, host_does_not_run_a_vcpu_that_is_off, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	struct kvm_vcpu *second = v->vcpus[1];
	struct ucall uc;
	int i;

	for (i = 0; i < 4; i++) {
		write_evil_start(v, 1);
		if (i % 2)
			adv_field_write(&v->objects[1], "requests", KVM_REQ_VCPU_RESET);
		EXPECT_EQ(run_not_interrupted(second), EINVAL);
		EXPECT_EQ(second->run->exit_reason, KVM_EXIT_FAIL_ENTRY);

		write_evil_start(v, 1);
		adv_hvc(ADV_CPU_ANY, v->load, v->kvm.handle, 1);
		EXPECT_EQ(adv_hvc(ADV_CPU_ANY, v->run, v->objects[1].va), ARM_EXCEPTION_IL);
		adv_hvc(ADV_CPU_ANY, v->put);
	}
	EXPECT_EQ(READ_ONCE(v->shared->started), 0);

	/* Also not from elsewhere than where the guest wants it to. */
	run_until(v, CMD_CPU_ON, &v->shared->rounds);
	EXPECT_EQ(READ_ONCE(v->shared->started), 0);
	write_evil_start(v, 1);
	ASSERT_EQ(run_not_interrupted(second), 0);
	ASSERT_EQ(get_ucall(second, &uc), UCALL_SYNC);
	EXPECT_EQ(uc.args[0], STARTED_BY_GUEST);
	EXPECT_EQ(READ_ONCE(v->shared->started), STARTED_BY_GUEST);
}

/* On its own, since this guest does not live to be asked how it is. */
TEST(host_does_not_run_a_guest_that_is_off)
{
	struct victim *v = calloc(1, sizeof(*v));
	struct kvm_run *run;
	int i, j;

	TEST_REQUIRE_ADVERSARY();
	TEST_REQUIRE_PKVM();
	TEST_REQUIRE(kvm_supports_vgic_v3());

	start(v, true);
	run = v->vcpus[0]->run;
	run_until(v, CMD_ROUND, &v->shared->rounds);
	WRITE_ONCE(v->shared->cmd, CMD_OFF);
	ASSERT_EQ(run_not_interrupted(v->vcpus[0]), 0);
	ASSERT_EQ(run->exit_reason, KVM_EXIT_SYSTEM_EVENT);
	ASSERT_EQ(run->system_event.type, KVM_SYSTEM_EVENT_SHUTDOWN);

	/* As it is, and from elsewhere */
	for (i = 0; i < 4; i++) {
		for (j = 0; j < NR_VCPUS; j++) {
			if (i % 2)
				write_evil_start(v, j);
			adv_hvc(ADV_CPU_ANY, v->load, v->kvm.handle, j);
			/* For the host, an interrupt before the first instruction */
			EXPECT_EQ(adv_hvc(ADV_CPU_ANY, v->run, v->objects[j].va),
				  ARM_EXCEPTION_IRQ);
			adv_hvc(ADV_CPU_ANY, v->put);
		}
	}
	EXPECT_EQ(READ_ONCE(v->shared->ended), 0);
	EXPECT_EQ(READ_ONCE(v->shared->started), 0);

	set_alarm(0);
	kvm_vm_free(v->vm);
	free(v->saved);
	free(v->hostile);
	free(v);
}

TEST_F_TIMEOUT(vcpu, host_does_not_start_a_vcpu_again, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	int i;

	for (i = 0; i < 4; i++) {
		write_evil_start(v, 0);
		if (i % 2)
			adv_field_write(&v->objects[0], "requests", KVM_REQ_VCPU_RESET);
		run_until(v, CMD_ROUND, &v->shared->rounds);

		run_until(v, CMD_ROUND, &v->shared->rounds);
		save(v);
		write_evil_start(v, 0);
		raw_load(v);
		raw_check(v);
		raw_put(v);
		restore(v);
	}
	EXPECT_EQ(READ_ONCE(v->shared->started), 0);
}

/*
 * KVM loads the virtual timer's registers from its struct kvm_vcpu, as it may
 * while a vCPU is loaded, at any time: the guest does not see it.
 */
TEST_F_TIMEOUT(vcpu, host_writes_the_timer_and_the_guest_keeps_its_own, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	const u64 cvals[] = { 0, ~0ul, 0x0123456789abcdeful };
	u64 rounds;
	int i;

	run_until(v, CMD_TIMER, &v->shared->timer_rounds);
	rounds = READ_ONCE(v->shared->timer_rounds);
	for (i = 0; READ_ONCE(v->shared->timer_rounds) < rounds + 4 * ARRAY_SIZE(cvals); i++) {
		ASSERT_LT(i, 500);
		adv_field_write(&v->objects[0], "CNTV_CVAL_EL0", cvals[i % ARRAY_SIZE(cvals)]);
		adv_field_write(&v->objects[0], "CNTV_CTL_EL0", i % 4);
		serve(v, false);
	}
}

static struct adv_loop_thread loop_thread(int cpu, u64 id, u64 arg1, u64 arg2)
{
	return (struct adv_loop_thread) {
		.call.conduit = ADV_HVC,
		.call.cpu = cpu,
		.call.x = { id, arg1, arg2 },
		.reg = 1,
	};
}

TEST_F_TIMEOUT(vcpu, one_vcpu_does_not_run_on_two_cpus, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	struct adv_loop_thread threads[2];
	u64 va = v->objects[0].va, handle = v->kvm.handle;
	u64 ids[] = { v->load, v->run, v->load, v->run };
	int i;

	run_until(v, CMD_ROUND, &v->shared->rounds);
	save(v);
	raw_load(v);
	/* What a load has achieved shows when the other CPU runs it after that. */
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		threads[0] = loop_thread(CPU, v->run, va, 0);
		threads[1] = loop_thread(OTHER_CPU, ids[i], i % 2 ? va : handle, 0);
		adv_loop(threads, ARRAY_SIZE(threads), NR_RACES);
		EXPECT_GE(adv_loop_count(&threads[1], (u64)-EINVAL), i % 2 ? NR_RACES : 0);
		EXPECT_EQ(adv_loop_count(&threads[0], (u64)-EINVAL), 0);
		EXPECT_GT(adv_loop_count(&threads[0], ARM_EXCEPTION_TRAP), 0);
	}
	raw_check(v);
	raw_put(v);
	restore(v);
}

struct tug {
	pthread_t thread;
	struct victim *v;
	int cpu;
	u64 nr_runs;
};

static void *tug_thread(void *arg)
{
	struct tug *tug = arg;
	struct victim *v = tug->v;
	int i;

	pin_to_cpu(tug->cpu);
	/* In vain is quick: an emulated CPU does all of it while the other one stands still. */
	for (i = 0; i < 4 * NR_RACES || (!tug->nr_runs && i < 4000 * NR_RACES); i++) {
		raw_load(v);
		tug->nr_runs += adv_hvc(ADV_CPU_ANY, v->run, v->objects[0].va) >= 0;
		raw_put(v);
	}

	return NULL;
}

/* It goes from one to the other, and never runs on both. */
TEST_F_TIMEOUT(vcpu, vcpu_that_is_torn_between_two_cpus_stays_what_it_is, ATTACK_TIMEOUT)
{
	struct victim *v = &self->v;
	struct tug tugs[2];
	int i;

	run_until(v, CMD_ROUND, &v->shared->rounds);
	save(v);
	for (i = 0; i < ARRAY_SIZE(tugs); i++) {
		tugs[i] = (struct tug) { .v = v, .cpu = i ? OTHER_CPU : CPU };
		pthread_create(&tugs[i].thread, NULL, tug_thread, &tugs[i]);
	}
	for (i = 0; i < ARRAY_SIZE(tugs); i++)
		pthread_join(tugs[i].thread, NULL);
	raw_load(v);
	raw_check(v);
	raw_put(v);
	restore(v);
	for (i = 0; i < ARRAY_SIZE(tugs); i++) {
		EXPECT_GT(tugs[i].nr_runs, 0)
			TH_LOG("on CPU %d", tugs[i].cpu);
	}
}

TEST_HARNESS_MAIN
