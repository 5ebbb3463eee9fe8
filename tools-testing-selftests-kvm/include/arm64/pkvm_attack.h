/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Everything that the host can do to a page, for tests that say what EL2 has
 * to answer.  Built on pkvm_adversary.h.
 */
#ifndef SELFTEST_KVM_PKVM_ATTACK_H
#define SELFTEST_KVM_PKVM_ATTACK_H

#include "pkvm_adversary.h"

/* Kinds of access */
#define ATTACK_READ		BIT(0)
#define ATTACK_WRITE		BIT(1)	/* atomics and exclusives, too */
#define ATTACK_EXEC		BIT(2)
#define ATTACK_ALL		(ATTACK_READ | ATTACK_WRITE | ATTACK_EXEC)

/*
 * One access, as adv_mem(), but one that never ends is a result, too:
 * ADV_FAULT_INTERRUPT.
 */
int attack_mem(enum adv_op op, u64 pa, u32 attr, int cpu);

/*
 * Access the page at @pa with all instructions of these @kinds, memory types
 * and privileges, and from all CPUs that are online.  Returns how many did not end as
 * @expected, and prints the first of them.  Writes that work leave garbage.
 */
u32 attack_page(u64 pa, u32 kinds, enum adv_fault_type expected);

/*
 * Read, or write without a change, every page of a range.  Returns how many
 * did not end as @expected, ADV_OK or ADV_FAULT_DENIED.
 */
u64 attack_range(u64 pa, u64 size, u32 kind, enum adv_fault_type expected);

/* Branch to @page at EL0.  Returns the signal, or 0 if it came back. */
int attack_exec_user(const void *page);

/*
 * Is EL2's memory out of reach from @cpu?  Looks at both ends of each struct
 * adv_target, reads and writes; returns how many of them are open.
 */
u32 attack_el2(int cpu);

/* For files that include kselftest_harness.h */
#define EXPECT_FAULT(_ret, _expected)						\
do {										\
	int __ret = (_ret), __wanted = (_expected);				\
										\
	EXPECT_EQ(__ret, __wanted)						\
		TH_LOG("%s instead of %s: ESR 0x%llx, FAR 0x%llx, ELR 0x%llx",	\
		       adv_fault_name(__ret), adv_fault_name(__wanted),		\
		       adv_last_fault()->esr, adv_last_fault()->far,		\
		       adv_last_fault()->elr);					\
} while (0)

/* The test fails as it has to: for a reason that names what will change that. */
#define XFAIL(statement, fmt, ...)						\
do {										\
	if (__test_passed(_metadata)) {						\
		snprintf(_metadata->results->reason,				\
			 sizeof(_metadata->results->reason), fmt, ##__VA_ARGS__); \
		_metadata->exit_code = KSFT_XFAIL;				\
	}									\
	statement;								\
} while (0)

#endif /* SELFTEST_KVM_PKVM_ATTACK_H */
