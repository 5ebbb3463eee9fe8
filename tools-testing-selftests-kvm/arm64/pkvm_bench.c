// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_bench - What VMs cost, protected and not, counted in instructions.
 *
 * It is made for an emulated machine whose clock counts instructions (QEMU's
 * -icount shift=0,sleep=off, one CPU): a tick of CNTVCT at 1 GHz is one
 * instruction, at every exception level.  Time that the CPU idles away passes
 * on it, too, but is not counted by the PMU's INST_RETIRED; that, in turn,
 * stands still while a protected guest is loaded.  So what a guest does is
 * measured by the guest with CNTVCT, over many repetitions with no idle time in
 * between, and what the host does with the PMU.  EL2's share is the PMU's as
 * well, and there is none to be had where the kernel itself is at EL2.
 *
 * A line for each row and repetition:
 *
 *	# bench: NAME VALUE UNIT CLOCK
 *
 * with "-" for a value that this machine or kernel does not have.  Anywhere else
 * there is nothing to be learned from the numbers; that every row can be
 * measured is what is tested then, quickly.
 *
 * Runs on kernels with and without the features that it measures.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <linux/sizes.h>

#include "arch_timer.h"
#include "gic.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_cpu.h"
#include "processor.h"
#include "ucall_common.h"
#include "vgic.h"

#include "kselftest.h"

#define TEST_SLOT	10
#define TEST_GPA	0xc0000000ul
#define MMIO_GPA	0x10000000ul
#define INJECT_GPA	(MMIO_GPA + 8)	/* the VMM injects TEST_SPI */
#define GUARD_GPA	0x20000000ul
#define GUARD_PAGES	512ul
#define VTIMER_INTID	27
#define TEST_SPI	40
#define TEST_SGI	1

#define KNOWN_LOOP	3000000ul
#define IDLE_MS		100
#define INSNS_PER_SEC	1000000000ul

/* An SMCCC function in the host's range that no EL2 has: there and back */
#define NO_HYPERCALL	0xc600fff0u
#define NR_HYPERCALLS	256
/* One of the realm management interface's, which is none of the host's */
#define DENIED_SMC	0xc4000150u

#define FFA_DRIVER		"/sys/bus/platform/drivers/arm-ffa/"
#define FFA_VERSION		0x84000063u
#define FFA_RXTX_MAP		0xc4000066u
#define FFA_RXTX_UNMAP		0x84000067u
#define FFA_PARTITION_INFO_GET	0x84000068u
#define FFA_RX_RELEASE		0x84000065u
#define FFA_MEM_SHARE		0xc4000073u
#define FFA_MEM_RECLAIM		0x84000077u
#define FFA_SUCCESS		0x84000061u
#define FFA_VERSION_1_2		0x10002u

static struct {
	int runs;
	u64 size;		/* of the memory that is touched, and so on */
	int iterations;		/* of what is measured one by one */
	int cycles;		/* lives of a VM */
	u64 touch;		/* of the host's memory */
	const char *rows[8];	/* patterns */
	int nr_rows;		/* of them; 0: all */
} opt = {
	.runs = 1,
	.size = SZ_2M,
	.iterations = 10,
	.cycles = 2,
};

static bool deterministic;
static int nr_rows;

static bool wanted(const char *fmt, ...)
{
	char name[64];
	va_list ap;
	int i;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);

	for (i = 0; i < opt.nr_rows; i++) {
		if (!fnmatch(opt.rows[i], name, 0))
			return true;
	}

	return !opt.nr_rows;
}

#define NO_VALUE	(~0ull)
#define NO_CALL		(NO_VALUE - 1)	/* what a guest says of one that there is not */

static void __printf(4, 5) put(u64 value, const char *unit, const char *clock, const char *fmt, ...)
{
	char name[64], val[24] = "-";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);

	if (value != NO_VALUE)
		snprintf(val, sizeof(val), "%lu", (ulong)value);
	ksft_print_msg("bench: %s %s %s %s\n", name, val, unit, clock);
	nr_rows += value != NO_VALUE;
}

/*
 * What runs between these two is a row's: for those who trace the emulator.  The
 * comments keep the compiler from making one function of them.
 */
static noinline void bench_begin(void)
{
	asm volatile("nop // begin" ::: "memory");
}

static noinline void bench_end(void)
{
	asm volatile("nop // end" ::: "memory");
}

/* Which of them has just been, in the order of the calls */
static void __printf(1, 2) section(const char *fmt, ...)
{
	char name[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);

	ksft_print_msg("bench-section: %s\n", name);
}

/*
 * The PMU: of this thread, in user space, the kernel and at EL2, and of the last alone.  Not of
 * everything on this CPU: while a thread that closes a VM waits for grace periods, kworkers
 * look for their end, and how often depends on when they began.
 *
 * The events are off unless something is measured with them: a guest's blocked vCPU would have
 * them switched out and in, for CNTVCT to count.
 */
struct pmu {
	int fd[2];
};

static struct pmu pmu = { { -1, -1 } };

static int perf_open(bool el2_only, int group, pid_t pid, int cpu)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_HARDWARE,
		.size		= sizeof(attr),
		.config		= PERF_COUNT_HW_INSTRUCTIONS,
		.read_format	= PERF_FORMAT_GROUP,
		.disabled	= group < 0,
		.pinned		= group < 0,
		.exclude_user	= el2_only,
		.exclude_kernel	= el2_only,
	};

	return syscall(SYS_perf_event_open, &attr, pid, cpu, group, 0);
}

static void pmu_close(struct pmu *pmu)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(pmu->fd); i++) {
		if (pmu->fd[i] >= 0)
			close(pmu->fd[i]);
		pmu->fd[i] = -1;
	}
}

