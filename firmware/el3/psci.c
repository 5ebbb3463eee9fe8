// SPDX-License-Identifier: GPL-2.0-only
/* PSCI 1.1 (DEN0022). A CPU that is off waits here, in EL3, for the SGI of CPU_ON. */
#include "el3.h"

#define SUCCESS			0
#define NOT_SUPPORTED		-1
#define INVALID_PARAMETERS	-2
#define DENIED			-3
#define ALREADY_ON		-4
#define ON_PENDING		-5
#define INVALID_ADDRESS		-9

/* The numbers of the functions, 0x84000000 and 0xc4000000 taken away. */
enum {
	PSCI_VERSION, CPU_SUSPEND, CPU_OFF_FN, CPU_ON_FN, AFFINITY_INFO, MIGRATE, MIGRATE_INFO_TYPE,
	MIGRATE_INFO_UP_CPU, SYSTEM_OFF, SYSTEM_RESET, PSCI_FEATURES, CPU_FREEZE,
	CPU_DEFAULT_SUSPEND, NODE_HW_STATE, SYSTEM_SUSPEND, SET_SUSPEND_MODE, STAT_RESIDENCY,
	STAT_COUNT, SYSTEM_RESET2, MEM_PROTECT, MEM_PROTECT_CHECK_RANGE,
};
/* Those that are here, by their numbers: as SMC32, as SMC64. */
#define FN32	(BIT(PSCI_VERSION) | BIT(CPU_SUSPEND) | BIT(CPU_OFF_FN) | BIT(CPU_ON_FN) | \
		 BIT(AFFINITY_INFO) | BIT(MIGRATE_INFO_TYPE) | BIT(SYSTEM_OFF) | \
		 BIT(SYSTEM_RESET) | BIT(PSCI_FEATURES) | BIT(SYSTEM_SUSPEND) | \
		 BIT(SYSTEM_RESET2) | BIT(MEM_PROTECT) | BIT(MEM_PROTECT_CHECK_RANGE))
#define FN64_ONLY (BIT(CPU_SUSPEND) | BIT(CPU_ON_FN) | BIT(AFFINITY_INFO) | BIT(SYSTEM_SUSPEND) | \
		 BIT(SYSTEM_RESET2) | BIT(MEM_PROTECT_CHECK_RANGE))

bool mem_protect, no_reset;
static struct lock psci_lock;
extern u64 ready;

static void gpio_pulse(u32 pin)
{
	write32(read32(SECURE_GPIO_BASE + 0x400) | 1 << pin, SECURE_GPIO_BASE + 0x400);	/* output */
	write32(0, SECURE_GPIO_BASE + (4 << pin));
	write32(1 << pin, SECURE_GPIO_BASE + (4 << pin));
	for (;;)
		wfi();
}

void system_off(void)
{
	gpio_pulse(0);
	__builtin_unreachable();
}

static void system_reset(void)
{
	if (mem_protect)
		print("el3: reset with MEM_PROTECT on: memory would be wiped\r\n");
	/* The other CPUs come out of reset at the same time as the boot CPU, and look at this. */
	ready = 0;
	clean_to_poc(&ready, sizeof(ready));
	gpio_pulse(1);
}

/* At EL2, as after a reset: the MMU and the caches off, exceptions masked, x0 the context. */
void psci_enter(struct regs *r, u64 entry, u64 context)
{
	*r = (struct regs) {
		.x[0] = context,
		.elr = entry,
		.spsr = 0x3c9,			/* EL2h; D, A, I, F */
	};
	write_sysreg(0x30c50830, sctlr_el2);
	write_sysreg(0, hcr_el2);
	isb();
}

/* A CPU that is off hears of nothing but its SGI: group 1 is off, too. */
void psci_wait_off(struct regs *r)
{
	struct cpu *cpu = &cpus[this_cpu()];
	u64 intid;

	write_sysreg(0, icc_igrpen1_el3);
	isb();
	while (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) != CPU_ON_PENDING)  {
		wfi();
		intid = read_sysreg(icc_iar0_el1);
		if (intid < 1020)
			write_sysreg(intid, icc_eoir0_el1);
	}
	psci_enter(r, cpu->entry, cpu->context);
	__atomic_store_n(&cpu->state, CPU_ON, __ATOMIC_RELEASE);
}

/* Until an interrupt of the non-secure world is pending: whatever the host left armed. */
static void wait_for_interrupt(void)
{
	while (!(read_sysreg(isr_el1) & (BIT(8) | BIT(7) | BIT(6))))	/* A, I, F */
		wfi();
}

static struct cpu *find_cpu(u64 mpidr)
{
	if (mpidr >= MAX_CPUS || cpus[mpidr].state == CPU_ABSENT)
		return NULL;
	return &cpus[mpidr];
}

static bool valid_entry(u64 entry) { return !(entry & 3) && in_ram(entry, 4); }

