// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_psci - The power state of a protected guest's vCPUs is decided by the
 * guest and kept by EL2: PSCI 1.1, a vCPU runs from where, and with what, the
 * guest turned it on, and only one of several CPU_ONs succeeds.  The VMM
 * schedules, and is told of the end.
 *
 * PKVM_PSCI_STARTS=n in the environment: that many starts in each of the races,
 * however long it takes.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include <linux/psci.h>

#include "arch_timer.h"
#include "gic.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"
#include "ucall_common.h"
#include "vgic.h"

#include "kselftest_harness.h"

#define MAX_VCPUS	8
#define NR_RACERS	4

/* Starts in a race, or seconds on a machine that is too slow for all of them */
#define MAX_STARTS	4000
#define MIN_STARTS	20
#define MAX_SECONDS	6
/* With PKVM_PSCI_STARTS */
#define RACE_TIMEOUT	7200

/* Not in any IPA space, whatever the machine */
#define BAD_IPA		BIT(60)

/* StateType of CPU_SUSPEND's power_state */
#define POWER_DOWN	BIT(30)

/* A vCPU that is alone at affinity level 1 */
#define AFF1_VCPU	16
#define AFF1_MPIDR	0x100ul

#define VTIMER_INTID	27
#define YIELD_GPA	0x10000000ul

/* Guest side */

/* There may be more vCPUs than CPUs: who waits lets others run, by an exit to the VMM. */
static void guest_yield(void)
{
	WRITE_ONCE(*(u64 *)YIELD_GPA, 0);
}

#define wait_until(cond)		\
do {					\
	while (!(cond))			\
		guest_yield();		\
} while (0)

#define guest_call(fn, ...) __guest_call(fn, ##__VA_ARGS__, 0, 0, 0)
#define __guest_call(fn, a, b, c, ...) ((s64)pkvm_hvc(fn, a, b, c))

static void wait_until_off(u64 vcpu_id)
{
	while (psci_affinity_info(vcpu_id_to_mpidr(vcpu_id), 0) != PSCI_0_2_AFFINITY_LEVEL_OFF)
		guest_yield();
}

/* Written by the host, before the guest runs */
static struct {
	/* [target][caller], two of each, to tell one start from the one before */
	struct pkvm_start starts[MAX_VCPUS][MAX_VCPUS][2];
	u64 nr_vcpus;
	u64 max_starts;
	u64 max_seconds;	/* 0: as long as it takes */
} shared;

static bool is_over(u64 nr_starts, u64 start_time)
{
	u64 ticks = timer_get_cntct(VIRTUAL) - start_time;

	return nr_starts >= shared.max_starts ||
	       (shared.max_seconds && ticks > shared.max_seconds * timer_get_cntfrq());
}

static void guest_version(void)
{
	static const u32 present[] = {
		PSCI_0_2_FN_PSCI_VERSION, PSCI_0_2_FN_CPU_SUSPEND, PSCI_0_2_FN64_CPU_SUSPEND,
		PSCI_0_2_FN_CPU_OFF, PSCI_0_2_FN_CPU_ON, PSCI_0_2_FN64_CPU_ON,
		PSCI_0_2_FN_AFFINITY_INFO, PSCI_0_2_FN64_AFFINITY_INFO,
		PSCI_0_2_FN_MIGRATE_INFO_TYPE, PSCI_0_2_FN_SYSTEM_OFF, PSCI_0_2_FN_SYSTEM_RESET,
		PSCI_1_0_FN_PSCI_FEATURES, PSCI_1_1_FN_SYSTEM_RESET2,
		PSCI_1_1_FN64_SYSTEM_RESET2, ARM_SMCCC_VERSION_FUNC_ID,
	};
	static const u32 absent[] = {
		PSCI_0_2_FN_MIGRATE, PSCI_0_2_FN64_MIGRATE, PSCI_0_2_FN_MIGRATE_INFO_UP_CPU,
		PSCI_0_2_FN64_MIGRATE_INFO_UP_CPU, PSCI_1_0_FN_SYSTEM_SUSPEND,
		PSCI_1_0_FN64_SYSTEM_SUSPEND, PSCI_1_0_FN_SET_SUSPEND_MODE,
		PSCI_1_1_FN_MEM_PROTECT, PSCI_1_3_FN_SYSTEM_OFF2, PSCI_1_3_FN64_SYSTEM_OFF2,
		ARM_SMCCC_TRNG_VERSION, 0xffffffff,
	};
	int i;

	GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN_PSCI_VERSION), PSCI_VERSION(1, 1));
	GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN_MIGRATE_INFO_TYPE), PSCI_0_2_TOS_MP);

	for (i = 0; i < ARRAY_SIZE(present); i++)
		GUEST_ASSERT_EQ(guest_call(PSCI_1_0_FN_PSCI_FEATURES, present[i]), 0);
	for (i = 0; i < ARRAY_SIZE(absent); i++)
		GUEST_ASSERT_EQ(guest_call(PSCI_1_0_FN_PSCI_FEATURES, absent[i]),
				PSCI_RET_NOT_SUPPORTED);

	GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN_MIGRATE, 0), PSCI_RET_NOT_SUPPORTED);
	GUEST_ASSERT_EQ(guest_call(PSCI_1_0_FN_SYSTEM_SUSPEND, 0, 0), PSCI_RET_NOT_SUPPORTED);
	GUEST_ASSERT_EQ(guest_call(PSCI_1_0_FN64_SYSTEM_SUSPEND, 0, 0), PSCI_RET_NOT_SUPPORTED);
	GUEST_ASSERT_EQ(guest_call(PSCI_1_3_FN_SYSTEM_OFF2, 1, 0), PSCI_RET_NOT_SUPPORTED);
	GUEST_ASSERT_EQ(guest_call(PSCI_1_3_FN64_SYSTEM_OFF2, 1, 0), PSCI_RET_NOT_SUPPORTED);
	GUEST_DONE();
}