static void pmu_open(struct pmu *pmu, pid_t pid, int cpu)
{
	pmu->fd[1] = -1;
	pmu->fd[0] = perf_open(false, -1, pid, cpu);
	if (pmu->fd[0] >= 0)
		pmu->fd[1] = perf_open(true, pmu->fd[0], pid, cpu);
	if (pmu->fd[1] < 0) {
		ksft_print_msg("no instructions from the PMU: %s\n", strerror(errno));
		pmu_close(pmu);
	}
}

static bool pmu_counts(void)
{
	return pmu.fd[0] >= 0;
}

static void pmu_do(unsigned long what)
{
	if (pmu_counts())
		TEST_ASSERT(!ioctl(pmu.fd[0], what, PERF_IOC_FLAG_GROUP), "ioctl() of the PMU");
}

/* What EL2 has counted, where it does (CONFIG_PKVM_STATS) */
struct counts {
	u64 hvc;	/* hypercalls of the host */
	u64 tlb;	/* invalidations of TLBs */
	u64 tables;	/* pages of the host's stage-2 tables, now */
};

static struct counts counts_now(void)
{
	struct counts counts = { NO_VALUE, NO_VALUE, NO_VALUE };
	FILE *f = fopen("/sys/kernel/debug/kvm/hyp_stats", "r");
	char name[64];
	u64 val;

	if (!f)
		return counts;

	counts = (struct counts) {};
	while (fscanf(f, "%63s %lu", name, &val) == 2) {
		/* By number: those that failed are among them, those that read this don't count. */
		if (!strncmp(name, "hvc__", 5) && strcmp(name, "hvc___pkvm_read_stats"))
			counts.hvc += val;
		else if (!strcmp(name, "tlb_flush"))
			counts.tlb = val;
		else if (!strcmp(name, "host_s2_tables"))
			counts.tables = val;
	}
	fclose(f);

	return counts;
}

static struct counts counts_since(const struct counts *before)
{
	struct counts counts = counts_now();

	if (counts.hvc != NO_VALUE) {
		counts.hvc -= before->hvc;
		counts.tlb -= before->tlb;
	}

	return counts;
}

struct cost {
	u64 ticks;
	u64 insns;
	u64 el2;
	struct counts counts;
};

static void cost_now(struct cost *cost)
{
	u64 val[3] = {};

	if (pmu_counts())
		TEST_ASSERT(read(pmu.fd[0], val, sizeof(val)) == sizeof(val), "read() of the PMU");
	cost->insns = val[1];
	cost->el2 = val[2];
	cost->ticks = timer_get_cntct(VIRTUAL);
}

static struct cost overhead;	/* of measuring */
static bool el2_apart = true;	/* from the kernel: without VHE */

static struct cost cost_of(void (*fn)(void *arg), void *arg)
{
	struct counts counts = counts_now();
	struct cost a, b;

	pmu_do(PERF_EVENT_IOC_ENABLE);
	cost_now(&a);
	bench_begin();
	fn(arg);
	bench_end();
	cost_now(&b);
	pmu_do(PERF_EVENT_IOC_DISABLE);

	b.ticks -= min(b.ticks, a.ticks + overhead.ticks);
	b.insns -= min(b.insns, a.insns + overhead.insns);
	b.el2 -= min(b.el2, a.el2 + overhead.el2);
	if (!pmu_counts())
		b.insns = NO_VALUE;
	if (!pmu_counts() || !el2_apart)
		b.el2 = NO_VALUE;
	b.counts = counts_since(&counts);

	return b;
}

static void do_nothing(void *arg)
{
}

static void cost_setup(void)
{
	struct cost cost, min = { NO_VALUE, NO_VALUE, NO_VALUE };
	int i;

	for (i = 0; i < 20; i++) {
		cost = cost_of(do_nothing, NULL);
		min.ticks = min(min.ticks, cost.ticks);
		min.insns = min(min.insns, cost.insns);
		min.el2 = min(min.el2, cost.el2);
	}
	overhead.ticks = min.ticks;
	if (min.insns != NO_VALUE)
		overhead.insns = min.insns;
	if (min.el2 != NO_VALUE)
		overhead.el2 = min.el2;
	section("empty:20/20");
}

/* Does it read right? */

static void known_loop(void *arg)
{
	u64 n = KNOWN_LOOP / 2;

	asm volatile("1: subs %0, %0, #1\n"
		     "b.ne 1b\n" : "+r"(n) :: "cc");
}

static void idle(void *arg)
{
	usleep(IDLE_MS * 1000);
}

static bool is_about(u64 value, u64 want, u64 percent)
{
	return value >= want - want * percent / 100 && value <= want + want * percent / 100;
}

static void self_loop(void)
{
	struct cost cost, best = { NO_VALUE, NO_VALUE, NO_VALUE };
	int i;

	for (i = 0; i < 5; i++) {
		cost = cost_of(known_loop, NULL);
		best.ticks = min(best.ticks, cost.ticks);
		best.insns = min(best.insns, cost.insns);
	}
	section("self.loop:5/5");
	put(best.ticks, "ticks", "cntvct", "self.loop");
	put(best.insns, "insns", "pmu", "self.loop.pmu");

	/* QEMU has the event only where it counts instructions for its clock. */
	deterministic = pmu_counts() && timer_get_cntfrq() == INSNS_PER_SEC &&
			is_about(best.ticks, KNOWN_LOOP, 1);
	if (!deterministic) {
		ksft_print_msg("no clock of instructions\n");
		ksft_test_result_skip("a_known_loop_reads_right\n");
		return;
	}
	ksft_test_result(is_about(best.insns, KNOWN_LOOP, 1), "a_known_loop_reads_right\n");
}

