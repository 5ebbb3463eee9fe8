// SPDX-License-Identifier: GPL-2.0-only
/*
 * A canary in every register that a guest has: pkvm_canary.S for those that are
 * needed to run at all, and the system registers.
 */
#include <stdio.h>
#include <sys/random.h>

#include "kvm_util.h"
#include "pkvm_canary.h"
#include "processor.h"
#include "ucall_common.h"

/* A register has to have this many bits for its value to be looked for. */
#define MIN_CANARY_BITS	32

/*
 * System registers, and the bits of them that can be anything for a moment:
 * no exception is taken, EL0 not entered, nothing translated by TTBR1_EL1.
 * Which of these bits a CPU implements is found out by reading back.
 */
#define ACCESSORS(reg)					\
static u64 read_##reg(void)				\
{							\
	return read_sysreg_s(SYS_##reg);		\
}							\
							\
static void write_##reg(u64 val)			\
{							\
	write_sysreg_s(val, SYS_##reg);			\
}

ACCESSORS(TPIDR_EL0)
ACCESSORS(TPIDRRO_EL0)
ACCESSORS(TPIDR_EL1)
ACCESSORS(CONTEXTIDR_EL1)
ACCESSORS(ELR_EL1)
ACCESSORS(SPSR_EL1)
ACCESSORS(ESR_EL1)
ACCESSORS(FAR_EL1)
ACCESSORS(PAR_EL1)
ACCESSORS(AFSR0_EL1)
ACCESSORS(AFSR1_EL1)
ACCESSORS(VBAR_EL1)
ACCESSORS(TTBR0_EL1)
ACCESSORS(TTBR1_EL1)
ACCESSORS(TCR_EL1)
ACCESSORS(MAIR_EL1)
ACCESSORS(AMAIR_EL1)
ACCESSORS(CNTKCTL_EL1)
ACCESSORS(CNTV_CVAL_EL0)
ACCESSORS(CNTP_CVAL_EL0)
ACCESSORS(APIAKEYLO_EL1)
ACCESSORS(APIAKEYHI_EL1)
ACCESSORS(APIBKEYLO_EL1)
ACCESSORS(APIBKEYHI_EL1)
ACCESSORS(APDAKEYLO_EL1)
ACCESSORS(APDAKEYHI_EL1)
ACCESSORS(APDBKEYLO_EL1)
ACCESSORS(APDBKEYHI_EL1)
ACCESSORS(APGAKEYLO_EL1)
ACCESSORS(APGAKEYHI_EL1)

#define SYSREG(reg, _mask, _group)					\
{									\
	.name	= #reg,							\
	.read	= read_##reg,						\
	.write	= write_##reg,						\
	.mask	= _mask,						\
	.wide	= __builtin_popcountl(_mask) >= MIN_CANARY_BITS,	\
	.group	= _group,						\
}

static const struct {
	const char *name;
	u64 (*read)(void);
	void (*write)(u64 val);
	u64 mask;
	bool wide;
	u64 group;
} sysregs[NR_CANARY_SYSREGS] = {
	SYSREG(TPIDR_EL0, ~0ul, CANARY_G_ALWAYS),
	SYSREG(TPIDRRO_EL0, ~0ul, CANARY_G_ALWAYS),
	SYSREG(TPIDR_EL1, ~0ul, CANARY_G_ALWAYS),
	SYSREG(CONTEXTIDR_EL1, GENMASK(31, 0), CANARY_G_ALWAYS),
	SYSREG(ELR_EL1, ~0ul, CANARY_G_ALWAYS),
	SYSREG(SPSR_EL1, GENMASK(31, 0), CANARY_G_ALWAYS),
	SYSREG(ESR_EL1, GENMASK(31, 0), CANARY_G_ALWAYS),
	SYSREG(FAR_EL1, ~0ul, CANARY_G_ALWAYS),
	SYSREG(PAR_EL1, ~0ul, CANARY_G_ALWAYS),
	SYSREG(AFSR0_EL1, ~0ul, CANARY_G_ALWAYS),
	SYSREG(AFSR1_EL1, ~0ul, CANARY_G_ALWAYS),
	SYSREG(VBAR_EL1, GENMASK(63, 11), CANARY_G_ALWAYS),
	SYSREG(TTBR0_EL1, GENMASK(55, 48), CANARY_G_ALWAYS),
	SYSREG(TTBR1_EL1, GENMASK(55, 12), CANARY_G_ALWAYS),
	SYSREG(TCR_EL1, GENMASK(29, 24), CANARY_G_ALWAYS),
	SYSREG(MAIR_EL1, GENMASK(63, 48), CANARY_G_ALWAYS),
	SYSREG(AMAIR_EL1, ~0ul, CANARY_G_ALWAYS),
	SYSREG(CNTKCTL_EL1, 0x303ul, CANARY_G_ALWAYS),
	SYSREG(CNTV_CVAL_EL0, ~0ul, CANARY_G_TIMER),
	SYSREG(CNTP_CVAL_EL0, ~0ul, CANARY_G_TIMER),
	SYSREG(APIAKEYLO_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APIAKEYHI_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APIBKEYLO_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APIBKEYHI_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APDAKEYLO_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APDAKEYHI_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APDBKEYLO_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APDBKEYHI_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APGAKEYLO_EL1, ~0ul, CANARY_G_PTRAUTH),
	SYSREG(APGAKEYHI_EL1, ~0ul, CANARY_G_PTRAUTH),
};

/* Guest side */

static void sysregs_read(u64 *vals, u64 groups)
{
	int i;

	for (i = 0; i < NR_CANARY_SYSREGS; i++) {
		if (groups & sysregs[i].group)
			vals[i] = sysregs[i].read();
	}
}

static void sysregs_write(const u64 *vals, u64 groups)
{
	int i;

	for (i = 0; i < NR_CANARY_SYSREGS; i++) {
		if (groups & sysregs[i].group)
			sysregs[i].write(vals[i]);
	}
	isb();
}

void canary_load(struct canary_cpu *cpu, bool on_sp_el0)
{
	cpu->window.load = cpu->regs;
	cpu->window.load.sp = cpu->sp[on_sp_el0];
	cpu->window.on_sp_el0 = on_sp_el0;
}

void canary_run(struct canary_cpu *cpu, void (*window)(struct canary_window *w), u64 groups)
{
	int i;

	sysregs_read(cpu->sys_saved, groups);
	for (i = 0; i < NR_CANARY_SYSREGS; i++) {
		cpu->sys_load[i] = cpu->sys[i];
		if (!sysregs[i].wide)
			cpu->sys_load[i] |= cpu->sys_saved[i] & ~sysregs[i].mask;
	}
	sysregs_write(cpu->sys_load, groups);
	sysregs_read(cpu->sys_load, groups);

	window(&cpu->window);

	sysregs_read(cpu->sys_got, groups);
	sysregs_write(cpu->sys_saved, groups);
}

#define ASSERT_KEPT(exit, name, nr, got, want)					\
	__GUEST_ASSERT((got) == (want), "Exit %u: %s%u is 0x%lx, was 0x%lx",	\
		       exit, name, nr, (u64)(got), (u64)(want))

void canary_check(struct canary_cpu *cpu, u64 groups, u64 changed, int exit)
{
	const struct canary_regs *load = &cpu->window.load, *got = &cpu->window.got;
	int i;

	for (i = 0; i < ARRAY_SIZE(got->x); i++) {
		if (!(changed & BIT(i)))
			ASSERT_KEPT(exit, "x", i, got->x[i], load->x[i]);
	}
	for (i = 0; i < ARRAY_SIZE(got->v); i++) {
		ASSERT_KEPT(exit, "low half of v", i, got->v[i][0], load->v[i][0]);
		ASSERT_KEPT(exit, "high half of v", i, got->v[i][1], load->v[i][1]);
	}
	ASSERT_KEPT(exit, "SP_EL", cpu->window.on_sp_el0 ? 1 : 0, got->sp, load->sp);
	ASSERT_KEPT(exit, "NZCV", 0, got->nzcv, load->nzcv);
	ASSERT_KEPT(exit, "FPCR", 0, got->fpcr, load->fpcr);
	ASSERT_KEPT(exit, "FPSR", 0, got->fpsr, load->fpsr);
	for (i = 0; i < NR_CANARY_SYSREGS; i++) {
		if (groups & sysregs[i].group)
			ASSERT_KEPT(exit, sysregs[i].name, 0, cpu->sys_got[i], cpu->sys_load[i]);
	}
}

/* VMM side */

static u64 random_word(void)
{
	u64 val;

	TEST_ASSERT_EQ(getrandom(&val, sizeof(val), 0), sizeof(val));
	return val;
}

void canary_create(struct canary_cpu *cpu, u64 groups)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(cpu->regs.x); i++)
		cpu->regs.x[i] = random_word();
	for (i = 0; i < ARRAY_SIZE(cpu->regs.v); i++) {
		cpu->regs.v[i][0] = random_word();
		cpu->regs.v[i][1] = random_word();
	}
	for (i = 0; i < ARRAY_SIZE(cpu->sp); i++)
		cpu->sp[i] = random_word();
	for (i = 0; i < NR_CANARY_SYSREGS; i++)
		cpu->sys[i] = random_word() & sysregs[i].mask;

	cpu->regs.nzcv = random_word() & GENMASK(31, 28);
	/* Rounding, flush to zero, default NaN; the sticky flags of exceptions */
	cpu->regs.fpcr = random_word() & GENMASK(25, 22);
	cpu->regs.fpsr = random_word() & (BIT(27) | GENMASK(4, 0));
	cpu->groups = groups;
}

