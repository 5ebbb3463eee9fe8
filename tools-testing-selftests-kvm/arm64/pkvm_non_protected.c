// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_non_protected - A non-protected VM on a host in protected mode loses
 * nothing: the VMM sees and sets its memory and registers, its memslots come
 * and go, its memory is swapped, replaced and logged, and it runs side by side
 * with a protected VM.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include <linux/sizes.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

#define TEST_SLOT	1
#define TEST_GPA	0x20000000ul
#define MOVED_GPA	0x30000000ul
#define TEST_PAGES	64ul
#define WORDS_PER_PAGE	(SZ_4K / sizeof(u64))

#define MAGIC(n)	(0xc0ffee0000000000ul | (n))

FIXTURE(pkvm_non_protected) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	u64 *mem;
};

FIXTURE_SETUP(pkvm_non_protected)
{
	TEST_REQUIRE_PKVM();

	self->vm = vm_create_with_one_vcpu(&self->vcpu, NULL);
	virt_map(self->vm, TEST_GPA, TEST_GPA, TEST_PAGES);
	virt_map(self->vm, MOVED_GPA, MOVED_GPA, TEST_PAGES);
}

FIXTURE_TEARDOWN(pkvm_non_protected)
{
	kvm_vm_free(self->vm);
}

static u64 *add_test_slot(struct kvm_vm *vm, enum vm_mem_backing_src_type src, u32 flags)
{
	vm_userspace_mem_region_add(vm, src, TEST_GPA, TEST_SLOT, TEST_PAGES, flags);

	return addr_gpa2hva(vm, TEST_GPA);
}

static u64 *guest_page(u64 n)
{
	return (u64 *)(TEST_GPA + n * SZ_4K);
}

static u64 run_to(struct kvm_vcpu *vcpu, u64 cmd)
{
	struct ucall uc;

	vcpu_run_until(vcpu, cmd, &uc);

	return uc.args[0];
}

/* Report the first word of page 0, after each change that the VMM made. */
static void guest_read_page(void)
{
	for (;;)
		GUEST_SYNC1(READ_ONCE(*guest_page(0)));
}

static void guest_fill_pages(void)
{
	u64 i;

	for (i = 0; i < TEST_PAGES; i++)
		WRITE_ONCE(*guest_page(i), MAGIC(i));
	GUEST_SYNC1(0);

	for (i = 0; i < TEST_PAGES; i++)
		GUEST_ASSERT_EQ(READ_ONCE(*guest_page(i)), MAGIC(i));
	GUEST_DONE();
}

TEST_F(pkvm_non_protected, vmm_reads_and_writes_memory_of_the_running_guest)
{
	u64 i;

	self->mem = add_test_slot(self->vm, VM_MEM_SRC_ANONYMOUS, 0);
	vcpu_arch_set_entry_point(self->vcpu, guest_read_page);

	for (i = 0; i < 4; i++) {
		TEST_ASSERT_EQ(host_try_write(self->mem, MAGIC(i)), 0);
		TEST_ASSERT_EQ(run_to(self->vcpu, UCALL_SYNC), MAGIC(i));
	}
}

TEST_F(pkvm_non_protected, vmm_reads_what_the_guest_wrote)
{
	u64 i, val;

	self->mem = add_test_slot(self->vm, VM_MEM_SRC_ANONYMOUS, 0);
	vcpu_arch_set_entry_point(self->vcpu, guest_fill_pages);
	run_to(self->vcpu, UCALL_SYNC);

	for (i = 0; i < TEST_PAGES; i++) {
		TEST_ASSERT_EQ(host_try_read(self->mem + i * WORDS_PER_PAGE, &val), 0);
		TEST_ASSERT_EQ(val, MAGIC(i));
	}
	run_to(self->vcpu, UCALL_DONE);
}

static void guest_registers(void)
{
	register u64 x19 asm("x19") = MAGIC(19);

	asm volatile("str xzr, [%1]\n" : "+r"(x19) : "r"(ucall_exit_mmio_addr) : "memory");
	GUEST_ASSERT_EQ(x19, MAGIC(20));
	GUEST_DONE();
}

TEST_F(pkvm_non_protected, vmm_reads_and_sets_registers_of_the_guest)
{
	u64 x19 = ARM64_CORE_REG(regs.regs[19]);

	vcpu_arch_set_entry_point(self->vcpu, guest_registers);
	vcpu_run(self->vcpu);
	TEST_ASSERT_KVM_EXIT_REASON(self->vcpu, KVM_EXIT_MMIO);

	TEST_ASSERT_EQ(vcpu_get_reg(self->vcpu, x19), MAGIC(19));
	vcpu_set_reg(self->vcpu, x19, MAGIC(20));
	run_to(self->vcpu, UCALL_DONE);
}