static void self_idle(void)
{
	struct pmu thread = pmu;
	struct cost cost;

	/* Of everything on this CPU: a thread that sleeps has no idle time of its own. */
	pmu_open(&pmu, -1, 0);
	cost = cost_of(idle, NULL);
	section("self.idle");
	pmu_close(&pmu);
	pmu = thread;

	put(cost.ticks, "ticks", "cntvct", "self.idle.ticks");
	put(cost.insns, "insns", "pmu", "self.idle");
	if (!deterministic || cost.insns == NO_VALUE)
		ksft_test_result_skip("idle_time_does_not_count\n");
	else
		ksft_test_result(cost.ticks >= IDLE_MS * (INSNS_PER_SEC / 1000) &&
				 cost.insns < cost.ticks / 100, "idle_time_does_not_count\n");
}

/* Guest side */

enum op {
	OP_NOTHING,
	OP_HVC,
	OP_MMIO,
	OP_WFI,
	OP_TIMER,
	OP_SGI,
	OP_INJECT,
	OP_GUARD,
	OP_RGUARD,
	OP_TRNG,
	OP_TOUCH,
	OP_SHARE,
	OP_UNSHARE,
};

struct cmd {
	u64 op;
	u64 nr;
	u64 iterations;
	u64 ucall_gpa;
};

static u64 irq_time;

static void guest_irq_handler(struct ex_regs *regs)
{
	u64 now = timer_get_cntct(VIRTUAL);
	unsigned int intid = gic_get_and_ack_irq();

	if (intid == IAR_SPURIOUS)
		return;
	if (intid == VTIMER_INTID)
		timer_set_ctl(VIRTUAL, CTL_IMASK);
	gic_set_eoi(intid);
	WRITE_ONCE(irq_time, now);
}

static u64 guest_pages(u64 op, u64 nr)
{
	u64 t = timer_get_cntct(VIRTUAL), addr, end = TEST_GPA + nr * SZ_4K;

	for (addr = TEST_GPA; addr < end; addr += SZ_4K) {
		if (op == OP_TOUCH)
			WRITE_ONCE(*(u64 *)addr, addr);
		else if (op == OP_SHARE)
			GUEST_ASSERT_EQ(pkvm_mem_share(addr), 0);
		else
			GUEST_ASSERT_EQ(pkvm_mem_unshare(addr), 0);
	}

	return timer_get_cntct(VIRTUAL) - t;
}

/* A call of the firmware's, of which others than protected guests have the host's */
static bool guest_trng(void)
{
	struct arm_smccc_res res;

	smccc_hvc(ARM_SMCCC_TRNG_RND64, 192, 0, 0, 0, 0, 0, 0, &res);

	return !res.a0;
}

/* All pages of the range; a call may stop earlier. */
static bool guest_rguard(u32 func)
{
	struct arm_smccc_res res;
	u64 done;

	for (done = 0; done < GUARD_PAGES; done += res.a1) {
		smccc_hvc(func, GUARD_GPA + done * SZ_4K, GUARD_PAGES - done, 0, 0, 0, 0, 0, &res);
		if (res.a0 || !res.a1)
			return false;
	}

	return true;
}

/* Of @nr of them; NO_CALL if there is no such call */
static u64 guest_one(u64 op, u64 nr)
{
	u64 t = timer_get_cntct(VIRTUAL), i;

	switch (op) {
	case OP_HVC:
		for (i = 0; i < nr; i++)
			pkvm_hvc(PKVM_HVC_FEATURES, 0, 0, 0);
		break;
	case OP_MMIO:
		for (i = 0; i < nr; i++)
			READ_ONCE(*(u64 *)MMIO_GPA);
		break;
	case OP_WFI:
		local_irq_disable();
		t += usec_to_cycles(1000);
		timer_set_cval(VIRTUAL, t);
		timer_set_ctl(VIRTUAL, CTL_ENABLE);
		wfi();
		/* How much later than it was due does the guest go on? */
		t = timer_get_cntct(VIRTUAL) - t;
		WRITE_ONCE(irq_time, 0);
		local_irq_enable();
		while (!READ_ONCE(irq_time))
			cpu_relax();
		return t;
	case OP_TIMER:
		WRITE_ONCE(irq_time, 0);
		/* Not in step with what else happens from time to time */
		t += usec_to_cycles(200) + t % 16384;
		timer_set_cval(VIRTUAL, t);
		timer_set_ctl(VIRTUAL, CTL_ENABLE);
		while (!READ_ONCE(irq_time))
			cpu_relax();
		return irq_time - t;
	case OP_SGI:
		WRITE_ONCE(irq_time, 0);
		t = timer_get_cntct(VIRTUAL);
		write_sysreg_s((u64)TEST_SGI << 24 | 1, SYS_ICC_SGI1R_EL1);
		isb();
		while (!READ_ONCE(irq_time))
			cpu_relax();
		return irq_time - t;
	case OP_INJECT:
		WRITE_ONCE(irq_time, 0);
		t = timer_get_cntct(VIRTUAL);
		READ_ONCE(*(u64 *)INJECT_GPA);
		while (!READ_ONCE(irq_time))
			cpu_relax();
		return irq_time - t;
	case OP_GUARD:
		for (i = 0; i < nr; i++) {
			if (pkvm_hvc(PKVM_HVC_MMIO_GUARD_MAP, GUARD_GPA, 0, 0) ||
			    pkvm_hvc(PKVM_HVC_MMIO_GUARD_UNMAP, GUARD_GPA, 0, 0))
				return NO_CALL;
		}
		break;
	case OP_RGUARD:
		if (!guest_rguard(PKVM_HVC_MMIO_RGUARD_MAP) ||
		    !guest_rguard(PKVM_HVC_MMIO_RGUARD_UNMAP))
			return NO_CALL;
		break;
	case OP_TRNG:
		for (i = 0; i < nr; i++) {
			if (!guest_trng())
				return NO_CALL;
		}
		break;
	}

	return timer_get_cntct(VIRTUAL) - t;
}

