// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_memory_management - What the host does to the memory that backs a
 * protected guest never shows it the guest's data, and does not crash it.
 *
 * The guest's pages are pinned and not in the host's stage-2.  The host's
 * mapping of them can go, move or change, and then the guest keeps its page,
 * and the VMM gets SIGSEGV or another page.  Where the kernel reads the page
 * to do its work (fork(), KSM, core dump), the page is zeroed and taken from
 * the guest, whose next access ends KVM_RUN with EFAULT.  What differs from a
 * non-protected VM, in which guest and host always see the same memory, is
 * documented in Documentation/virt/kvm/arm/pkvm.rst.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_secret.h"
#include "test_util.h"

#include "kselftest_harness.h"

#define HOST_DATA	0x6f686f686f686f68ul

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

#define SWAP_SIZE	(64ul << 20)

/* One operation on the page at target. */
struct mm_op {
	struct secret_vm *svm;
	void *target;
	size_t size;
	void *moved_to;			/* set: the page is now mapped here, too */
	const char *unavailable;	/* set: can't be tried here, for this reason */
};

#define UNAVAILABLE(op, reason)		\
({					\
	(op)->unavailable = (reason);	\
	-ENODEV;			\
})

static int read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = read(fd, buf, size - 1);
	close(fd);
	if (len < 0)
		return -EIO;
	buf[len] = 0;

	return 0;
}

static int write_file(const char *path, const char *val)
{
	int fd = open(path, O_WRONLY);
	int ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, val, strlen(val)) < 0 ? -errno : 0;
	close(fd);

	return ret;
}

static long read_number(const char *path)
{
	char buf[32];

	return read_file(path, buf, sizeof(buf)) ? -1 : atol(buf);
}

