// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_share - A protected guest decides, a page at a time, what the host
 * sees: what it shares is readable and writable for both, what it takes back
 * faults for the host and keeps its content, and a call that asks for anything
 * else returns what hypercalls.rst says and changes nothing.
 */
#include <linux/sizes.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

#define TEST_SLOT	1
#define TEST_GPA	0x20000000ul
#define TEST_PAGES	64ul
#define PAGE_GPA(n)	(TEST_GPA + (n) * SZ_4K)
#define UNBACKED_GPA	0x40000000ul

#define GUEST_MAGIC(n)	(0x5ec4e70000000000ul | (n))
#define HOST_MAGIC(n)	(0x40057000000000ul | (n))

#define MODEL_BATCHES	40
#define MODEL_OPS	256

#define FEATURE(nr)	BIT_ULL(nr)

static u64 *guest_page(u64 n)
{
	return (u64 *)PAGE_GPA(n);
}

FIXTURE(pkvm_share) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	u64 *mem;
};

FIXTURE_SETUP(pkvm_share)
{
	TEST_REQUIRE_PKVM();

	self->vm = vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &self->vcpu, NULL);
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA,
				    TEST_SLOT, TEST_PAGES, 0);
	virt_map(self->vm, TEST_GPA, TEST_GPA, TEST_PAGES);
	self->mem = addr_gpa2hva(self->vm, TEST_GPA);

	vm_init_descriptor_tables(self->vm);
	vcpu_init_descriptor_tables(self->vcpu);
}

FIXTURE_TEARDOWN(pkvm_share)
{
	kvm_vm_free(self->vm);
}

static u64 *host_page(u64 *mem, u64 n)
{
	return mem + n * SZ_4K / sizeof(*mem);
}

/* Run to the next GUEST_SYNC and return its argument, or to GUEST_DONE. */
#define STAGE_DONE	(~0ul)

static u64 run_stage(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	vcpu_run(vcpu);
	switch (get_ucall(vcpu, &uc)) {
	case UCALL_SYNC:
		return uc.args[1];
	case UCALL_DONE:
		return STAGE_DONE;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
	}
	TEST_FAIL("Unexpected exit %u, ucall %lu", vcpu->run->exit_reason, uc.cmd);
}

static void assert_host_reads(u64 *addr, u64 want)
{
	u64 val = 0;
	int sig;

	sig = host_try_read(addr, &val);
	TEST_ASSERT(!sig, "Host read of a shared page: %s", strsignal(sig));
	TEST_ASSERT(val == want, "Host reads %#lx, expected %#lx", val, want);
}

static void assert_host_faults(u64 *addr)
{
	u64 val = 0;
	int sig;

	sig = host_try_read(addr, &val);
	TEST_ASSERT(sig == SIGSEGV, "Host read of a guest's page: %s, %#lx",
		    sig ? strsignal(sig) : "no signal", val);
	sig = host_try_write(addr, 0);
	TEST_ASSERT(sig == SIGSEGV, "Host write to a guest's page: %s",
		    sig ? strsignal(sig) : "no signal");
}

static void guest_share_both_ways(void)
{
	WRITE_ONCE(*guest_page(0), GUEST_MAGIC(1));
	GUEST_SYNC(0);

	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(0)), SMCCC_RET_SUCCESS);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(READ_ONCE(*guest_page(0)), HOST_MAGIC(1));

	WRITE_ONCE(*guest_page(0), GUEST_MAGIC(2));
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST_F(pkvm_share, shared_page_is_readable_and_writable_for_both)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_share_both_ways);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 0);
	assert_host_faults(self->mem);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 1);
	assert_host_reads(self->mem, GUEST_MAGIC(1));
	TEST_ASSERT_EQ(host_try_write(self->mem, HOST_MAGIC(1)), 0);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 2);
	assert_host_reads(self->mem, GUEST_MAGIC(2));
	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

static void guest_share_neighbour(void)
{
	u64 i;

	for (i = 0; i < 3; i++)
		WRITE_ONCE(*guest_page(i), GUEST_MAGIC(i));

	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(1)), SMCCC_RET_SUCCESS);
	GUEST_SYNC(1);

	for (i = 0; i < 3; i++)
		GUEST_ASSERT_EQ(READ_ONCE(*guest_page(i)), GUEST_MAGIC(i));
	GUEST_DONE();
}

