// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_mmio_guard - A protected guest says where it has devices.  Once it is
 * enrolled, an access elsewhere is a memory fault for the host, which learns the
 * page and can't complete it.  A page is guarded or has memory, never both, and a
 * call that asks for anything else returns what hypercalls.rst says and changes
 * nothing.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "processor.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

#define MMIO_GPA	0x10000000ul
#define MMIO_PAGES	8ul
#define RAM_SLOT	1
#define RAM_GPA		0x20000000ul
#define RAM_PAGES	16ul
/* Where a table of the last level ends, whatever the page size */
#define BORDER_GPA	0x40000000ul
#define WINDOW_PAGES	32ul
/* Another table of the last level every so often, and sometimes another of the one above */
#define SPARSE_GPA	0x80000000ul
#define SPARSE_STEP	0x40000000ul
#define SPARSE_PAGES	48ul

#define DATA		0xda7ada7ada7ada7aul
#define OLD		0x01d01d01d01d01d0ul
#define SECRET		0x5ec4e75ec4e75ec4ul

#define INVALID		SMCCC_RET_INVALID_PARAMETER
#define MAX_PAGES	512ul

#define NR_VCPUS	4
#define NR_ROUNDS	10000ul

/* What a device at that address gives */
#define DEVICE(addr)	(0xdec1ce0000000000ul | (addr))

/* Written by the host, before the guest runs */
static struct {
	u64 page_size;
	u64 ucall_gpa;
	u64 ipa_bits;
} config;

static u64 page_at(u64 base, u64 nr)
{
	return base + nr * config.page_size;
}

/* Guest side */

static struct arm_smccc_res guest_call(u32 func, u64 arg1, u64 arg2, u64 arg3)
{
	struct arm_smccc_res res;

	smccc_hvc(func, arg1, arg2, arg3, 0, 0, 0, 0, &res);
	return res;
}

static s64 guard(u64 ipa)
{
	return pkvm_hvc(PKVM_HVC_MMIO_GUARD_MAP, ipa, 0, 0);
}

static s64 unguard(u64 ipa)
{
	return pkvm_hvc(PKVM_HVC_MMIO_GUARD_UNMAP, ipa, 0, 0);
}

#define guest_assert_call(func, arg1, arg2, arg3, want0, want1)				\
do {											\
	u32 __func = func;								\
	u64 __a1 = arg1, __a2 = arg2, __a3 = arg3;					\
	struct arm_smccc_res __res = guest_call(__func, __a1, __a2, __a3);		\
											\
	__GUEST_ASSERT((s64)__res.a0 == (s64)(want0) && __res.a1 == (want1),		\
		       "0x%x(0x%lx, 0x%lx, 0x%lx) returns %ld, %ld", __func, __a1, __a2,\
		       __a3, __res.a0, __res.a1);					\
} while (0)

static void guest_range(u32 func, u64 ipa, u64 nr_pages)
{
	struct arm_smccc_res res;

	while (nr_pages) {
		res = guest_call(func, ipa, nr_pages, 0);
		GUEST_ASSERT_EQ((s64)res.a0, SMCCC_RET_SUCCESS);
		GUEST_ASSERT(res.a1 && res.a1 <= nr_pages && res.a1 <= MAX_PAGES);
		ipa += res.a1 * config.page_size;
		nr_pages -= res.a1;
	}
}

/* Of each vCPU */
static struct {
	u64 nr;
	u64 esr;
	u64 far;
} aborts[NR_VCPUS];

static u64 nr_aborts(void)
{
	return READ_ONCE(aborts[guest_get_vcpuid()].nr);
}

static void guest_abort_handler(struct ex_regs *regs)
{
	u64 me = guest_get_vcpuid();

	WRITE_ONCE(aborts[me].nr, aborts[me].nr + 1);
	WRITE_ONCE(aborts[me].esr, read_sysreg(esr_el1));
	WRITE_ONCE(aborts[me].far, read_sysreg(far_el1));
	/* From a function that is none, back to its caller */
	if (ESR_ELx_EC(aborts[me].esr) == ESR_ELx_EC_IABT_CUR)
		regs->pc = regs->regs[30];
	else
		regs->pc += 4;
}

static u64 guest_load(u64 addr)
{
	u64 val = OLD;

	asm volatile("ldr %0, [%1]" : "+r"(val) : "r"(addr) : "memory");
	return val;
}

static void guest_store(u64 addr, u64 val)
{
	asm volatile("str %0, [%1]" : : "r"(val), "r"(addr) : "memory");
}

static void guest_assert_device(u64 addr)
{
	u64 nr = nr_aborts(), val = guest_load(addr);

	__GUEST_ASSERT(nr_aborts() == nr && val == DEVICE(addr),
		       "Load from 0x%lx gives 0x%lx, %lu aborts", addr, val, nr_aborts() - nr);
}

static void guest_assert_abort(u64 addr)
{
	u64 nr = nr_aborts(), val = guest_load(addr);

	__GUEST_ASSERT(nr_aborts() == nr + 1 && val == OLD,
		       "Load from 0x%lx gives 0x%lx, %lu aborts", addr, val, nr_aborts() - nr);
	GUEST_ASSERT_EQ(ESR_ELx_EC(aborts[guest_get_vcpuid()].esr), ESR_ELx_EC_DABT_CUR);
	GUEST_ASSERT_EQ(aborts[guest_get_vcpuid()].esr & ESR_ELx_FSC, ESR_ELx_FSC_EXTABT);
	GUEST_ASSERT_EQ(aborts[guest_get_vcpuid()].far, addr);
}

/* Leaves the guest the way out to the VMM. */
static void guest_enroll(void)
{
	GUEST_ASSERT_EQ(guard(config.ucall_gpa), SMCCC_RET_SUCCESS);
}

enum how {
	BY_ENROLL,
	BY_MAP,
	BY_RANGE,
};

