// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_el3_smc - Which firmware calls of the host get to EL3, and with what.
 *
 * EL3 sees an SMC of EL2, and takes it for one.  So what the firmware does at the
 * host's word, with code of the host's, it would do with the rights of EL2.  The
 * firmware's log shows what it has heard of.
 *
 * Needs an EL3 monitor with a log.
 */
#include <fcntl.h>
#include <linux/psci.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_attack.h"
#include "pkvm_cpu.h"
#include "pkvm_el3.h"
#include "processor.h"
#include "test_util.h"

#include "kselftest_harness.h"

#define SMCCC_VERSION			0x80000000u
#define SDEI_VERSION			0xc4000020u
#define SDEI_EVENT_REGISTER		0xc4000021u
#define SDEI_EVENT_UNREGISTER		0xc4000027u
#define TRNG_VERSION			0x84000050u
#define FFA_VERSION			0x84000063u
#define FFA_PARTITION_INFO_GET		0x84000068u
#define FFA_ID_GET			0x84000069u
#define FFA_MEM_RELINQUISH		0x84000076u
/* Of an OEM, and nobody's */
#define OEM_CALL			0xc300f00du

/* An argument that is in no call but the test's */
#define MARKER(n)			(0x6d61726b65720000ul | (n))

#define FAST			BIT(31)
#define SMC64			BIT(30)
#define HINT			BIT(16)
#define OWNER(nr)		((u32)(nr) << 24)
#define NR_OWNERS		64

/* What a CPU service, SiP, OEM, EL3 vendor, trusted application and trusted OS may be called by */
static const u32 vendors[] = { 1, 2, 3, 7, 48, 49, 50, 57, 63 };

FIXTURE(el3_smc) {
	u64 mark;
	bool strict;
};

FIXTURE_SETUP(el3_smc)
{
	char buf[4096] = "";
	int fd;

	fd = open("/proc/cmdline", O_RDONLY);
	TEST_ASSERT(fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0, "/proc/cmdline");
	close(fd);
	self->strict = strstr(buf, "kvm-arm.host_smc_policy=strict");
	self->mark = el3_log_mark();
}

/* EL2 is the one that calls, whoever it is for. */
FIXTURE_TEARDOWN(el3_smc)
{
	struct el3_log_entry e;
	u64 n;

	el3_log_for_each(n, self->mark, &e) {
		EXPECT_EQ(EL3_LOG_EL(e.flags), 2) TH_LOG("call 0x%lx", e.x[0]);
		EXPECT_EQ(EL3_LOG_IMM(e.flags), 0) TH_LOG("call 0x%lx", e.x[0]);
		EXPECT_TRUE(e.flags & EL3_LOG_NS) TH_LOG("call 0x%lx", e.x[0]);
	}
}

/* The call of the test's with that marker */
static bool find_marker(u64 mark, u64 marker, struct el3_log_entry *e)
{
	u64 n;
	int i;

	el3_log_for_each(n, mark, e) {
		for (i = 1; i < ARRAY_SIZE(e->x); i++) {
			if (e->x[i] == marker || e->x[i] == (u32)marker)
				return true;
		}
	}

	return false;
}

static bool gets_to_el3(u64 mark, u64 marker)
{
	struct el3_log_entry e;

	return find_marker(mark, marker, &e);
}

/* x0 and a marker in each of the other registers */
static void smc(u16 imm, u64 fid, u64 *x)
{
	int i;

	for (i = 1; i < ADV_NR_XREGS; i++)
		x[i] = MARKER(i);
	x[0] = fid;
	TEST_ASSERT(!__adv_call(ADV_SMC, imm, 0, x), "SMC faults");
}

/* EL3 would run it as an event handler of EL2's. */
TEST_F(el3_smc, event_handler_of_the_hosts_is_not_registered)
{
	u64 handler = adv_sym_pa("_text");
	s64 ret;

	ret = adv_smc(0, SDEI_EVENT_REGISTER, 0, handler, MARKER(0), 0, 0);
	if (!ret)
		adv_smc(0, SDEI_EVENT_UNREGISTER, 0);
	EXPECT_EQ(ret, SMCCC_RET_NOT_SUPPORTED);
	EXPECT_FALSE(gets_to_el3(self->mark, handler));
}