/* vCPU 1 is off, and stays so. */
static void guest_bad_cpu_on(void)
{
	static const u64 bad_mpidrs[] = {
		2, 3, 0x10, 0x100, 0x10001, BIT(24) | 1, BIT(31) | 1, BIT_ULL(32) | 1,
		BIT_ULL(63) | 1, ~0ul,
	};
	struct pkvm_start *start = shared.starts[1][0];
	int i;

	for (i = 0; i < ARRAY_SIZE(bad_mpidrs); i++) {
		GUEST_ASSERT_EQ(psci_cpu_on(bad_mpidrs[i], start->entry, start->context),
				PSCI_RET_INVALID_PARAMS);
		GUEST_ASSERT_EQ(psci_affinity_info(bad_mpidrs[i], 0), PSCI_RET_INVALID_PARAMS);
	}

	for (i = 1; i < 4; i++)
		GUEST_ASSERT_EQ(psci_cpu_on(1, start->entry + i, 0), PSCI_RET_INVALID_ADDRESS);
	GUEST_ASSERT_EQ(psci_cpu_on(1, BAD_IPA | start->entry, 0), PSCI_RET_INVALID_ADDRESS);
	GUEST_ASSERT_EQ(psci_cpu_on(1, ~3ul, 0), PSCI_RET_INVALID_ADDRESS);

	GUEST_ASSERT_EQ(psci_cpu_on(0, start->entry, start->context), PSCI_RET_ALREADY_ON);
	GUEST_ASSERT_EQ(psci_affinity_info(0, 4), PSCI_RET_INVALID_PARAMS);
	GUEST_ASSERT_EQ(psci_affinity_info(0, ~0ul), PSCI_RET_INVALID_PARAMS);

	GUEST_ASSERT_EQ(psci_affinity_info(0, 0), PSCI_0_2_AFFINITY_LEVEL_ON);
	GUEST_ASSERT_EQ(psci_affinity_info(1, 0), PSCI_0_2_AFFINITY_LEVEL_OFF);
	GUEST_DONE();
}

static u64 nr_starts, go_on;

static void guest_second(u64 started_by, u64 nr)
{
	GUEST_ASSERT_EQ(started_by, 0);
	GUEST_ASSERT_EQ(nr, 0);
	GUEST_ASSERT_EQ(guest_get_vcpuid(), 1);

	WRITE_ONCE(nr_starts, nr_starts + 1);
	wait_until(READ_ONCE(go_on) == nr_starts);
	psci_cpu_off();
	GUEST_FAIL("CPU_OFF returned");
}

/* The VMM does not run vCPU 1 before the first GUEST_SYNC(). */
static void guest_states(void)
{
	struct pkvm_start *start = shared.starts[1][0];
	int i;

	GUEST_ASSERT_EQ(psci_affinity_info(1, 0), PSCI_0_2_AFFINITY_LEVEL_OFF);
	GUEST_ASSERT_EQ(psci_cpu_on(1, start->entry, start->context), PSCI_RET_SUCCESS);
	GUEST_ASSERT_EQ(psci_affinity_info(1, 0), PSCI_0_2_AFFINITY_LEVEL_ON_PENDING);
	/* Too late for another start, pending or not. */
	GUEST_ASSERT_EQ(psci_cpu_on(1, start->entry, 0), PSCI_RET_ON_PENDING);
	GUEST_SYNC(0);

	for (i = 1; i <= 10; i++) {
		wait_until(READ_ONCE(nr_starts) == i);
		GUEST_ASSERT_EQ(psci_affinity_info(1, 0), PSCI_0_2_AFFINITY_LEVEL_ON);
		GUEST_ASSERT_EQ(psci_cpu_on(1, start->entry, 0), PSCI_RET_ALREADY_ON);

		WRITE_ONCE(go_on, i);
		wait_until_off(1);
		GUEST_ASSERT_EQ(READ_ONCE(nr_starts), i);

		/* The one of 32 bits takes no more than that of each argument. */
		if (i % 2)
			GUEST_ASSERT_EQ(psci_cpu_on(1, start->entry, start->context),
					PSCI_RET_SUCCESS);
		else
			GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN_CPU_ON, 1 | BIT_ULL(32),
						   start->entry | BIT_ULL(60),
						   start->context | BIT_ULL(40)),
					PSCI_RET_SUCCESS);
	}
	wait_until(READ_ONCE(nr_starts) == i);
	GUEST_DONE();
}

