/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does TLBI VALE2IS work while HCR_EL2.E2H is set? It is what EL2 uses in hVHE to move its fixmap
 * from one page to the next. Runs bare at EL2 on QEMU's virt machine: maps a page, reads it, maps
 * another page at the same address with break-before-make (Arm ARM D8.17), reads again, and prints
 * "fresh" or, if it got the first page, "stale".
 */
#define UART		0x09000000
#define VA		0x80000000
#define PAGE		0x403			/* valid, AF; block or page by bit 1 */
#define BLOCK		0x401
#define NORMAL		(1 << 2 | 3 << 8)	/* MAIR index 1, inner shareable */
#define TABLE		3

	.text
	.global _start
_start:
	mov	x0, #(1 << 31)			/* HCR_EL2.RW */
	orr	x0, x0, #(1 << 34)		/* HCR_EL2.E2H */
	msr	hcr_el2, x0
	isb

	/* 0-1 GiB devices, 1-2 GiB this program, 2 GiB the page under test */
	adrp	x1, l1
	mov	x0, #BLOCK
	str	x0, [x1]
	ldr	x0, =(0x40000000 | BLOCK | NORMAL)
	str	x0, [x1, #8]
	adrp	x2, l2
	orr	x0, x2, #TABLE
	str	x0, [x1, #16]
	adrp	x3, l3
	orr	x0, x3, #TABLE
	str	x0, [x2]
	adrp	x4, first
	adrp	x5, second
	mov	x0, #1
	str	x0, [x4]
	mov	x0, #2
	str	x0, [x5]
	ldr	x6, =(PAGE | NORMAL)
	orr	x0, x4, x6
	str	x0, [x3]

	ldr	x0, =0xff00
	msr	mair_el2, x0
	ldr	x0, =(25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32)
	msr	tcr_el2, x0			/* 39 bits, 4 KiB, the EL1 format: E2H */
	msr	ttbr0_el2, x1
	dsb	sy
	tlbi	alle2
	dsb	sy
	isb
	mrs	x0, sctlr_el2
	orr	x0, x0, #1
	msr	sctlr_el2, x0
	isb

	ldr	x7, =VA
	ldr	x8, [x7]
	cmp	x8, #1
	b.ne	broken

	str	xzr, [x3]
	dsb	ishst
	lsr	x0, x7, #12
	tlbi	vale2is, x0
	dsb	ish
	isb
	orr	x0, x5, x6
	str	x0, [x3]
	dsb	ishst
	isb

	ldr	x8, [x7]
	adr	x1, fresh
	cmp	x8, #2
	b.eq	print
	adr	x1, stale
	cmp	x8, #1
	b.eq	print
broken:
	adr	x1, failed
print:
	ldr	x2, =UART
1:	ldrb	w0, [x1], #1
	cbz	w0, off
	strb	w0, [x2]
	b	1b
off:
	ldr	x0, =0x84000008			/* PSCI SYSTEM_OFF */
	smc	#0
	b	.

fresh:	.asciz	"fresh\n"
stale:	.asciz	"stale\n"
failed:	.asciz	"the probe failed\n"

	.bss
	.balign	4096
l1:	.skip	4096
l2:	.skip	4096
l3:	.skip	4096
first:	.skip	4096
second:	.skip	4096
