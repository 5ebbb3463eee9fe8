// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_trng - A protected guest's random numbers are the firmware's.
 *
 * EL2 serves the TRNG (Arm DEN0098) with what EL3 has: no less, not a bit more
 * than the guest asked for, and nothing that the host has had a hand in.  Where
 * EL3 has no TRNG, none of its functions is supported.
 *
 * With the log of an EL3 monitor, what the guest gets is compared with what EL3
 * gave, and EL3 is made to answer what it should not.
 */
#include <asm/hwcap.h>
#include <pthread.h>
#include <sys/auxv.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_el3.h"
#include "processor.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

/* Status codes of the TRNG's own */
#define TRNG_INVALID_PARAMETERS		(-2)
#define TRNG_NO_ENTROPY			(-3)

#define TRNG_VERSION_1_0		0x10000

#define MAX_BITS32			96u
#define MAX_BITS64			192u

#define NR_VCPUS			2
#define NR_ASKED			400

static const u32 trng_ids[] = {
	ARM_SMCCC_TRNG_VERSION, ARM_SMCCC_TRNG_FEATURES, ARM_SMCCC_TRNG_GET_UUID,
	ARM_SMCCC_TRNG_RND32, ARM_SMCCC_TRNG_RND64,
};

/* Guest side */

struct call {
	s64 status;
	u64 x[3];	/* x1 to x3 */
};

static struct call guest_trng(u32 id, u64 arg)
{
	struct arm_smccc_res res;

	smccc_hvc(id, arg, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul, &res);
	return (struct call) { res.a0, { res.a1, res.a2, res.a3 } };
}

static void guest_expect(u32 id, u64 arg, s64 status)
{
	struct call call = guest_trng(id, arg);

	__GUEST_ASSERT(call.status == status && !call.x[0] && !call.x[1] && !call.x[2],
		       "0x%x(0x%lx): 0x%lx, 0x%lx, 0x%lx, 0x%lx", id, arg, call.status,
		       call.x[0], call.x[1], call.x[2]);
}

static void guest_discovers(void)
{
	static const u32 others[] = {
		0, 0x84000054, 0x8400005f, 0xc4000050, 0xc4000051, 0xc4000052, 0xc4000054,
		0x84010050, PSCI_0_2_FN_PSCI_VERSION, 0xffffffff,
	};
	s64 version = guest_trng(ARM_SMCCC_TRNG_VERSION, 0).status;
	struct call uuid;
	int i;

	GUEST_SYNC1(version);
	if (version == SMCCC_RET_NOT_SUPPORTED) {
		for (i = 0; i < ARRAY_SIZE(trng_ids); i++) {
			guest_expect(trng_ids[i], 0, SMCCC_RET_NOT_SUPPORTED);
			guest_expect(trng_ids[i], 64, SMCCC_RET_NOT_SUPPORTED);
			guest_expect(trng_ids[i], ARM_SMCCC_TRNG_RND64, SMCCC_RET_NOT_SUPPORTED);
			guest_expect(ARM_SMCCC_TRNG_FEATURES, trng_ids[i], SMCCC_RET_NOT_SUPPORTED);
		}
		GUEST_DONE();
	}

	for (i = 0; i < ARRAY_SIZE(trng_ids); i++) {
		guest_expect(ARM_SMCCC_TRNG_FEATURES, trng_ids[i], SMCCC_RET_SUCCESS);
		/* The argument has 32 bits. */
		guest_expect(ARM_SMCCC_TRNG_FEATURES, BIT(63) | trng_ids[i], SMCCC_RET_SUCCESS);
	}
	for (i = 0; i < ARRAY_SIZE(others); i++)
		guest_expect(ARM_SMCCC_TRNG_FEATURES, others[i], SMCCC_RET_NOT_SUPPORTED);
	/* Not in this version */
	guest_expect(0x84000054, 64, SMCCC_RET_NOT_SUPPORTED);
	guest_expect(0xc4000050, 0, SMCCC_RET_NOT_SUPPORTED);
	guest_expect(0xc4000052, 0, SMCCC_RET_NOT_SUPPORTED);

	uuid = guest_trng(ARM_SMCCC_TRNG_GET_UUID, 0);
	GUEST_SYNC4(uuid.status, uuid.x[0], uuid.x[1], uuid.x[2]);
	GUEST_DONE();
}