/*
 * vCPU 0 is on, 1 is off, and the one of Aff1 = 1 is turned on and off.  Is its
 * state what @state says, where nothing else counts?
 */
static void guest_check_affinities(s64 state)
{
	static const u32 fns[] = { PSCI_0_2_FN_AFFINITY_INFO, PSCI_0_2_FN64_AFFINITY_INFO };
	static const u64 on[][2] = {
		{ 0, 0 }, { 0, 1 }, { 0xff, 1 }, { 0, 2 }, { 0xffff, 2 }, { 0, 3 },
		{ 0xffffff, 3 },
		/* All but 32 bits of the level are ignored. */
		{ 0, BIT_ULL(32) }, { 0, BIT_ULL(63) | 2 },
	};
	static const u64 subject[][2] = {
		{ AFF1_MPIDR, 0 }, { AFF1_MPIDR, 1 }, { AFF1_MPIDR | 0xff, 1 },
	};
	static const u64 none[][2] = {
		/* Nobody */
		{ 2, 0 }, { 0xff, 0 }, { AFF1_MPIDR | 1, 0 }, { 0x200, 0 }, { 0x200, 1 },
		{ 0xff00, 1 }, { 0x10000, 0 }, { 0x10000, 1 }, { 0x10000, 2 }, { 0xff0000, 2 },
		/* No level */
		{ 0, 4 }, { 0, 5 }, { 0, 0xff }, { 0, BIT(31) }, { 0, UINT_MAX },
		{ AFF1_MPIDR, BIT_ULL(32) | 4 },
		/* No MPIDR */
		{ BIT(24), 0 }, { BIT(30), 0 }, { BIT(31), 0 }, { BIT(31), 3 }, { UINT_MAX, 3 },
	};
	int i, j;

	for (j = 0; j < ARRAY_SIZE(fns); j++) {
		for (i = 0; i < ARRAY_SIZE(on); i++)
			GUEST_ASSERT_EQ(guest_call(fns[j], on[i][0], on[i][1]),
					PSCI_0_2_AFFINITY_LEVEL_ON);
		for (i = 0; i < ARRAY_SIZE(subject); i++)
			GUEST_ASSERT_EQ(guest_call(fns[j], subject[i][0], subject[i][1]), state);
		for (i = 0; i < ARRAY_SIZE(none); i++)
			GUEST_ASSERT_EQ(guest_call(fns[j], none[i][0], none[i][1]),
					PSCI_RET_INVALID_PARAMS);
	}

	/* Aff3 is above the 32 bits that one of them looks at. */
	GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN64_AFFINITY_INFO, BIT_ULL(32), 3),
			PSCI_RET_INVALID_PARAMS);
	GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN64_AFFINITY_INFO, BIT_ULL(63), 0),
			PSCI_RET_INVALID_PARAMS);
	GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN_AFFINITY_INFO, BIT_ULL(32) | AFF1_MPIDR, 0), state);
	GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN_AFFINITY_INFO, BIT_ULL(63), 3),
			PSCI_0_2_AFFINITY_LEVEL_ON);
	GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN64_AFFINITY_INFO, 1, 0),
			PSCI_0_2_AFFINITY_LEVEL_OFF);
}

/* The VMM does not run the other vCPU before the first GUEST_SYNC(). */
static void guest_affinities(void)
{
	struct pkvm_start *start = shared.starts[1][0];
	int i;

	guest_check_affinities(PSCI_0_2_AFFINITY_LEVEL_OFF);
	GUEST_ASSERT_EQ(psci_cpu_on(AFF1_MPIDR, start->entry, start->context), PSCI_RET_SUCCESS);
	for (i = 0; i < 10; i++)
		guest_check_affinities(PSCI_0_2_AFFINITY_LEVEL_ON_PENDING);
	GUEST_SYNC(0);

	wait_until(READ_ONCE(nr_starts) == 1);
	guest_check_affinities(PSCI_0_2_AFFINITY_LEVEL_ON);
	WRITE_ONCE(go_on, 1);
	wait_until_off(AFF1_VCPU);
	guest_check_affinities(PSCI_0_2_AFFINITY_LEVEL_OFF);
	GUEST_DONE();
}

static void guest_aff1(void)
{
	WRITE_ONCE(nr_starts, 1);
	wait_until(READ_ONCE(go_on));
	psci_cpu_off();
	GUEST_FAIL("CPU_OFF returned");
}