static int map_fixed(struct mm_op *op)
{
	void *mem = mmap(op->target, op->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return mem == op->target ? 0 : -errno;
}

static int unmap(struct mm_op *op)
{
	return munmap(op->target, op->size) ? -errno : 0;
}

static int protect_none(struct mm_op *op)
{
	return mprotect(op->target, op->size, PROT_NONE) ? -errno : 0;
}

static int protect_none_and_back(struct mm_op *op)
{
	int ret = protect_none(op);

	if (ret)
		return ret;
	return mprotect(op->target, op->size, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static int mremap_move(struct mm_op *op)
{
	/* MREMAP_FIXED: move even though the page could stay. */
	void *hole = kvm_mmap(op->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	op->moved_to = mremap(op->target, op->size, op->size,
			      MREMAP_MAYMOVE | MREMAP_FIXED, hole);

	return op->moved_to == MAP_FAILED ? -errno : 0;
}

static int mremap_dontunmap(struct mm_op *op)
{
	op->moved_to = mremap(op->target, op->size, op->size,
			      MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	return op->moved_to == MAP_FAILED ? -errno : 0;
}

#define MADVISE(name, advice)								\
static int name(struct mm_op *op)							\
{											\
	return madvise(op->target, op->size, advice) ? -errno : 0;			\
}

MADVISE(madv_dontneed, MADV_DONTNEED)
MADVISE(madv_free, MADV_FREE)
MADVISE(madv_cold, MADV_COLD)
MADVISE(madv_remove, MADV_REMOVE)
MADVISE(madv_populate_read, MADV_POPULATE_READ)
MADVISE(madv_populate_write, MADV_POPULATE_WRITE)

static int madv_soft_offline(struct mm_op *op)
{
	int ret = madvise(op->target, op->size, MADV_SOFT_OFFLINE) ? -errno : 0;

	if (ret == -EPERM)
		return UNAVAILABLE(op, "no permission to take memory offline");

	return ret;
}

static int lock_memory(struct mm_op *op)
{
	return mlock(op->target, op->size) ? -errno : 0;
}

static int madv_collapse(struct mm_op *op)
{
	size_t size;

	if (!thp_configured())
		return UNAVAILABLE(op, "no transparent huge pages");

	size = get_trans_hugepagesz();
	if (madvise(op->target, size, MADV_HUGEPAGE))
		return -errno;
	return madvise(op->target, size, MADV_COLLAPSE) ? -errno : 0;
}

static int punch_hole(struct mm_op *op)
{
	return fallocate(op->svm->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 0, op->size) ? -errno : 0;
}

static int truncate_file(struct mm_op *op)
{
	return ftruncate(op->svm->memfd, 0) ? -errno : 0;
}

/* Not in memory any more, as far as the page tables know */
static int is_paged_out(void *addr)
{
	u64 entry;
	int fd;

	fd = open("/proc/self/pagemap", O_RDONLY);
	TEST_ASSERT(fd >= 0, "Can't open /proc/self/pagemap");
	TEST_ASSERT_EQ(pread(fd, &entry, sizeof(entry), (u64)addr / getpagesize() * sizeof(entry)),
		       sizeof(entry));
	close(fd);

	return !(entry & BIT_ULL(63));
}

/* What is in the first page of swap space, see union swap_header */
struct swap_signature {
	char boot_bits[1024];
	u32 version;
	u32 last_page;
};

static bool have_swap(void)
{
	char buf[512];

	/* A header line, and one for each area */
	return !read_file("/proc/swaps", buf, sizeof(buf)) && strchr(buf, '\n')[1];
}

/* For as long as the machine runs: the tests after this one want it, too. */
static bool make_swap(void)
{
	struct swap_signature *swap;
	size_t size = getpagesize();
	char path[64], val[32];
	int fd, nr, ret;
	char *page;

	nr = read_number("/sys/class/zram-control/hot_add");
	if (nr < 0)
		return false;
	snprintf(path, sizeof(path), "/sys/block/zram%d/disksize", nr);
	snprintf(val, sizeof(val), "%lu", SWAP_SIZE);
	if (write_file(path, val))
		return false;

	page = calloc(1, size);
	swap = (void *)page;
	swap->version = 1;
	swap->last_page = SWAP_SIZE / size - 1;
	memcpy(page + size - 10, "SWAPSPACE2", 10);

	snprintf(path, sizeof(path), "/dev/zram%d", nr);
	fd = open(path, O_WRONLY);
	ret = fd < 0 ? -1 : pwrite(fd, page, size, 0);
	close(fd);
	free(page);

	return ret == (int)size && !swapon(path, 0);
}

static int madv_pageout(struct mm_op *op)
{
	int i;

	if (!have_swap() && !make_swap())
		return UNAVAILABLE(op, "no swap space, and no zram or permission to make some");

	/* A page that waits to be put on the LRU list of another CPU is passed over. */
	for (i = 0; i < 50; i++) {
		if (madvise(op->target, op->size, MADV_PAGEOUT))
			return -errno;
		if (is_paged_out(op->target))
			return 1;
		usleep(1000);
	}

	return 0;
}

#define CGROUP		"/sys/fs/cgroup/"
#define OWN_CGROUP	CGROUP "pkvm_memory_management/"

/* Memory belongs to the group of the process that first touches it. */
static bool enter_own_cgroup(void)
{
	return !write_file(CGROUP "cgroup.subtree_control", "+memory") &&
	       (!mkdir(OWN_CGROUP, 0755) || errno == EEXIST) &&
	       !write_file(OWN_CGROUP "cgroup.procs", "0");
}

static void leave_own_cgroup(void)
{
	write_file(CGROUP "cgroup.procs", "0");
	rmdir(OWN_CGROUP);
}

/* As much reclaim as memory pressure would cause, without the pressure */
static int swap_out(struct mm_op *op)
{
	int i, ret;

	if (!have_swap() && !make_swap())
		return UNAVAILABLE(op, "no swap space, and no zram or permission to make some");

	/* The guest has just used it, that would keep it in memory for a while. */
	if (madvise(op->target, op->size, MADV_COLD))
		return -errno;

	for (i = 0; i < 8 && !is_paged_out(op->target); i++) {
		ret = write_file(OWN_CGROUP "memory.reclaim", "16M swappiness=max");
		/* EAGAIN: there was less than that, as expected. */
		if (ret && ret != -EAGAIN)
			return UNAVAILABLE(op, "no memory cgroups, or no permission to use them");
	}

	return is_paged_out(op->target);
}

#define KSM	"/sys/kernel/mm/ksm/"

/* The guest's secret pages are all the same.  Says whether KSM saw that. */
static int ksm(struct mm_op *op)
{
	long scans, run = read_number(KSM "run");
	int i, sharing;

	if (run < 0 || write_file(KSM "run", "1"))
		return UNAVAILABLE(op, "no KSM, or no permission to run it");
	write_file(KSM "sleep_millisecs", "1");

	if (madvise(op->svm->mem, op->svm->mem_size, MADV_MERGEABLE))
		return -errno;

	/* Once for the checksum, once to see that it is stable, once to merge */
	scans = read_number(KSM "full_scans");
	for (i = 0; i < 200 && read_number(KSM "full_scans") < scans + 4; i++)
		usleep(50000);
	TEST_ASSERT(i < 200, "KSM does not scan");

	sharing = read_number(KSM "pages_sharing") > 0;
	write_file(KSM "run", run ? "1" : "0");

	return sharing;
}

static int move_to_node_0(struct mm_op *op)
{
	int node = 0, status = -ENOENT;
	long ret;

	ret = syscall(SYS_move_pages, 0, 1, &op->target, &node, &status, MPOL_MF_MOVE);
	if (ret && errno == ENOSYS)
		return UNAVAILABLE(op, "no page migration");

	return ret ? -errno : status;
}

static int mbind_to_node_0(struct mm_op *op)
{
	unsigned long nodes = 1;
	long ret;

	ret = syscall(SYS_mbind, op->target, op->size, MPOL_BIND, &nodes, 8 * sizeof(nodes),
		      MPOL_MF_MOVE | MPOL_MF_STRICT);
	if (ret && errno == ENOSYS)
		return UNAVAILABLE(op, "no NUMA policies");

	return ret ? -errno : 0;
}

static int compact(struct mm_op *op)
{
	if (write_file("/proc/sys/vm/compact_memory", "1"))
		return UNAVAILABLE(op, "no compaction, or no permission to ask for it");

	return 0;
}

static bool in_huge_page(struct secret_vm *svm)
{
	unsigned long start = 0, end = 0, kb;
	char line[256];
	bool found = false;
	FILE *f;

	f = fopen("/proc/self/smaps", "r");
	TEST_ASSERT(f, "Can't read /proc/self/smaps");
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			continue;
		if (start <= (u64)svm->mem && (u64)svm->mem < end &&
		    sscanf(line, "AnonHugePages: %lu kB", &kb) == 1)
			found = kb > 0;
	}
	fclose(f);

	return found;
}

FIXTURE(mm) {
};

FIXTURE_VARIANT(mm) {
	int (*fn)(struct mm_op *op);
	enum secret_mem mem;
	/* With a protected guest: */
	int ret;
	enum host_view host;
	int guest;			/* 0 or what KVM_RUN fails with */
	/* With a non-protected one */
	int control_ret;
};

#define MM_OP(name, ...)		\
FIXTURE_VARIANT_ADD(mm, name)		\
{					\
	.fn = name,			\
	__VA_ARGS__			\
}

#define MM_OP_ON_MEMFD(name, ...)	\
FIXTURE_VARIANT_ADD(mm, name##_memfd)	\
{					\
	.fn = name,			\
	.mem = SECRET_MEMFD,		\
	__VA_ARGS__			\
}

#define MM_OP_ON_THP(name, ...)		\
FIXTURE_VARIANT_ADD(mm, name##_thp)	\
{					\
	.fn = name,			\
	.mem = SECRET_THP,		\
	__VA_ARGS__			\
}

MM_OP(map_fixed,		.host = HOST_SEES_ZEROES);
MM_OP(unmap,			.host = HOST_SIGSEGV);
MM_OP(protect_none,		.host = HOST_SIGSEGV);
MM_OP(protect_none_and_back,	.host = HOST_SIGSEGV);
MM_OP(mremap_move,		.host = HOST_SIGSEGV);
MM_OP(mremap_dontunmap,		.host = HOST_SEES_ZEROES);
MM_OP(madv_dontneed,		.host = HOST_SEES_ZEROES);
MM_OP(madv_free,		.host = HOST_SIGSEGV);
MM_OP(madv_cold,		.host = HOST_SIGSEGV);
MM_OP(madv_pageout,		.host = HOST_SIGSEGV, .control_ret = 1);
MM_OP(madv_populate_read,	.host = HOST_SIGSEGV);
MM_OP(madv_populate_write,	.host = HOST_SIGSEGV);
MM_OP(madv_collapse,		.host = HOST_SIGSEGV, .ret = -EAGAIN);
MM_OP(madv_soft_offline,	.host = HOST_SIGSEGV, .ret = -EBUSY);
MM_OP(lock_memory,		.host = HOST_SIGSEGV);
MM_OP(swap_out,			.host = HOST_SIGSEGV, .control_ret = 1);
MM_OP(ksm,			.host = HOST_SEES_ZEROES, .guest = -EFAULT, .control_ret = 1);
MM_OP(move_to_node_0,		.host = HOST_SIGSEGV);
MM_OP(mbind_to_node_0,		.host = HOST_SIGSEGV);
MM_OP(compact,			.host = HOST_SIGSEGV);

MM_OP_ON_MEMFD(map_fixed,	.host = HOST_SEES_ZEROES);
MM_OP_ON_MEMFD(madv_dontneed,	.host = HOST_SIGSEGV);
/* Not mapped any more, but pinned: it can't be written to swap. */
MM_OP_ON_MEMFD(madv_pageout,	.host = HOST_SIGSEGV, .ret = 1, .control_ret = 1);
MM_OP_ON_MEMFD(madv_remove,	.host = HOST_SEES_ZEROES);
MM_OP_ON_MEMFD(punch_hole,	.host = HOST_SEES_ZEROES);
MM_OP_ON_MEMFD(truncate_file,	.host = HOST_SIGBUS);
MM_OP_ON_MEMFD(swap_out,	.host = HOST_SIGSEGV, .ret = 1, .control_ret = 1);

MM_OP_ON_THP(madv_dontneed,	.host = HOST_SEES_ZEROES);
MM_OP_ON_THP(madv_pageout,	.host = HOST_SIGSEGV, .control_ret = 1);
MM_OP_ON_THP(mremap_move,	.host = HOST_SIGSEGV);
MM_OP_ON_THP(swap_out,	.host = HOST_SIGSEGV, .control_ret = 1);

FIXTURE_SETUP(mm)
{
	if (variant->fn == swap_out && !enter_own_cgroup())
		SKIP(return, "no memory cgroups, or no permission to use them");
}

FIXTURE_TEARDOWN(mm)
{
	if (variant->fn == swap_out)
		leave_own_cgroup();
}

TEST_F_TIMEOUT(mm, host_never_sees_protected_guest_data, 60)
{
	struct secret_vm *svm = secret_vm_create(true, variant->mem);
	struct mm_op op = {
		.svm	= svm,
		.target	= secret_vm_page(svm, SECRET_PAGE),
		.size	= svm->page_size,
	};
	u64 secret = secret_vm_secret(svm);
	int ret;

	if (variant->mem == SECRET_THP && !in_huge_page(svm))
		SKIP(return, "no transparent huge page to be had");

	secret_vm_start(svm);
	EXPECT_VIEW(svm, op.target, HOST_SIGSEGV);

	ret = variant->fn(&op);
	if (op.unavailable)
		SKIP(return, "%s", op.unavailable);
	EXPECT_EQ(ret, variant->ret);

	EXPECT_VIEW(svm, op.target, variant->host);
	if (op.moved_to)
		EXPECT_VIEW(svm, op.moved_to, HOST_SIGSEGV);

	EXPECT_EQ(secret_vm_check(svm), variant->guest);
	if (!variant->guest) {
		EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret);
		EXPECT_EQ(svm->guest_sees[SECRET_PAGE_2], secret);
		EXPECT_EQ(svm->guest_sees[SECRET_PAGE_3], secret);
	}

	/* And it did not become the host's by the guest's use of it */
	EXPECT_VIEW(svm, op.target, variant->host);
	if (op.moved_to)
		EXPECT_VIEW(svm, op.moved_to, HOST_SIGSEGV);
	secret_vm_free(svm);
}

/*
 * The control: the host sees the secret before, and afterwards guest and host
 * see the same, whatever the operation makes of it.
 */
TEST_F_TIMEOUT(mm, host_and_non_protected_guest_see_the_same, 60)
{
	struct secret_vm *svm = secret_vm_create(false, variant->mem);
	struct mm_op op = {
		.svm	= svm,
		.target	= secret_vm_page(svm, SECRET_PAGE),
		.size	= svm->page_size,
	};
	int ret;

	if (variant->mem == SECRET_THP && !in_huge_page(svm))
		SKIP(return, "no transparent huge page to be had");

	secret_vm_start(svm);
	EXPECT_VIEW(svm, op.target, HOST_SEES_SECRET);

	ret = variant->fn(&op);
	if (op.unavailable)
		SKIP(return, "%s", op.unavailable);
	EXPECT_EQ(ret, variant->control_ret);

	if (op.moved_to)
		EXPECT_VIEW(svm, op.moved_to, HOST_SEES_SECRET);

	ret = secret_vm_check(svm);
	switch (secret_vm_host_view(svm, op.target)) {
	case HOST_SEES_SECRET:
		EXPECT_EQ(ret, 0);
		EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret_vm_secret(svm));
		break;
	case HOST_SEES_ZEROES:
		EXPECT_EQ(ret, 0);
		EXPECT_EQ(svm->guest_sees[SECRET_PAGE], 0);
		break;
	case HOST_SIGSEGV:
	case HOST_SIGBUS:
		EXPECT_EQ(ret, -EFAULT);
		break;
	default:
		EXPECT_TRUE(false)
			TH_LOG("the host's load gets neither zeroes nor the secret");
	}
	secret_vm_free(svm);
}

/* fork() copies pinned pages, and with that it reads all of the guest. */

FIXTURE(fork) {
	enum host_view *child_view;	/* in memory shared with the child */
	int go[2];
};

FIXTURE_VARIANT(fork) {
	bool protected;
};

FIXTURE_VARIANT_ADD(fork, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(fork, non_protected) {
	.protected = false,
};

FIXTURE_SETUP(fork)
{
	self->child_view = kvm_mmap(sizeof(*self->child_view), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1);
	ASSERT_EQ(pipe(self->go), 0);
}

FIXTURE_TEARDOWN(fork)
{
}

/* A child that says what it sees once it is told to. */
static pid_t fork_child(struct secret_vm *svm, enum host_view *view, int go)
{
	pid_t pid = fork();
	char c;

	TEST_ASSERT(pid >= 0, "fork() failed");
	if (!pid) {
		TEST_ASSERT_EQ(read(go, &c, 1), 1);
		*view = secret_vm_host_view(svm, secret_vm_page(svm, SECRET_PAGE));
		_exit(0);
	}

	return pid;
}

static enum host_view child_sees(pid_t pid, const enum host_view *view, int go)
{
	int status;

	TEST_ASSERT_EQ(write(go, "", 1), 1);
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFEXITED(status) && !WEXITSTATUS(status), "Child's status: 0x%x", status);

	return *view;
}

TEST_F(fork, child_gets_zeroes_and_the_guest_is_lost)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	void *page = secret_vm_page(svm, SECRET_PAGE);
	pid_t pid;

	secret_vm_start(svm);
	pid = fork_child(svm, self->child_view, self->go[0]);
	EXPECT_EQ(child_sees(pid, self->child_view, self->go[1]),
		  variant->protected ? HOST_SEES_ZEROES : HOST_SEES_SECRET);

	EXPECT_VIEW(svm, page, variant->protected ? HOST_SEES_ZEROES : HOST_SEES_SECRET);
	EXPECT_EQ(secret_vm_check(svm), variant->protected ? -EFAULT : 0);
	secret_vm_free(svm);
}

static void dont_fork(struct secret_vm *svm)
{
	struct userspace_mem_region *region = memslot2region(svm->vm, 0);

	kvm_madvise(region->mmap_start, region->mmap_size, MADV_DONTFORK);
	kvm_madvise(svm->mem, svm->mem_size, MADV_DONTFORK);
}

TEST_F(fork, dontfork_leaves_the_guest_alone)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	void *page = secret_vm_page(svm, SECRET_PAGE);
	pid_t pid;

	dont_fork(svm);
	secret_vm_start(svm);
	pid = fork_child(svm, self->child_view, self->go[0]);
	EXPECT_EQ(child_sees(pid, self->child_view, self->go[1]), HOST_SIGSEGV);

	EXPECT_VIEW(svm, page, variant->protected ? HOST_SIGSEGV : HOST_SEES_SECRET);
	EXPECT_EQ(secret_vm_check(svm), 0);
	EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret_vm_secret(svm));
	secret_vm_free(svm);
}

TEST_F(fork, vfork_leaves_the_guest_alone)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	pid_t pid;

	secret_vm_start(svm);
	pid = vfork();
	if (!pid)
		_exit(0);
	ASSERT_GT(pid, 0);
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);

	EXPECT_VIEW(svm, secret_vm_page(svm, SECRET_PAGE),
		    variant->protected ? HOST_SIGSEGV : HOST_SEES_SECRET);
	EXPECT_EQ(secret_vm_check(svm), 0);
	EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret_vm_secret(svm));
	secret_vm_free(svm);
}