/* Denied: nothing gets there, nothing but x0 changes. */
static void check_denied(struct __test_metadata *_metadata, u64 mark, u32 fid)
{
	u64 x[ADV_NR_XREGS];
	int k, hint;

	for (hint = 0; hint < 2; hint++) {
		smc(0, fid | (hint ? HINT : 0), x);
		EXPECT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED) TH_LOG("0x%x", fid);
		for (k = 1; k < ADV_NR_XREGS; k++) {
			EXPECT_EQ(x[k], MARKER(k))
				TH_LOG("0x%x: x%d", fid, k);
		}
	}
	EXPECT_EQ(el3_log_count(mark, fid), 0) TH_LOG("0x%x", fid);
}

static bool is_listed(u32 fid)
{
	u32 nr = fid & 0xffff;

	switch (fid & ~SMC64) {
	case SMCCC_VERSION:
	case SMCCC_VERSION + 1:		/* ARCH_FEATURES */
	case SMCCC_VERSION + 2:		/* SOC_ID */
	case 0x80008000:		/* WORKAROUND_1 to _3 */
	case 0x80007fff:
	case 0x80003fff:
		return !(fid & SMC64) || nr == 2;
	case TRNG_VERSION ... TRNG_VERSION + 2:
		return !(fid & SMC64);
	case TRNG_VERSION + 3:
		return true;
	}

	/* PSCI and FF-A: see the tests of them */
	return (fid & ~(SMC64 | 0xffff)) == 0x84000000 && (nr < 0x20 || (nr >= 0x60 && nr < 0xf0));
}

/* Among them SDEI, MM_COMMUNICATE, DRTM, PCI, RMI and firmware update */
TEST_F(el3_smc, standard_service_that_is_not_listed_does_not_get_there)
{
	u32 nr, wide;

	for (nr = 0; nr < 0x400; nr++) {
		for (wide = 0; wide < 2; wide++) {
			u32 fid = 0x84000000u | (wide ? SMC64 : 0) | nr;

			if (!is_listed(fid))
				check_denied(_metadata, self->mark, fid);
			/* The call that looks like it and yields is never listed. */
			if (nr < 0x40)
				check_denied(_metadata, self->mark, fid & ~BIT(31));
		}
	}
}

TEST_F(el3_smc, function_of_the_architecture_that_is_not_listed_does_not_get_there)
{
	static const u32 nrs[] = {
		2, 3, 4, 0x100, 0x3ffe, 0x3fff, 0x4000, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xff01,
		0xffff,
	};
	u32 i, wide;

	for (i = 0; i < ARRAY_SIZE(nrs); i++) {
		for (wide = 0; wide < 2; wide++) {
			u32 fid = FAST | (wide ? SMC64 : 0) | nrs[i];

			if (!is_listed(fid))
				check_denied(_metadata, self->mark, fid);
		}
	}
}

/* Those of a hypervisor, and nobody's */
TEST_F(el3_smc, service_that_is_not_the_firmwares_does_not_get_there)
{
	u32 owner;

	for (owner = 5; owner < 48; owner++) {
		if (owner == 7)
			continue;
		check_denied(_metadata, self->mark, FAST | OWNER(owner));
		check_denied(_metadata, self->mark, FAST | SMC64 | OWNER(owner) | 0xff01);
		check_denied(_metadata, self->mark, FAST | OWNER(owner) | 0x60);
	}
}

/* With one of the bits that have to be zero it is another function. */
TEST_F(el3_smc, reserved_bits_do_not_get_there)
{
	static const u32 fids[] = {
		SMCCC_VERSION, TRNG_VERSION, FFA_ID_GET, 0x84000071 /* FFA_MEM_DONATE */,
		PSCI_0_2_FN_PSCI_VERSION, PSCI_0_2_FN64_CPU_ON,
	};
	int i, bit;

	/* The proxy of FF-A lets through what it can. */
	EXPECT_GT(adv_smc(0, FFA_VERSION, 0x10002), 0);
	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		for (bit = 17; bit < 24; bit++) {
			u64 x[ADV_NR_XREGS];

			smc(0, fids[i] | BIT(bit), x);
			EXPECT_LT((s32)x[0], 0) TH_LOG("0x%lx", fids[i] | BIT(bit));
			EXPECT_EQ(el3_log_count(self->mark, fids[i] | BIT(bit)), 0)
				TH_LOG("0x%lx", fids[i] | BIT(bit));
		}
	}
}