static void guest_enrolment(enum how how)
{
	/* As it is without MMIO guard */
	guest_assert_device(MMIO_GPA + 8);
	guest_assert_device(page_at(MMIO_GPA, 1));

	switch (how) {
	case BY_ENROLL:
		/* There are no arguments: what the registers hold is ignored. */
		guest_assert_call(PKVM_HVC_MMIO_GUARD_ENROLL, ~0ul, 1, BIT(63), 0, 0);
		GUEST_ASSERT_EQ(guard(config.ucall_gpa), 0);
		guest_assert_abort(MMIO_GPA + 8);
		GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
		break;
	case BY_MAP:
		GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
		GUEST_ASSERT_EQ(guard(config.ucall_gpa), 0);
		break;
	case BY_RANGE:
		guest_range(PKVM_HVC_MMIO_RGUARD_MAP, MMIO_GPA, 1);
		guest_range(PKVM_HVC_MMIO_RGUARD_MAP, config.ucall_gpa, 1);
		break;
	}

	guest_assert_device(MMIO_GPA + 8);
	guest_assert_abort(MMIO_GPA - 8);
	guest_assert_device(page_at(MMIO_GPA, 1) - 8);
	guest_assert_abort(page_at(MMIO_GPA, 1));

	/* No way back: neither by letting go of all, nor by another call. */
	GUEST_ASSERT_EQ(unguard(MMIO_GPA), 0);
	guest_assert_abort(MMIO_GPA + 8);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_ENROLL, 0, 0, 0, 0, 0);
	guest_assert_abort(MMIO_GPA + 8);
	GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
	guest_assert_device(MMIO_GPA + 8);
	GUEST_DONE();
}

/* The VMM gets an access of each kind, and only from the page that is guarded. */
static void guest_accesses(void)
{
	u64 nr, a = OLD, b = OLD, addr = page_at(MMIO_GPA, 1) + 8;

	guest_enroll();
	GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
	guest_store(MMIO_GPA + 0x18, DATA);
	guest_assert_device(MMIO_GPA + 0x20);

	nr = nr_aborts();
	guest_store(addr, SECRET);
	GUEST_ASSERT_EQ(nr_aborts(), nr + 1);
	guest_assert_abort(addr);

	/* What nobody can emulate is an abort, guarded or not. */
	for (addr = MMIO_GPA; addr <= page_at(MMIO_GPA, 1); addr += config.page_size) {
		nr = nr_aborts();
		asm volatile("ldp %0, %1, [%2]" : "+r"(a), "+r"(b) : "r"(addr) : "memory");
		GUEST_ASSERT_EQ(nr_aborts(), nr + 1);
		GUEST_ASSERT(a == OLD && b == OLD);
		asm volatile("dc zva, %0" : : "r"(addr) : "memory");
		GUEST_ASSERT_EQ(nr_aborts(), nr + 2);
		((void (*)(void))addr)();
		GUEST_ASSERT_EQ(nr_aborts(), nr + 3);
		GUEST_ASSERT_EQ(ESR_ELx_EC(aborts[0].esr), ESR_ELx_EC_IABT_CUR);
	}
	GUEST_DONE();
}

static void guest_features(void)
{
	struct arm_smccc_res res = guest_call(PKVM_HVC_FEATURES, 0, 0, 0);

	GUEST_ASSERT_EQ(res.a0 & 0xde0, 0xde0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_INFO, 0, 0, 0, config.page_size, 0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_INFO, 1, 0, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_INFO, 0, BIT(63), 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_INFO, 0, 0, ~0ul, INVALID, 0);
	GUEST_DONE();
}

static void guest_bad_calls(u64 good)
{
	static const u64 junk[] = { 1, 0x1000, BIT_ULL(32), BIT_ULL(63), ~0ul };
	static const u64 unaligned[] = { 1, 4, 8, 0x800, 0xfff };
	static const u32 funcs[] = {
		PKVM_HVC_MMIO_GUARD_MAP, PKVM_HVC_MMIO_GUARD_UNMAP,
		PKVM_HVC_MMIO_RGUARD_MAP, PKVM_HVC_MMIO_RGUARD_UNMAP,
	};
	u64 end = BIT_ULL(config.ipa_bits), pages = end / config.page_size;
	u64 out_of_range[] = {
		end, end | good, BIT_ULL(56), BIT_ULL(56) | good, BIT_ULL(63), BIT_ULL(63) | good,
		-config.page_size,
	};
	u64 bad_counts[] = {
		/* None, up to behind the end, and so many that their size wraps around */
		0, pages - good / config.page_size + 1, pages, 2 * pages, BIT_ULL(63), ~0ul,
		BIT_ULL(52), BIT_ULL(52) + 1, BIT_ULL(50) + 1, BIT_ULL(48) + 1,
	};
	int f, i;

	for (f = 0; f < ARRAY_SIZE(funcs); f++) {
		bool is_range = f >= 2;

		for (i = 0; i < ARRAY_SIZE(junk); i++) {
			if (!is_range)
				guest_assert_call(funcs[f], good, junk[i], 0, INVALID, 0);
			guest_assert_call(funcs[f], good, is_range, junk[i], INVALID, 0);
			guest_assert_call(funcs[f], good, junk[i], junk[i], INVALID, 0);
		}
		for (i = 0; i < ARRAY_SIZE(unaligned); i++)
			guest_assert_call(funcs[f], good + unaligned[i], is_range, 0, INVALID, 0);
		for (i = 0; i < ARRAY_SIZE(out_of_range); i++)
			guest_assert_call(funcs[f], out_of_range[i], is_range, 0, INVALID, 0);
		for (i = 0; is_range && i < ARRAY_SIZE(bad_counts); i++)
			guest_assert_call(funcs[f], good, bad_counts[i], 0, INVALID, 0);
		if (is_range)
			guest_assert_call(funcs[f], end - config.page_size, 2, 0, INVALID, 0);
	}
}

