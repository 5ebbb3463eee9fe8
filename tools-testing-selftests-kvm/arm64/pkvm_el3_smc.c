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
#include <linux/psci.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_attack.h"
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
#define FFA_ID_GET			0x84000069u
/* Of an OEM, and nobody's */
#define OEM_CALL			0xc300f00du

/* An argument that is in no call but the test's */
#define MARKER(n)			(0x6d61726b65720000ul | (n))

FIXTURE(el3_smc) {
	u64 mark;
};

FIXTURE_SETUP(el3_smc)
{
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
		EXPECT_EQ(adv_smc(0, SDEI_EVENT_UNREGISTER, 0), 0);
	if (gets_to_el3(self->mark, handler))
		XFAIL(return, "nothing filters SDEI until topic 40-hypercalls");
	EXPECT_EQ(ret, SMCCC_RET_NOT_SUPPORTED);
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
	static const u32 fids[] = { OEM_CALL, OEM_CALL & ~0x40000000u, FFA_ID_GET, SDEI_VERSION };
	u64 x[ADV_NR_XREGS];
	struct el3_log_entry e;
	int i, k;

	for (i = 0; i < ARRAY_SIZE(fids); i++) {
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
		/* EL2 uses some of these; what it leaves there is no address of its own. */
		for (k = 4; k < ARRAY_SIZE(e.x); k++) {
			EXPECT_TRUE(!e.x[k] || e.x[k] == MARKER(k))
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