static const u64 invalid32[] = { 0, 97, 128, 192, 0x7fffffff, 0x80000000, 0xffffffff, BIT(63) };
static const u64 invalid64[] = {
	0, 193, 256, 0xffffffff, BIT(32) | 8, BIT(63), BIT(63) | 64, ~0ul,
};

static void guest_asks_wrongly(void)
{
	int i;

	if (guest_trng(ARM_SMCCC_TRNG_VERSION, 0).status < 0)
		GUEST_DONE();
	for (i = 0; i < ARRAY_SIZE(invalid32); i++)
		guest_expect(ARM_SMCCC_TRNG_RND32, invalid32[i], TRNG_INVALID_PARAMETERS);
	for (i = 0; i < ARRAY_SIZE(invalid64); i++)
		guest_expect(ARM_SMCCC_TRNG_RND64, invalid64[i], TRNG_INVALID_PARAMETERS);
	GUEST_SYNC1(0);

	/* Of the 32-bit call, the upper half of the argument is not looked at. */
	GUEST_ASSERT_EQ(guest_trng(ARM_SMCCC_TRNG_RND32, BIT(32) | 8).status, SMCCC_RET_SUCCESS);
	GUEST_DONE();
}

/* @bits random numbers each time */
static void guest_asks(u64 id, u64 bits)
{
	struct call call;

	for (;;) {
		call = guest_trng(id, bits);
		GUEST_SYNC4(call.status, call.x[0], call.x[1], call.x[2]);
	}
}

static void guest_asks_for_all_sizes(u64 version)
{
	u32 bits, wide, max;
	struct call call;

	if (guest_trng(ARM_SMCCC_TRNG_VERSION, 0).status < 0)
		GUEST_DONE();
	for (wide = 0; wide < 2; wide++) {
		max = wide ? MAX_BITS64 : MAX_BITS32;
		for (bits = 1; bits <= max; bits++) {
			call = guest_trng(wide ? ARM_SMCCC_TRNG_RND64 : ARM_SMCCC_TRNG_RND32, bits);
			GUEST_SYNC6(wide, bits, call.status, call.x[0], call.x[1], call.x[2]);
		}
	}
	GUEST_DONE();
}

static void guest_has_rndr(void)
{
	u64 isar0 = read_sysreg(id_aa64isar0_el1), a, b;

	GUEST_SYNC1(isar0 >> ID_AA64ISAR0_EL1_RNDR_SHIFT & 15);
	if (isar0 >> ID_AA64ISAR0_EL1_RNDR_SHIFT & 15) {
		a = read_sysreg_s(SYS_RNDR_EL0);
		b = read_sysreg_s(SYS_RNDR_EL0);
		GUEST_ASSERT(a != b);
	}
	GUEST_DONE();
}

/* VMM side */

FIXTURE(pkvm_trng) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	u64 mark;
	bool el3;	/* There is a log of EL3's. */
};

FIXTURE_SETUP(pkvm_trng)
{
	TEST_REQUIRE_PKVM();

	self->el3 = !__adv_open() && !__el3_open();
	if (self->el3)
		self->mark = el3_log_mark();
	self->vm = vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &self->vcpu, guest_discovers);
}

FIXTURE_TEARDOWN(pkvm_trng)
{
	kvm_vm_free(self->vm);
}