static void guest_bad_arguments(void)
{
	u64 last = BIT_ULL(config.ipa_bits) - config.page_size;

	/* The guest is not enrolled by any of them, and nothing gets guarded. */
	guest_bad_calls(MMIO_GPA);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_UNMAP, MMIO_GPA, 0, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_UNMAP, MMIO_GPA, 2, 0, INVALID, 0);
	guest_assert_device(page_at(MMIO_GPA, 2));

	guest_enroll();
	guest_bad_calls(MMIO_GPA);
	guest_assert_abort(MMIO_GPA);
	GUEST_ASSERT_EQ(unguard(MMIO_GPA), INVALID);

	/* Nor is what is guarded let go. */
	GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
	guest_bad_calls(MMIO_GPA);
	guest_assert_device(MMIO_GPA);

	/* The last page there is */
	GUEST_ASSERT_EQ(guard(last), 0);
	GUEST_ASSERT_EQ(unguard(last), 0);
	GUEST_ASSERT_EQ(unguard(last), INVALID);
	guest_range(PKVM_HVC_MMIO_RGUARD_MAP, last - config.page_size, 2);
	guest_range(PKVM_HVC_MMIO_RGUARD_UNMAP, last - config.page_size, 2);
	GUEST_DONE();
}

static void guest_states(void)
{
	guest_enroll();

	/* Once more changes nothing, once less does. */
	GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
	GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
	GUEST_ASSERT_EQ(unguard(MMIO_GPA), 0);
	GUEST_ASSERT_EQ(unguard(MMIO_GPA), INVALID);
	guest_assert_abort(MMIO_GPA);

	/* Memory of the guest's, and memory that it shares */
	guest_store(page_at(RAM_GPA, 0), DATA);
	guest_store(page_at(RAM_GPA, 3), DATA);
	guest_store(page_at(RAM_GPA, 4), DATA);
	GUEST_ASSERT_EQ(pkvm_mem_share(page_at(RAM_GPA, 4)), 0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_MAP, page_at(RAM_GPA, 0), 0, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_UNMAP, page_at(RAM_GPA, 0), 0, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_MAP, page_at(RAM_GPA, 4), 0, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_UNMAP, page_at(RAM_GPA, 4), 0, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_MAP, page_at(RAM_GPA, 0), 2, 0, INVALID, 0);
	GUEST_ASSERT_EQ(unguard(page_at(RAM_GPA, 1)), INVALID);

	/* A range goes as far as there is none. */
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_MAP, page_at(RAM_GPA, 1), 8, 0, 0, 2);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_MAP, page_at(RAM_GPA, 1), 8, 0, 0, 2);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_MAP, page_at(RAM_GPA, 3), 6, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_UNMAP, page_at(RAM_GPA, 1), 8, 0, 0, 2);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_UNMAP, page_at(RAM_GPA, 1), 8, 0, INVALID, 0);

	/* What is guarded can't be shared, nor taken back. */
	GUEST_ASSERT_EQ(guard(page_at(RAM_GPA, 2)), 0);
	GUEST_ASSERT_EQ(pkvm_mem_share(page_at(RAM_GPA, 2)), INVALID);
	GUEST_ASSERT_EQ(pkvm_mem_unshare(page_at(RAM_GPA, 2)), INVALID);
	GUEST_ASSERT_EQ(unguard(page_at(RAM_GPA, 2)), 0);
	GUEST_ASSERT_EQ(pkvm_mem_share(page_at(RAM_GPA, 2)), 0);
	GUEST_ASSERT_EQ(pkvm_mem_unshare(page_at(RAM_GPA, 2)), 0);
	GUEST_ASSERT_EQ(guard(page_at(RAM_GPA, 2)), INVALID);

	/* What was there is still there, and let go, a page may have memory. */
	GUEST_ASSERT_EQ(guest_load(page_at(RAM_GPA, 0)), DATA);
	GUEST_ASSERT_EQ(guest_load(page_at(RAM_GPA, 3)), DATA);
	GUEST_ASSERT_EQ(guest_load(page_at(RAM_GPA, 4)), DATA);
	guest_store(page_at(RAM_GPA, 1), DATA);
	GUEST_ASSERT_EQ(guest_load(page_at(RAM_GPA, 1)), DATA);
	GUEST_DONE();
}

static void guest_long_range(void)
{
	u64 base = page_at(BORDER_GPA, -2ul), nr = 3 * config.page_size / 8 + 4, i;

	guest_enroll();
	guest_range(PKVM_HVC_MMIO_RGUARD_MAP, base, nr);
	GUEST_ASSERT_EQ(unguard(page_at(base, -1ul)), INVALID);
	GUEST_ASSERT_EQ(unguard(page_at(base, nr)), INVALID);
	for (i = 0; i < nr; i += 2)
		GUEST_ASSERT_EQ(unguard(page_at(base, i)), 0);
	for (i = 0; i < nr; i++)
		GUEST_ASSERT_EQ(unguard(page_at(base, i)), i % 2 ? 0 : INVALID);

	/* One call goes up to the end of the table. */
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_MAP, base, nr, 0, 0, 2);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_MAP, BORDER_GPA, nr - 2, 0, 0, MAX_PAGES);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_UNMAP, base, nr, 0, 0, 2);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_UNMAP, BORDER_GPA, nr - 2, 0, 0, MAX_PAGES);
	GUEST_ASSERT_EQ(unguard(BORDER_GPA), INVALID);
	GUEST_DONE();
}

/* Needs more tables than there ever are in the vCPU's memcache, several times. */
static void guest_sparse(void)
{
	u64 i, round;

	guest_enroll();
	for (round = 0; round < 4; round++) {
		for (i = 0; i < SPARSE_PAGES; i++)
			GUEST_ASSERT_EQ(guard(SPARSE_GPA + i * SPARSE_STEP), 0);
		for (i = 0; i < SPARSE_PAGES; i++)
			GUEST_ASSERT_EQ(guard(SPARSE_GPA + i * SPARSE_STEP), 0);
		if (round % 2)
			continue;
		for (i = 0; i < SPARSE_PAGES; i++)
			GUEST_ASSERT_EQ(unguard(SPARSE_GPA + i * SPARSE_STEP), 0);
	}
	GUEST_DONE();
}

