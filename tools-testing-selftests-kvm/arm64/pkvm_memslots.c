// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_memslots - The memory slots of a protected VM can be neither deleted
 * nor moved once it has run, are never read-only and have no dirty log, and
 * each page that the guest has touched is locked memory of the VMM, within
 * RLIMIT_MEMLOCK.
 */
#include <sys/resource.h>
#include <unistd.h>

#include <linux/capability.h>

#include "kvm_syscalls.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"

#include "kselftest_harness.h"

#define SLOT		10
#define OTHER_SLOT	11
#define NR_PAGES	64ul
#define GPA		0xc0000000ul
#define OTHER_GPA	0xd0000000ul

FIXTURE(pkvm_memslots) {
	struct remote_guest guest;
	void *mem;
	u64 page_size;
	u64 locked;
};

FIXTURE_VARIANT(pkvm_memslots) {
	bool protected;
};

FIXTURE_VARIANT_ADD(pkvm_memslots, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(pkvm_memslots, non_protected) {
	.protected = false,
};

/* A VM with one slot at GPA.  The guest's stage-1 maps OTHER_GPA as well. */
FIXTURE_SETUP(pkvm_memslots)
{
	TEST_REQUIRE_PKVM();

	self->locked = locked_memory();
	remote_guest_create(&self->guest,
			    variant->protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT);
	self->page_size = self->guest.vm->page_size;
	self->mem = kvm_mmap(NR_PAGES * self->page_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1);
	vm_set_user_memory_region(self->guest.vm, SLOT, 0, GPA, NR_PAGES * self->page_size,
				  self->mem);
	virt_map(self->guest.vm, GPA, GPA, NR_PAGES);
	virt_map(self->guest.vm, OTHER_GPA, OTHER_GPA, NR_PAGES);
}

/* However much was locked for the VM, with it all is unlocked. */
FIXTURE_TEARDOWN(pkvm_memslots)
{
	kvm_vm_free(self->guest.vm);
	TEST_ASSERT_EQ(locked_memory(), self->locked);
}

/* 0 or errno */
#define set_slot(slot, flags, gpa, size)						\
	(__vm_set_user_memory_region(self->guest.vm, slot, flags, gpa, size, self->mem) ?	\
	 errno : 0)
#define SLOT_SIZE	(NR_PAGES * self->page_size)

TEST_F(pkvm_memslots, slot_is_moved_and_deleted_before_the_first_run)
{
	TEST_ASSERT_EQ(set_slot(SLOT, 0, OTHER_GPA, SLOT_SIZE), 0);
	TEST_ASSERT_EQ(set_slot(SLOT, 0, OTHER_GPA, 0), 0);
	TEST_ASSERT_EQ(set_slot(OTHER_SLOT, 0, OTHER_GPA, SLOT_SIZE), 0);
	remote_guest_do(&self->guest, REMOTE_WRITE, OTHER_GPA, NR_PAGES);
	remote_guest_do(&self->guest, REMOTE_CHECK, OTHER_GPA, NR_PAGES);
	TEST_ASSERT_EQ(__remote_guest_do(&self->guest, REMOTE_READ, GPA, 1), REMOTE_MMIO);
}

TEST_F(pkvm_memslots, slot_is_frozen_from_the_first_run_on)
{
	int wanted = variant->protected ? EPERM : 0;

	/* This one does not enter the guest. */
	self->guest.vcpu->run->immediate_exit = 1;
	TEST_ASSERT_EQ(__vcpu_run(self->guest.vcpu), -1);
	TEST_ASSERT_EQ(errno, EINTR);
	self->guest.vcpu->run->immediate_exit = 0;

	TEST_ASSERT_EQ(set_slot(SLOT, 0, OTHER_GPA, SLOT_SIZE), wanted);
	TEST_ASSERT_EQ(set_slot(SLOT, 0, OTHER_GPA, 0), wanted);

	/* It is where it was, or gone. */
	TEST_ASSERT_EQ(__remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES),
		       variant->protected ? 0 : REMOTE_MMIO);
}

TEST_F(pkvm_memslots, slot_in_use_is_neither_moved_nor_deleted)
{
	int wanted = variant->protected ? EPERM : 0;

	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES / 2);
	TEST_ASSERT_EQ(set_slot(SLOT, 0, OTHER_GPA, SLOT_SIZE), wanted);
	if (!variant->protected)
		remote_guest_do(&self->guest, REMOTE_READ, OTHER_GPA, NR_PAGES);

	TEST_ASSERT_EQ(set_slot(SLOT, 0, OTHER_GPA, 0), wanted);
	if (!variant->protected) {
		TEST_ASSERT_EQ(__remote_guest_do(&self->guest, REMOTE_READ, OTHER_GPA, 1),
			       REMOTE_MMIO);
		return;
	}

	remote_guest_do(&self->guest, REMOTE_CHECK, GPA, NR_PAGES / 2);
	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES);
}