/* The guest's own page tables are not what is measured: walk them before. */
static void guest_touch_tables(u64 nr)
{
	u64 addr;

	for (addr = TEST_GPA; addr < TEST_GPA + nr * SZ_4K; addr += SZ_2M)
		asm volatile("at s1e1r, %0" :: "r"(addr));
	isb();
}

static void guest_code(struct cmd *cmd, gpa_t cmd_gpa, u64 protected, u64 has_gic)
{
	u64 result = 0, i;

	if (protected)
		GUEST_ASSERT_EQ(pkvm_mem_share(cmd_gpa), 0);
	GUEST_SYNC(0);

	/* After the sync, so that starting a VM does not have it. */
	if (has_gic) {
		gic_init(GIC_V3, 1);
		gic_irq_enable(VTIMER_INTID);
		gic_irq_enable(TEST_SGI);
		gic_irq_enable(TEST_SPI);
		gic_irq_set_config(TEST_SPI, true);
		local_irq_enable();
	}

	for (;;) {
		switch (cmd->op) {
		case OP_NOTHING:
			break;
		case OP_TOUCH:
			guest_touch_tables(cmd->nr);
			fallthrough;
		case OP_SHARE:
		case OP_UNSHARE:
			bench_begin();
			result = guest_pages(cmd->op, cmd->nr);
			bench_end();
			break;
		case OP_GUARD:
		case OP_RGUARD:
			/* It enrols the guest, which has a device there. */
			pkvm_hvc(PKVM_HVC_MMIO_GUARD_MAP, cmd->ucall_gpa, 0, 0);
			fallthrough;
		default:
			guest_one(cmd->op, 1);
			result = ~0ul;
			bench_begin();
			for (i = 0; i < cmd->iterations; i++)
				result = min(result, guest_one(cmd->op, cmd->nr));
			bench_end();
		}
		GUEST_SYNC(result);
	}
}

/* Host side of it */

struct bench_vm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct cmd *cmd;
	const char *name;
	bool has_gic;
};

static struct vm_shape shape_of(bool protected)
{
	return protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT;
}

static const char *vm_name(bool protected)
{
	return protected ? "pvm" : "vm";
}

static struct bench_vm bench_vm_create(bool protected, void *mem, u64 size)
{
	struct bench_vm b = { .name = vm_name(protected) };
	gva_t gva;

	b.vm = __vm_create_shape_with_one_vcpu(shape_of(protected), &b.vcpu, 256, guest_code);
	b.has_gic = b.vm->arch.has_gic;
	vm_init_descriptor_tables(b.vm);
	vcpu_init_descriptor_tables(b.vcpu);
	vm_install_exception_handler(b.vm, VECTOR_IRQ_CURRENT, guest_irq_handler);
	virt_map(b.vm, MMIO_GPA, MMIO_GPA, 1);
	if (mem) {
		vm_set_user_memory_region(b.vm, TEST_SLOT, 0, TEST_GPA, size, mem);
		virt_map(b.vm, TEST_GPA, TEST_GPA, size / b.vm->page_size);
	}
	gva = vm_alloc_page(b.vm);
	b.cmd = addr_gva2hva(b.vm, gva);
	*b.cmd = (struct cmd) { .ucall_gpa = b.vm->ucall_mmio_addr };
	vcpu_args_set(b.vcpu, 4, gva, addr_gva2gpa(b.vm, gva), (u64)protected, (u64)b.has_gic);

	return b;
}

static bool out_of_patience;

static void on_alarm(int sig)
{
	WRITE_ONCE(out_of_patience, true);
}

/* Runs the guest until it has an answer, which is NO_VALUE if it can't go on. */
static u64 bench_vm_run(struct bench_vm *b)
{
	struct kvm_run *run = b->vcpu->run;
	struct ucall uc;

	WRITE_ONCE(out_of_patience, false);
	alarm(deterministic ? 5 : 60);
	for (;;) {
		/* The library's other ways to run it look for ucalls. */
		if (__vcpu_run(b->vcpu)) {
			if (errno == EINTR && !READ_ONCE(out_of_patience))
				continue;
			ksft_print_msg("%s: KVM_RUN: %s\n", b->name, strerror(errno));
			alarm(0);
			return NO_VALUE;
		}
		if (run->exit_reason == KVM_EXIT_MMIO &&
		    (run->mmio.phys_addr & ~(SZ_4K - 1ul)) == MMIO_GPA) {
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
			if (run->mmio.phys_addr == INJECT_GPA)
				kvm_arm_irq_line(b->vm, TEST_SPI, 1);
			continue;
		}
		switch (get_ucall(b->vcpu, &uc)) {
		case UCALL_SYNC:
			alarm(0);
			return uc.args[1];
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(uc);
		default:
			TEST_FAIL("%s: exit reason %u", b->name, run->exit_reason);
		}
	}
}

static void bench_vm_run_fn(void *b)
{
	bench_vm_run(b);
}

static u64 bench_vm_do(struct bench_vm *b, enum op op, u64 nr, u64 iterations)
{
	WRITE_ONCE(b->cmd->nr, nr);
	WRITE_ONCE(b->cmd->iterations, iterations);
	WRITE_ONCE(b->cmd->op, op);

	return bench_vm_run(b);
}

/* A guest that gave up may have begun what it did not end. */
static void section_given_up(void)
{
	bench_begin();
	bench_end();
	section("-");
}

/* Rows of a guest that runs */

static const struct {
	const char *name;
	enum op op;
	int nr;			/* in a row, 0: they are measured one by one */
	bool gic;
} guest_rows[] = {
	{ "hvc", OP_HVC, 50 },
	{ "mmio", OP_MMIO, 50 },
	{ "wfi", OP_WFI, 0, true },
	{ "timer", OP_TIMER, 0, true },
	{ "sgi", OP_SGI, 0, true },
	{ "inject", OP_INJECT, 0, true },
	{ "guard", OP_GUARD, 50 },
	{ "rguard", OP_RGUARD },
	{ "trng", OP_TRNG, 50 },
};