TEST_F(el3_smc, listed_function_gets_there)
{
	static const u32 fids[] = {
		SMCCC_VERSION, SMCCC_VERSION + 1, SMCCC_VERSION + 2, SMC64 + SMCCC_VERSION + 2,
		0x80008000, 0x80007fff, 0x80003fff, 0x81000010,
		TRNG_VERSION, TRNG_VERSION + 1, TRNG_VERSION + 2, TRNG_VERSION + 3,
		SMC64 + TRNG_VERSION + 3,
	};
	u64 x[ADV_NR_XREGS];
	struct el3_log_entry e;
	int i;

	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		u64 mark = el3_log_mark();

		smc(0, fids[i], x);
		EXPECT_TRUE(find_marker(mark, MARKER(1), &e)) TH_LOG("0x%x", fids[i]);
		EXPECT_EQ((u32)e.x[0], fids[i]);
	}
	EXPECT_GE(adv_smc(0, SMCCC_VERSION), 0x10000);
	EXPECT_EQ(adv_smc(0, TRNG_VERSION), 0x10000);
	EXPECT_EQ(adv_smc(0, SMC64 + TRNG_VERSION + 3, 64), 0);
}

/* Fast calls, and those of the trusted OS that yield */
TEST_F(el3_smc, service_of_the_vendor_gets_there_unless_policy_is_strict)
{
	static const u32 yielding[] = { 0, OWNER(1), OWNER(2), OWNER(50) | 4, SMC64 | OWNER(50) };
	u64 x[ADV_NR_XREGS];
	int i;

	for (i = 0; i < ARRAY_SIZE(vendors) + ARRAY_SIZE(yielding); i++) {
		u32 fid = i < ARRAY_SIZE(vendors) ?
			FAST | SMC64 | OWNER(vendors[i]) | 0xf00d :
			yielding[i - ARRAY_SIZE(vendors)];

		smc(0, fid, x);
		EXPECT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED) TH_LOG("0x%x", fid);
		EXPECT_EQ(el3_log_count(self->mark, fid), !self->strict) TH_LOG("0x%x", fid);
	}
}

#define REMOTE		"/sys/kernel/tracing/remotes/hypervisor/"
#define EVENT		"host_smc_denied"

/* Of the last event; returns false if there is none. */
static bool last_denied(u64 *fid, u64 *count)
{
	char buf[512], *event;
	bool found = false;
	FILE *f;

	f = fopen(REMOTE "trace", "r");
	TEST_ASSERT(f, "fopen(trace)");
	while (fgets(buf, sizeof(buf), f)) {
		event = strstr(buf, EVENT ": fid=");
		if (!event)
			event = strstr(buf, EVENT " fid=");
		if (!event)
			continue;
		event = strstr(event, "fid=");
		found = sscanf(event, "fid=0x%lx count=%lu", fid, count) == 2;
	}
	fclose(f);

	return found;
}

TEST_F(el3_smc, denied_call_is_counted_and_traced)
{
	u64 x[ADV_NR_XREGS], fid, count, before;

	if (access(REMOTE "events/hypervisor/" EVENT "/enable", W_OK))
		SKIP(return, "no events of EL2 (CONFIG_NVHE_EL2_TRACING, tracefs)");
	write_file(REMOTE "trace", "0");
	ASSERT_EQ(write_file(REMOTE "events/hypervisor/" EVENT "/enable", "1"), 0);
	ASSERT_EQ(write_file(REMOTE "tracing_on", "1"), 0);

	smc(0, SDEI_EVENT_REGISTER | HINT, x);
	EXPECT_TRUE(last_denied(&fid, &before));
	EXPECT_EQ(fid, SDEI_EVENT_REGISTER | HINT);

	/* What is not traced is counted. */
	EXPECT_EQ(write_file(REMOTE "events/hypervisor/" EVENT "/enable", "0"), 0);
	smc(0, SDEI_VERSION, x);
	smc(0, BIT(40) | OEM_CALL, x);
	/* What is the proxies' */
	smc(0, PSCI_1_1_FN_MEM_PROTECT, x);
	EXPECT_GT(adv_smc(0, FFA_VERSION, 0x10002), 0);
	smc(0, FFA_MEM_RELINQUISH, x);
	EXPECT_EQ(write_file(REMOTE "events/hypervisor/" EVENT "/enable", "1"), 0);
	smc(1, OEM_CALL, x);
	EXPECT_TRUE(last_denied(&fid, &count));
	EXPECT_EQ(fid, OEM_CALL);
	EXPECT_EQ(count, before + 5);

	/* What is allowed is not. */
	smc(0, TRNG_VERSION, x);
	EXPECT_TRUE(last_denied(&fid, &count));
	EXPECT_EQ(fid, OEM_CALL);

	EXPECT_EQ(write_file(REMOTE "tracing_on", "0"), 0);
	EXPECT_EQ(write_file(REMOTE "events/hypervisor/" EVENT "/enable", "0"), 0);
	EXPECT_EQ(write_file(REMOTE "trace", "0"), 0);
}