static void guest_suspend(void)
{
	int i;

	/* Masked, but pending: no standby lasts. */
	gic_init(GIC_V3, 1);
	gic_irq_enable(VTIMER_INTID);
	timer_set_cval(VIRTUAL, 0);
	timer_set_ctl(VIRTUAL, CTL_ENABLE);

	for (i = 0; i < 2; i++) {
		u64 power_state = i ? POWER_DOWN : 0;

		GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN64_CPU_SUSPEND, power_state, BAD_IPA, ~0ul),
				PSCI_RET_SUCCESS);
		GUEST_ASSERT_EQ(guest_call(PSCI_0_2_FN_CPU_SUSPEND, power_state, 1, 2),
				PSCI_RET_SUCCESS);
	}
	GUEST_DONE();
}

static void guest_bad_reset2(void)
{
	static const u32 fns[] = { PSCI_1_1_FN_SYSTEM_RESET2, PSCI_1_1_FN64_SYSTEM_RESET2 };
	static const u32 types[] = { 1, 2, 0x7fffffff, 0x80000000, 0xffffffff };
	int i, j;

	for (i = 0; i < ARRAY_SIZE(fns); i++) {
		for (j = 0; j < ARRAY_SIZE(types); j++)
			GUEST_ASSERT_EQ(guest_call(fns[i], types[j], 0), PSCI_RET_INVALID_PARAMS);
	}
	GUEST_DONE();
}

static void guest_sync(void)
{
	GUEST_SYNC(0);
	GUEST_DONE();
}

/* vCPU 1 spins meanwhile. */
static void guest_end(u64 fn)
{
	wait_until(READ_ONCE(nr_starts));
	guest_call(fn, 0, 0);
	/* Says that it was here. */
	GUEST_FAIL("The system goes on after its end");
}

static void guest_spin(void)
{
	WRITE_ONCE(nr_starts, 1);
	for (;;)
		guest_yield();
}

/*
 * Races.  In each of them all vCPUs but one, the target, turn the target on at
 * the same moment, each with its own entry point and context id.
 */
static struct {
	u64 round;		/* is prepared */
	u64 target;
	u64 at_start;		/* vCPUs that wait for it */
	u64 nr_done;
	u64 nr_success;
	u64 winner;
	u64 started_by;
} race;

static void race_turn_on(u64 me, u64 target)
{
	struct pkvm_start *start = shared.starts[target][me];
	s64 ret;

	ret = psci_cpu_on(vcpu_id_to_mpidr(target), start->entry, start->context);
	if (ret == PSCI_RET_SUCCESS) {
		__atomic_fetch_add(&race.nr_success, 1, __ATOMIC_SEQ_CST);
		WRITE_ONCE(race.winner, me);
	} else {
		GUEST_ASSERT(ret == PSCI_RET_ON_PENDING || ret == PSCI_RET_ALREADY_ON);
	}
	__atomic_fetch_add(&race.nr_done, 1, __ATOMIC_SEQ_CST);
}

static void race_run(u64 me)
{
	u64 nr_racers = shared.nr_vcpus - 1;
	u64 target = READ_ONCE(race.target);

	__atomic_fetch_add(&race.at_start, 1, __ATOMIC_SEQ_CST);
	wait_until(READ_ONCE(race.at_start) == nr_racers);
	race_turn_on(me, target);
}

static void guest_racer(u64 started_by, u64 nr)
{
	u64 me = guest_get_vcpuid(), round = READ_ONCE(race.round);

	/* That the entry point is the same caller's is checked by the library. */
	__atomic_store_n(&race.started_by, started_by, __ATOMIC_SEQ_CST);

	for (;; round++) {
		wait_until(READ_ONCE(race.round) > round);
		if (READ_ONCE(race.target) == me)
			psci_cpu_off();
		race_run(me);
	}
}

/* vCPU 0 is never the target. */
static void guest_races(void)
{
	u64 nr_racers = shared.nr_vcpus - 1, round, target, i;
	u64 start_time = timer_get_cntct(VIRTUAL);
	struct pkvm_start *start;

	for (i = 1; i < shared.nr_vcpus; i++) {
		WRITE_ONCE(race.started_by, ~0ul);
		start = shared.starts[i][0];
		GUEST_ASSERT_EQ(psci_cpu_on(vcpu_id_to_mpidr(i), start->entry, start->context), 0);
		wait_until(READ_ONCE(race.started_by) == 0);
	}

	for (round = 0; !is_over(round, start_time); round++) {
		target = 1 + round % nr_racers;
		race.at_start = 0;
		race.nr_done = 0;
		race.nr_success = 0;
		race.started_by = ~0ul;
		race.target = target;
		__atomic_store_n(&race.round, round + 1, __ATOMIC_SEQ_CST);

		/* The target turns itself off. */
		wait_until_off(target);
		race_run(0);
		wait_until(READ_ONCE(race.nr_done) == nr_racers);
		GUEST_ASSERT_EQ(READ_ONCE(race.nr_success), 1);
		wait_until(READ_ONCE(race.started_by) != ~0ul);
		GUEST_ASSERT_EQ(READ_ONCE(race.started_by), READ_ONCE(race.winner));
		GUEST_ASSERT_EQ(psci_affinity_info(vcpu_id_to_mpidr(target), 0),
				PSCI_0_2_AFFINITY_LEVEL_ON);
	}
	GUEST_SYNC1(round);
	GUEST_DONE();
}

