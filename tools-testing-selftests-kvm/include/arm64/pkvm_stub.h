/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a CPU runs at EL1 that the host has turned on at an entry point of its
 * own, before any of the kernel's code: it says where it is, tries to get at
 * memory and makes hypercalls.  Then it goes where it is told to; without that it
 * waits, and turns itself off.
 *
 * Copied, code at 0 and a vector for each exception from PKVM_STUB_VECTORS on.
 * It is entered with x0 the address of struct pkvm_stub, and with the MMU off.
 */
#ifndef SELFTEST_KVM_PKVM_STUB_H
#define SELFTEST_KVM_PKVM_STUB_H

#define PKVM_STUB_VECTORS	0x1000

#define PKVM_STUB_EL		0x00
#define PKVM_STUB_NR_TRIES	0x08
#define PKVM_STUB_NR_CALLS	0x10
#define PKVM_STUB_DONE		0x18
#define PKVM_STUB_RELEASE	0x20
#define PKVM_STUB_X0		0x28
#define PKVM_STUB_RESUME	0x30
#define PKVM_STUB_TRIES		0x38
#define PKVM_STUB_MAX_TRIES	8
#define PKVM_STUB_TRY_SIZE	0x20
#define PKVM_STUB_CALLS		(PKVM_STUB_TRIES + PKVM_STUB_MAX_TRIES * PKVM_STUB_TRY_SIZE)
#define PKVM_STUB_CALL_SIZE	0x18

#ifndef __ASSEMBLER__
#include <linux/types.h>

#include "kvm_util.h"

/* 0: it worked, or ESR_EL1 */
struct pkvm_stub_try {
	u64 pa;
	u64 read;
	u64 write;
	u64 exec;
};

struct pkvm_stub_call {
	u64 id;
	u64 x0;
	u64 x1;
};

struct pkvm_stub {
	u64 current_el;
	u64 nr_tries;
	u64 nr_calls;
	u64 done;		/* set when all is tried */
	u64 release;		/* set by who waits for that */
	u64 x0;
	u64 resume;		/* physical address to go on at, or 0 */
	struct pkvm_stub_try tries[PKVM_STUB_MAX_TRIES];
	struct pkvm_stub_call calls[16];
};

kvm_static_assert(offsetof(struct pkvm_stub, current_el) == PKVM_STUB_EL);
kvm_static_assert(offsetof(struct pkvm_stub, nr_tries) == PKVM_STUB_NR_TRIES);
kvm_static_assert(offsetof(struct pkvm_stub, nr_calls) == PKVM_STUB_NR_CALLS);
kvm_static_assert(offsetof(struct pkvm_stub, done) == PKVM_STUB_DONE);
kvm_static_assert(offsetof(struct pkvm_stub, release) == PKVM_STUB_RELEASE);
kvm_static_assert(offsetof(struct pkvm_stub, x0) == PKVM_STUB_X0);
kvm_static_assert(offsetof(struct pkvm_stub, resume) == PKVM_STUB_RESUME);
kvm_static_assert(offsetof(struct pkvm_stub, tries) == PKVM_STUB_TRIES);
kvm_static_assert(offsetof(struct pkvm_stub, calls) == PKVM_STUB_CALLS);
kvm_static_assert(sizeof(struct pkvm_stub_try) == PKVM_STUB_TRY_SIZE);
kvm_static_assert(sizeof(struct pkvm_stub_call) == PKVM_STUB_CALL_SIZE);

extern char pkvm_stub[], pkvm_stub_end[];
extern char pkvm_stub_vector[], pkvm_stub_vector_end[];
#endif

#endif /* SELFTEST_KVM_PKVM_STUB_H */