static void guest_memory_over_guard(void)
{
	guest_enroll();
	GUEST_ASSERT_EQ(guard(page_at(RAM_GPA, 5)), 0);
	GUEST_SYNC(0);
	guest_load(page_at(RAM_GPA, 5));
	GUEST_FAIL("There is memory at a page that is guarded");
}

/* VMM side */

FIXTURE(pkvm_mmio_guard) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	u64 *ram;
};

static struct kvm_vm *create_vm(u32 nr_vcpus, struct kvm_vcpu **vcpus)
{
	struct kvm_vm *vm;
	int i;

	vm = __vm_create_with_vcpus(VM_SHAPE_PROTECTED, nr_vcpus, 64, NULL, vcpus);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, RAM_GPA, RAM_SLOT, RAM_PAGES, 0);
	virt_map(vm, RAM_GPA, RAM_GPA, RAM_PAGES);
	virt_map(vm, MMIO_GPA - vm->page_size, MMIO_GPA - vm->page_size, 1 + MMIO_PAGES);
	virt_map(vm, BORDER_GPA - WINDOW_PAGES / 2 * vm->page_size,
		 BORDER_GPA - WINDOW_PAGES / 2 * vm->page_size, WINDOW_PAGES);
	vm_init_descriptor_tables(vm);
	for (i = 0; i < nr_vcpus; i++)
		vcpu_init_descriptor_tables(vcpus[i]);
	vm_install_sync_handler(vm, VECTOR_SYNC_CURRENT, ESR_ELx_EC_DABT_CUR, guest_abort_handler);
	vm_install_sync_handler(vm, VECTOR_SYNC_CURRENT, ESR_ELx_EC_IABT_CUR, guest_abort_handler);

	config.page_size = vm->page_size;
	config.ucall_gpa = vm->ucall_mmio_addr;
	config.ipa_bits = kvm_check_cap(KVM_CAP_ARM_VM_IPA_SIZE);
	sync_global_to_guest(vm, config);

	return vm;
}

FIXTURE_SETUP(pkvm_mmio_guard)
{
	TEST_REQUIRE_PKVM();

	self->vm = create_vm(1, &self->vcpu);
	self->ram = addr_gpa2hva(self->vm, RAM_GPA);
}

FIXTURE_TEARDOWN(pkvm_mmio_guard)
{
	kvm_vm_free(self->vm);
}

/* Be the device, unless it is a ucall, or KVM_RUN fails: then it is an errno. */
static int serve(struct kvm_vcpu *vcpu, struct ucall *uc)
{
	struct kvm_run *run = vcpu->run;
	u64 val;

	for (;;) {
		if (__vcpu_run(vcpu))
			return errno;
		switch (get_ucall(vcpu, uc)) {
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(*uc);
		case UCALL_NONE:
			break;
		default:
			return 0;
		}
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(run->mmio.len, sizeof(val));
		if (run->mmio.is_write) {
			memcpy(&val, run->mmio.data, sizeof(val));
			TEST_ASSERT(val == DATA, "Write of 0x%lx to 0x%llx", val,
				    run->mmio.phys_addr);
			continue;
		}
		val = DEVICE(run->mmio.phys_addr);
		memcpy(run->mmio.data, &val, sizeof(val));
	}
}

static void serve_until(struct kvm_vcpu *vcpu, u64 cmd)
{
	struct ucall uc;
	int err;

	err = serve(vcpu, &uc);
	TEST_ASSERT(!err, "KVM_RUN: %s", strerror(err));
	TEST_ASSERT_EQ(uc.cmd, cmd);
}

static void run_guest(struct kvm_vcpu *vcpu, void *code, u64 arg)
{
	vcpu_arch_set_entry_point(vcpu, code);
	vcpu_args_set(vcpu, 1, arg);
	serve_until(vcpu, UCALL_DONE);
}

TEST_F(pkvm_mmio_guard, is_announced_and_has_the_granule_of_memory)
{
	run_guest(self->vcpu, guest_features, 0);
}

TEST_F(pkvm_mmio_guard, enroll_restricts_mmio_to_what_is_guarded)
{
	run_guest(self->vcpu, guest_enrolment, BY_ENROLL);
}

TEST_F(pkvm_mmio_guard, first_map_restricts_mmio_to_what_is_guarded)
{
	run_guest(self->vcpu, guest_enrolment, BY_MAP);
}

TEST_F(pkvm_mmio_guard, first_range_restricts_mmio_to_what_is_guarded)
{
	run_guest(self->vcpu, guest_enrolment, BY_RANGE);
}

TEST_F(pkvm_mmio_guard, vmm_gets_what_it_can_emulate_of_guarded_pages_only)
{
	run_guest(self->vcpu, guest_accesses, 0);
}

TEST_F(pkvm_mmio_guard, bad_arguments_are_refused_and_change_nothing)
{
	run_guest(self->vcpu, guest_bad_arguments, 0);
}

TEST_F(pkvm_mmio_guard, page_is_guarded_or_has_memory)
{
	run_guest(self->vcpu, guest_states, 0);
}

TEST_F(pkvm_mmio_guard, long_range_goes_on_where_a_call_ends)
{
	run_guest(self->vcpu, guest_long_range, 0);
}

TEST_F(pkvm_mmio_guard, page_tables_come_from_the_host_when_they_run_out)
{
	run_guest(self->vcpu, guest_sparse, 0);
}

TEST_F(pkvm_mmio_guard, page_of_a_memslot_gets_no_memory_while_it_is_guarded)
{
	struct ucall uc;

	vcpu_arch_set_entry_point(self->vcpu, guest_memory_over_guard);
	serve_until(self->vcpu, UCALL_SYNC);
	EXPECT_EQ(serve(self->vcpu, &uc), EPERM);
	EXPECT_EQ(serve(self->vcpu, &uc), EPERM);
	/* It is the host's. */
	EXPECT_EQ(host_try_write(self->ram + 5 * self->vm->page_size / sizeof(u64), 0), 0);
}