static void guest_moved_slot(void)
{
	WRITE_ONCE(*guest_page(0), MAGIC(0));
	GUEST_SYNC1(0);
	GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)MOVED_GPA), MAGIC(0));
	GUEST_SYNC1(1);

	/* Nothing is left at either address: both are MMIO now. */
	GUEST_SYNC1(READ_ONCE(*guest_page(0)));
}

TEST_F(pkvm_non_protected, memslot_is_moved_and_deleted_after_the_guest_ran)
{
	add_test_slot(self->vm, VM_MEM_SRC_ANONYMOUS, 0);
	vcpu_arch_set_entry_point(self->vcpu, guest_moved_slot);
	run_to(self->vcpu, UCALL_SYNC);

	vm_mem_region_move(self->vm, TEST_SLOT, MOVED_GPA);
	run_to(self->vcpu, UCALL_SYNC);

	vm_mem_region_delete(self->vm, TEST_SLOT);
	vcpu_run(self->vcpu);
	TEST_ASSERT_KVM_EXIT_REASON(self->vcpu, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(self->vcpu->run->mmio.phys_addr, TEST_GPA);
}

static void guest_read_only_slot(void)
{
	GUEST_SYNC1(READ_ONCE(*guest_page(1)));
	WRITE_ONCE(*guest_page(1), 0);
	GUEST_SYNC1(READ_ONCE(*guest_page(1)));
}

TEST_F(pkvm_non_protected, write_to_a_read_only_memslot_is_the_vmms_to_handle)
{
	self->mem = add_test_slot(self->vm, VM_MEM_SRC_ANONYMOUS, KVM_MEM_READONLY);
	self->mem[WORDS_PER_PAGE] = MAGIC(1);
	vcpu_arch_set_entry_point(self->vcpu, guest_read_only_slot);

	TEST_ASSERT_EQ(run_to(self->vcpu, UCALL_SYNC), MAGIC(1));
	vcpu_run(self->vcpu);
	TEST_ASSERT_KVM_EXIT_REASON(self->vcpu, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(self->vcpu->run->mmio.phys_addr, TEST_GPA + SZ_4K);
	TEST_ASSERT_EQ(run_to(self->vcpu, UCALL_SYNC), MAGIC(1));
}

static void guest_dirty(void)
{
	u64 i;

	for (;;) {
		for (i = 0; i < TEST_PAGES; i += 5)
			WRITE_ONCE(*guest_page(i), MAGIC(i));
		GUEST_SYNC1(0);
	}
}

TEST_F(pkvm_non_protected, dirty_log_names_the_pages_that_the_guest_wrote)
{
	u64 bitmap, want = 0, round, i;

	add_test_slot(self->vm, VM_MEM_SRC_ANONYMOUS, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_arch_set_entry_point(self->vcpu, guest_dirty);
	for (i = 0; i < TEST_PAGES; i += 5)
		want |= BIT_ULL(i);

	/* The second round shows that the first one protected the pages again. */
	for (round = 0; round < 2; round++) {
		run_to(self->vcpu, UCALL_SYNC);
		kvm_vm_get_dirty_log(self->vm, TEST_SLOT, &bitmap);
		TEST_ASSERT_EQ(bitmap, want);
		kvm_vm_get_dirty_log(self->vm, TEST_SLOT, &bitmap);
		TEST_ASSERT_EQ(bitmap, 0);
	}
}

TEST_F(pkvm_non_protected, guest_follows_what_the_vmm_maps_over_its_memory)
{
	self->mem = add_test_slot(self->vm, VM_MEM_SRC_ANONYMOUS, 0);
	vcpu_arch_set_entry_point(self->vcpu, guest_read_page);

	self->mem[0] = MAGIC(1);
	TEST_ASSERT_EQ(run_to(self->vcpu, UCALL_SYNC), MAGIC(1));

	TEST_ASSERT_EQ(madvise(self->mem, SZ_4K, MADV_DONTNEED), 0);
	TEST_ASSERT_EQ(run_to(self->vcpu, UCALL_SYNC), 0);

	TEST_ASSERT(mmap(self->mem, SZ_4K, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == self->mem,
		    "mmap() failed");
	self->mem[0] = MAGIC(2);
	TEST_ASSERT_EQ(run_to(self->vcpu, UCALL_SYNC), MAGIC(2));
}

TEST_F(pkvm_non_protected, fork_copies_the_memory_and_the_guest_goes_on)
{
	int status;
	pid_t pid;

	self->mem = add_test_slot(self->vm, VM_MEM_SRC_ANONYMOUS, 0);
	vcpu_arch_set_entry_point(self->vcpu, guest_fill_pages);
	run_to(self->vcpu, UCALL_SYNC);

	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed");
	if (!pid) {
		if (self->mem[0] != MAGIC(0))
			_exit(1);
		self->mem[0] = 0;
		_exit(0);
	}
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT_EQ(status, 0);

	run_to(self->vcpu, UCALL_DONE);
}

TEST_F(pkvm_non_protected, swapped_out_memory_comes_back_to_the_guest)
{
	unsigned char vec[TEST_PAGES];
	u64 i, out = 0;

	self->mem = add_test_slot(self->vm, VM_MEM_SRC_ANONYMOUS, 0);
	vcpu_arch_set_entry_point(self->vcpu, guest_fill_pages);
	run_to(self->vcpu, UCALL_SYNC);

	TEST_ASSERT_EQ(madvise(self->mem, TEST_PAGES * SZ_4K, MADV_PAGEOUT), 0);
	TEST_ASSERT_EQ(mincore(self->mem, TEST_PAGES * SZ_4K, vec), 0);
	for (i = 0; i < TEST_PAGES; i++)
		out += !(vec[i] & 1);
	__TEST_REQUIRE(out, "no swap: none of the pages was swapped out");

	run_to(self->vcpu, UCALL_DONE);
}

FIXTURE(backing) {
};

FIXTURE_VARIANT(backing) {
	enum vm_mem_backing_src_type src;
};

FIXTURE_VARIANT_ADD(backing, anonymous) {
	.src = VM_MEM_SRC_ANONYMOUS,
};

FIXTURE_VARIANT_ADD(backing, transparent_huge_pages) {
	.src = VM_MEM_SRC_ANONYMOUS_THP,
};

FIXTURE_VARIANT_ADD(backing, shmem) {
	.src = VM_MEM_SRC_SHMEM,
};

FIXTURE_SETUP(backing)
{
	TEST_REQUIRE_PKVM();
}

FIXTURE_TEARDOWN(backing)
{
}

TEST_F(backing, non_protected_guest_runs_on_it_and_the_vmm_reads_it)
{
	u64 npages = max(get_backing_src_pagesz(variant->src) / SZ_4K, TEST_PAGES);
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	u64 *mem, i;

	vm = __vm_create_shape_with_one_vcpu(VM_SHAPE_DEFAULT, &vcpu, npages, guest_fill_pages);
	vm_userspace_mem_region_add(vm, variant->src, TEST_GPA, TEST_SLOT, npages, 0);
	virt_map(vm, TEST_GPA, TEST_GPA, TEST_PAGES);
	mem = addr_gpa2hva(vm, TEST_GPA);

	run_to(vcpu, UCALL_SYNC);
	for (i = 0; i < TEST_PAGES; i++)
		TEST_ASSERT_EQ(mem[i * WORDS_PER_PAGE], MAGIC(i));
	run_to(vcpu, UCALL_DONE);

	kvm_vm_free(vm);
}

static void guest_count(u64 start)
{
	u64 i;

	for (i = start; ; i++) {
		WRITE_ONCE(*guest_page(i % TEST_PAGES), i);
		GUEST_SYNC1(i);
		GUEST_ASSERT_EQ(READ_ONCE(*guest_page(i % TEST_PAGES)), i);
	}
}

TEST(protected_and_non_protected_vms_run_side_by_side)
{
	struct vm_shape shapes[] = {
		VM_SHAPE_PROTECTED, VM_SHAPE_DEFAULT, VM_SHAPE_PROTECTED, VM_SHAPE_DEFAULT,
	};
	struct kvm_vcpu *vcpu[ARRAY_SIZE(shapes)];
	struct kvm_vm *vm[ARRAY_SIZE(shapes)];
	u64 i, round, start, val;

	TEST_REQUIRE_PKVM();

	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		vm[i] = vm_create_shape_with_one_vcpu(shapes[i], &vcpu[i], guest_count);
		add_test_slot(vm[i], VM_MEM_SRC_ANONYMOUS, 0);
		virt_map(vm[i], TEST_GPA, TEST_GPA, TEST_PAGES);
		vcpu_args_set(vcpu[i], 1, i << 32);
	}

	/* Half way through, the first of each kind goes. */
	for (round = 0; round < 2 * TEST_PAGES; round++) {
		start = round < TEST_PAGES ? 0 : 2;
		if (round == TEST_PAGES) {
			kvm_vm_free(vm[0]);
			kvm_vm_free(vm[1]);
		}

		for (i = start; i < ARRAY_SIZE(shapes); i++)
			TEST_ASSERT_EQ(run_to(vcpu[i], UCALL_SYNC), (i << 32) + round);

		val = 0;
		TEST_ASSERT_EQ(host_try_read(addr_gpa2hva(vm[2], TEST_GPA), &val), SIGSEGV);
		TEST_ASSERT_EQ(host_try_read(addr_gpa2hva(vm[3], TEST_GPA), &val), 0);
	}

	kvm_vm_free(vm[2]);
	kvm_vm_free(vm[3]);
}

TEST_HARNESS_MAIN