/* pkvm.rst says what is not possible; this is not among it. */
TEST_F(pkvm_memslots, slot_is_added_after_the_first_run)
{
	void *other = kvm_mmap(SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES);
	vm_set_user_memory_region(self->guest.vm, OTHER_SLOT, 0, OTHER_GPA, SLOT_SIZE, other);
	remote_guest_do(&self->guest, REMOTE_WRITE, OTHER_GPA, NR_PAGES);
	remote_guest_do(&self->guest, REMOTE_CHECK, OTHER_GPA, NR_PAGES);
	remote_guest_do(&self->guest, REMOTE_CHECK, GPA, NR_PAGES);

	/* It is as frozen as the others. */
	TEST_ASSERT_EQ(__vm_set_user_memory_region(self->guest.vm, OTHER_SLOT, 0, OTHER_GPA, 0,
						   other), variant->protected ? -1 : 0);
	if (variant->protected)
		TEST_ASSERT_EQ(errno, EPERM);
}

TEST_F(pkvm_memslots, slot_is_never_read_only)
{
	int wanted = variant->protected ? EPERM : 0;

	TEST_ASSERT_EQ(set_slot(OTHER_SLOT, KVM_MEM_READONLY, OTHER_GPA, SLOT_SIZE), wanted);
	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES);
	if (variant->protected) {
		TEST_ASSERT_EQ(set_slot(OTHER_SLOT, KVM_MEM_READONLY, OTHER_GPA, SLOT_SIZE), EPERM);
		remote_guest_do(&self->guest, REMOTE_CHECK, GPA, NR_PAGES);
	} else {
		remote_guest_do(&self->guest, REMOTE_READ, OTHER_GPA, NR_PAGES);
	}

	/* For the protected VM nothing is there, for the other one no memory to write to. */
	TEST_ASSERT_EQ(__remote_guest_do(&self->guest, REMOTE_WRITE, OTHER_GPA, 1), REMOTE_MMIO);
}

TEST_F(pkvm_memslots, slot_has_no_dirty_log)
{
	int wanted = variant->protected ? EPERM : 0;
	u64 bitmap[DIV_ROUND_UP(NR_PAGES, 64)] = {};
	struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = bitmap };

	TEST_ASSERT_EQ(set_slot(OTHER_SLOT, KVM_MEM_LOG_DIRTY_PAGES, OTHER_GPA, SLOT_SIZE), wanted);
	TEST_ASSERT_EQ(set_slot(SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, SLOT_SIZE), wanted);
	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, 3);
	TEST_ASSERT_EQ(set_slot(SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, SLOT_SIZE), wanted);

	if (variant->protected) {
		TEST_ASSERT_EQ(__vm_ioctl(self->guest.vm, KVM_GET_DIRTY_LOG, &log), -1);
		TEST_ASSERT_EQ(errno, ENOENT);
		TEST_ASSERT_EQ(bitmap[0], 0);
	} else {
		vm_ioctl(self->guest.vm, KVM_GET_DIRTY_LOG, &log);
		TEST_ASSERT_EQ(bitmap[0], 7);
	}

	/* A change that is none is none for both. */
	TEST_ASSERT_EQ(set_slot(SLOT, variant->protected ? 0 : KVM_MEM_LOG_DIRTY_PAGES, GPA,
				SLOT_SIZE), 0);
	remote_guest_do(&self->guest, REMOTE_CHECK, GPA, 3);
}

/* From here on the guest's own code, stack and tables cost nothing any more. */
#define warm_up()							\
do {									\
	remote_guest_do(&self->guest, REMOTE_READ, GPA, 1);		\
	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, 1);		\
	remote_guest_do(&self->guest, REMOTE_CHECK, GPA, 1);		\
	if (variant->protected) {					\
		remote_guest_do(&self->guest, REMOTE_SHARE, GPA, 1);	\
		remote_guest_do(&self->guest, REMOTE_UNSHARE, GPA, 1);	\
	}								\
} while (0)