TEST_F(pkvm_share, sharing_a_page_leaves_its_neighbours_alone)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_share_neighbour);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 1);
	assert_host_faults(host_page(self->mem, 1) - 1);
	assert_host_reads(host_page(self->mem, 1), GUEST_MAGIC(1));
	assert_host_faults(host_page(self->mem, 2));
	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

static void guest_unshare(void)
{
	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(0)), SMCCC_RET_SUCCESS);
	GUEST_SYNC(0);

	GUEST_ASSERT_EQ(READ_ONCE(*guest_page(0)), HOST_MAGIC(1));
	GUEST_ASSERT_EQ(pkvm_mem_unshare(PAGE_GPA(0)), SMCCC_RET_SUCCESS);
	GUEST_ASSERT_EQ(READ_ONCE(*guest_page(0)), HOST_MAGIC(1));
	WRITE_ONCE(*guest_page(0), GUEST_MAGIC(1));
	GUEST_SYNC(1);

	GUEST_ASSERT_EQ(READ_ONCE(*guest_page(0)), GUEST_MAGIC(1));
	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(0)), SMCCC_RET_SUCCESS);
	GUEST_SYNC(2);
	GUEST_DONE();
}

TEST_F(pkvm_share, unshare_takes_the_page_and_its_content_back)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_unshare);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 0);
	TEST_ASSERT_EQ(host_try_write(self->mem, HOST_MAGIC(1)), 0);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 1);
	assert_host_faults(self->mem);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 2);
	assert_host_reads(self->mem, GUEST_MAGIC(1));
	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

static void guest_share_untouched(void)
{
	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(5)), SMCCC_RET_SUCCESS);
	GUEST_ASSERT_EQ(READ_ONCE(*guest_page(5)), HOST_MAGIC(5));
	GUEST_ASSERT_EQ(pkvm_mem_unshare(PAGE_GPA(5)), SMCCC_RET_SUCCESS);
	GUEST_ASSERT_EQ(pkvm_mem_unshare(PAGE_GPA(6)), SMCCC_RET_INVALID_PARAMETER);
	GUEST_SYNC(0);
	GUEST_DONE();
}

TEST_F(pkvm_share, page_that_was_never_touched_can_be_shared_but_not_unshared)
{
	/* What the host wrote before it gave the page away is not a secret. */
	*host_page(self->mem, 5) = HOST_MAGIC(5);
	*host_page(self->mem, 6) = HOST_MAGIC(6);
	vcpu_arch_set_entry_point(self->vcpu, guest_share_untouched);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 0);
	assert_host_faults(host_page(self->mem, 5));
	assert_host_reads(host_page(self->mem, 6), HOST_MAGIC(6));
	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

static void guest_wrong_state(void)
{
	WRITE_ONCE(*guest_page(0), GUEST_MAGIC(0));
	GUEST_ASSERT_EQ(pkvm_mem_unshare(PAGE_GPA(0)), SMCCC_RET_INVALID_PARAMETER);
	GUEST_SYNC(0);

	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(0)), SMCCC_RET_SUCCESS);
	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(0)), SMCCC_RET_INVALID_PARAMETER);
	GUEST_SYNC(1);

	GUEST_ASSERT_EQ(pkvm_mem_unshare(PAGE_GPA(0)), SMCCC_RET_SUCCESS);
	GUEST_ASSERT_EQ(pkvm_mem_unshare(PAGE_GPA(0)), SMCCC_RET_INVALID_PARAMETER);
	GUEST_SYNC(2);

	GUEST_ASSERT_EQ(READ_ONCE(*guest_page(0)), GUEST_MAGIC(0));
	GUEST_DONE();
}

TEST_F(pkvm_share, double_share_and_double_unshare_fail_and_change_nothing)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_wrong_state);

	TEST_ASSERT_EQ(run_stage(self->vcpu), 0);
	assert_host_faults(self->mem);
	TEST_ASSERT_EQ(run_stage(self->vcpu), 1);
	assert_host_reads(self->mem, GUEST_MAGIC(0));
	TEST_ASSERT_EQ(run_stage(self->vcpu), 2);
	assert_host_faults(self->mem);
	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

static void guest_assert_refused(u32 func, u64 arg1, u64 arg2, u64 arg3)
{
	s64 ret = pkvm_hvc(func, arg1, arg2, arg3);

	__GUEST_ASSERT(ret == SMCCC_RET_INVALID_PARAMETER,
		       "%#x(%#lx, %#lx, %#lx) returns %ld", func, arg1, arg2, arg3, ret);
}