/* What the host kernel sees and does */

#define ARM_EXCEPTION_IRQ	0
#define ARM_EXCEPTION_TRAP	2

/* Of arch/arm64/include/asm/esr.h and kvm_host.h */
#define EC_HVC64		0x16
#define EC_DABT_LOW		0x24
#define ESR_ISV			BIT(24)
#define ESR_WNR			BIT(6)
/* EC, IL, WNR and FSC: all that is said of a memory fault */
#define ESR_FAULT		(GENMASK(31, 25) | ESR_WNR | GENMASK(5, 0))
#define HPFAR_TO_IPA(hpfar)	(((hpfar) & GENMASK(43, 4)) << 8)
#define IFLAG_PENDING_EXCEPTION	BIT(0)
#define IFLAG_INCREMENT_PC	BIT(1)

#define GARBAGE			0x6a2ba6e6a2ba6e00ul

FIXTURE(host) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	u64 *ram;
	struct adv_object vm_object, vcpu_object;
	u64 load, run, put;
	u64 iflags, x0;
	u8 old_iflags;
};

FIXTURE_SETUP(host)
{
	cpu_set_t set;

	TEST_REQUIRE_ADVERSARY();
	TEST_REQUIRE_PKVM();

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity() failed");

	self->vm = create_vm(1, &self->vcpu);
	self->ram = addr_gpa2hva(self->vm, RAM_GPA);
	adv_vm(self->vm, &self->vm_object);
	adv_vcpu(self->vcpu, &self->vcpu_object);
	self->load = HOST_HVC(__pkvm_vcpu_load);
	self->run = HOST_HVC(__kvm_vcpu_run);
	self->put = HOST_HVC(__pkvm_vcpu_put);
	self->iflags = adv_field(&self->vcpu_object, "iflags", NULL);
	self->x0 = adv_field(&self->vcpu_object, "x0", NULL);
}

FIXTURE_TEARDOWN(host)
{
	kvm_vm_free(self->vm);
}

#define HOST	FIXTURE_DATA(host)

static u64 host_field(HOST *host, const char *name)
{
	return adv_field_read(&host->vcpu_object, name);
}

/* To the guest's ucall, with its answer given */
static void host_serve_until_sync(HOST *host)
{
	serve_until(host->vcpu, UCALL_SYNC);
	host->vcpu->run->immediate_exit = 1;
	TEST_ASSERT(__vcpu_run(host->vcpu) == -1 && errno == EINTR, "KVM_RUN: errno %d", errno);
	host->vcpu->run->immediate_exit = 0;
}

static void host_load(HOST *host)
{
	TEST_ASSERT_EQ(adv_read(host->iflags, ADV_VA, &host->old_iflags, 1), 0);
	adv_hvc(ADV_CPU_ANY, host->load, host->vm_object.handle, 0);
}

/* Without KVM, to the next exit that is no interrupt.  Returns the syndrome. */
static u64 host_run(HOST *host)
{
	s64 ret;
	int i;

	for (i = 0; i < 1000; i++) {
		ret = adv_hvc(ADV_CPU_ANY, host->run, host->vcpu_object.va);
		if (ret == ARM_EXCEPTION_IRQ)
			continue;
		TEST_ASSERT_EQ(ret, ARM_EXCEPTION_TRAP);
		return host_field(host, "esr_el2");
	}
	TEST_FAIL("Nothing but interrupts");
}

/* The answer to the exit, as far as EL2 may take it: "the access is done, here is the data". */
static void host_answer(HOST *host, u8 iflags)
{
	u64 data = DATA;

	TEST_ASSERT_EQ(adv_write(host->x0, ADV_VA, &data, sizeof(data)), 0);
	TEST_ASSERT_EQ(adv_write(host->iflags, ADV_VA, &iflags, 1), 0);
}

static void host_set_x0(HOST *host, u64 val)
{
	TEST_ASSERT_EQ(adv_write(host->x0, ADV_VA, &val, sizeof(val)), 0);
}

/* What KVM is to find: no answer */
static void host_put(HOST *host)
{
	host_answer(host, host->old_iflags & ~(IFLAG_PENDING_EXCEPTION | IFLAG_INCREMENT_PC));
	adv_hvc(ADV_CPU_ANY, host->put);
}

#define OFFSET		0x128ul

/* Once with KVM, so that no other page is touched for the first time when there is none */
static void guest_unguarded(void)
{
	u64 addr, nr, round;

	guest_enroll();
	GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);

	for (round = 0; round < 2; round++) {
		GUEST_SYNC(round);
		addr = page_at(RAM_GPA, round) + OFFSET;
		guest_store(addr, SECRET);
		GUEST_ASSERT_EQ(guest_load(addr), SECRET);
		GUEST_SYNC(round);
		addr = page_at(MMIO_GPA, 1) + OFFSET;
		nr = nr_aborts();
		GUEST_ASSERT_EQ(guest_load(addr), OLD);
		GUEST_ASSERT_EQ(nr_aborts(), nr + 1);
		GUEST_ASSERT_EQ(aborts[0].far, addr);
		addr = MMIO_GPA + OFFSET;
		GUEST_ASSERT_EQ(guest_load(addr), round ? DATA : DEVICE(addr));
	}
	GUEST_DONE();
}

#define expect_memory_fault(host, gpa, wnr)					\
do {										\
	host_set_x0(host, GARBAGE);						\
	EXPECT_EQ(host_run(host) & ~ESR_FAULT, 0);				\
	EXPECT_EQ(ESR_ELx_EC(host_field(host, "esr_el2")), EC_DABT_LOW);	\
	EXPECT_EQ(host_field(host, "esr_el2") & ESR_WNR, wnr);			\
	EXPECT_EQ(HPFAR_TO_IPA(host_field(host, "hpfar_el2")), gpa);		\
	EXPECT_EQ(host_field(host, "far_el2"), 0);				\
	EXPECT_EQ(host_field(host, "x0"), GARBAGE);				\
} while (0)