static void vm_guest_rows(bool protected)
{
	struct bench_vm b;
	u64 val;
	int i, nr;

	for (i = 0; i < ARRAY_SIZE(guest_rows); i++) {
		if (!wanted("%s.%s", vm_name(protected), guest_rows[i].name))
			continue;

		/* A VM each, so that one row does not change the next one's. */
		b = bench_vm_create(protected, NULL, 0);
		bench_vm_run(&b);
		val = NO_VALUE;
		nr = max(guest_rows[i].nr, 1);
		if (!guest_rows[i].gic || b.has_gic) {
			val = bench_vm_do(&b, guest_rows[i].op, nr, opt.iterations);
			if (val == NO_CALL) {
				val = NO_VALUE;
				section("-");
			} else if (val != NO_VALUE) {
				val = (val + nr / 2) / nr;
				section("%s.%s:%d", b.name, guest_rows[i].name,
					nr * opt.iterations);
			} else {
				section_given_up();
			}
		}
		put(val, "insns", "cntvct", "%s.%s", b.name, guest_rows[i].name);
		kvm_vm_free(b.vm);
	}
}

/* Rows of a VM's life */

struct raw_vm {
	unsigned long type;
	int kvm_fd;
	int vm_fd;
	int vcpu_fd;
	struct kvm_run *run;
};

static void raw_create_vm(void *arg)
{
	struct raw_vm *raw = arg;

	raw->vm_fd = __kvm_ioctl(raw->kvm_fd, KVM_CREATE_VM, (void *)raw->type);
	TEST_ASSERT(raw->vm_fd >= 0, KVM_IOCTL_ERROR(KVM_CREATE_VM, raw->vm_fd));
}

static void raw_create_vcpu(void *arg)
{
	struct kvm_vcpu_init init = { .features[0] = BIT(KVM_ARM_VCPU_PSCI_0_2) };
	struct kvm_vcpu_init target;
	struct raw_vm *raw = arg;

	raw->vcpu_fd = ioctl(raw->vm_fd, KVM_CREATE_VCPU, 0);
	TEST_ASSERT(raw->vcpu_fd >= 0, KVM_IOCTL_ERROR(KVM_CREATE_VCPU, raw->vcpu_fd));
	TEST_ASSERT(!ioctl(raw->vm_fd, KVM_ARM_PREFERRED_TARGET, &target),
		    "KVM_ARM_PREFERRED_TARGET");
	init.target = target.target;
	TEST_ASSERT(!ioctl(raw->vcpu_fd, KVM_ARM_VCPU_INIT, &init), "KVM_ARM_VCPU_INIT");
}

static void raw_close(void *arg)
{
	struct raw_vm *raw = arg;

	if (raw->run)
		munmap(raw->run, getpagesize());
	raw->run = NULL;
	close(raw->vcpu_fd);
	close(raw->vm_fd);
}

/* It is created at EL2, and does not get to execute anything. */
static void raw_live(void *arg)
{
	struct raw_vm *raw = arg;

	raw_create_vm(raw);
	raw_create_vcpu(raw);
	raw->run = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED, raw->vcpu_fd, 0);
	TEST_ASSERT(raw->run != MAP_FAILED, "mmap() of a vCPU");
	raw->run->immediate_exit = 1;
	TEST_ASSERT(ioctl(raw->vcpu_fd, KVM_RUN, NULL) && errno == EINTR,
		    "KVM_RUN: errno %d", errno);
	raw_close(raw);
}

static void put_counts(const struct counts *counts, const char *vm, const char *row,
		       const char *backing)
{
	const char *dot = *backing ? "." : "";

	put(counts->hvc, "calls", "el2", "%s.%s%s%s.hvc", vm, row, dot, backing);
	put(counts->tlb, "flushes", "el2", "%s.%s%s%s.tlb", vm, row, dot, backing);
}

static void put_cost(const struct cost *cost, const char *vm, const char *row, const char *backing)
{
	const char *dot = *backing ? "." : "";

	put(cost->insns, "insns", "pmu", "%s.%s%s%s", vm, row, dot, backing);
	put(cost->el2, "insns", "pmu", "%s.%s%s%s.el2", vm, row, dot, backing);
	put_counts(&cost->counts, vm, row, backing);
}

/*
 * The VM's end alone: what its VMM frees then goes to lists of this CPU's, and
 * whether these are full at that moment is not the VM's doing.
 */
static void vm_close_fn(void *vm)
{
	kvm_vm_release(vm);
}

static void vm_free_closed(struct kvm_vm *vm)
{
	/* It closes them once more. */
	vm->fd = open_path_or_exit("/dev/null", O_RDONLY);
	vm->kvm_fd = open_path_or_exit("/dev/null", O_RDONLY);
	vm->arch.has_gic = false;
	kvm_vm_free(vm);
}

static struct cost vm_empty_rows(bool protected, bool print)
{
	struct bench_vm b;
	struct cost start, end;

	b = bench_vm_create(protected, NULL, 0);
	start = cost_of(bench_vm_run_fn, &b);
	section(print ? "%s.first_run" : "-", b.name);
	end = cost_of(vm_close_fn, b.vm);
	section(print ? "%s.teardown.empty" : "-", b.name);
	vm_free_closed(b.vm);
	if (print) {
		/* What of it is the protected guest's is not counted. */
		put(start.ticks, "insns", "cntvct", "%s.first_run", b.name);
		put_cost(&end, b.name, "teardown", "empty");
	}

	return end;
}