TEST_F(pkvm_memslots, each_touched_page_is_locked_once)
{
	u64 nr_locked = 0, locked;

#define assert_locked() TEST_ASSERT_EQ(locked_memory(), locked + nr_locked * self->page_size)
	TEST_ASSERT_EQ(locked_memory(), self->locked);
	warm_up();
	locked = locked_memory();
	if (variant->protected)
		TEST_ASSERT(locked > self->locked, "The guest runs on memory that is not locked");

	/* Reading is touching. */
	remote_guest_do(&self->guest, REMOTE_READ, GPA + self->page_size, 9);
	nr_locked += variant->protected ? 9 : 0;
	assert_locked();

	remote_guest_do(&self->guest, REMOTE_WRITE, GPA + self->page_size, 17);
	nr_locked += variant->protected ? 8 : 0;
	assert_locked();

	remote_guest_do(&self->guest, REMOTE_CHECK, GPA, 18);
	assert_locked();

	/* Shared pages are the guest's. */
	if (variant->protected) {
		remote_guest_do(&self->guest, REMOTE_SHARE, GPA, 5);
		assert_locked();
		remote_guest_do(&self->guest, REMOTE_UNSHARE, GPA, 5);
		assert_locked();
	}
#undef assert_locked
}

static void set_memlock_limit(u64 bytes)
{
	struct rlimit rl;

	TEST_ASSERT(!getrlimit(RLIMIT_MEMLOCK, &rl), "getrlimit() failed");
	rl.rlim_cur = min_t(u64, bytes, rl.rlim_max);
	TEST_ASSERT(!setrlimit(RLIMIT_MEMLOCK, &rl), "setrlimit() failed");
}

/* Returns whether it was there. */
static bool drop_cap_ipc_lock(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	u32 *effective = &data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective;
	bool had;

	TEST_ASSERT(!syscall(__NR_capget, &header, data), "capget() failed");
	had = *effective & CAP_TO_MASK(CAP_IPC_LOCK);
	*effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
	TEST_ASSERT(!syscall(__NR_capset, &header, data), "capset() failed");

	return had;
}

TEST_F(pkvm_memslots, locked_memory_is_limited)
{
	u64 limit;

	warm_up();
	drop_cap_ipc_lock();
	limit = locked_memory() + 8 * self->page_size;
	set_memlock_limit(limit);

	if (!variant->protected) {
		set_memlock_limit(0);
		remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES);
		return;
	}

	/* The first page is one that the guest has. */
	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, 9);
	TEST_ASSERT_EQ(locked_memory(), limit);
	TEST_ASSERT_EQ(__remote_guest_do(&self->guest, REMOTE_WRITE, GPA, 17), ENOMEM);
	TEST_ASSERT_EQ(locked_memory(), limit);
	TEST_ASSERT_EQ(__remote_guest_continue(&self->guest), ENOMEM);
	TEST_ASSERT_EQ(locked_memory(), limit);

	/* The page that was refused is the host's. */
	TEST_ASSERT_EQ(host_try_write((u64 *)(self->mem + 9 * self->page_size), 1), 0);

	/* One more, then all. */
	set_memlock_limit(limit + self->page_size);
	TEST_ASSERT_EQ(__remote_guest_continue(&self->guest), ENOMEM);
	TEST_ASSERT_EQ(locked_memory(), limit + self->page_size);
	set_memlock_limit(-1);
	TEST_ASSERT_EQ(__remote_guest_continue(&self->guest), 0);
	remote_guest_do(&self->guest, REMOTE_CHECK, GPA, 17);
	TEST_ASSERT_EQ(locked_memory(), limit + 8 * self->page_size);
}

TEST_F(pkvm_memslots, first_run_is_limited_too)
{
	drop_cap_ipc_lock();
	set_memlock_limit(0);
	TEST_ASSERT_EQ(__remote_guest_continue(&self->guest), variant->protected ? ENOMEM : 0);
	TEST_ASSERT_EQ(locked_memory(), 0);

	set_memlock_limit(-1);
	TEST_ASSERT_EQ(__remote_guest_continue(&self->guest), 0);
	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES);
}

TEST_F(pkvm_memslots, cap_ipc_lock_lifts_the_limit)
{
	set_memlock_limit(0);
	remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES);
	if (variant->protected)
		TEST_ASSERT(locked_memory() >= NR_PAGES * self->page_size,
			    "The guest's memory is not locked");

	/* Without it there would have been no first page. */
	if (!drop_cap_ipc_lock())
		SKIP(return, "needs CAP_IPC_LOCK");
}

TEST_HARNESS_MAIN
