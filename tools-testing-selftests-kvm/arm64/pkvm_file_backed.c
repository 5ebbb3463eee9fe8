// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_file_backed - Memory of a protected guest is anonymous or shmem: page
 * cache of other files, hugetlbfs and guest_memfd are refused when the guest
 * touches them, and the VM lives on.  No other way to a shmem page shows what
 * the guest has written to it.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "kvm_syscalls.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"

#include "kselftest_harness.h"

#define SLOT		10
#define OTHER_SLOT	11
#define NR_PAGES	16ul
/* In one stage-1 table: the guest touches no other page of it on the way. */
#define OTHER_GPA	0xc0000000ul
#define GPA		0xc0100000ul

#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"

FIXTURE(pkvm_file_backed) {
	struct remote_guest guest;
	u64 page_size;
	u64 size;
	u64 locked;
	void *other;
	u64 *buf;
};

FIXTURE_VARIANT(pkvm_file_backed) {
	bool protected;
};

FIXTURE_VARIANT_ADD(pkvm_file_backed, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(pkvm_file_backed, non_protected) {
	.protected = false,
};

/* A VM with anonymous memory at OTHER_GPA, which has to go on working. */
FIXTURE_SETUP(pkvm_file_backed)
{
	TEST_REQUIRE_PKVM();

	self->locked = locked_memory();
	remote_guest_create(&self->guest,
			    variant->protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT);
	self->page_size = self->guest.vm->page_size;
	self->size = NR_PAGES * self->page_size;
	self->other = kvm_mmap(self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	self->buf = malloc(self->size);
	vm_set_user_memory_region(self->guest.vm, OTHER_SLOT, 0, OTHER_GPA, self->size,
				  self->other);
	virt_map(self->guest.vm, GPA, GPA, NR_PAGES);
	virt_map(self->guest.vm, OTHER_GPA, OTHER_GPA, NR_PAGES);
}

FIXTURE_TEARDOWN(pkvm_file_backed)
{
	kvm_vm_free(self->guest.vm);
	TEST_ASSERT_EQ(locked_memory(), self->locked);
}

/* Memory that has what the guest would write to it. */
static void fill(u64 *mem, u64 size)
{
	u64 i;

	for (i = 0; i < size / sizeof(u64); i++)
		mem[i] = REMOTE_PATTERN(GPA + i * sizeof(u64));
}

static bool is_zero(const u64 *mem, u64 size)
{
	u64 i;

	for (i = 0; i < size / sizeof(u64); i++) {
		if (mem[i])
			return false;
	}

	return true;
}

static bool is_filled(const u64 *mem, u64 size)
{
	u64 i;

	for (i = 0; i < size / sizeof(u64); i++) {
		if (mem[i] != REMOTE_PATTERN(GPA + i * sizeof(u64)))
			return false;
	}

	return true;
}

/*
 * The slot at @mem is refused by the protected VM with one of two errors and
 * costs it nothing: other memory works, before and after, and so does this
 * address once there is anonymous memory behind it.
 */
static void refused(struct remote_guest *guest, void *mem, u64 size, int err1, int err2)
{
	u64 locked;
	int err;

	vm_set_user_memory_region(guest->vm, SLOT, 0, GPA, size, mem);
	remote_guest_do(guest, REMOTE_WRITE, OTHER_GPA, NR_PAGES - 1);
	/* The code for reading has to be the guest's before the pages are counted. */
	remote_guest_do(guest, REMOTE_READ, OTHER_GPA, 1);
	locked = locked_memory();

	err = __remote_guest_do(guest, REMOTE_READ, GPA, 1);
	TEST_ASSERT(err == err1 || err == err2, "Wanted errno %d or %d, got %d (%s)",
		    err1, err2, err, strerror(err));
	TEST_ASSERT_EQ(__remote_guest_continue(guest), err);
	TEST_ASSERT_EQ(locked_memory(), locked);

	TEST_ASSERT(mmap(mem, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem, "mmap() failed");
	TEST_ASSERT_EQ(__remote_guest_continue(guest), 0);
	remote_guest_do(guest, REMOTE_WRITE, GPA, NR_PAGES);
	remote_guest_do(guest, REMOTE_CHECK, GPA, NR_PAGES);
	remote_guest_do(guest, REMOTE_WRITE, OTHER_GPA, NR_PAGES);
	remote_guest_do(guest, REMOTE_CHECK, OTHER_GPA, NR_PAGES);
}

static void accepted(struct remote_guest *guest, void *mem, u64 size)
{
	vm_set_user_memory_region(guest->vm, SLOT, 0, GPA, size, mem);
	remote_guest_do(guest, REMOTE_CHECK, GPA, NR_PAGES / 2);
	remote_guest_do(guest, REMOTE_WRITE, GPA, NR_PAGES);
	remote_guest_do(guest, REMOTE_CHECK, GPA, NR_PAGES);
}

static void fill_file(int fd, u64 *buf, u64 size)
{
	fill(buf, size);
	TEST_ASSERT_EQ(pwrite(fd, buf, size, 0), size);
}

static void file_is_filled(int fd, u64 *buf, u64 size)
{
	memset(buf, 0, size);
	TEST_ASSERT_EQ(pread(fd, buf, size, 0), size);
	TEST_ASSERT(is_filled(buf, size), "The file is not what it was");
}

/* A new file without a name, or -1 */
static int file_in(const char *dir)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/pkvm_file_backed.XXXXXX", dir);
	fd = mkstemp(path);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static int file_on_disk(void)
{
	const char * const dirs[] = {
		getenv("TMPDIR"), "/mnt/disk", ".", "/var/tmp", "/root", "/",
	};
	struct statfs st;
	int i, fd;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		if (!dirs[i] || statfs(dirs[i], &st) || st.f_type == TMPFS_MAGIC ||
		    st.f_type == RAMFS_MAGIC || st.f_type == OVERLAYFS_SUPER_MAGIC)
			continue;

		fd = file_in(dirs[i]);
		if (fd >= 0) {
			ksft_print_msg("file in %s, file system 0x%lx\n", dirs[i],
				       (unsigned long)st.f_type);
			return fd;
		}
	}

	return -1;
}

/* On a new file system that nobody else sees.  Needs CAP_SYS_ADMIN. */
static int file_on(const char *fs_type)
{
	char dir[] = "/tmp/pkvm_file_backed.XXXXXX";
	int fd;

	if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !mkdtemp(dir))
		return -1;

	if (mount("none", dir, fs_type, 0, NULL)) {
		rmdir(dir);
		return -1;
	}

	fd = file_in(dir);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return fd;
}

/*
 * FOLL_LONGTERM refuses a shared writable mapping of a file whose dirty pages
 * are tracked, that is EFAULT.  The check of KVM's own, for pages that are
 * not backed by swap, gives EIO.
 */
static void shared_file(struct remote_guest *guest, int fd, u64 *buf, u64 size)
{
	void *mem;

	fill_file(fd, buf, size);
	mem = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);

	if (vm_is_protected(guest->vm))
		refused(guest, mem, size, EFAULT, EIO);
	else
		accepted(guest, mem, size);

	/* The non-protected guest wrote the same to it. */
	file_is_filled(fd, buf, size);
}

