/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * First instructions of a vCPU of a protected VM.
 *
 * The VMM can choose nothing but PC and x0 of a protected vCPU, so the guest
 * sets up its own stage-1 from a structure in its memory that x0 points to.
 * The code is copied into a page that is mapped at its own IPA, and must not
 * depend on where it runs.
 */
#include "pkvm_boot.h"

	.text
	.balign 16

	/* x0: IPA of this vCPU's struct pkvm_boot, the MMU is off */
	.global pkvm_entry
pkvm_entry:
	ldr	x1, [x0, #PKVM_BOOT_MAIR]
	msr	mair_el1, x1
	ldr	x1, [x0, #PKVM_BOOT_TCR]
	msr	tcr_el1, x1
	ldr	x1, [x0, #PKVM_BOOT_TTBR0]
	msr	ttbr0_el1, x1
	ldr	x1, [x0, #PKVM_BOOT_VBAR]
	msr	vbar_el1, x1
	ldr	x1, [x0, #PKVM_BOOT_VCPU_ID]
	msr	tpidr_el1, x1

	/* FP and ASIMD: the compiler may use them for any structure copy */
	mov	x1, #(3 << 20)
	msr	cpacr_el1, x1

	ldr	x2, [x0, #PKVM_BOOT_STACK]
	ldr	x3, [x0, #PKVM_BOOT_START]
	ldr	x4, [x0, #PKVM_BOOT_SCTLR]
	ldr	x0, [x0, #PKVM_BOOT_SELF]

	tlbi	vmalle1
	dsb	nsh
	isb

	mrs	x1, sctlr_el1
	orr	x1, x1, x4
	msr	sctlr_el1, x1
	isb

	/* x0: the same structure's virtual address, x1: where this vCPU was started */
	adr	x1, pkvm_entry
	msr	spsel, #1
	mov	sp, x2
	br	x3

	.global pkvm_entry_end
pkvm_entry_end:

	.section .note.GNU-stack, "", %progbits