/*
 * Chaos: every vCPU turns others on, and itself off, as it likes.  The model:
 * a CPU_ON that succeeded is one start, by that caller, and nothing else is.
 */
static struct {
	u64 successes[MAX_VCPUS][MAX_VCPUS];	/* [target][caller], the caller's */
	u64 starts[MAX_VCPUS][MAX_VCPUS];	/* the same, the target's */
	u64 stopping;				/* no more CPU_ONs */
	u64 running;				/* vCPUs that are on, by their own account */
} chaos;

static u64 chaos_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* True: @target will start, with @me as its argument. */
static bool chaos_turn_on(u64 me, u64 target)
{
	u64 mpidr = vcpu_id_to_mpidr(target), successes = chaos.successes[target][me];
	struct pkvm_start *start = &shared.starts[target][me][successes % 2];
	s64 state = psci_affinity_info(mpidr, 0);
	u64 starts = __atomic_load_n(&chaos.starts[target][me], __ATOMIC_SEQ_CST);

	/* One start at a time of each caller.  It can be late, not lost. */
	if (starts != successes) {
		GUEST_ASSERT_EQ(starts, successes - 1);
		GUEST_ASSERT_NE(state, PSCI_0_2_AFFINITY_LEVEL_OFF);
		return false;
	}

	switch (psci_cpu_on(mpidr, start->entry, start->context)) {
	case PSCI_RET_SUCCESS:
		WRITE_ONCE(chaos.successes[target][me], successes + 1);
		return true;
	case PSCI_RET_ON_PENDING:
	case PSCI_RET_ALREADY_ON:
		return false;
	default:
		GUEST_FAIL("CPU_ON of vCPU %lu by vCPU %lu", target, me);
		return false;
	}
}

/* One random target; what it says of the caller itself is known. */
static bool chaos_step(u64 me, u64 *random)
{
	u64 target = chaos_random(random) % shared.nr_vcpus;

	if (target != me)
		return chaos_turn_on(me, target);

	GUEST_ASSERT_EQ(psci_affinity_info(vcpu_id_to_mpidr(me), 0), PSCI_0_2_AFFINITY_LEVEL_ON);
	return false;
}

static void guest_chaotic(u64 started_by, u64 nr)
{
	u64 me = guest_get_vcpuid(), starts = chaos.starts[me][started_by] + 1;
	u64 random = (starts << 8 | me << 4 | started_by) * 0x9e3779b97f4a7c15ul | 1;
	u64 steps = chaos_random(&random) % 8;

	/* Entry point and context are those of the latest CPU_ON, not of one before. */
	GUEST_ASSERT_EQ(nr, (starts - 1) % 2);
	__atomic_fetch_add(&chaos.running, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&chaos.starts[me][started_by], starts, __ATOMIC_SEQ_CST);

	while (steps-- && !READ_ONCE(chaos.stopping))
		chaos_step(me, &random);

	__atomic_fetch_sub(&chaos.running, 1, __ATOMIC_SEQ_CST);
	psci_cpu_off();
	GUEST_FAIL("CPU_OFF returned");
}

static void guest_chaos(u64 seed)
{
	u64 target, caller, starts, total = 0;
	u64 start_time = timer_get_cntct(VIRTUAL);

	seed |= 1;
	do {
		if (!chaos_step(0, &seed))
			guest_yield();
		starts = 0;
		for (target = 1; target < shared.nr_vcpus; target++) {
			for (caller = 0; caller < shared.nr_vcpus; caller++)
				starts += READ_ONCE(chaos.starts[target][caller]);
		}
	} while (!is_over(starts, start_time));
	__atomic_store_n(&chaos.stopping, true, __ATOMIC_SEQ_CST);

	/* Who was on the way to turn another one on does it, ... */
	for (target = 1; target < shared.nr_vcpus; target++)
		wait_until_off(target);
	/* ... and that one turns nobody on. */
	for (target = 1; target < shared.nr_vcpus; target++) {
		wait_until_off(target);
		for (caller = 0; caller < shared.nr_vcpus; caller++) {
			GUEST_ASSERT_EQ(READ_ONCE(chaos.starts[target][caller]),
					READ_ONCE(chaos.successes[target][caller]));
			total += READ_ONCE(chaos.starts[target][caller]);
		}
	}
	GUEST_ASSERT_EQ(READ_ONCE(chaos.running), 0);
	GUEST_SYNC1(total);
	GUEST_DONE();
}

static u64 nr_up;

static void guest_boot(void)
{
	u64 id = guest_get_vcpuid();

	GUEST_ASSERT_EQ(read_sysreg(mpidr_el1) & GENMASK(23, 0), vcpu_id_to_mpidr(id));
	__atomic_fetch_add(&nr_up, 1, __ATOMIC_SEQ_CST);
	wait_until(READ_ONCE(nr_up) == shared.nr_vcpus);
	GUEST_SYNC1(id);
	if (id) {
		psci_cpu_off();
		GUEST_FAIL("CPU_OFF returned");
	}
	for (id = 1; id < shared.nr_vcpus; id++)
		wait_until_off(id);
	GUEST_DONE();
}