TEST_F(pkvm_trng, guest_has_a_trng_if_the_firmware_has)
{
	static const u32 el3_uuid[4] = EL3_TRNG_UUID;
	const char *why = __adv_open();
	struct ucall uc;
	s64 version;
	int i;

	vcpu_run_until(self->vcpu, UCALL_SYNC, &uc);
	version = uc.args[0];
	EXPECT_TRUE(version == TRNG_VERSION_1_0 || version == SMCCC_RET_NOT_SUPPORTED)
		TH_LOG("0x%lx", version);
	/* The host gets the firmware's answer. */
	EXPECT_TRUE(why ||
		    (version > 0) == (adv_smc(ADV_CPU_ANY, ARM_SMCCC_TRNG_VERSION) > 0));
	if (why)
		TH_LOG("what the firmware has is not known: %s", why);
	EXPECT_TRUE(!self->el3 || version == TRNG_VERSION_1_0);
	if (version > 0) {
		vcpu_run_until(self->vcpu, UCALL_SYNC, &uc);
		for (i = 0; i < 4 && self->el3; i++) {
			EXPECT_EQ(uc.args[i], el3_uuid[i])
				TH_LOG("word %d of the UUID", i);
		}
	}
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

/* A request of the host's for random numbers may be in the log, but not of that size. */
static bool el3_was_asked(u64 mark, u64 bits)
{
	struct el3_log_entry e;
	u64 n;

	el3_log_for_each(n, mark, &e) {
		if ((EL3_LOG_FID(&e) == ARM_SMCCC_TRNG_RND64 ||
		     EL3_LOG_FID(&e) == ARM_SMCCC_TRNG_RND32) && e.x[1] == bits)
			return true;
	}

	return false;
}

TEST_F(pkvm_trng, invalid_argument_is_refused_by_el2)
{
	struct ucall uc;
	int i;

	vcpu_arch_set_entry_point(self->vcpu, guest_asks_wrongly);
	vcpu_run(self->vcpu);
	if (get_ucall(self->vcpu, &uc) == UCALL_DONE)
		SKIP(return, "the firmware has no TRNG");
	if (uc.cmd == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	ASSERT_EQ(uc.cmd, UCALL_SYNC);

	for (i = 0; self->el3 && i < ARRAY_SIZE(invalid32); i++) {
		/* Sizes that the host asks for */
		if (invalid32[i] == 128 || invalid32[i] == 192)
			continue;
		EXPECT_FALSE(el3_was_asked(self->mark, invalid32[i]));
	}
	for (i = 0; self->el3 && i < ARRAY_SIZE(invalid64); i++) {
		EXPECT_FALSE(el3_was_asked(self->mark, invalid64[i]))
			TH_LOG("0x%lx", invalid64[i]);
	}
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

/* What EL3 gave for the last request of that many bits; from x1 to x3. */
static bool el3_gave(u64 mark, u64 bits, u64 *x)
{
	struct el3_log_entry e;
	bool found = false;
	u64 n;

	el3_log_for_each(n, mark, &e) {
		if (EL3_LOG_FID(&e) != ARM_SMCCC_TRNG_RND64 || e.x[1] != bits ||
		    !(e.flags & EL3_LOG_RETURNED) || e.out[0])
			continue;
		memcpy(x, e.out + 1, 3 * sizeof(*x));
		found = true;
	}

	return found;
}

/* Bits from @bits on in x1 to x3, of which each has @width bits, lowest last */
static u64 bits_too_many(const u64 *x, u32 bits, u32 width)
{
	u64 wrong = 0;
	s32 i, left;

	for (i = 2, left = bits; i >= 0; i--, left -= (s32)width) {
		s32 valid = left < 0 ? 0 : left > (s32)width ? width : left;

		if (valid < 64)
			wrong |= x[i] >> valid;
	}

	return wrong;
}

TEST_F(pkvm_trng, guest_gets_as_many_bits_as_it_asks_for)
{
	u64 wide, bits, last[3] = {}, x[3], given[3], repeated = 0, nr = 0, mark;
	struct ucall uc;

	vcpu_arch_set_entry_point(self->vcpu, guest_asks_for_all_sizes);
	for (;;) {
		mark = self->el3 ? el3_log_mark() : 0;
		vcpu_run(self->vcpu);
		if (get_ucall(self->vcpu, &uc) != UCALL_SYNC)
			break;
		wide = uc.args[0];
		bits = uc.args[1];
		memcpy(x, uc.args + 3, sizeof(x));
		ASSERT_EQ((s64)uc.args[2], SMCCC_RET_SUCCESS) TH_LOG("%lu bits", bits);
		EXPECT_EQ(bits_too_many(x, bits, wide ? 64 : 32), 0)
			TH_LOG("%lu bits: 0x%lx, 0x%lx, 0x%lx", bits, x[0], x[1], x[2]);
		repeated += bits > 32 && !memcmp(x, last, sizeof(x));
		memcpy(last, x, sizeof(last));
		nr++;

		/* The host asks for these, too. */
		if (!self->el3 || bits == 64 || bits == 128 || bits == 192)
			continue;
		ASSERT_TRUE(el3_gave(mark, bits, given)) TH_LOG("%lu bits", bits);
		if (wide) {
			EXPECT_EQ(x[0], given[0]);
			EXPECT_EQ(x[1], given[1]);
			EXPECT_EQ(x[2], given[2]);
			EXPECT_TRUE(bits < 64 || x[2] >> 56 == EL3_TRNG_MARK);
		} else {
			EXPECT_EQ(x[0], (u32)given[1]);
			EXPECT_EQ(x[1], given[2] >> 32);
			EXPECT_EQ(x[2], (u32)given[2]);
		}
	}
	if (uc.cmd == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	if (!nr)
		SKIP(return, "the firmware has no TRNG");
	EXPECT_EQ(nr, MAX_BITS32 + MAX_BITS64);
	EXPECT_EQ(repeated, 0);
}

static void check_answer(struct __test_metadata *_metadata, struct kvm_vcpu *vcpu, u64 bits,
			 u64 status, u64 fill, s64 expected, const u64 *x)
{
	struct ucall uc;
	int i;

	ASSERT_EQ(adv_smc(ADV_CPU_ANY, EL3_TEST_TRNG, bits, status, fill), 0);
	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	EXPECT_EQ((s64)uc.args[0], expected) TH_LOG("status 0x%lx", status);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(uc.args[1 + i], x[i])
			TH_LOG("status 0x%lx: x%d", status, i + 1);
	}
}

/* Some of these are in no specification. */
static const u64 bad_status[] = {
	-1, -2, -3, -4, 0xffffffff, 0xfffffffd, 1, 2, BIT(31), BIT(32), BIT(63), 0x7fffffff,
};

FIXTURE(pkvm_trng_fault) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	u64 id;
	u64 bits;
};

FIXTURE_VARIANT(pkvm_trng_fault) {
	u32 id;
	u32 bits;
	u64 x[3];	/* what is left of all ones */
};

FIXTURE_VARIANT_ADD(pkvm_trng_fault, one_bit) {
	.id = ARM_SMCCC_TRNG_RND64, .bits = 1, .x = { 0, 0, 1 },
};

FIXTURE_VARIANT_ADD(pkvm_trng_fault, bits_of_two_registers) {
	.id = ARM_SMCCC_TRNG_RND64, .bits = 67, .x = { 0, 7, ~0ul },
};

FIXTURE_VARIANT_ADD(pkvm_trng_fault, bits_of_three_registers) {
	.id = ARM_SMCCC_TRNG_RND64, .bits = 191, .x = { ~0ul >> 1, ~0ul, ~0ul },
};

FIXTURE_VARIANT_ADD(pkvm_trng_fault, one_bit_of_32) {
	.id = ARM_SMCCC_TRNG_RND32, .bits = 1, .x = { 0, 0, 1 },
};

FIXTURE_VARIANT_ADD(pkvm_trng_fault, bits_of_two_registers_of_32) {
	.id = ARM_SMCCC_TRNG_RND32, .bits = 35, .x = { 0, 7, 0xffffffff },
};

FIXTURE_VARIANT_ADD(pkvm_trng_fault, all_bits_of_32) {
	.id = ARM_SMCCC_TRNG_RND32, .bits = 96, .x = { 0xffffffff, 0xffffffff, 0xffffffff },
};

FIXTURE_SETUP(pkvm_trng_fault)
{
	TEST_REQUIRE_PKVM();
	if (__adv_open() || __el3_open())
		SKIP(return, "needs an EL3 monitor with a log");
	if (adv_smc(ADV_CPU_ANY, EL3_TEST_TRNG, 0, 0, 0))
		SKIP(return, "calls of the EL3 monitor's are denied, or it has none");

	self->vm = vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &self->vcpu, guest_asks);
	vcpu_args_set(self->vcpu, 2, (u64)variant->id, (u64)variant->bits);
}

FIXTURE_TEARDOWN(pkvm_trng_fault)
{
	if (!self->vm)
		return;
	adv_smc(ADV_CPU_ANY, EL3_TEST_TRNG, 0, 0, 0);
	kvm_vm_free(self->vm);
}

TEST_F(pkvm_trng_fault, guest_gets_nothing_with_another_status_than_success)
{
	static const u64 nothing[3];
	int i;

	for (i = 0; i < ARRAY_SIZE(bad_status); i++)
		check_answer(_metadata, self->vcpu, variant->bits, bad_status[i], ~0ul,
			     TRNG_NO_ENTROPY, nothing);
}

TEST_F(pkvm_trng_fault, guest_gets_no_bit_that_it_has_not_asked_for)
{
	check_answer(_metadata, self->vcpu, variant->bits, 0, ~0ul, 0, variant->x);
}

struct asking {
	pthread_t thread;
	struct kvm_vcpu *vcpu;
	u64 words[NR_ASKED][3];
};

static void *asking_thread(void *arg)
{
	struct asking *a = arg;
	struct ucall uc;
	int i;

	for (i = 0; i < NR_ASKED; i++) {
		vcpu_run_until(a->vcpu, UCALL_SYNC, &uc);
		TEST_ASSERT_EQ((s64)uc.args[0], SMCCC_RET_SUCCESS);
		memcpy(a->words[i], uc.args + 1, sizeof(a->words[i]));
	}

	return NULL;
}

static int cmp_words(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* Two vCPUs and the host ask at once. */
TEST_F(pkvm_trng, nobody_gets_a_word_that_another_has)
{
	static struct asking asking[NR_VCPUS];
	static u64 words[(NR_VCPUS + 1) * NR_ASKED * 3], x[ADV_NR_XREGS];
	struct kvm_vcpu *vcpus[NR_VCPUS];
	u64 nr = 0, i, marked = 0, twice = 0;
	struct kvm_vm *vm;

	if (!self->el3)
		SKIP(return, "needs an EL3 monitor with a log");

	vm = __vm_create_with_vcpus(VM_SHAPE_PROTECTED, NR_VCPUS, 0, guest_asks, vcpus);
	for (i = 0; i < NR_VCPUS; i++) {
		vcpu_args_set(vcpus[i], 2, (u64)ARM_SMCCC_TRNG_RND64, (u64)MAX_BITS64);
		asking[i].vcpu = vcpus[i];
		TEST_ASSERT(!pthread_create(&asking[i].thread, NULL, asking_thread, &asking[i]),
			    "pthread_create()");
	}
	for (i = 0; i < NR_ASKED; i++) {
		x[0] = ARM_SMCCC_TRNG_RND64;
		x[1] = MAX_BITS64;
		ASSERT_EQ(__adv_call(ADV_SMC, 0, ADV_CPU_ANY, x), 0);
		ASSERT_EQ(x[0], SMCCC_RET_SUCCESS);
		memcpy(words + nr, x + 1, 3 * sizeof(*words));
		nr += 3;
	}
	for (i = 0; i < NR_VCPUS; i++) {
		pthread_join(asking[i].thread, NULL);
		memcpy(words + nr, asking[i].words, sizeof(asking[i].words));
		nr += NR_ASKED * 3;
	}
	kvm_vm_free(vm);

	qsort(words, nr, sizeof(*words), cmp_words);
	for (i = 0; i < nr; i++) {
		marked += words[i] >> 56 == EL3_TRNG_MARK;
		twice += i && words[i] == words[i - 1];
	}
	EXPECT_EQ(marked, nr);
	EXPECT_EQ(twice, 0);
}

TEST_F(pkvm_trng, random_number_instructions_are_the_cpus)
{
	struct ucall uc;

	vcpu_arch_set_entry_point(self->vcpu, guest_has_rndr);
	vcpu_run_until(self->vcpu, UCALL_SYNC, &uc);
	EXPECT_EQ(!!uc.args[0], !!(getauxval(AT_HWCAP2) & HWCAP2_RNG));
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

/* The kernel's own, as ever */
TEST(non_protected_guest_has_the_hosts)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	vm = vm_create_with_one_vcpu(&vcpu, guest_asks);
	vcpu_args_set(vcpu, 2, (u64)ARM_SMCCC_TRNG_VERSION, 0ul);
	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	EXPECT_EQ(uc.args[0], TRNG_VERSION_1_0);
	kvm_vm_free(vm);
}

TEST_HARNESS_MAIN