TEST_F(host, learns_the_page_of_an_unguarded_access_and_cannot_complete_it)
{
	int i;

	vcpu_arch_set_entry_point(self->vcpu, guest_unguarded);
	serve_until(self->vcpu, UCALL_SYNC);
	serve_until(self->vcpu, UCALL_SYNC);
	host_serve_until_sync(self);

	/* A store to memory that the host does not donate for now */
	host_load(self);
	for (i = 0; i < 5; i++) {
		expect_memory_fault(self, page_at(RAM_GPA, 1), ESR_WNR);
		host_answer(self, IFLAG_INCREMENT_PC);
	}
	host_put(self);
	/* KVM does. */
	host_serve_until_sync(self);

	/* A load, that the host ends by an abort when it has tried all else */
	host_load(self);
	for (i = 0; i < 5; i++) {
		expect_memory_fault(self, page_at(MMIO_GPA, 1), 0);
		host_answer(self, IFLAG_INCREMENT_PC);
	}
	expect_memory_fault(self, page_at(MMIO_GPA, 1), 0);
	host_answer(self, IFLAG_PENDING_EXCEPTION);

	/* One that it may complete, for comparison */
	EXPECT_EQ(host_run(self) & ESR_ISV, ESR_ISV);
	EXPECT_EQ(HPFAR_TO_IPA(host_field(self, "hpfar_el2")), MMIO_GPA);
	EXPECT_EQ(host_field(self, "far_el2"), OFFSET);
	host_answer(self, IFLAG_INCREMENT_PC);
	host_run(self);
	EXPECT_EQ(HPFAR_TO_IPA(host_field(self, "hpfar_el2")), config.ucall_gpa);
	host_put(self);
	serve_until(self->vcpu, UCALL_DONE);
}

static void guest_guarded(void)
{
	u64 nr, round;

	for (round = 0; round < 2; round++) {
		GUEST_SYNC(round);
		nr = nr_aborts();
		if (!round) {
			guest_assert_device(MMIO_GPA + OFFSET);
			guest_enroll();
			guest_assert_abort(MMIO_GPA + OFFSET);
			continue;
		}
		GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
		GUEST_SYNC(round);
		GUEST_ASSERT_EQ(guest_load(MMIO_GPA + OFFSET), DATA);
		GUEST_ASSERT_EQ(nr_aborts(), nr);
	}
	GUEST_DONE();
}

TEST_F(host, completes_a_guarded_access_once)
{
	int i;

	vcpu_arch_set_entry_point(self->vcpu, guest_guarded);
	serve_until(self->vcpu, UCALL_SYNC);
	serve_until(self->vcpu, UCALL_SYNC);
	host_serve_until_sync(self);

	host_load(self);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(host_run(self) & ESR_ISV, ESR_ISV);
		EXPECT_EQ(HPFAR_TO_IPA(host_field(self, "hpfar_el2")), MMIO_GPA);
		/* No answer */
		host_answer(self, 0);
	}
	host_answer(self, IFLAG_INCREMENT_PC);
	host_run(self);
	EXPECT_EQ(HPFAR_TO_IPA(host_field(self, "hpfar_el2")), config.ucall_gpa);
	host_put(self);
	serve_until(self->vcpu, UCALL_DONE);
}

/* As above, once with KVM */
static void guest_needs_tables(void)
{
	u64 gpa, round;

	guest_enroll();
	for (round = 0; round < 2; round++) {
		gpa = SPARSE_GPA + 2 * round * SPARSE_STEP;
		/* Takes from the memcache. */
		GUEST_ASSERT_EQ(guard(gpa), 0);
		GUEST_SYNC(round);
		gpa += SPARSE_STEP;
		GUEST_ASSERT_EQ(guard(gpa), 0);
		GUEST_ASSERT_EQ(unguard(gpa), 0);
		GUEST_ASSERT_EQ(unguard(gpa), INVALID);
		GUEST_ASSERT_EQ(guard(gpa), 0);
	}
	GUEST_DONE();
}

TEST_F(host, is_asked_for_page_tables_until_it_gives_them_and_not_told_where)
{
	u64 nr_pages;
	int i;

	vcpu_arch_set_entry_point(self->vcpu, guest_needs_tables);
	serve_until(self->vcpu, UCALL_SYNC);
	host_serve_until_sync(self);
	nr_pages = host_field(self, "memcache.nr_pages");
	adv_field_write(&self->vcpu_object, "memcache.nr_pages", 0);

	host_load(self);
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(ESR_ELx_EC(host_run(self)), EC_HVC64);
		EXPECT_EQ(host_field(self, "x0"), PKVM_HVC_MMIO_GUARD_MAP);
		EXPECT_EQ(host_field(self, "x1"), 0);
		EXPECT_EQ(host_field(self, "hpfar_el2"), 0);
		EXPECT_EQ(host_field(self, "far_el2"), 0);
		/* That the call is done is not for the host to say. */
		host_answer(self, i % 2 ? IFLAG_INCREMENT_PC : IFLAG_PENDING_EXCEPTION);
	}
	host_put(self);
	adv_field_write(&self->vcpu_object, "memcache.nr_pages", nr_pages);
	serve_until(self->vcpu, UCALL_DONE);
}

TEST_F(host, is_refused_to_donate_a_page_where_one_is_guarded)
{
	u64 pa = adv_page_alloc(0, NULL);
	struct ucall uc;

	vcpu_arch_set_entry_point(self->vcpu, guest_memory_over_guard);
	serve_until(self->vcpu, UCALL_SYNC);

	host_load(self);
	EXPECT_EQ(adv_hvc(ADV_CPU_ANY, HOST_HVC(__pkvm_host_donate_guest), pa / config.page_size,
			  page_at(RAM_GPA, 5) / config.page_size), -EPERM);
	adv_hvc(ADV_CPU_ANY, self->put);
	EXPECT_EQ(adv_write64(pa, 0), 0);
	EXPECT_EQ(adv_page_free(pa), 0);
	EXPECT_EQ(serve(self->vcpu, &uc), EPERM);
}

