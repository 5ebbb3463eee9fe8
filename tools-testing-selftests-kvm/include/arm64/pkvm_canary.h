/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code that makes one exit with a chosen value in every register, and
 * tells what is in the registers afterwards: pkvm_canary.S.
 */
#ifndef SELFTEST_KVM_PKVM_CANARY_H
#define SELFTEST_KVM_PKVM_CANARY_H

/* Offsets in struct canary_regs */
#define CANARY_X		0x000
#define CANARY_SP		0x0f8
#define CANARY_NZCV		0x100
#define CANARY_FPCR		0x108
#define CANARY_FPSR		0x110
#define CANARY_V		0x120
#define CANARY_REGS_SIZE	0x320

/* Offsets in struct canary_window */
#define CANARY_LOAD		0x000
#define CANARY_GOT		CANARY_REGS_SIZE
#define CANARY_SAVED_SP		(2 * CANARY_REGS_SIZE)
#define CANARY_ON_SP_EL0	(2 * CANARY_REGS_SIZE + 8)

/* Offsets in struct reset_probe */
#define RESET_PROBE_ENTRY	CANARY_REGS_SIZE
#define RESET_PROBE_CONTEXT	(CANARY_REGS_SIZE + 8)
#define RESET_PROBE_SYSREGS	(CANARY_REGS_SIZE + 16)

#define NR_RESET_SYSREGS	26

#ifndef __ASSEMBLER__
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/types.h>

struct canary_regs {
	u64	x[31];
	u64	sp;		/* the one of SP_EL0 and SP_EL1 that is not in use */
	u64	nzcv;
	u64	fpcr;
	u64	fpsr;
	u64	pad;
	u64	v[32][2];
};

struct canary_window {
	struct canary_regs	load;
	struct canary_regs	got;
	u64			saved_sp;
	u64			on_sp_el0;	/* run on SP_EL0, for a canary in SP_EL1 */
} __aligned(16);

/*
 * Guest side: load all registers, make the exit, tell the VMM to look by an
 * MMIO write of x9 to [x10] with everything still loaded, and store all
 * registers.  Exceptions have to be masked.  What the exit itself needs:
 *
 *   mmio_read, fault: load x5 from [x6]	mmio_write: store x5 to [x6]
 *   sgi: x5, the value for ICC_SGI1R_EL1	hvc: the call in x0...
 *   id_reg, timer_reg: x5 is what is read
 *   spin: wait until the word at [x6] is not 0, it is in x5 then
 */
void canary_mmio_read(struct canary_window *w);
void canary_mmio_write(struct canary_window *w);
void canary_fault(struct canary_window *w);
void canary_wfi(struct canary_window *w);
void canary_hvc(struct canary_window *w);
void canary_id_reg(struct canary_window *w);
void canary_timer_reg(struct canary_window *w);
void canary_sgi(struct canary_window *w);
void canary_spin(struct canary_window *w);

/*
 * All of it, for a vCPU: canaries, and the system registers that can be anything
 * for a moment.  Which bits of them a CPU implements is found out by reading back.
 */
#define NR_CANARY_SYSREGS	30

/* There are none in these while the timer is used, or without pointer authentication. */
#define CANARY_G_ALWAYS		BIT(0)
#define CANARY_G_TIMER		BIT(1)
#define CANARY_G_PTRAUTH	BIT(2)

struct canary_cpu {
	struct canary_window	window;
	struct canary_regs	regs;		/* canaries, from here */
	u64			sp[2];
	u64			sys[NR_CANARY_SYSREGS];
	u64			groups;
	u64			sys_load[NR_CANARY_SYSREGS];
	u64			sys_got[NR_CANARY_SYSREGS];
	u64			sys_saved[NR_CANARY_SYSREGS];
};

/*
 * Guest side, in this order: set window.load to the canaries, where the caller
 * then changes what its exit needs; run the window; assert that nothing has
 * changed but the general-purpose registers of @changed.  @exit is for messages.
 */
void canary_load(struct canary_cpu *cpu, bool on_sp_el0);
void canary_run(struct canary_cpu *cpu, void (*window)(struct canary_window *w), u64 groups);
void canary_check(struct canary_cpu *cpu, u64 groups, u64 changed, int exit);

struct canary {
	char name[20];
	u64 val;
	bool found;
};

#define MAX_CANARIES	(31 + 64 + 2 + NR_CANARY_SYSREGS)

/* VMM side: choose the canaries, before the guest runs */
void canary_create(struct canary_cpu *cpu, u64 groups);
/*
 * Those that are long enough to be looked for, without the general-purpose registers
 * of @except.  Returns their number, MAX_CANARIES at most.
 */
int canary_list(const struct canary_cpu *cpu, u64 except, struct canary *list);
/* Does the CPU's register have all bits of it?  After the guest ran, if it is not protected. */
bool canary_is_held(const struct canary_cpu *cpu, const struct canary *canary);

struct reset_probe {
	struct canary_regs	regs;		/* as they were, but for x0; sp is SP_EL1 */
	u64			entry;		/* where to go on, and what to put into x0 */
	u64			context;
	u64			sysregs[NR_RESET_SYSREGS];	/* in the order of pkvm_canary.S */
} __aligned(16);

/*
 * An entry point of a vCPU, to be copied to any address: x0 is the IPA of a
 * struct reset_probe in memory that was not touched with the MMU on before.
 */
extern char pkvm_reset_probe[], pkvm_reset_probe_end[];
#endif

#endif /* SELFTEST_KVM_PKVM_CANARY_H */