static s64 cpu_on(u64 mpidr, u64 entry, u64 context)
{
	struct cpu *cpu = find_cpu(mpidr);
	s64 ret = SUCCESS;

	if (!cpu)
		return INVALID_PARAMETERS;
	if (!valid_entry(entry))
		return INVALID_ADDRESS;
	lock(&psci_lock);
	switch (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE)) {
	case CPU_ON:
		ret = ALREADY_ON;
		break;
	case CPU_ON_PENDING:
		ret = ON_PENDING;
		break;
	default:
		cpu->entry = entry;
		cpu->context = context;
		__atomic_store_n(&cpu->state, CPU_ON_PENDING, __ATOMIC_RELEASE);
		dsb();
		write_sysreg((u64)GIC_SGI << 24 | BIT(mpidr), icc_sgi0r_el1);
		isb();
	}
	unlock(&psci_lock);
	return ret;
}

/* Levels above 0 are of one cluster: on if any of its CPUs is. */
static s64 affinity_info(u64 mpidr, u64 level)
{
	const u64 mask = level < 3 ? ~0ULL << (8 * level) : ~0ULL << 32;
	s64 ret = INVALID_PARAMETERS;

	if (level > 3 || mpidr & ~0xff00ffffffULL)
		return INVALID_PARAMETERS;
	for (u64 i = 0; i < MAX_CPUS; i++) {
		if (cpus[i].state == CPU_ABSENT || (i ^ mpidr) & mask)
			continue;
		switch (__atomic_load_n(&cpus[i].state, __ATOMIC_ACQUIRE)) {
		case CPU_ON:
			return 0;
		case CPU_ON_PENDING:
			ret = 2;
			break;
		default:
			ret = ret == 2 ? 2 : 1;
		}
	}
	return ret;
}

static s64 system_suspend(struct regs *r, u64 entry, u64 context)
{
	s64 ret = SUCCESS;

	if (!valid_entry(entry))
		return INVALID_ADDRESS;
	lock(&psci_lock);
	for (u32 i = 0; i < MAX_CPUS; i++)
		if (i != this_cpu() && cpus[i].state > CPU_OFF)
			ret = DENIED;
	unlock(&psci_lock);
	if (ret)
		return ret;
	wait_for_interrupt();
	psci_enter(r, entry, context);
	return SUCCESS;
}

static s64 features(u32 fid)
{
	const u32 fn = fid & 0x1f, smccc_version = 0x80000000;
	const u64 known = fid & FN64 ? FN64_ONLY : FN32;

	if (fid == smccc_version)
		return SUCCESS;
	if ((fid & ~(0x1f | FN64)) != 0x84000000 || !(known & BIT(fn)))
		return NOT_SUPPORTED;
	return SUCCESS;		/* CPU_SUSPEND: original format, platform-coordinated */
}

/* Returns false when the caller is not where the registers lead to. */
bool psci(struct regs *r, u32 fn)
{
	const u64 a1 = arg(r, 1), a2 = arg(r, 2), a3 = arg(r, 3);
	bool returns = true;
	s64 ret = NOT_SUPPORTED;

	if (!((r->x[0] & FN64 ? FN64_ONLY : FN32) & BIT(fn)))
		fn = ~0;
	switch (fn) {
	case PSCI_VERSION:
		ret = 0x10001;
		break;
	case PSCI_FEATURES:
		ret = features(a1);
		break;
	case CPU_ON_FN:
		ret = cpu_on(a1, a2, a3);
		break;
	case CPU_OFF_FN:
		lock(&psci_lock);
		__atomic_store_n(&cpus[this_cpu()].state, CPU_OFF, __ATOMIC_RELEASE);
		unlock(&psci_lock);
		psci_wait_off(r);
		return false;
	case CPU_SUSPEND:
		if (a1 & ~0x0301ffffULL) {
			ret = INVALID_PARAMETERS;
		} else if (!(a1 & BIT(16))) {		/* standby */
			wfi();
			ret = SUCCESS;
		} else if (!valid_entry(a2)) {
			ret = INVALID_ADDRESS;
		} else {				/* power-down */
			wait_for_interrupt();
			psci_enter(r, a2, a3);
			return false;
		}
		break;
	case SYSTEM_SUSPEND:
		ret = system_suspend(r, a1, a2);
		if (ret == SUCCESS)
			return false;
		break;
	case AFFINITY_INFO:
		ret = affinity_info(a1, a2);
		break;
	case MIGRATE_INFO_TYPE:
		ret = 2;				/* no Trusted OS to migrate */
		break;
	case SYSTEM_OFF:
		system_off();
	case SYSTEM_RESET:
		if (no_reset)
			break;
		system_reset();
		break;
	case SYSTEM_RESET2:
		ret = a1 ? INVALID_PARAMETERS : DENIED;	/* 0: a warm reset, which keeps memory */
		if (a1 || no_reset)
			break;
		mem_protect = false;
		system_reset();
		break;
	case MEM_PROTECT:
		ret = a1 > 1 ? INVALID_PARAMETERS : mem_protect;
		if (a1 <= 1)
			mem_protect = a1;
		break;
	case MEM_PROTECT_CHECK_RANGE:
		ret = a2 && in_ram(a1, a2) ? SUCCESS : DENIED;
		break;
	}
	r->x[0] = ret;
	return returns;
}