static void guest_poisoned(void)
{
	guest_enroll();
	guest_store(page_at(RAM_GPA, 6), SECRET);
	GUEST_SYNC(0);
	/* Lost, and to be noticed */
	guest_assert_call(PKVM_HVC_MMIO_GUARD_MAP, page_at(RAM_GPA, 6), 0, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_GUARD_UNMAP, page_at(RAM_GPA, 6), 0, 0, INVALID, 0);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_MAP, page_at(RAM_GPA, 5), 3, 0, 0, 1);
	guest_assert_call(PKVM_HVC_MMIO_RGUARD_UNMAP, page_at(RAM_GPA, 5), 3, 0, 0, 1);
	GUEST_SYNC(1);
	guest_load(page_at(RAM_GPA, 6));
	GUEST_FAIL("A page that was forced back is there");
}

TEST_F(host, page_that_was_forced_back_does_not_become_mmio)
{
	struct ucall uc;
	u64 pa;

	vcpu_arch_set_entry_point(self->vcpu, guest_poisoned);
	serve_until(self->vcpu, UCALL_SYNC);
	ASSERT_TRUE(adv_gpa_to_pa(self->vm, page_at(RAM_GPA, 6), &pa));
	ASSERT_EQ(adv_hvc(ADV_CPU_ANY, HOST_HVC(__pkvm_force_reclaim_guest_page), pa), 0);
	serve_until(self->vcpu, UCALL_SYNC);
	EXPECT_EQ(serve(self->vcpu, &uc), EFAULT);
}

/*
 * Rounds: each vCPU guards, lets go or touches pages of a range that it has
 * locked, and knows of each page whether it is guarded.  Chaos: nobody locks
 * anything, for ever.
 */
static struct {
	u8 locked[WINDOW_PAGES];
	u8 guarded[WINDOW_PAGES];
	u64 nr_rounds;
	u64 nr_done;
	u64 ready;
} model;

static u64 guest_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static u64 window_page(u64 nr)
{
	return page_at(BORDER_GPA, nr) - WINDOW_PAGES / 2 * config.page_size;
}

static bool try_lock_range(u64 first, u64 nr)
{
	u64 i;

	for (i = 0; i < nr; i++) {
		if (!__atomic_exchange_n(&model.locked[first + i], 1, __ATOMIC_ACQUIRE))
			continue;
		while (i--)
			__atomic_store_n(&model.locked[first + i], 0, __ATOMIC_RELEASE);
		return false;
	}

	return true;
}

static void unlock_range(u64 first, u64 nr)
{
	while (nr--)
		__atomic_store_n(&model.locked[first + nr], 0, __ATOMIC_RELEASE);
}

static void guest_round(u64 first, u64 nr, u64 op)
{
	u64 i, n, border = first < WINDOW_PAGES / 2 ? WINDOW_PAGES / 2 : WINDOW_PAGES;

	switch (op) {
	case 0:
		guest_range(PKVM_HVC_MMIO_RGUARD_MAP, window_page(first), nr);
		for (i = 0; i < nr; i++)
			model.guarded[first + i] = 1;
		break;
	case 1:
		for (n = 0; n < nr && first + n < border && model.guarded[first + n]; n++)
			model.guarded[first + n] = 0;
		guest_assert_call(PKVM_HVC_MMIO_RGUARD_UNMAP, window_page(first), nr, 0,
				  n ? 0 : INVALID, n);
		break;
	case 2:
		GUEST_ASSERT_EQ(unguard(window_page(first)), model.guarded[first] ? 0 : INVALID);
		model.guarded[first] = 0;
		break;
	default:
		i = first + nr - 1;
		if (model.guarded[i])
			guest_assert_device(window_page(i) + 8 * nr);
		else
			guest_assert_abort(window_page(i) + 8 * nr);
	}
}

static void guest_begin(void)
{
	if (!guest_get_vcpuid()) {
		guest_enroll();
		GUEST_ASSERT_EQ(guard(MMIO_GPA), 0);
		__atomic_store_n(&model.ready, 1, __ATOMIC_RELEASE);
	}
	while (!__atomic_load_n(&model.ready, __ATOMIC_ACQUIRE))
		;
}

static void guest_rounds(u64 seed)
{
	u64 first, nr, i;

	guest_begin();
	while (__atomic_load_n(&model.nr_rounds, __ATOMIC_RELAXED) < NR_ROUNDS) {
		first = guest_random(&seed) % WINDOW_PAGES;
		nr = 1 + guest_random(&seed) % min(WINDOW_PAGES - first, 12ul);
		if (!try_lock_range(first, nr)) {
			/* By an exit, as there are more vCPUs than CPUs */
			guest_assert_device(MMIO_GPA);
			continue;
		}
		guest_round(first, nr, guest_random(&seed) % 4);
		unlock_range(first, nr);
		__atomic_fetch_add(&model.nr_rounds, 1, __ATOMIC_RELAXED);
	}

	__atomic_fetch_add(&model.nr_done, 1, __ATOMIC_SEQ_CST);
	if (!guest_get_vcpuid()) {
		while (__atomic_load_n(&model.nr_done, __ATOMIC_SEQ_CST) < NR_VCPUS)
			guest_assert_device(MMIO_GPA);
		for (i = 0; i < WINDOW_PAGES; i++)
			GUEST_ASSERT_EQ(unguard(window_page(i)), model.guarded[i] ? 0 : INVALID);
	}
	GUEST_DONE();
}

