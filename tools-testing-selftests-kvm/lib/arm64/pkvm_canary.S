/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest code that knows the value of every register.
 *
 * canary_*(): one exit of the guest with a value of the caller's choice in every general
 * purpose and FP register, NZCV and the stack pointer that is not in use.
 *
 * The other stack pointer is what finds the values again.  Nothing else may
 * use a stack meanwhile, so no exception may be taken.
 *
 * pkvm_reset_probe: a vCPU's first instructions, with the MMU off.
 */
#include "pkvm_canary.h"

#define LOAD(reg)	(CANARY_LOAD + CANARY_##reg)
#define GOT(reg)	(CANARY_GOT + CANARY_##reg)

	.text

	/* x0: struct canary_window.  Loads everything but x30. */
canary_enter:
	mov	x1, sp
	str	x1, [x0, #CANARY_SAVED_SP]

	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	ldr	q\n, [x0, #(LOAD(V) + 16 * \n)]
	.endr
	ldr	x1, [x0, #LOAD(FPCR)]
	msr	fpcr, x1
	ldr	x1, [x0, #LOAD(FPSR)]
	msr	fpsr, x1
	ldr	x1, [x0, #LOAD(NZCV)]
	msr	nzcv, x1

	ldr	x1, [x0, #LOAD(SP)]
	ldr	x2, [x0, #CANARY_ON_SP_EL0]
	cbnz	x2, 1f
	msr	sp_el0, x1
	mov	sp, x0
	b	2f
1:	msr	sp_el0, x0
	mov	sp, x1
	msr	spsel, #0
2:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
	ldr	x\n, [sp, #(LOAD(X) + 8 * \n)]
	.endr
	ret

	/* Stores everything but x30. */
canary_leave:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
	str	x\n, [sp, #(GOT(X) + 8 * \n)]
	.endr
	mrs	x1, nzcv
	str	x1, [sp, #GOT(NZCV)]

	mov	x0, sp
	mrs	x1, spsel
	cbz	x1, 1f
	mrs	x1, sp_el0
	b	2f
1:	msr	spsel, #1
	mov	x1, sp
2:	str	x1, [x0, #GOT(SP)]
	ldr	x1, [x0, #CANARY_SAVED_SP]
	mov	sp, x1

	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	str	q\n, [x0, #(GOT(V) + 16 * \n)]
	.endr
	mrs	x1, fpcr
	str	x1, [x0, #GOT(FPCR)]
	mrs	x1, fpsr
	str	x1, [x0, #GOT(FPSR)]
	msr	fpcr, xzr
	msr	fpsr, xzr
	ret

	.macro	canary_begin name
	.global	\name
\name:
	stp	x29, x30, [sp, #-160]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	bl	canary_enter
	ldr	x30, [sp, #(LOAD(X) + 8 * 30)]
	.endm

	.macro	canary_end
	str	x9, [x10]
	str	x30, [sp, #(GOT(X) + 8 * 30)]
	bl	canary_leave
	ldp	d14, d15, [sp, #144]
	ldp	d12, d13, [sp, #128]
	ldp	d10, d11, [sp, #112]
	ldp	d8, d9, [sp, #96]
	ldp	x27, x28, [sp, #80]
	ldp	x25, x26, [sp, #64]
	ldp	x23, x24, [sp, #48]
	ldp	x21, x22, [sp, #32]
	ldp	x19, x20, [sp, #16]
	ldp	x29, x30, [sp], #160
	ret
	.endm

	canary_begin canary_mmio_read
	ldr	x5, [x6]
	canary_end

	canary_begin canary_mmio_write
	str	x5, [x6]
	canary_end

	canary_begin canary_fault
	ldr	x5, [x6]
	canary_end

	canary_begin canary_wfi
	wfi
	canary_end

	canary_begin canary_hvc
	hvc	#0
	canary_end

	canary_begin canary_id_reg
	mrs	x5, id_aa64pfr0_el1
	canary_end

	canary_begin canary_timer_reg
	mrs	x5, cntp_ctl_el0
	canary_end

	/* ICC_SGI1R_EL1 */
	canary_begin canary_sgi
	msr	s3_0_c12_c11_5, x5
	canary_end

	canary_begin canary_spin
1:	ldr	w5, [x6]
	cbz	w5, 1b
	canary_end

	.balign	16
	.global pkvm_reset_probe
pkvm_reset_probe:
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
	str	x\n, [x0, #(CANARY_X + 8 * \n)]
	.endr
	mov	x1, sp
	str	x1, [x0, #CANARY_SP]
	mrs	x1, nzcv
	str	x1, [x0, #CANARY_NZCV]

	add	x2, x0, #RESET_PROBE_SYSREGS
	.irp	reg, sctlr_el1, cpacr_el1, ttbr0_el1, ttbr1_el1, tcr_el1, mair_el1, \
		     amair_el1, vbar_el1, contextidr_el1, esr_el1, far_el1, afsr0_el1, \
		     afsr1_el1, par_el1, elr_el1, spsr_el1, tpidr_el0, tpidrro_el0, \
		     tpidr_el1, cntkctl_el1, cntv_ctl_el0, cntv_cval_el0, sp_el0, spsel, \
		     daif, currentel
	mrs	x1, \reg
	str	x1, [x2], #8
	.endr

	mov	x1, #(3 << 20)
	msr	cpacr_el1, x1
	isb
	mrs	x1, fpcr
	str	x1, [x0, #CANARY_FPCR]
	mrs	x1, fpsr
	str	x1, [x0, #CANARY_FPSR]
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	str	q\n, [x0, #(CANARY_V + 16 * \n)]
	.endr

	ldr	x2, [x0, #RESET_PROBE_ENTRY]
	ldr	x0, [x0, #RESET_PROBE_CONTEXT]
	br	x2
	.global pkvm_reset_probe_end
pkvm_reset_probe_end:

	.section .note.GNU-stack, "", %progbits