static void add_canary(struct canary *canary, const char *name, int nr, u64 val)
{
	*canary = (struct canary) { .val = val };
	if (nr >= 0)
		snprintf(canary->name, sizeof(canary->name), "%s%d", name, nr);
	else
		snprintf(canary->name, sizeof(canary->name), "%s", name);
}

int canary_list(const struct canary_cpu *cpu, u64 except, struct canary *list)
{
	int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(cpu->regs.x); i++) {
		if (!(except & BIT(i)))
			add_canary(&list[nr++], "x", i, cpu->regs.x[i]);
	}
	for (i = 0; i < ARRAY_SIZE(cpu->regs.v); i++) {
		add_canary(&list[nr++], "v", i, cpu->regs.v[i][0]);
		add_canary(&list[nr++], "v", i, cpu->regs.v[i][1]);
	}
	for (i = 0; i < ARRAY_SIZE(cpu->sp); i++)
		add_canary(&list[nr++], "SP_EL", i, cpu->sp[i]);
	for (i = 0; i < NR_CANARY_SYSREGS; i++) {
		if ((cpu->groups & sysregs[i].group) && sysregs[i].wide)
			add_canary(&list[nr++], sysregs[i].name, -1, cpu->sys[i]);
	}

	return nr;
}

bool canary_is_held(const struct canary_cpu *cpu, const struct canary *canary)
{
	int i;

	for (i = 0; i < NR_CANARY_SYSREGS; i++) {
		if (!strcmp(sysregs[i].name, canary->name))
			return cpu->sys_load[i] == canary->val;
	}

	return true;
}

kvm_static_assert(offsetof(struct canary_regs, x) == CANARY_X);
kvm_static_assert(offsetof(struct canary_regs, sp) == CANARY_SP);
kvm_static_assert(offsetof(struct canary_regs, nzcv) == CANARY_NZCV);
kvm_static_assert(offsetof(struct canary_regs, fpcr) == CANARY_FPCR);
kvm_static_assert(offsetof(struct canary_regs, fpsr) == CANARY_FPSR);
kvm_static_assert(offsetof(struct canary_regs, v) == CANARY_V);
kvm_static_assert(sizeof(struct canary_regs) == CANARY_REGS_SIZE);
kvm_static_assert(offsetof(struct canary_window, load) == CANARY_LOAD);
kvm_static_assert(offsetof(struct canary_window, got) == CANARY_GOT);
kvm_static_assert(offsetof(struct canary_window, saved_sp) == CANARY_SAVED_SP);
kvm_static_assert(offsetof(struct canary_window, on_sp_el0) == CANARY_ON_SP_EL0);