static void guest_chaos(u64 seed)
{
	struct arm_smccc_res res;
	u64 first, nr, val, old;

	guest_begin();
	for (;;) {
		first = guest_random(&seed) % WINDOW_PAGES;
		nr = 1 + guest_random(&seed) % (WINDOW_PAGES - first);
		switch (guest_random(&seed) % 3) {
		case 0:
			guest_range(PKVM_HVC_MMIO_RGUARD_MAP, window_page(first), nr);
			break;
		case 1:
			res = guest_call(PKVM_HVC_MMIO_RGUARD_UNMAP, window_page(first), nr, 0);
			GUEST_ASSERT((!res.a0 && res.a1 && res.a1 <= nr) ||
				     ((s64)res.a0 == INVALID && !res.a1));
			break;
		default:
			old = nr_aborts();
			val = guest_load(window_page(first));
			GUEST_ASSERT(nr_aborts() == old ? val == DEVICE(window_page(first)) :
							  val == OLD);
		}
	}
}

struct vcpu_thread {
	pthread_t thread;
	struct kvm_vcpu *vcpu;
	int progress;		/* a file that hears of it, or -1 */
};

static void *vcpu_thread(void *arg)
{
	struct vcpu_thread *thread = arg;
	struct kvm_run *run = thread->vcpu->run;
	u64 val, i;

	if (thread->progress < 0) {
		serve_until(thread->vcpu, UCALL_DONE);
		return NULL;
	}

	for (i = 0;; i++) {
		struct ucall uc;

		TEST_ASSERT(!__vcpu_run(thread->vcpu), "KVM_RUN: %s", strerror(errno));
		if (get_ucall(thread->vcpu, &uc) == UCALL_ABORT)
			REPORT_GUEST_ASSERT(uc);
		TEST_ASSERT_KVM_EXIT_REASON(thread->vcpu, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(run->mmio.is_write, false);
		val = DEVICE(run->mmio.phys_addr);
		memcpy(run->mmio.data, &val, sizeof(val));
		if (i % 256 == 255)
			TEST_ASSERT_EQ(write(thread->progress, "", 1), 1);
	}
}

static void run_vcpus(void *guest_code, int progress)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct vcpu_thread threads[NR_VCPUS];
	struct kvm_vm *vm;
	int i;

	vm = create_vm(NR_VCPUS, vcpus);
	for (i = 0; i < NR_VCPUS; i++) {
		vcpu_arch_set_entry_point(vcpus[i], guest_code);
		vcpu_args_set(vcpus[i], 1, (u64)kvm_random_u32(&kvm_rng) | 1);
	}
	for (i = 0; i < NR_VCPUS; i++) {
		threads[i] = (struct vcpu_thread) { .vcpu = vcpus[i], .progress = progress };
		pthread_create(&threads[i].thread, NULL, vcpu_thread, &threads[i]);
	}
	for (i = 0; i < NR_VCPUS; i++)
		pthread_join(threads[i].thread, NULL);
	kvm_vm_free(vm);
}

FIXTURE(vcpus) {
};

FIXTURE_SETUP(vcpus)
{
	TEST_REQUIRE_PKVM();
}

FIXTURE_TEARDOWN(vcpus)
{
}

static void guest_enrolls_meanwhile(u64 me)
{
	if (me) {
		guest_enroll();
	} else {
		GUEST_SYNC(0);
		guest_assert_abort(MMIO_GPA + 8);
	}
	GUEST_DONE();
}

TEST_F(vcpus, access_that_is_answered_after_enrolment_is_done_again)
{
	u64 val = DEVICE(MMIO_GPA + 8), i;
	struct kvm_vcpu *vcpus[2];
	struct kvm_run *run;
	struct kvm_vm *vm;

	vm = create_vm(ARRAY_SIZE(vcpus), vcpus);
	for (i = 0; i < ARRAY_SIZE(vcpus); i++) {
		vcpu_arch_set_entry_point(vcpus[i], guest_enrolls_meanwhile);
		vcpu_args_set(vcpus[i], 1, i);
	}
	serve_until(vcpus[0], UCALL_SYNC);
	vcpu_run(vcpus[0]);
	run = vcpus[0]->run;
	TEST_ASSERT_KVM_EXIT_REASON(vcpus[0], KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(run->mmio.phys_addr, MMIO_GPA + 8);
	serve_until(vcpus[1], UCALL_DONE);
	memcpy(run->mmio.data, &val, sizeof(val));
	serve_until(vcpus[0], UCALL_DONE);
	kvm_vm_free(vm);
}

TEST_F_TIMEOUT(vcpus, that_guard_the_same_pages_find_them_as_they_left_them, 280)
{
	run_vcpus(guest_rounds, -1);
}

TEST_F_TIMEOUT(vcpus, guard_pages_when_their_vm_ends, 280)
{
	int fds[2], round, status;
	char byte;
	pid_t pid;

	for (round = 0; round < 4; round++) {
		ASSERT_EQ(pipe(fds), 0);
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			close(fds[0]);
			run_vcpus(guest_chaos, fds[1]);
			_exit(1);
		}
		close(fds[1]);
		/* Nothing to read is an end of its own. */
		EXPECT_EQ(read(fds[0], &byte, 1), 1);
		EXPECT_EQ(read(fds[0], &byte, 1), 1);
		kill(pid, SIGKILL);
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
		EXPECT_TRUE(WIFSIGNALED(status));
		close(fds[0]);
	}
	run_vcpus(guest_rounds, -1);
}

static void guest_non_protected(void)
{
	u32 nr;

	for (nr = 5; nr < 12; nr++)
		GUEST_ASSERT_EQ(pkvm_hvc(PKVM_HVC(nr), 0, 0, 0), SMCCC_RET_NOT_SUPPORTED);
	guest_assert_device(MMIO_GPA);
	GUEST_DONE();
}

TEST(non_protected_guest_has_no_mmio_guard)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&vcpu, guest_non_protected);
	virt_map(vm, MMIO_GPA, MMIO_GPA, 1);
	serve_until(vcpu, UCALL_DONE);
	kvm_vm_free(vm);
}

TEST_HARNESS_MAIN
