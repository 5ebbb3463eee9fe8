/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Execution of an instruction that may take any exception.
 *
 * The kernel's own fault handling is no help: it knows fixups for user space
 * accesses, while anything else that happens to the kernel is fatal.  So
 * VBAR_EL1 points to vectors of our own for the duration of the operation, with
 * all of DAIF masked, and an exception ends the operation.
 *
 * The code under test may leave any general purpose register changed.  What
 * says where the state is saved is TPIDR_EL0, as it is user space's, and
 * TPIDRRO_EL0 serves as scratch; both are restored.
 */
#include <linux/linkage.h>

#include <asm/assembler.h>
#include <asm/ptrace.h>
#include <asm/sysreg.h>

#include "adv.h"

	.arch_extension lse

#define FRAME_X29	0
#define FRAME_X19	16
#define FRAME_X18	96
#define FRAME_REGS	104
#define FRAME_TPIDR	112
#define FRAME_VBAR	128
#define FRAME_SP_EL0	144
#define FRAME_X1	152
#define FRAME_SIZE	160

#define SPSR_SS_BIT	(1 << 21)
#define SPSR_CLEAR	(PSR_IL_BIT | SPSR_SS_BIT | PSR_BTYPE_MASK | PSR_MODE32_BIT | PSR_MODE_MASK)
#define SPSR_SET	(PSR_D_BIT | PSR_A_BIT | PSR_I_BIT | PSR_F_BIT | PSR_MODE_EL1h)

/*
 * void adv_guard(struct adv_regs *regs, const void *code, bool irqs)
 */