static void guest_bad_arguments(u64 max_ipa_bits)
{
	static const u64 junk[] = { 1, 0x1000, BIT_ULL(32), BIT_ULL(63), ~0ul };
	static const u64 unaligned[] = { 1, 4, 8, 0x800, 0xfff };
	u64 out_of_range[] = {
		BIT_ULL(max_ipa_bits), BIT_ULL(max_ipa_bits) | PAGE_GPA(0), BIT_ULL(52),
		BIT_ULL(52) | PAGE_GPA(0), BIT_ULL(63), BIT_ULL(63) | PAGE_GPA(0),
		~0xffful,
	};
	static const u32 funcs[] = { PKVM_HVC_MEM_SHARE, PKVM_HVC_MEM_UNSHARE };
	int f, i;

	/* Page 0 is owned, page 1 shared, so that either call could succeed. */
	WRITE_ONCE(*guest_page(0), GUEST_MAGIC(0));
	WRITE_ONCE(*guest_page(1), GUEST_MAGIC(1));
	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(1)), SMCCC_RET_SUCCESS);

	for (f = 0; f < ARRAY_SIZE(funcs); f++) {
		for (i = 0; i < ARRAY_SIZE(junk); i++) {
			guest_assert_refused(funcs[f], PAGE_GPA(f), junk[i], 0);
			guest_assert_refused(funcs[f], PAGE_GPA(f), 0, junk[i]);
			guest_assert_refused(funcs[f], PAGE_GPA(f), junk[i], junk[i]);
		}
		for (i = 0; i < ARRAY_SIZE(unaligned); i++)
			guest_assert_refused(funcs[f], PAGE_GPA(f) + unaligned[i], 0, 0);
		for (i = 0; i < ARRAY_SIZE(out_of_range); i++)
			guest_assert_refused(funcs[f], out_of_range[i], 0, 0);
	}

	for (i = 0; i < ARRAY_SIZE(junk); i++) {
		guest_assert_refused(PKVM_HVC_HYP_MEMINFO, junk[i], 0, 0);
		guest_assert_refused(PKVM_HVC_HYP_MEMINFO, 0, junk[i], 0);
		guest_assert_refused(PKVM_HVC_HYP_MEMINFO, 0, 0, junk[i]);
	}

	GUEST_SYNC(0);
	GUEST_DONE();
}

TEST_F(pkvm_share, unaligned_out_of_range_and_reserved_arguments_are_refused)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_bad_arguments);
	vcpu_args_set(self->vcpu, 1, (u64)kvm_check_cap(KVM_CAP_ARM_VM_IPA_SIZE));

	TEST_ASSERT_EQ(run_stage(self->vcpu), 0);
	assert_host_faults(host_page(self->mem, 0));
	assert_host_reads(host_page(self->mem, 1), GUEST_MAGIC(1));
	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

static u64 nr_aborts;

/* Skip the HVC at which the abort was taken. */
static void guest_abort_handler(struct ex_regs *regs)
{
	GUEST_ASSERT_EQ(read_sysreg(esr_el1) & ESR_ELx_FSC_TYPE, ESR_ELx_FSC_EXTABT);
	WRITE_ONCE(nr_aborts, nr_aborts + 1);
	regs->pc += 4;
}

static void guest_unbacked(void)
{
	GUEST_ASSERT_EQ(pkvm_mem_unshare(UNBACKED_GPA), SMCCC_RET_INVALID_PARAMETER);
	GUEST_ASSERT_EQ(READ_ONCE(nr_aborts), 0);

	/*
	 * EL2 knows no memslots: it asks the host for a page, and a host
	 * that has none to give injects an external abort.
	 */
	pkvm_mem_share(UNBACKED_GPA);
	GUEST_ASSERT_EQ(READ_ONCE(nr_aborts), 1);

	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(0)), SMCCC_RET_SUCCESS);
	GUEST_DONE();
}