TEST_F(el3_smc, call_with_an_immediate_does_not_get_there)
{
	static const u32 fids[] = {
		SMCCC_VERSION, PSCI_0_2_FN_PSCI_VERSION, PSCI_0_2_FN64_CPU_ON,
		PSCI_0_2_FN64_CPU_SUSPEND, PSCI_1_0_FN64_SYSTEM_SUSPEND, SDEI_VERSION,
		SDEI_EVENT_REGISTER, TRNG_VERSION, FFA_VERSION, FFA_ID_GET, OEM_CALL, 0,
	};
	static const u16 imms[] = { 1, 0x8000, 0xffff };
	u64 x[ADV_NR_XREGS];
	int i, j, k;

	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		for (j = 0; j < ARRAY_SIZE(imms); j++) {
			smc(imms[j], fids[i], x);
			EXPECT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED) TH_LOG("0x%x", fids[i]);
			for (k = 1; k < ADV_NR_XREGS; k++) {
				EXPECT_EQ(x[k], MARKER(k))
					TH_LOG("0x%x, x%d", fids[i], k);
			}
		}
	}
	for (k = 1; k < 8; k++)
		EXPECT_FALSE(gets_to_el3(self->mark, MARKER(k)));
}

/* Who looks at 32 bits only sees a call that EL2 may not have seen. */
TEST_F(el3_smc, call_with_upper_bits_does_not_get_there)
{
	static const u32 fids[] = {
		PSCI_0_2_FN64_CPU_ON, PSCI_0_2_FN_CPU_ON, PSCI_1_0_FN64_SYSTEM_SUSPEND,
		SDEI_EVENT_REGISTER, FFA_VERSION, OEM_CALL,
	};
	u64 x[ADV_NR_XREGS];
	int i, bit;

	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		for (bit = 32; bit < 64; bit++) {
			smc(0, BIT(bit) | fids[i], x);
			EXPECT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED) TH_LOG("0x%x", fids[i]);
		}
	}
	EXPECT_FALSE(gets_to_el3(self->mark, MARKER(1)));
}

/* What EL2 has no use for it answers itself. */
TEST_F(el3_smc, psci_call_that_el2_does_not_relay_does_not_get_there)
{
	/* Some of these would turn the machine off. */
	static const u32 relayed[] = {
		PSCI_0_2_FN(0x00), PSCI_0_2_FN(0x02), PSCI_0_2_FN(0x06), PSCI_0_2_FN(0x08),
		PSCI_0_2_FN(0x09), PSCI_0_2_FN(0x0a), PSCI_0_2_FN(0x0f), PSCI_0_2_FN(0x15),
		PSCI_0_2_FN64(0x01), PSCI_0_2_FN64(0x03), PSCI_0_2_FN64(0x04),
		PSCI_0_2_FN64(0x05), PSCI_0_2_FN64(0x07), PSCI_0_2_FN64(0x0e),
		PSCI_0_2_FN64(0x12), PSCI_0_2_FN64(0x15),
	};
	u64 x[ADV_NR_XREGS];
	u32 fid, nr, i, wide, hint;
	bool known;

	for (nr = 0; nr < 64; nr++) {
		wide = nr & 32 ? 0x40000000 : 0;
		fid = (0x84000000u | wide) + nr % 32;
		for (i = 0, known = false; i < ARRAY_SIZE(relayed); i++)
			known |= relayed[i] == fid;
		for (hint = 0; !known && hint < 2; hint++) {
			smc(0, fid | (hint ? BIT(16) : 0), x);
			EXPECT_EQ((s64)x[0], PSCI_RET_NOT_SUPPORTED) TH_LOG("0x%x", fid);
			EXPECT_EQ(el3_log_count(self->mark, fid), 0) TH_LOG("0x%x", fid);
		}
	}
	EXPECT_FALSE(gets_to_el3(self->mark, MARKER(1)));
}