/* In KiB.  What CPUs keep in their lists is free, too, and MemFree does not have it. */
static u64 free_memory(void)
{
	u64 pages = 0, count;
	char line[128];
	FILE *f;

	/* kvfree_rcu() keeps what it is given for five seconds. */
	usleep(deterministic ? 12 * 1000 * 1000 : 100 * 1000);

	f = fopen("/proc/zoneinfo", "r");
	TEST_ASSERT(f, "/proc/zoneinfo: %s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " count: %lu", &count) == 1)
			pages += count;
	}
	fclose(f);

	return proc_value("/proc/meminfo", "MemFree") + pages * getpagesize() / 1024;
}

static void vm_life_rows(bool protected, bool first)
{
	struct raw_vm raw = { .type = protected ? KVM_VM_TYPE_ARM_PROTECTED : 0 };
	const char *name = vm_name(protected);
	struct cost cost, sum = {};
	int cycles = first && protected ? opt.cycles : min(opt.cycles, 10);
	u64 free_before, free_after, tables;
	int i;

	raw.kvm_fd = open_kvm_dev_path_or_exit();
	if (wanted("%s.create", name)) {
		cost = cost_of(raw_create_vm, &raw);
		section("%s.create", name);
		put_cost(&cost, name, "create", "");
		cost = cost_of(raw_create_vcpu, &raw);
		section("%s.create_vcpu", name);
		put_cost(&cost, name, "create_vcpu", "");
		raw_close(&raw);
	}

	if (wanted("%s.first_run", name) || wanted("%s.teardown.empty", name))
		vm_empty_rows(protected, true);

	if (cycles && wanted("%s.life", name)) {
		tables = counts_now().tables;
		/* The first ones grow what is kept: caches, and what waits for a grace period. */
		for (i = 0; i < cycles; i++)
			raw_live(&raw);
		free_before = free_memory();
		for (i = 0; i < cycles; i++) {
			cost = cost_of(raw_live, &raw);
			sum.insns += cost.insns;
			sum.el2 += cost.el2;
		}
		sum.counts = cost.counts;	/* of the last one */
		section("%s.life:%d/%d", name, cycles, cycles);
		sum.insns = cost.insns == NO_VALUE ? NO_VALUE : sum.insns / cycles;
		sum.el2 = cost.el2 == NO_VALUE ? NO_VALUE : sum.el2 / cycles;
		put_cost(&sum, name, "life", "");
		free_after = free_memory();
		if (first && protected) {
			put(free_before - min(free_before, free_after), "KiB", "-",
			    "%s.life.lost", name);
			put(tables, "pages", "el2", "%s.life.host_tables.before", name);
			put(counts_now().tables, "pages", "el2", "%s.life.host_tables.after", name);
		}
	}
	close(raw.kvm_fd);
}

/* Rows of memory */

static const char * const backings[] = { "4k", "thp", "hugetlb" };

static void touch_pages(char *mem, u64 size)
{
	u64 i;

	for (i = 0; i < size; i += SZ_4K)
		WRITE_ONCE(mem[i], 1);
}