TEST_F(pkvm_file_backed, shared_mapping_of_a_file_on_disk_is_refused)
{
	int fd = file_on_disk();

	if (fd < 0)
		SKIP(return, "no file system with a page cache of its own: set TMPDIR");
	shared_file(&self->guest, fd, self->buf, self->size);
}

TEST_F(pkvm_file_backed, shared_mapping_of_a_file_on_ramfs_is_refused)
{
	int fd = file_on("ramfs");

	if (fd < 0)
		SKIP(return, "cannot mount a ramfs");
	shared_file(&self->guest, fd, self->buf, self->size);
}

TEST_F(pkvm_file_backed, read_only_mapping_is_refused)
{
	int fd = kvm_memfd_alloc(self->size, false);
	void *mem;

	fill_file(fd, self->buf, self->size);
	mem = kvm_mmap(self->size, PROT_READ, MAP_SHARED, fd);
	if (variant->protected) {
		/* The guest only reads, but any of its memory is its own to write. */
		refused(&self->guest, mem, self->size, EFAULT, EFAULT);
		return;
	}

	vm_set_user_memory_region(self->guest.vm, SLOT, 0, GPA, self->size, mem);
	remote_guest_do(&self->guest, REMOTE_CHECK, GPA, NR_PAGES);
	TEST_ASSERT_EQ(__remote_guest_do(&self->guest, REMOTE_WRITE, GPA, 1), EFAULT);
}

/* Its pages are copied before they become the guest's, even if it only reads. */
static void private_file(struct remote_guest *guest, int fd, u64 *buf, u64 size)
{
	u64 *mem, val, old;

	fill_file(fd, buf, size);
	mem = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	/* Page 1 is to be the guest's alone. */
	old = 0;
	TEST_ASSERT_EQ(pwrite(fd, &old, sizeof(old), size / NR_PAGES), sizeof(old));
	vm_set_user_memory_region(guest->vm, SLOT, 0, GPA, size, mem);
	remote_guest_do(guest, REMOTE_CHECK, GPA, 1);
	remote_guest_do(guest, REMOTE_WRITE, GPA + size / NR_PAGES, 1);
	remote_guest_do(guest, REMOTE_CHECK, GPA, NR_PAGES);

	TEST_ASSERT_EQ(host_try_read(mem, &val), vm_is_protected(guest->vm) ? SIGSEGV : 0);
	TEST_ASSERT_EQ(pread(fd, &val, sizeof(val), size / NR_PAGES), sizeof(val));
	TEST_ASSERT_EQ(val, old);
	TEST_ASSERT_EQ(pwrite(fd, &buf[size / NR_PAGES / sizeof(u64)], sizeof(val),
			      size / NR_PAGES), sizeof(val));
	file_is_filled(fd, buf, size);
}