TEST_F(fork, child_from_before_the_first_touch_keeps_its_own_copy)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	u64 *page = secret_vm_page(svm, SECRET_PAGE);
	pid_t pid;

	*page = HOST_DATA;
	pid = fork_child(svm, self->child_view, self->go[0]);
	secret_vm_start(svm);
	EXPECT_EQ(child_sees(pid, self->child_view, self->go[1]), HOST_SEES_DATA);

	EXPECT_VIEW(svm, page, variant->protected ? HOST_SIGSEGV : HOST_SEES_SECRET);
	EXPECT_EQ(secret_vm_check(svm), 0);
	EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret_vm_secret(svm));
	secret_vm_free(svm);
}

TEST_F(fork, child_that_shares_the_memory_gets_sigsegv)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_MEMFD);
	pid_t pid;

	pid = fork_child(svm, self->child_view, self->go[0]);
	secret_vm_start(svm);
	EXPECT_EQ(child_sees(pid, self->child_view, self->go[1]),
		  variant->protected ? HOST_SIGSEGV : HOST_SEES_SECRET);

	EXPECT_EQ(secret_vm_check(svm), 0);
	EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret_vm_secret(svm));
	secret_vm_free(svm);
}

/*
 * A VMM that crashes while its guest lives.  It does not know the secret, only
 * this process does, so what has the secret in the core is guest memory.
 */

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"

