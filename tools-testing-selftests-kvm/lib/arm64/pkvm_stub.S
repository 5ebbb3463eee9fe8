/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a CPU runs that the host has turned on, see pkvm_stub.h.
 *
 * x19: struct pkvm_stub, x24: where to go on after an exception, which leaves
 * ESR_EL1 in x23.
 */
#include "pkvm_stub.h"

	.pushsection .rodata
	.balign 8
	.global pkvm_stub, pkvm_stub_end, pkvm_stub_vector, pkvm_stub_vector_end
pkvm_stub:
	mov	x19, x0
	str	x0, [x19, #PKVM_STUB_X0]
	mrs	x1, CurrentEL
	str	x1, [x19, #PKVM_STUB_EL]
	/* Higher up it has said enough. */
	cmp	x1, #(1 << 2)
	b.ne	8f
	adr	x1, pkvm_stub + PKVM_STUB_VECTORS
	msr	vbar_el1, x1
	isb

	ldr	x20, [x19, #PKVM_STUB_NR_TRIES]
	add	x21, x19, #PKVM_STUB_TRIES
1:	cbz	x20, 5f
	ldr	x22, [x21]
	mov	x23, xzr
	adr	x24, 2f
	ldr	x1, [x22]
2:	str	x23, [x21, #8]
	/* A store of what was read, if it was. */
	mov	x2, x23
	mov	x23, xzr
	adr	x24, 3f
	cbnz	x2, 6f
	str	x1, [x22]
	b	3f
6:	str	xzr, [x22]
3:	str	x23, [x21, #16]
	/* Don't run what is open to writes, there is more to say. */
	cbz	x23, 4f
	mov	x23, xzr
	adr	x24, 4f
	mov	x30, x24
	br	x22
4:	str	x23, [x21, #24]
	add	x21, x21, #PKVM_STUB_TRY_SIZE
	sub	x20, x20, #1
	b	1b

5:	ldr	x20, [x19, #PKVM_STUB_NR_CALLS]
	add	x21, x19, #PKVM_STUB_CALLS
7:	cbz	x20, 8f
	ldr	x0, [x21]
	adr	x1, pkvm_stub
	hvc	#0
	stp	x0, x1, [x21, #8]
	add	x21, x21, #PKVM_STUB_CALL_SIZE
	sub	x20, x20, #1
	b	7b

8:	mov	x1, #1
	dsb	sy
	str	x1, [x19, #PKVM_STUB_DONE]
	ldr	x1, [x19, #PKVM_STUB_RESUME]
	cbz	x1, 9f
	br	x1
9:	ldr	x1, [x19, #PKVM_STUB_RELEASE]
	cbz	x1, 9b
	movz	w0, #0x8400, lsl #16		// PSCI_0_2_FN_CPU_OFF
	movk	w0, #2
	smc	#0
	b	9b
pkvm_stub_end:

pkvm_stub_vector:
	mrs	x23, esr_el1
	msr	elr_el1, x24
	eret
pkvm_stub_vector_end:
	.popsection