TEST_F(pkvm_file_backed, private_mapping_of_a_memfd_is_accepted)
{
	private_file(&self->guest, kvm_memfd_alloc(self->size, false), self->buf, self->size);
}

TEST_F(pkvm_file_backed, private_mapping_of_a_file_on_ramfs_is_accepted)
{
	int fd = file_on("ramfs");

	if (fd < 0)
		SKIP(return, "cannot mount a ramfs");
	private_file(&self->guest, fd, self->buf, self->size);
}

TEST_F(pkvm_file_backed, private_mapping_of_a_file_on_disk_is_accepted)
{
	int fd = file_on_disk();

	if (fd < 0)
		SKIP(return, "no file system with a page cache of its own: set TMPDIR");
	private_file(&self->guest, fd, self->buf, self->size);
}

/* There is no page: the VMM itself would get a SIGBUS. */
TEST_F(pkvm_file_backed, memory_behind_the_end_of_a_file_is_refused)
{
	int fd = kvm_memfd_alloc(self->size, false);
	void *mem = kvm_mmap(self->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);

	TEST_ASSERT(!ftruncate(fd, 0), "ftruncate() failed");
	/* The same for both. */
	refused(&self->guest, mem, self->size, EFAULT, EFAULT);
}

static void shmem(struct remote_guest *guest, int fd, u64 *buf, u64 size)
{
	bool protected = vm_is_protected(guest->vm);
	u64 *mem, *alias, val;
	int err;

	/* What the host wrote before is there, in the first half. */
	fill_file(fd, buf, size / 2);
	TEST_ASSERT(!ftruncate(fd, size), "ftruncate() failed");
	mem = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	alias = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	accepted(guest, mem, size);

	if (!protected) {
		TEST_ASSERT(is_filled(alias, size), "The other mapping does not show it");
		file_is_filled(fd, buf, size);
		return;
	}

	/* Neither mapping shows a page of the guest's, whether it is mapped yet or not. */
	TEST_ASSERT_EQ(host_try_read(mem, &val), SIGSEGV);
	err = host_try_read(alias, &val);
	TEST_ASSERT(err == SIGSEGV || err == SIGBUS, "Read with signal %d", err);
	err = host_try_write(alias + size / sizeof(u64) - 1, 0);
	TEST_ASSERT(err == SIGSEGV || err == SIGBUS, "Written with signal %d", err);
	remote_guest_do(guest, REMOTE_CHECK, GPA, NR_PAGES);

	/* Shared with the host, the page can be read every way; taken back, none. */
	remote_guest_do(guest, REMOTE_SHARE, GPA, 1);
	TEST_ASSERT_EQ(host_try_read(alias, &val), 0);
	TEST_ASSERT_EQ(val, REMOTE_PATTERN(GPA));
	TEST_ASSERT_EQ(pread(fd, &val, sizeof(val), sizeof(val)), sizeof(val));
	TEST_ASSERT_EQ(val, REMOTE_PATTERN(GPA + sizeof(val)));
	remote_guest_do(guest, REMOTE_UNSHARE, GPA, 1);
	TEST_ASSERT(host_try_read(alias, &val), "Read what the guest has taken back");
	remote_guest_do(guest, REMOTE_CHECK, GPA, NR_PAGES);

	/*
	 * A system call fails or takes the page away from the guest, with zeros
	 * in it: then KVM_RUN tells so at the guest's next access.
	 */
	memset(buf, 0xff, size);
	err = pread(fd, buf, size / NR_PAGES, 0) < 0 ? errno : 0;
	TEST_ASSERT(!err || err == EFAULT, "pread() failed with errno %d", err);
	if (err) {
		remote_guest_do(guest, REMOTE_CHECK, GPA, NR_PAGES);
	} else {
		TEST_ASSERT(is_zero(buf, size / NR_PAGES), "pread() reads guest memory");
		remote_guest_do(guest, REMOTE_CHECK, GPA + size / NR_PAGES, NR_PAGES - 1);
		TEST_ASSERT_EQ(__remote_guest_do(guest, REMOTE_READ, GPA, 1), EFAULT);
	}
}