TEST_F(pkvm_share, address_without_memslot_is_not_shared_and_the_guest_lives)
{
	vcpu_arch_set_entry_point(self->vcpu, guest_unbacked);
	vm_install_sync_handler(self->vm, VECTOR_SYNC_CURRENT,
				ESR_ELx_EC_DABT_CUR, guest_abort_handler);

	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

static void guest_features(void)
{
	struct arm_smccc_res res;

	smccc_hvc(PKVM_HVC_FEATURES, 0, 0, 0, 0, 0, 0, 0, &res);
	GUEST_SYNC1(res.a0);
	GUEST_SYNC1(res.a1 | res.a2 | res.a3);
	GUEST_SYNC1(pkvm_meminfo());
	GUEST_DONE();
}

static u64 run_value(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	vcpu_run(vcpu);
	TEST_ASSERT_EQ(get_ucall(vcpu, &uc), UCALL_SYNC);
	return uc.args[0];
}

TEST_F(pkvm_share, features_and_granule_are_what_the_guest_needs)
{
	u64 need = FEATURE(0) | FEATURE(2) | FEATURE(3) | FEATURE(4);

	vcpu_arch_set_entry_point(self->vcpu, guest_features);

	TEST_ASSERT_EQ(run_value(self->vcpu) & need, need);
	run_value(self->vcpu);
	TEST_ASSERT_EQ(run_value(self->vcpu), getpagesize());
	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

/*
 * The guest picks pages and operations at random, checks each result against
 * its model of who may see what, and publishes the model for the host to
 * check its own view against.
 */
static void guest_model(u64 seed)
{
	struct kvm_random_state rng = { .seed = seed };
	u64 shared = 0, page, want, i, j;
	bool share;
	s64 ret;

	/* Own all pages: until it is touched, a page is the host's. */
	for (page = 0; page < TEST_PAGES; page++)
		WRITE_ONCE(*guest_page(page), 0);

	for (i = 0; i < MODEL_BATCHES; i++) {
		for (j = 0; j < MODEL_OPS; j++) {
			page = kvm_random_u32(&rng) % TEST_PAGES;
			share = kvm_random_bool(&rng);
			want = share != !!(shared & BIT_ULL(page)) ?
			       SMCCC_RET_SUCCESS : SMCCC_RET_INVALID_PARAMETER;

			ret = share ? pkvm_mem_share(PAGE_GPA(page)) :
				      pkvm_mem_unshare(PAGE_GPA(page));
			GUEST_ASSERT_EQ(ret, want);

			if (share)
				shared |= BIT_ULL(page);
			else
				shared &= ~BIT_ULL(page);
			WRITE_ONCE(*guest_page(page), GUEST_MAGIC(page + i));
		}
		GUEST_SYNC3(i, shared, page);
	}
	GUEST_DONE();
}

TEST_F_TIMEOUT(pkvm_share, host_sees_exactly_what_thousands_of_random_calls_left_shared, 120)
{
	u64 batch, page, last, shared, val;
	struct ucall uc;
	int sig;

	vcpu_arch_set_entry_point(self->vcpu, guest_model);
	vcpu_args_set(self->vcpu, 1, (u64)kvm_random_u32(&kvm_rng));

	for (batch = 0; batch < MODEL_BATCHES; batch++) {
		vcpu_run(self->vcpu);
		if (get_ucall(self->vcpu, &uc) == UCALL_ABORT)
			REPORT_GUEST_ASSERT(uc);
		TEST_ASSERT_EQ(uc.cmd, UCALL_SYNC);
		TEST_ASSERT_EQ(uc.args[0], batch);
		shared = uc.args[1];
		last = uc.args[2];

		for (page = 0; page < TEST_PAGES; page++) {
			sig = host_try_read(host_page(self->mem, page), &val);
			TEST_ASSERT(sig == (shared & BIT_ULL(page) ? 0 : SIGSEGV),
				    "Batch %lu, page %lu is %s, host reads it with signal %d",
				    batch, page, shared & BIT_ULL(page) ? "shared" : "owned", sig);
		}
		if (shared & BIT_ULL(last))
			assert_host_reads(host_page(self->mem, last), GUEST_MAGIC(last + batch));
	}
	TEST_ASSERT_EQ(run_stage(self->vcpu), STAGE_DONE);
}

static void guest_non_protected(void)
{
	GUEST_ASSERT_EQ(pkvm_meminfo(), SMCCC_RET_NOT_SUPPORTED);
	GUEST_ASSERT_EQ(pkvm_mem_share(PAGE_GPA(0)), SMCCC_RET_NOT_SUPPORTED);
	GUEST_ASSERT_EQ(pkvm_mem_unshare(PAGE_GPA(0)), SMCCC_RET_NOT_SUPPORTED);
	GUEST_DONE();
}

TEST(non_protected_guest_has_no_calls_to_share_memory)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&vcpu, guest_non_protected);
	TEST_ASSERT_EQ(run_stage(vcpu), STAGE_DONE);
	kvm_vm_free(vm);
}

TEST_HARNESS_MAIN