/* EL2's own registers stay out of what it passes on, and out of what it passes back. */
TEST_F(el3_smc, registers_of_a_call_are_the_callers)
{
	/* The vendor's come last. */
	static const u32 fids[] = {
		FFA_ID_GET, TRNG_VERSION, SMCCC_VERSION, OEM_CALL, OEM_CALL & ~SMC64,
	};
	u64 x[ADV_NR_XREGS];
	struct el3_log_entry e;
	int i, k;

	for (i = 0; i < ARRAY_SIZE(fids) - (self->strict ? 2 : 0); i++) {
		smc(0, fids[i], x);
		ASSERT_TRUE(el3_log_find(self->mark, fids[i], &e)) TH_LOG("0x%x", fids[i]);
		for (k = 1; k < 8; k++) {
			EXPECT_EQ(e.x[k], MARKER(k))
				TH_LOG("0x%x: x%d", fids[i], k);
		}
		/* What came back is what EL3 gave; it leaves x8 and up alone. */
		for (k = 0; k < 4; k++) {
			EXPECT_EQ(x[k], e.out[k])
				TH_LOG("0x%x: x%d", fids[i], k);
		}
		for (k = 8; k < ADV_NR_XREGS; k++) {
			EXPECT_EQ(x[k], MARKER(k))
				TH_LOG("0x%x: x%d", fids[i], k);
		}
	}
}

/* EL2's pointers are in those that are no arguments, unless it hides them. */
TEST_F(el3_smc, registers_of_el2_do_not_get_there)
{
	u64 x[ADV_NR_XREGS];

	if (self->strict)
		SKIP(return, "needs a call of the OEM's");
	smc(0, EL3_TEST_REGISTERS, x);
	EXPECT_EQ(x[0], 0);
	EXPECT_EQ(x[1], 0) TH_LOG("x18 to x30 have 0x%lx", x[1]);

	/* Nor do they with what EL2 calls by itself, for the host */
	smc(0, PSCI_0_2_FN_PSCI_VERSION, x);
	smc(0, PSCI_0_2_FN64_AFFINITY_INFO, x);
	smc(0, FFA_VERSION, x);
	smc(0, FFA_ID_GET, x);
	smc(0, FFA_PARTITION_INFO_GET, x);
	smc(0, EL3_TEST_REGISTERS, x);
	EXPECT_EQ(x[0], 0);
	EXPECT_EQ(x[2], 0) TH_LOG("x18 to x30 had 0x%lx", x[2]);
}

/* Calls that EL2 makes by itself, for the host */
TEST_F(el3_smc, registers_of_a_relayed_call_are_the_callers)
{
	static const u32 fids[] = {
		PSCI_0_2_FN_PSCI_VERSION, PSCI_0_2_FN64_AFFINITY_INFO, PSCI_1_0_FN_PSCI_FEATURES,
		PSCI_0_2_FN_MIGRATE_INFO_TYPE,
	};
	u64 x[ADV_NR_XREGS];
	struct el3_log_entry e;
	int i, k;

	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		smc(0, fids[i], x);
		ASSERT_TRUE(el3_log_find(self->mark, fids[i], &e)) TH_LOG("0x%x", fids[i]);
		for (k = 1; k < 4; k++) {
			EXPECT_EQ(e.x[k], MARKER(k))
				TH_LOG("0x%x: x%d", fids[i], k);
		}
		EXPECT_EQ(x[0], e.out[0]);
		for (k = 1; k < ADV_NR_XREGS; k++) {
			EXPECT_EQ(x[k], k < 4 ? 0 : MARKER(k))
				TH_LOG("0x%x: x%d", fids[i], k);
		}
		/* No arguments: neither EL2's nor the host's. */
		for (k = 4; k < ARRAY_SIZE(e.x); k++) {
			EXPECT_EQ(e.x[k], 0)
				TH_LOG("0x%x: x%d is 0x%lx", fids[i], k, e.x[k]);
		}
	}
}

int main(int argc, char **argv)
{
	TEST_REQUIRE_ADVERSARY();
	__TEST_REQUIRE(adv_info()->protected, "the host is not in protected mode");
	TEST_REQUIRE_EL3();

	return test_harness_run(argc, argv);
}