/* VMM side */

struct psci_vm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[MAX_VCPUS];
	int nr_vcpus;
};

FIXTURE(pkvm_psci) {
	struct psci_vm vm;
};

FIXTURE_SETUP(pkvm_psci)
{
	TEST_REQUIRE_PKVM();
}

FIXTURE_TEARDOWN(pkvm_psci)
{
	kvm_vm_free(self->vm.vm);
}

static u64 asked_for_starts(void)
{
	const char *starts = getenv("PKVM_PSCI_STARTS");

	return starts ? atoi_positive("PKVM_PSCI_STARTS", starts) : 0;
}

/*
 * vCPU 0 runs @boot_code.  The others are off; started by vCPU n, they run
 * @guest_code with n, and which of the two starts it is, as its arguments.
 */
static void create_vm(struct psci_vm *vm, int nr_vcpus, void *boot_code,
		      void *guest_code)
{
	int target, caller, i, nr_starts = guest_code ? 2 * nr_vcpus * (nr_vcpus - 1) : 0;

	vm->nr_vcpus = nr_vcpus;
	vm->vm = __vm_create_with_vcpus(VM_SHAPE_PROTECTED, nr_vcpus, 16 + 3 * nr_starts,
					NULL, vm->vcpus);
	vcpu_arch_set_entry_point(vm->vcpus[0], boot_code);
	virt_map(vm->vm, YIELD_GPA, YIELD_GPA, 1);

	memset(&shared, 0, sizeof(shared));
	shared.nr_vcpus = nr_vcpus;
	shared.max_starts = asked_for_starts() ?: MAX_STARTS;
	shared.max_seconds = asked_for_starts() ? 0 : MAX_SECONDS;
	for (target = 1; guest_code && target < nr_vcpus; target++) {
		for (caller = 0; caller < nr_vcpus; caller++) {
			if (caller == target)
				continue;
			for (i = 0; i < 2; i++)
				shared.starts[target][caller][i] =
					pkvm_vcpu_add_start(vm->vcpus[target], guest_code, 2,
							    (u64)caller, (u64)i);
		}
	}
	sync_global_to_guest(vm->vm, shared);
}

