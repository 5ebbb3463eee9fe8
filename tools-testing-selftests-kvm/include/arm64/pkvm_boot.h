/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entry code of a protected vCPU, and the layout of struct pkvm_boot, which
 * it reads.
 */
#ifndef SELFTEST_KVM_PKVM_BOOT_H
#define SELFTEST_KVM_PKVM_BOOT_H

#define PKVM_BOOT_MAIR		0x00
#define PKVM_BOOT_TCR		0x08
#define PKVM_BOOT_TTBR0		0x10
#define PKVM_BOOT_VBAR		0x18
#define PKVM_BOOT_VCPU_ID	0x20
#define PKVM_BOOT_STACK		0x28
#define PKVM_BOOT_START		0x30
#define PKVM_BOOT_SCTLR		0x38
#define PKVM_BOOT_SELF		0x40

#ifndef __ASSEMBLER__
extern char pkvm_entry[], pkvm_entry_end[];
#endif

#endif /* SELFTEST_KVM_PKVM_BOOT_H */