FIXTURE(core_dump) {
	char pattern[256];
	char core[64];
};

FIXTURE_VARIANT(core_dump) {
	bool protected;
};

FIXTURE_VARIANT_ADD(core_dump, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(core_dump, non_protected) {
	.protected = false,
};

FIXTURE_SETUP(core_dump)
{
	ASSERT_EQ(read_file(CORE_PATTERN, self->pattern, sizeof(self->pattern)), 0);
	snprintf(self->core, sizeof(self->core), "/tmp/pkvm_core.%d", getpid());
	if (write_file(CORE_PATTERN, self->core))
		SKIP(return, "no permission to set the name of core files");
}

FIXTURE_TEARDOWN(core_dump)
{
	write_file(CORE_PATTERN, self->pattern);
	unlink(self->core);
}

static void crashing_vmm(bool protected, u64 *seed)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct secret_vm *svm;

	TEST_ASSERT(!setrlimit(RLIMIT_CORE, &unlimited), "No permission to dump core");
	svm = secret_vm_create(protected, SECRET_ANON);
	secret_vm_start(svm);
	*seed = svm->seed;
	abort();
}

TEST_F_TIMEOUT(core_dump, core_of_the_vmm_has_no_protected_guest_data, 60)
{
	unsigned long warnings = kernel_warnings();
	struct secret_vm svm = {};
	int status, fd;
	struct stat st;
	void *core;
	u64 *seed;
	pid_t pid;

	seed = kvm_mmap(sizeof(*seed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		crashing_vmm(variant->protected, seed);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(WTERMSIG(status), SIGABRT);
	ASSERT_TRUE(WCOREDUMP(status));

	fd = open(self->core, O_RDONLY);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(fstat(fd, &st), 0);
	core = kvm_mmap(st.st_size, PROT_READ, MAP_PRIVATE, fd);

	svm.seed = *seed;
	/* The core is complete: what the host knows is in it. */
	EXPECT_NE(memmem(core, st.st_size, seed, sizeof(*seed)), NULL);
	EXPECT_EQ(has_secret(&svm, core, st.st_size), !variant->protected);
	EXPECT_EQ(kernel_warnings(), warnings);
}

int main(int argc, char **argv)
{
	/* Once, not for each test: it creates a VM. */
	TEST_REQUIRE_PKVM();

	return test_harness_run(argc, argv);
}