static void *backing_alloc(const char *backing, u64 size)
{
	bool thp = !strcmp(backing, "thp"), hugetlb = !strcmp(backing, "hugetlb");
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (hugetlb ? MAP_HUGETLB : 0);
	u64 huge = thp ? proc_value("/proc/self/smaps_rollup", "AnonHugePages") : 0;
	void *mem, *aligned;

	/* At a huge page's boundary; the rest is trimmed. */
	mem = mmap(NULL, size + (hugetlb ? 0 : SZ_2M), PROT_READ | PROT_WRITE, flags, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	if (!hugetlb) {
		aligned = align_ptr_up(mem, SZ_2M);
		if (aligned != mem)
			munmap(mem, aligned - mem);
		if (mem + SZ_2M != aligned)
			munmap(aligned + size, mem + SZ_2M - aligned);
		mem = aligned;
		madvise(mem, size, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	}
	touch_pages(mem, size);

	if (thp && proc_value("/proc/self/smaps_rollup", "AnonHugePages") - huge < size / 1024) {
		ksft_print_msg("no transparent huge pages\n");
		munmap(mem, size);
		return NULL;
	}

	return mem;
}

/* What is done for the first time costs more, and it shows whether EL2 is there at all. */
static void warm_up(bool pkvm)
{
	void *mem = backing_alloc("thp", SZ_2M);
	struct bench_vm b;
	struct cost cost;
	int protected;

	for (protected = 0; protected <= pkvm; protected++) {
		b = bench_vm_create(protected, mem, SZ_2M);
		cost = cost_of(bench_vm_run_fn, &b);
		section("-");
		if (mem && bench_vm_do(&b, OP_TOUCH, SZ_2M / SZ_4K, 1) != NO_VALUE)
			section("-");
		else if (mem)
			section_given_up();
		if (!protected)
			el2_apart = cost.el2;
		kvm_vm_free(b.vm);
	}
	if (mem)
		munmap(mem, SZ_2M);
}

static u64 host_memory(const char *key)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	if (fd >= 0) {
		if (write(fd, "1", 1) != 1)
			ksft_print_msg("stat_refresh: %s\n", strerror(errno));
		close(fd);
	}

	return proc_value("/proc/meminfo", key) * 1024;
}

static u64 grown(u64 before, u64 after)
{
	return (after - min(before, after)) / (opt.size / SZ_1M);
}

static u64 beyond(u64 all, u64 empty)
{
	if (all == NO_VALUE || empty == NO_VALUE)
		return all;
	return all - min(all, empty);
}

static void vm_memory_rows(bool protected, const char *backing)
{
	const char *name = vm_name(protected);
	struct cost cost, empty;
	u64 slab, tables, val;
	struct counts counts;
	struct bench_vm b;
	void *mem;

	if (!wanted("%s.touch.%s", name, backing) && !wanted("%s.teardown.%s", name, backing) &&
	    !wanted("%s.share.%s", name, backing))
		return;

	mem = backing_alloc(backing, opt.size);
	if (!mem) {
		put(NO_VALUE, "insns", "cntvct", "%s.touch.%s", name, backing);
		return;
	}

	empty = vm_empty_rows(protected, false);
	b = bench_vm_create(protected, mem, opt.size);
	bench_vm_run(&b);
	slab = host_memory("Slab");
	tables = host_memory("SecPageTables");

	counts = counts_now();
	val = bench_vm_do(&b, OP_TOUCH, opt.size / SZ_4K, 1);
	counts = counts_since(&counts);
	if (val != NO_VALUE)
		section("%s.touch.%s", name, backing);
	else
		section_given_up();
	put(val, "insns", "cntvct", "%s.touch.%s", name, backing);
	if (val == NO_VALUE)
		goto out;
	put_counts(&counts, name, "touch", backing);
	put(grown(slab, host_memory("Slab")), "bytes/MiB", "-", "%s.memory.%s.slab", name, backing);
	put(grown(tables, host_memory("SecPageTables")), "bytes/MiB", "-",
	    "%s.memory.%s.tables", name, backing);

	if (protected && wanted("%s.share.%s", name, backing)) {
		val = bench_vm_do(&b, OP_SHARE, opt.size / SZ_4K, 1);
		section("%s.share.%s", name, backing);
		put(val, "insns", "cntvct", "%s.share.%s", name, backing);
		val = bench_vm_do(&b, OP_UNSHARE, opt.size / SZ_4K, 1);
		section("%s.unshare.%s", name, backing);
		put(val, "insns", "cntvct", "%s.unshare.%s", name, backing);
	}

	cost = cost_of(vm_close_fn, b.vm);
	section("%s.teardown.%s", name, backing);
	vm_free_closed(b.vm);
	cost.insns = beyond(cost.insns, empty.insns);
	cost.el2 = beyond(cost.el2, empty.el2);
	put_cost(&cost, name, "teardown", backing);
	munmap(mem, opt.size);
	return;
out:
	kvm_vm_free(b.vm);
	munmap(mem, opt.size);
}

static void vm_rows(bool protected, bool first)
{
	int before = nr_rows, i;

	vm_guest_rows(protected);
	vm_life_rows(protected, first);
	for (i = 0; i < ARRAY_SIZE(backings); i++)
		vm_memory_rows(protected, backings[i]);

	ksft_test_result(nr_rows > before || opt.nr_rows,
			 "rows_of_a_%sprotected_vm\n", protected ? "" : "non_");
}

/* Rows of the host */

static void touch_all(void *mem)
{
	touch_pages(mem, opt.touch);
}

/* Only the first time is it of interest. */
static void host_touch_row(void)
{
	struct cost cost;
	void *mem;

	if (!opt.touch || !wanted("host.touch_all"))
		return;

	mem = mmap(NULL, opt.touch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(mem != MAP_FAILED, "mmap() of %lu bytes", (ulong)opt.touch);
	cost = cost_of(touch_all, mem);
	section("host.touch_all");
	put_cost(&cost, "host", "touch_all", "");
	munmap(mem, opt.touch);
}

static void batch(void *calls)
{
	adv_batch(calls, NR_HYPERCALLS);
}

/* Of a call of the host's, what EL2 has of it: of as many as are in one ioctl() */
static void host_call_row(const char *name, u32 conduit, u64 fid)
{
	static struct adv_call calls[NR_HYPERCALLS];
	struct cost cost = { NO_VALUE, NO_VALUE, NO_VALUE };
	const char *why;
	int i;

	if (!wanted("host.%s", name))
		return;

	why = __adv_open();
	if (why) {
		ksft_print_msg("host.%s: %s\n", name, why);
	} else {
		for (i = 0; i < NR_HYPERCALLS; i++)
			calls[i] = (struct adv_call) {
				.conduit = conduit, .cpu = ADV_CPU_ANY, .x[0] = fid,
			};
		cost = cost_of(batch, calls);
		section("host.%s:%d", name, NR_HYPERCALLS);
	}
	put(cost.el2 == NO_VALUE ? NO_VALUE : (cost.el2 + NR_HYPERCALLS / 2) / NR_HYPERCALLS,
	    "insns", "pmu", "host.%s.el2", name);
}

/* A page is shared with the secure world, and taken back. */
struct ffa_share {
	u64 tx;
	u64 rx;
	u64 page;
	bool failed;
};

static u64 ffa(u64 *x)
{
	TEST_ASSERT(!__adv_call(ADV_SMC, 0, ADV_CPU_ANY, x), "SMC faults");

	return (u32)x[0];
}

static bool ffa_ok(u64 fid, u64 x1, u64 x2, u64 x3)
{
	u64 x[ADV_NR_XREGS] = { fid, x1, x2, x3 };

	return ffa(x) == FFA_SUCCESS;
}

static void ffa_share(void *arg)
{
	struct ffa_share *share = arg;
	u64 x[ADV_NR_XREGS] = { FFA_MEM_SHARE, 112, 112 };

	if (ffa(x) != FFA_SUCCESS || !ffa_ok(FFA_MEM_RECLAIM, (u32)x[2], (u32)x[3], 0))
		share->failed = true;
}

/* The transaction is as FF-A 1.2 has it. */
static bool ffa_setup(struct ffa_share *share)
{
	u64 x[ADV_NR_XREGS] = { FFA_VERSION, FFA_VERSION_1_2 };
	u64 desc[14] = {};
	u16 partition;

	if (ffa(x) != FFA_VERSION_1_2)
		return false;

	share->tx = adv_page_alloc(0, NULL);
	share->rx = adv_page_alloc(0, NULL);
	share->page = adv_page_alloc(0, NULL);
	if (!ffa_ok(FFA_RXTX_MAP, share->tx, share->rx, 1) ||
	    !ffa_ok(FFA_PARTITION_INFO_GET, 0, 0, 0))
		return false;
	adv_read(share->rx, ADV_NORMAL, &partition, sizeof(partition));
	ffa_ok(FFA_RX_RELEASE, 0, 0, 0);

	desc[0] = 0x2full << 16;		/* attributes: normal memory */
	desc[3] = 1ull << 32 | 32;		/* one receiver, described in 32 bytes */
	desc[4] = 48;				/* from there */
	desc[6] = partition | 6ull << 16 | 80ull << 32;	/* may write; ranges: from there */
	desc[10] = 1ull << 32 | 1;		/* a page in a range */
	desc[12] = share->page;
	desc[13] = 1;

	return !adv_write(share->tx, ADV_NORMAL, desc, sizeof(desc));
}

static void host_ffa_row(void)
{
	u64 el2 = NO_VALUE, iterations = opt.iterations;
	struct ffa_share share = {};
	struct cost cost;
	bool bound;

	if (!wanted("host.ffa_share") || __adv_open())
		return;

	/* The kernel's driver has buffers of its own. */
	bound = !write_file(FFA_DRIVER "unbind", "arm-ffa");
	if (ffa_setup(&share)) {
		ffa_share(&share);
		while (iterations--) {
			cost = cost_of(ffa_share, &share);
			el2 = min(el2, cost.el2);
		}
		section("host.ffa_share:%d/%d", opt.iterations, opt.iterations);
		if (share.failed)
			el2 = NO_VALUE;
	}
	put(el2, "insns", "pmu", "host.ffa_share.el2");

	if (share.tx) {
		ffa_ok(FFA_RXTX_UNMAP, 0, 0, 0);
		if (adv_page_free(share.tx) || adv_page_free(share.rx) || adv_page_free(share.page))
			ksft_print_msg("pages of FF-A are lost\n");
	}
	if (bound && write_file(FFA_DRIVER "bind", "arm-ffa"))
		ksft_print_msg("the kernel's FF-A driver is lost\n");
}

static void host_rows(void)
{
	host_call_row("hypercall", ADV_HVC, NO_HYPERCALL);
	host_call_row("smc_denied", ADV_SMC, DENIED_SMC);
	host_call_row("psci_version", ADV_SMC, PSCI_0_2_FN_PSCI_VERSION);
	host_ffa_row();
}

static void boot_rows(void)
{
	u64 now = timer_get_cntct(VIRTUAL), idle = 0;
	FILE *f;

	f = fopen("/proc/stat", "r");
	TEST_ASSERT(f && fscanf(f, "cpu %*u %*u %*u %lu", &idle) == 1, "/proc/stat");
	fclose(f);
	now -= min(now, idle * (timer_get_cntfrq() / 100));
	put(now, "insns", "cntvct", "boot.init");
	put(proc_value("/proc/meminfo", "MemTotal"), "KiB", "-", "boot.memtotal");
}

static void help(const char *name)
{
	printf("Usage: %s [OPTION]...\n"
	       "  -r RUNS        repetitions of each row (1)\n"
	       "  -s MIB         memory of a guest that is touched, shared, torn down (2)\n"
	       "  -i ITERATIONS  of what is measured in a loop (10)\n"
	       "  -c CYCLES      lives of a VM (2)\n"
	       "  -a MIB         memory of the host that is touched (0)\n"
	       "  -t PATTERN     only the rows that match it, or another such pattern\n"
	       "  -b             only what the boot took: for the first process\n", name);
	exit(0);
}

int main(int argc, char *argv[])
{
	cpu_set_t cpu0;
	bool pkvm;
	int c, r;

	while ((c = getopt(argc, argv, "r:s:i:c:a:t:bh")) != -1) {
		switch (c) {
		case 'r':
			opt.runs = atoi_positive("runs", optarg);
			break;
		case 's':
			opt.size = (u64)atoi_positive("MiB", optarg) * SZ_1M;
			break;
		case 'i':
			opt.iterations = atoi_positive("iterations", optarg);
			break;
		case 'c':
			opt.cycles = atoi_non_negative("cycles", optarg);
			break;
		case 'a':
			opt.touch = (u64)atoi_non_negative("MiB", optarg) * SZ_1M;
			break;
		case 't':
			TEST_ASSERT(opt.nr_rows < ARRAY_SIZE(opt.rows), "Too many patterns");
			opt.rows[opt.nr_rows++] = optarg;
			break;
		case 'b':
			boot_rows();
			return 0;
		default:
			help(argv[0]);
		}
	}
	TEST_ASSERT(!(opt.size % SZ_2M), "The size has to be a multiple of 2 MiB");

	ksft_print_header();
	TEST_REQUIRE(getpagesize() == SZ_4K);
	pkvm = kvm_has_pkvm();
	ksft_set_plan(2 + opt.runs * 3);

	/* One CPU has the counters. */
	CPU_ZERO(&cpu0);
	CPU_SET(0, &cpu0);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(cpu0), &cpu0), "sched_setaffinity()");
	/* Without SA_RESTART, for KVM_RUN to return */
	sigaction(SIGALRM, &(struct sigaction) { .sa_handler = on_alarm }, NULL);
	pmu_open(&pmu, 0, -1);
	cost_setup();
	self_loop();
	self_idle();
	warm_up(pkvm);

	host_touch_row();
	for (r = 0; r < opt.runs; r++) {
		host_rows();
		ksft_test_result_pass("rows_of_the_host\n");
		vm_rows(false, !r);
		if (pkvm)
			vm_rows(true, !r);
		else
			ksft_test_result_skip("rows_of_a_protected_vm\n");
	}

	ksft_finished();
}