/* Returns the errno of KVM_RUN, or 0 when there is a ucall or another exit that is not a yield. */
static int run_vcpu(struct kvm_vcpu *vcpu, struct ucall *uc)
{
	struct kvm_run *run = vcpu->run;

	for (;;) {
		if (__vcpu_run(vcpu))
			return errno;
		if (run->exit_reason != KVM_EXIT_MMIO || run->mmio.phys_addr != YIELD_GPA)
			break;
		/* Sleeping gives the CPU away more surely than sched_yield(). */
		usleep(10);
	}

	if (get_ucall(vcpu, uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(*uc);
	return 0;
}

/* Returns 0 if the guest ran, as it never exits by itself without one. */
static int run_vcpu_once(struct kvm_vcpu *vcpu)
{
	return __vcpu_run(vcpu) ? errno : 0;
}

static void run_until(struct kvm_vcpu *vcpu, u64 cmd, struct ucall *uc)
{
	TEST_ASSERT_EQ(run_vcpu(vcpu, uc), 0);
	TEST_ASSERT_EQ(uc->cmd, cmd);
}

struct vcpu_thread {
	pthread_t thread;
	struct kvm_vcpu *vcpu;
	int err;
	bool ended;
};

static bool stop;

/* What a vCPU other than the boot vCPU does: it runs until the test is over. */
static void *vcpu_thread(void *arg)
{
	struct vcpu_thread *thread = arg;
	struct ucall uc;

	while (!READ_ONCE(stop)) {
		int err = run_vcpu(thread->vcpu, &uc);

		if (err == EINTR)
			continue;
		if (err) {
			thread->err = err;
			break;
		}
		TEST_ASSERT_EQ(uc.cmd, UCALL_SYNC);
	}
	WRITE_ONCE(thread->ended, true);
	return NULL;
}

static void nothing(int sig)
{
}

static void start_threads(struct psci_vm *vm, struct vcpu_thread *threads)
{
	struct sigaction sa = { .sa_handler = nothing };
	int i;

	sigaction(SIGUSR1, &sa, NULL);
	stop = false;
	for (i = 1; i < vm->nr_vcpus; i++) {
		threads[i] = (struct vcpu_thread) { .vcpu = vm->vcpus[i] };
		pthread_create(&threads[i].thread, NULL, vcpu_thread, &threads[i]);
	}
}

static void stop_threads(struct psci_vm *vm, struct vcpu_thread *threads)
{
	int i;

	WRITE_ONCE(stop, true);
	for (i = 1; i < vm->nr_vcpus; i++) {
		while (!READ_ONCE(threads[i].ended)) {
			pthread_kill(threads[i].thread, SIGUSR1);
			usleep(1000);
		}
		pthread_join(threads[i].thread, NULL);
	}
}

TEST_F(pkvm_psci, version_is_1_1_with_the_documented_functions)
{
	struct ucall uc;

	create_vm(&self->vm, 1, guest_version, NULL);
	run_until(self->vm.vcpus[0], UCALL_DONE, &uc);
}

TEST_F(pkvm_psci, bad_arguments_of_cpu_on_are_refused)
{
	struct ucall uc;

	create_vm(&self->vm, 2, guest_bad_cpu_on, guest_second);
	run_until(self->vm.vcpus[0], UCALL_DONE, &uc);
}

TEST_F(pkvm_psci, vcpu_is_off_pending_and_on)
{
	struct vcpu_thread threads[MAX_VCPUS];
	struct kvm_mp_state mp_state;
	struct ucall uc;

	create_vm(&self->vm, 2, guest_states, guest_second);
	run_until(self->vm.vcpus[0], UCALL_SYNC, &uc);
	vcpu_mp_state_get(self->vm.vcpus[1], &mp_state);
	EXPECT_EQ(mp_state.mp_state, KVM_MP_STATE_RUNNABLE);

	start_threads(&self->vm, threads);
	run_until(self->vm.vcpus[0], UCALL_DONE, &uc);
	stop_threads(&self->vm, threads);
	EXPECT_EQ(threads[1].err, 0);
}

TEST_F(pkvm_psci, affinity_info_knows_each_level)
{
	struct psci_vm *vm = &self->vm;
	struct vcpu_thread threads[MAX_VCPUS];
	struct ucall uc;

	vm->nr_vcpus = 3;
	vm->vm = __vm_create(VM_SHAPE_PROTECTED, AFF1_VCPU + 1, 32);
	vm->vcpus[0] = vm_vcpu_add(vm->vm, 0, guest_affinities);
	vm->vcpus[1] = vm_vcpu_add(vm->vm, 1, NULL);
	vm->vcpus[2] = vm_vcpu_add(vm->vm, AFF1_VCPU, NULL);
	kvm_arch_vm_finalize_vcpus(vm->vm);
	virt_map(vm->vm, YIELD_GPA, YIELD_GPA, 1);
	memset(&shared, 0, sizeof(shared));
	shared.starts[1][0][0] = pkvm_vcpu_add_start(vm->vcpus[2], guest_aff1, 0);
	sync_global_to_guest(vm->vm, shared);

	run_until(vm->vcpus[0], UCALL_SYNC, &uc);
	start_threads(vm, threads);
	run_until(vm->vcpus[0], UCALL_DONE, &uc);
	stop_threads(vm, threads);
	EXPECT_EQ(threads[1].err, 0);
	EXPECT_EQ(threads[2].err, 0);
}

TEST_F(pkvm_psci, vmm_cannot_start_a_vcpu_that_is_off)
{
	struct vcpu_thread threads[MAX_VCPUS];
	struct kvm_mp_state mp_state;
	struct ucall uc;

	create_vm(&self->vm, 2, guest_sync, guest_spin);
	start_threads(&self->vm, threads);
	run_until(self->vm.vcpus[0], UCALL_SYNC, &uc);
	usleep(200 * 1000);

	/* It waits. */
	EXPECT_FALSE(READ_ONCE(threads[1].ended));
	stop_threads(&self->vm, threads);
	EXPECT_EQ(threads[1].err, 0);

	vcpu_mp_state_get(self->vm.vcpus[1], &mp_state);
	EXPECT_EQ(mp_state.mp_state, KVM_MP_STATE_STOPPED);
	mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	EXPECT_EQ(__vcpu_ioctl(self->vm.vcpus[1], KVM_SET_MP_STATE, &mp_state), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(__vcpu_ioctl(self->vm.vcpus[1], KVM_ARM_VCPU_INIT, &self->vm.vcpus[0]->init), -1);
	EXPECT_EQ(errno, EPERM);
}

TEST_F(pkvm_psci, cpu_suspend_is_a_standby)
{
	struct ucall uc;

	TEST_REQUIRE(kvm_supports_vgic_v3());

	create_vm(&self->vm, 1, guest_suspend, NULL);
	run_until(self->vm.vcpus[0], UCALL_DONE, &uc);
}

TEST_F(pkvm_psci, reset_of_unknown_type_is_refused)
{
	struct ucall uc;

	create_vm(&self->vm, 1, guest_bad_reset2, NULL);
	run_until(self->vm.vcpus[0], UCALL_DONE, &uc);
}

FIXTURE(pkvm_psci_end) {
	struct psci_vm vm;
};

FIXTURE_VARIANT(pkvm_psci_end) {
	u32 fn;
	u32 event;
	u64 flags;
};

FIXTURE_VARIANT_ADD(pkvm_psci_end, system_off) {
	.fn = PSCI_0_2_FN_SYSTEM_OFF,
	.event = KVM_SYSTEM_EVENT_SHUTDOWN,
};

FIXTURE_VARIANT_ADD(pkvm_psci_end, system_reset) {
	.fn = PSCI_0_2_FN_SYSTEM_RESET,
	.event = KVM_SYSTEM_EVENT_RESET,
};

FIXTURE_VARIANT_ADD(pkvm_psci_end, system_reset2) {
	.fn = PSCI_1_1_FN_SYSTEM_RESET2,
	.event = KVM_SYSTEM_EVENT_RESET,
	.flags = KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2,
};

FIXTURE_VARIANT_ADD(pkvm_psci_end, system_reset2_64) {
	.fn = PSCI_1_1_FN64_SYSTEM_RESET2,
	.event = KVM_SYSTEM_EVENT_RESET,
	.flags = KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2,
};

FIXTURE_SETUP(pkvm_psci_end)
{
	TEST_REQUIRE_PKVM();
}

FIXTURE_TEARDOWN(pkvm_psci_end)
{
	kvm_vm_free(self->vm.vm);
}

TEST_F(pkvm_psci_end, guest_never_runs_again)
{
	struct vcpu_thread threads[MAX_VCPUS];
	struct kvm_vcpu **vcpus = self->vm.vcpus;
	static const struct itimerspec soon = {
		.it_value.tv_nsec = 50 * 1000 * 1000,
		.it_interval.tv_nsec = 50 * 1000 * 1000,
	};
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct sigevent sev = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGUSR1,
		._sigev_un._tid = gettid(),
	};
	struct kvm_run *run;
	struct ucall uc;
	timer_t timer;
	int i, err;

	create_vm(&self->vm, 2, guest_end, NULL);
	pkvm_vcpu_set_entry_point(vcpus[1], guest_spin);
	vcpu_args_set(vcpus[0], 1, (u64)variant->fn);
	start_threads(&self->vm, threads);

	TEST_ASSERT(!timer_create(CLOCK_MONOTONIC, &sev, &timer), "timer_create() failed");
	TEST_ASSERT_EQ(run_vcpu(vcpus[0], &uc), 0);
	run = vcpus[0]->run;
	TEST_ASSERT_KVM_EXIT_REASON(vcpus[0], KVM_EXIT_SYSTEM_EVENT);
	EXPECT_EQ(run->system_event.type, variant->event);
	EXPECT_EQ(run->system_event.ndata, 1);
	EXPECT_EQ(run->system_event.data[0], variant->flags);

	/* The other one stops where it is, ... */
	stop_threads(&self->vm, threads);

	/* ... and neither of them goes on, whatever the VMM does: KVM_RUN waits or refuses. */
	for (i = 0; i < 2; i++)
		__vcpu_ioctl(vcpus[i], KVM_SET_MP_STATE, &runnable);
	timer_settime(timer, 0, &soon, NULL);
	for (i = 0; i < 8; i++) {
		err = run_vcpu_once(vcpus[i % 2]);
		EXPECT_TRUE(err == EINTR || err == EPERM)
			TH_LOG("KVM_RUN of vCPU %d: %d", i % 2, err);
	}
	timer_delete(timer);
}

static void run_races(struct __test_metadata *_metadata, struct psci_vm *vm)
{
	struct vcpu_thread threads[MAX_VCPUS];
	struct ucall uc;

	start_threads(vm, threads);
	run_until(vm->vcpus[0], UCALL_SYNC, &uc);
	TH_LOG("%lu starts", uc.args[0]);
	EXPECT_GE(uc.args[0], asked_for_starts() ?: MIN_STARTS);
	run_until(vm->vcpus[0], UCALL_DONE, &uc);
	stop_threads(vm, threads);
}

TEST_F_TIMEOUT(pkvm_psci, one_of_several_cpu_ons_succeeds, RACE_TIMEOUT)
{
	create_vm(&self->vm, NR_RACERS, guest_races, guest_racer);
	run_races(_metadata, &self->vm);
}

TEST_F_TIMEOUT(pkvm_psci, every_successful_cpu_on_is_one_start, RACE_TIMEOUT)
{
	create_vm(&self->vm, NR_RACERS, guest_chaos, guest_chaotic);
	vcpu_args_set(self->vm.vcpus[0], 1, (u64)getpid() * 0x9e3779b97f4a7c15ul);
	run_races(_metadata, &self->vm);
}

TEST_F(pkvm_psci, guest_boots_with_one_to_eight_vcpus)
{
	struct vcpu_thread threads[MAX_VCPUS];
	struct ucall uc;
	int nr, i;

	for (nr = 1; nr <= MAX_VCPUS; nr++) {
		if (nr > 1)
			kvm_vm_free(self->vm.vm);
		create_vm(&self->vm, nr, guest_boot, NULL);
		for (i = 1; i < nr; i++)
			pkvm_vcpu_set_entry_point(self->vm.vcpus[i], guest_boot);

		start_threads(&self->vm, threads);
		run_until(self->vm.vcpus[0], UCALL_SYNC, &uc);
		run_until(self->vm.vcpus[0], UCALL_DONE, &uc);
		stop_threads(&self->vm, threads);
	}
}

TEST_HARNESS_MAIN