SYM_FUNC_START(adv_guard)
	stp	x29, x30, [sp, #-FRAME_SIZE]!
	mov	x29, sp
	stp	x19, x20, [sp, #FRAME_X19]
	stp	x21, x22, [sp, #FRAME_X19 + 16]
	stp	x23, x24, [sp, #FRAME_X19 + 32]
	stp	x25, x26, [sp, #FRAME_X19 + 48]
	stp	x27, x28, [sp, #FRAME_X19 + 64]
	stp	x18, x0, [sp, #FRAME_X18]
	mov	x19, x1
	mov	x20, x0
	mov	w21, w2
	mrs	x2, tpidr_el0
	mrs	x3, tpidrro_el0
	stp	x2, x3, [sp, #FRAME_TPIDR]
	mrs	x2, vbar_el1
	mrs	x3, daif
	stp	x2, x3, [sp, #FRAME_VBAR]
	mrs	x2, sp_el0
	str	x2, [sp, #FRAME_SP_EL0]

	msr	daifset, #0xf
	mov	x2, sp
	msr	tpidr_el0, x2
	adr_l	x2, adv_vectors
	msr	vbar_el1, x2
	isb

	ldp	x0, x1, [x20]
	ldp	x2, x3, [x20, #16]
	ldp	x4, x5, [x20, #32]
	ldp	x6, x7, [x20, #48]
	ldp	x8, x9, [x20, #64]
	ldp	x10, x11, [x20, #80]
	ldp	x12, x13, [x20, #96]
	ldp	x14, x15, [x20, #112]
	ldp	x16, x17, [x20, #128]
	/* From here on the registers are those that the operation leaves. */
	cbz	w21, 1f
	msr	daifclr, #2
1:	blr	x19
	msr	daifset, #0xf

	/* What the operation has raised as an SError is its result, too. */
	dsb	sy
	isb
	msr	daifclr, #4
	isb
	msr	daifset, #4

	msr	tpidrro_el0, x0
	mrs	x0, tpidr_el0
	ldr	x0, [x0, #FRAME_REGS]
	str	x1, [x0, #8]
	mov	x1, xzr
	b	adv_leave
SYM_FUNC_END(adv_guard)

/*
 * x0: struct adv_regs, x1: enum adv_vector, TPIDRRO_EL0: x0 of the code, whose x1
 * is saved already
 */
SYM_CODE_START_LOCAL(adv_leave)
	stp	x2, x3, [x0, #16]
	stp	x4, x5, [x0, #32]
	stp	x6, x7, [x0, #48]
	stp	x8, x9, [x0, #64]
	stp	x10, x11, [x0, #80]
	stp	x12, x13, [x0, #96]
	stp	x14, x15, [x0, #112]
	stp	x16, x17, [x0, #128]
	mrs	x2, tpidrro_el0
	str	x2, [x0]

	mrs	x3, tpidr_el0
	mov	sp, x3
	str	x1, [x0, #ADV_REGS_FAULT]
	cbz	x1, .Ladv_return

	mrs	x2, esr_el1
	mrs	x3, far_el1
	stp	x2, x3, [x0, #ADV_REGS_FAULT + 8]
	mrs	x2, elr_el1
	mrs	x3, spsr_el1
	stp	x2, x3, [x0, #ADV_REGS_FAULT + 24]

	/* Go back to the PSTATE that the exception has interrupted. */
	mov_q	x4, SPSR_CLEAR
	bic	x3, x3, x4
	mov_q	x4, SPSR_SET
	orr	x3, x3, x4
	msr	spsr_el1, x3
	adr_l	x2, .Ladv_return
	msr	elr_el1, x2
	eret
	sb

.Ladv_return:
	ldp	x2, x3, [sp, #FRAME_TPIDR]
	msr	tpidr_el0, x2
	msr	tpidrro_el0, x3
	ldr	x2, [sp, #FRAME_SP_EL0]
	msr	sp_el0, x2
	ldp	x2, x3, [sp, #FRAME_VBAR]
	msr	vbar_el1, x2
	isb
	msr	daif, x3
	ldr	x18, [sp, #FRAME_X18]
	ldp	x27, x28, [sp, #FRAME_X19 + 64]
	ldp	x25, x26, [sp, #FRAME_X19 + 48]
	ldp	x23, x24, [sp, #FRAME_X19 + 32]
	ldp	x21, x22, [sp, #FRAME_X19 + 16]
	ldp	x19, x20, [sp, #FRAME_X19]
	ldp	x29, x30, [sp], #FRAME_SIZE
	ret
SYM_CODE_END(adv_leave)

/*
 * The exception is not the operation's.  That is what EL2 does when it panics:
 * it branches to the kernel's panic function.  Put the kernel's vectors back and
 * let the exception happen again, to the kernel.
 */
SYM_CODE_START_LOCAL(adv_not_ours)
	ldr	x1, [x0, #FRAME_VBAR]
	msr	vbar_el1, x1
	isb
	ldr	x1, [x0, #FRAME_X1]
	mrs	x0, tpidrro_el0
	eret
	sb
SYM_CODE_END(adv_not_ours)

.macro adv_vector vector
	.align	7
	msr	tpidrro_el0, x0
	mrs	x0, tpidr_el0
	str	x1, [x0, #FRAME_X1]
	mov	x1, sp
	sub	x1, x1, x0
	cbnz	x1, adv_not_ours
	ldr	x1, [x0, #FRAME_X1]
	ldr	x0, [x0, #FRAME_REGS]
	str	x1, [x0, #8]
	mov	x1, #\vector
	b	adv_leave
.endm

	.align	11
SYM_CODE_START_LOCAL(adv_vectors)
	.rept	4				// EL1t, EL1h, EL0 64 bit, EL0 32 bit
	adv_vector 1				// ADV_SYNC
	adv_vector 2				// ADV_IRQ
	adv_vector 3				// ADV_FIQ
	adv_vector 4				// ADV_SERROR
	.endr
SYM_CODE_END(adv_vectors)

/*
 * The operations: x0 is the address, x1 and x2 are operands, x0 and x1 results.
 */
.macro adv_op name, insn:vararg
SYM_FUNC_START(adv_op_\name)
	\insn
	ret
SYM_FUNC_END(adv_op_\name)
.endm

	adv_op	read8, ldrb w0, [x0]
	adv_op	read16, ldrh w0, [x0]
	adv_op	read32, ldr w0, [x0]
	adv_op	read64, ldr x0, [x0]
	adv_op	ldtr, ldtr x0, [x0]
	adv_op	ldp, ldp x0, x1, [x0]
	adv_op	write8, strb w1, [x0]
	adv_op	write16, strh w1, [x0]
	adv_op	write32, str w1, [x0]
	adv_op	write64, str x1, [x0]
	adv_op	sttr, sttr x1, [x0]
	adv_op	stp, stp x1, x2, [x0]
	adv_op	dc_civac, dc civac, x0
	adv_op	dc_cvac, dc cvac, x0
	adv_op	dc_cvau, dc cvau, x0
	adv_op	dc_ivac, dc ivac, x0
	adv_op	dc_zva, dc zva, x0
	adv_op	ic_ivau, ic ivau, x0
	adv_op	prfm, prfm pldl1keep, [x0]

SYM_FUNC_START(adv_op_cas_lse)
	casal	x1, x2, [x0]
	mov	x0, x1
	mov	x1, xzr
	ret
SYM_FUNC_END(adv_op_cas_lse)

SYM_FUNC_START(adv_op_ldadd_lse)
	ldaddal	x1, x2, [x0]
	mov	x0, x2
	mov	x1, xzr
	ret
SYM_FUNC_END(adv_op_ldadd_lse)

/* A monitor that never succeeds, as of memory that has none, must not hang us. */
SYM_FUNC_START(adv_op_cas_llsc)
	mov	w5, #1000
0:	ldaxr	x3, [x0]
	cmp	x3, x1
	b.ne	1f
	stlxr	w4, x2, [x0]
	cbz	w4, 1f
	sub	w5, w5, #1
	cbnz	w5, 0b
1:	mov	x0, x3
	cmp	w5, #0
	cset	x1, eq
	ret
SYM_FUNC_END(adv_op_cas_llsc)

SYM_FUNC_START(adv_op_ldadd_llsc)
	mov	w5, #1000
0:	ldaxr	x3, [x0]
	add	x2, x3, x1
	stlxr	w4, x2, [x0]
	cbz	w4, 1f
	sub	w5, w5, #1
	cbnz	w5, 0b
1:	mov	x0, x3
	cmp	w5, #0
	cset	x1, eq
	ret
SYM_FUNC_END(adv_op_ldadd_llsc)

.macro adv_op_at name, insn:vararg
SYM_FUNC_START(adv_op_at_\name)
	\insn
	isb
	mrs	x0, par_el1
	ret
SYM_FUNC_END(adv_op_at_\name)
.endm

	adv_op_at s1e1r, at s1e1r, x0
	adv_op_at s1e1w, at s1e1w, x0
	adv_op_at s1e0r, at s1e0r, x0
	adv_op_at s12e1r, sys #4, c7, c8, #4, x0

SYM_FUNC_START(adv_op_copy)
	orr	x3, x0, x1
	orr	x3, x3, x2
	tst	x3, #7
	b.ne	1f
0:	cbz	x2, 2f
	ldr	x3, [x1], #8
	str	x3, [x0], #8
	sub	x2, x2, #8
	b	0b
1:	cbz	x2, 2f
	ldrb	w3, [x1], #1
	strb	w3, [x0], #1
	sub	x2, x2, #1
	b	1b
2:	ret
SYM_FUNC_END(adv_op_copy)

/* Emulation takes interrupts at branches only: let there be one between the stores. */
.macro adv_op_flip bits, store, reg
SYM_FUNC_START(adv_op_flip\bits)
0:	cbz	x3, 2f
	\store	\reg\()1, [x0]
	b	1f
1:	\store	\reg\()2, [x0]
	sub	x3, x3, #1
	b	0b
2:	ret
SYM_FUNC_END(adv_op_flip\bits)
.endm

	adv_op_flip 8, strb, w
	adv_op_flip 16, strh, w
	adv_op_flip 32, str, w
	adv_op_flip 64, str, x
