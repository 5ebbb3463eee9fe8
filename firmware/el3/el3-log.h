/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the EL3 test monitor (firmware/el3) tells a test: the log of all SMCs that reached EL3, the
 * stream of its TRNG, the IDs of its FF-A partition. For the monitor, a kernel module and a
 * kselftest alike, so it includes nothing.
 *
 * The log is a ring in non-secure RAM: a /reserved-memory node of the device tree, `no-map`,
 * compatible EL3_LOG_COMPATIBLE, whose `reg` says where. A struct el3_log comes first, then
 * `count` entries. The oldest are overwritten; the monitor never waits for a reader, and never
 * reads anything of the ring again after the boot: the host may write what it likes there.
 *
 * How to read: take `next`; entry n (n < next, n + count >= next) is entries[n % count], and is
 * entry n only while its `seq` is n + 1, before and after the rest of it was copied. A call is
 * logged when it arrives; its results follow, with EL3_LOG_RETURNED, when it returns.
 */
#ifndef EL3_LOG_H
#define EL3_LOG_H

typedef unsigned int el3_u32;
typedef unsigned long long el3_u64;

#define EL3_LOG_COMPATIBLE	"pkvm-test,el3-log"
#define EL3_LOG_MAGIC		0x676f4c334c450a45ULL
#define EL3_LOG_VERSION		1

struct el3_log_entry {
	el3_u64 seq;		/* the entry's number + 1; 0 while it is being written */
	el3_u32 cpu;
	el3_u32 flags;		/* EL3_LOG_* below */
	el3_u64 x[8];		/* as they arrived; x[0] is the function ID, hint bits included */
	el3_u64 out[4];		/* x0 to x3 as they went back, once EL3_LOG_RETURNED is set */
	el3_u64 cntpct;		/* when it arrived */
	el3_u64 pc;		/* of the instruction after the SMC */
};

#define EL3_LOG_EL(flags)	((flags) & 3)	/* exception level of the caller */
#define EL3_LOG_NS		(1u << 2)	/* the caller is non-secure */
#define EL3_LOG_RETURNED	(1u << 3)	/* not set for CPU_OFF and the like */
#define EL3_LOG_MEM_PROTECT	(1u << 4)	/* was on: a reset would wipe memory */
#define EL3_LOG_IMM(flags)	((flags) >> 16)	/* the immediate of the SMC instruction */

/* The function ID without the bits that SMCCC 1.3 gives to hints. */
#define EL3_LOG_FID(entry)	((el3_u32)(entry)->x[0] & ~(1u << 16))

struct el3_log {
	el3_u64 magic;
	el3_u32 version;
	el3_u32 entry_size;	/* sizeof(struct el3_log_entry) */
	el3_u64 size;		/* of the ring, header included */
	el3_u64 count;		/* of entries in the ring */
	el3_u64 next;		/* the number of entries ever written */
	el3_u32 cpus;
	el3_u32 boots;		/* 1 after power-on; the log survives a warm reset, and counts it */
	el3_u64 reserved[10];	/* the entries begin at 128 */
	struct el3_log_entry entries[];
};

/*
 * The n-th word of the TRNG's stream, counted from power-on over all CPUs. TRNG_RND64 takes one
 * for each register that the request fills, the lowest bits (x3) first, and cuts the last to
 * the bits asked for; so does TRNG_RND32, of whose words only the upper halves are used.
 */
#define EL3_TRNG_MARK		0xe3

static inline el3_u64 el3_trng_word(el3_u64 n)
{
	el3_u64 x = (n + 1) * 0x9e3779b97f4a7c15ULL;

	x ^= x >> 32;
	return (x & 0x00ffffffffffffffULL) | (el3_u64)EL3_TRNG_MARK << 56;
}

#define EL3_TRNG_UUID		{ 0xe3e3e3e3, 0x70b14c4e, 0x474e5254, 0x00000001 }

/*
 * Calls of the monitor's own, among the OEM's, with which a test has it do what firmware should
 * not, or looks at more of a call than the log has.
 *
 * EL3_TEST_REGISTERS: returns 0 in x0, and in x1 which bits of x18 to x30 were set, all ORed; in
 * x2 the same of all calls since it was last called.
 * EL3_TEST_TRNG: x1 bits, x2 status, x3 fill. From now on TRNG_RND of exactly that many bits
 * returns that status in x0 and the fill in x1 to x3; 0 bits ends it.
 * EL3_TEST_RESET: with x1 1, SYSTEM_RESET and SYSTEM_RESET2 come to nothing; 0 ends it.
 */
#define EL3_TEST_REGISTERS	0xc300f001
#define EL3_TEST_TRNG		0xc300f002
#define EL3_TEST_RESET		0xc300f003

/*
 * The FF-A partition that takes memory and direct messages; it answers a message with the
 * complement of each of its words.
 */
#define EL3_FFA_PARTITION	0x8001
#define EL3_FFA_UUID		{ 0xe3e3e3e3, 0x70b14c4e, 0x41464654, 0x00000001 }
/* A transaction with this tag is taken, and the answer is FFA_MEM_OP_PAUSE. */
#define EL3_FFA_TAG_PAUSE	0x6573756170

#endif /* EL3_LOG_H */
