/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What gets to EL3: the log of SMCs that a test monitor keeps, in memory that
 * the host can read.  A monitor that has one says so in the device tree, by a
 * node of /reserved-memory compatible with EL3_LOG_COMPATIBLE.
 *
 *	TEST_REQUIRE_EL3();
 *	mark = el3_log_mark();
 *	adv_smc(ADV_CPU_ANY, ...);
 *	EXPECT_EQ(el3_log_count(mark, fid), 0);
 *
 * struct el3_log and struct el3_log_entry are the monitor's.
 */
#ifndef SELFTEST_KVM_PKVM_EL3_H
#define SELFTEST_KVM_PKVM_EL3_H

#include "kvm_util.h"

#define EL3_LOG_COMPATIBLE	"pkvm-test,el3-log"
#define EL3_LOG_MAGIC		0x676f4c334c450a45ULL
#define EL3_LOG_VERSION		1

struct el3_log_entry {
	u64 seq;		/* the entry's number + 1; 0 while it is being written */
	u32 cpu;
	u32 flags;		/* EL3_LOG_* below */
	u64 x[8];		/* as they arrived */
	u64 out[4];		/* x0 to x3 as they went back, with EL3_LOG_RETURNED */
	u64 cntpct;
	u64 pc;			/* of the instruction after the SMC */
};

#define EL3_LOG_EL(flags)	((flags) & 3)	/* of the caller */
#define EL3_LOG_NS		BIT(2)		/* the caller is non-secure */
#define EL3_LOG_RETURNED	BIT(3)
#define EL3_LOG_MEM_PROTECT	BIT(4)		/* was on: a reset would wipe memory */
#define EL3_LOG_IMM(flags)	((flags) >> 16)	/* of the SMC instruction */

/* The function ID without the bit that SMCCC 1.3 gives to a hint */
#define EL3_LOG_FID(entry)	((u32)(entry)->x[0] & ~BIT(16))

/*
 * Calls of the monitor's own, among the OEM's: which bits of x18 to x30 are set,
 * ORed in x1, and in x2 those of all calls since it was last called; have
 * TRNG_RND of exactly x1 bits return the status x2, and x3 in x1 to x3, until it
 * is called with 0 bits; have resets come to nothing while x1 is 1.
 */
#define EL3_TEST_REGISTERS	0xc300f001u
#define EL3_TEST_TRNG		0xc300f002u
#define EL3_TEST_RESET		0xc300f003u

/* The UUID of the monitor's TRNG, and the upper byte of each of its random words */
#define EL3_TRNG_UUID		{ 0xe3e3e3e3, 0x70b14c4e, 0x474e5254, 0x00000001 }
#define EL3_TRNG_MARK		0xe3ul

/* A ring: entry n is entries[n % count] as long as its seq is n + 1. */
struct el3_log {
	u64 magic;
	u32 version;
	u32 entry_size;
	u64 size;
	u64 count;		/* of entries in the ring */
	u64 next;		/* the number of entries ever written */
	u32 cpus;
	u32 boots;
	u64 reserved[10];
	struct el3_log_entry entries[];
};

kvm_static_assert(sizeof(struct el3_log_entry) == 128);
kvm_static_assert(offsetof(struct el3_log, entries) == 128);

/*
 * Find the log.  Returns NULL, or the reason why there is none.  Once is enough,
 * children inherit it.  Needs the device of pkvm_adversary.h.
 */
const char *__el3_open(void);

#define TEST_REQUIRE_EL3()						\
do {									\
	const char *__why = __el3_open();				\
									\
	__TEST_REQUIRE(!__why, "no log of EL3: %s", __why);		\
} while (0)

/* Where the log is */
u64 el3_log_pa(void);

/* The number of the entry that comes next */
u64 el3_log_mark(void);

/* A copy of entry @n.  Returns false past the end; that it is lost is an assertion failure. */
bool el3_log_get(u64 n, struct el3_log_entry *entry);

#define el3_log_for_each(n, from, entry)				\
	for ((n) = (from); el3_log_get(n, entry); (n)++)

/* How often the function @fid was called, from entry @from on */
u32 el3_log_count(u64 from, u32 fid);

/* The last call of @fid from entry @from on.  Returns false if there is none. */
bool el3_log_find(u64 from, u32 fid, struct el3_log_entry *entry);

#endif /* SELFTEST_KVM_PKVM_EL3_H */