TEST_F(pkvm_file_backed, memfd_is_accepted_and_hidden)
{
	shmem(&self->guest, kvm_memfd_alloc(self->size, false), self->buf, self->size);
}

TEST_F(pkvm_file_backed, file_on_tmpfs_is_accepted_and_hidden)
{
	int fd = file_on("tmpfs");

	if (fd < 0)
		SKIP(return, "cannot mount a tmpfs");
	shmem(&self->guest, fd, self->buf, self->size);
}

TEST_F(pkvm_file_backed, shared_anonymous_memory_is_accepted)
{
	u64 *mem = kvm_mmap(self->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	u64 val;

	fill(mem, self->size);
	accepted(&self->guest, mem, self->size);
	TEST_ASSERT_EQ(host_try_read(mem, &val), variant->protected ? SIGSEGV : 0);
}

/* The guest keeps the page, the file gets a new one. */
TEST_F(pkvm_file_backed, hole_punched_into_a_memfd_does_not_show_guest_memory)
{
	int fd = kvm_memfd_alloc(self->size, false);
	u64 *mem = kvm_mmap(self->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);

	fill(mem, self->size);
	accepted(&self->guest, mem, self->size);
	kvm_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, self->size);

	TEST_ASSERT(is_zero(mem, self->size), "The hole is not empty");
	if (variant->protected) {
		remote_guest_do(&self->guest, REMOTE_CHECK, GPA, NR_PAGES);
	} else {
		/* Both see the new page. */
		remote_guest_do(&self->guest, REMOTE_WRITE, GPA, NR_PAGES);
		TEST_ASSERT(is_filled(mem, self->size), "The guest writes elsewhere");
	}
}

static bool add_hugepages(int nr)
{
	FILE *f = fopen(NR_HUGEPAGES, "r+");
	int was;

	if (!f)
		return false;
	TEST_ASSERT_EQ(fscanf(f, "%d", &was), 1);
	rewind(f);
	fprintf(f, "%d", was + nr);
	fclose(f);

	return true;
}

TEST_F(pkvm_file_backed, hugetlb_is_refused)
{
	u64 size = proc_value("/proc/meminfo", "Hugepagesize") * 1024;
	void *mem;

	if (!add_hugepages(1))
		SKIP(return, "cannot reserve a huge page");

	/* Once it is in use the kernel does without the reservation. */
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	add_hugepages(-1);
	if (mem == MAP_FAILED)
		SKIP(return, "there is no huge page");
	fill(mem, self->size);

	/* A part of it cannot be mapped over, so all of it is in the slot. */
	if (variant->protected)
		refused(&self->guest, mem, size, EIO, EIO);
	else
		accepted(&self->guest, mem, size);
}

static void touch_guest_memfd(struct remote_guest *guest, u64 size, u64 flags, int err)
{
	bool shared = flags & GUEST_MEMFD_FLAG_INIT_SHARED;
	u64 locked;
	void *mem;
	int fd;

	fd = __vm_create_guest_memfd(guest->vm, size, flags);
	TEST_ASSERT(fd >= 0, "Cannot create a guest_memfd, errno %d", errno);
	mem = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	if (shared)
		fill(mem, size);
	vm_set_user_memory_region2(guest->vm, SLOT, KVM_MEM_GUEST_MEMFD, GPA, size, mem, fd, 0);

	remote_guest_do(guest, REMOTE_WRITE, OTHER_GPA, NR_PAGES);
	remote_guest_do(guest, REMOTE_CHECK, OTHER_GPA, NR_PAGES);
	if (vm_is_protected(guest->vm)) {
		locked = locked_memory();
		TEST_ASSERT_EQ(__remote_guest_do(guest, REMOTE_CHECK, GPA, 1), err);
		TEST_ASSERT_EQ(__remote_guest_continue(guest), err);
		TEST_ASSERT_EQ(locked_memory(), locked);
		if (shared)
			TEST_ASSERT(is_filled(mem, size), "The host's memory is not what it was");
	} else {
		remote_guest_do(guest, shared ? REMOTE_CHECK : REMOTE_WRITE, GPA, NR_PAGES);
	}

	/* The file keeps the VM alive. */
	kvm_munmap(mem, size);
	close(fd);
}

/* Its pages can be pinned, but are not backed by swap. */
TEST_F(pkvm_file_backed, guest_memfd_that_is_mapped_is_refused)
{
	touch_guest_memfd(&self->guest, self->size,
			  GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED, EIO);
}

/* The VMM cannot touch it. */
TEST_F(pkvm_file_backed, guest_memfd_that_is_private_is_refused)
{
	touch_guest_memfd(&self->guest, self->size, GUEST_MEMFD_FLAG_MMAP, EFAULT);
}

TEST_HARNESS_MAIN
