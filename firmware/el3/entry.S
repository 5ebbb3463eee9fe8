/* SPDX-License-Identifier: GPL-2.0-only */
/* The reset vector, the exception vectors of EL3, and the way out of it. */
#include "el3.h"

	.macro	mov64, reg, val
	movz	\reg, :abs_g3:\val
	movk	\reg, :abs_g2_nc:\val
	movk	\reg, :abs_g1_nc:\val
	movk	\reg, :abs_g0_nc:\val
	.endm

/*
 * Reset, of all CPUs at once: QEMU's virt with firmware of one's own keeps none back. The CPU
 * with affinity 0 prepares memory, the others wait for it with the MMU off.
 */
	.section .text.start, "ax"
	.global	_start
_start:
	msr	daifset, #15
	mov64	x0, 0x30c51830			/* RES1, I: the MMU is off */
	msr	sctlr_el3, x0
	adrp	x0, vectors
	add	x0, x0, :lo12:vectors
	msr	vbar_el3, x0
	isb
	mrs	x19, mpidr_el1
	mov64	x0, 0xff00ffffff
	and	x19, x19, x0
	cmp	x19, #MAX_CPUS
	b.hs	park
	msr	tpidr_el3, x19
	adrp	x0, stacks
	add	x1, x19, #1
	mov	x2, #STACK_SIZE
	madd	x0, x1, x2, x0
	sub	sp, x0, #FRAME_SIZE
	adrp	x20, ready
	add	x20, x20, :lo12:ready
	cbnz	x19, secondary

	str	xzr, [x20]			/* it survived the reset; see system_reset() */
	adrp	x0, __data_start		/* .data out of flash, .bss and stacks cleared */
	adrp	x1, __data_end
	adrp	x2, __data_load
1:	cmp	x0, x1
	b.hs	2f
	ldp	x3, x4, [x2], #16
	stp	x3, x4, [x0], #16
	b	1b
2:	adrp	x1, __bss_end
3:	cmp	x0, x1
	b.hs	4f
	stp	xzr, xzr, [x0], #16
	b	3b
4:	bl	scan_device_tree		/* where RAM is; the page tables need it */
	bl	make_page_tables
	bl	mmu_on
	mov	x0, sp
	bl	boot
	mov64	x0, READY_MAGIC
	str	x0, [x20]
	dc	cvac, x20			/* the others read it with the caches off */
	dsb	sy
	b	leave

secondary:
	mov64	x1, READY_MAGIC
1:	ldr	x0, [x20]
	cmp	x0, x1
	b.ne	1b
	dmb	sy
	bl	mmu_on
	mov	x0, sp
	bl	boot_secondary
	b	leave

park:	wfi
	b	park

mmu_on:
	mov64	x0, 0xff00			/* 0: device-nGnRnE, 1: normal write-back */
	msr	mair_el3, x0
	mov64	x0, (1 << 31 | 1 << 23 | 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 25)
	msr	tcr_el3, x0			/* 39 bits, 4 KiB, cacheable, PA of 40 bits */
	adrp	x0, page_table
	msr	ttbr0_el3, x0
	tlbi	alle3
	ic	iallu
	dsb	sy
	isb
	mov64	x0, 0x30cd183d			/* RES1, M, C, SA, I, WXN */
	msr	sctlr_el3, x0
	isb
	ret

	/* x2 to x29, in the frame at sp */
	.macro	pairs, op
	.irp	n, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28
	.altmacro
	pair	\op, \n, %(\n + 1)
	.noaltmacro
	.endr
	.endm
	.macro	pair, op, a, b
	\op	x\a, x\b, [sp, #\a * 8]
	.endm

	.macro	vector, handler
	.balign	0x80
	sub	sp, sp, #FRAME_SIZE
	stp	x0, x1, [sp]
	stp	x29, x30, [sp, #29 * 8]
	adr	x1, \handler
	b	enter
	.endm

	.section .text
	.balign	0x800
vectors:
	.rept	8				/* from EL3 itself: none is expected */
	vector	unexpected
	.endr
	.rept	2				/* from AArch64, then from AArch32 */
	vector	handle_sync
	vector	unexpected			/* SCR_EL3 routes IRQ and SError elsewhere */
	vector	handle_fiq
	vector	unexpected
	.endr

enter:
	pairs	stp
	mrs	x2, elr_el3
	mrs	x3, spsr_el3
	stp	x2, x3, [sp, #31 * 8]
	mov	x0, sp
	mov	x29, xzr
	blr	x1
	/* Nothing of EL3 goes down: every register but the results is what the caller had. */
leave:
	ldp	x2, x3, [sp, #31 * 8]
	msr	elr_el3, x2
	msr	spsr_el3, x3
	ldp	x0, x1, [sp]
	pairs	ldp
	ldr	x30, [sp, #30 * 8]
	add	sp, sp, #FRAME_SIZE
	eret
	dsb	nsh				/* no speculation past the return */
	isb

	.section .bss.stacks, "aw", %nobits
	.balign	4096
stacks:	.skip	MAX_CPUS * STACK_SIZE
