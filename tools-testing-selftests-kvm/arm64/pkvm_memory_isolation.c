// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_memory_isolation - What a protected guest has stored is out of reach of
 * the host's user space.
 *
 * A load or store gets SIGSEGV.  A system call either fails with EFAULT, and
 * nothing has happened to the guest, or takes the page away from the guest:
 * then the page reads as zeroes, and the guest's next access to it ends
 * KVM_RUN with EFAULT.  Which of the two is a matter of how the kernel gets at
 * the memory: by the address that user space gave it, or by the linear map.
 * The same access to a non-protected guest's memory succeeds.
 *
 * Not tested: devices that access memory on their own.  DMA isolation is not
 * implemented (Documentation/virt/kvm/arm/pkvm.rst), so an O_DIRECT write from
 * guest memory to a disk that does DMA does write the secret.
 */
#include <arpa/inet.h>
#include <asm/barrier.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/loop.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_secret.h"
#include "processor.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

/* What the host writes when it gets at memory */
#define HOST_DATA	0x6f686f686f686f68ul

/* Loads and stores, with the same ones to a non-protected guest's memory as the control. */

FIXTURE(access) {
};

FIXTURE_VARIANT(access) {
	bool protected;
};

FIXTURE_VARIANT_ADD(access, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(access, non_protected) {
	.protected = false,
};

FIXTURE_SETUP(access)
{
}

FIXTURE_TEARDOWN(access)
{
}

TEST_F(access, host_load_of_what_the_guest_wrote_gets_sigsegv)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	u64 secret = secret_vm_secret(svm);
	size_t offset, last = svm->page_size - sizeof(u64);
	int page, sig;
	u64 val;

	secret_vm_start(svm);
	for (page = 0; page < NR_SECRET_PAGES; page++) {
		for (offset = 0; offset <= last; offset += last / 7 / 8 * 8) {
			val = 0;
			sig = host_try_read(secret_vm_page(svm, page) + offset, &val);
			EXPECT_EQ(sig, variant->protected ? SIGSEGV : 0);
			EXPECT_EQ(val, variant->protected ? 0 : secret);
		}
	}

	EXPECT_EQ(secret_vm_check(svm), 0);
	for (page = 0; page < NR_SECRET_PAGES; page++)
		EXPECT_EQ(svm->guest_sees[page], secret);
	secret_vm_free(svm);
}

TEST_F(access, host_store_to_what_the_guest_wrote_gets_sigsegv)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	u64 secret = secret_vm_secret(svm);
	size_t offset, last = svm->page_size - sizeof(u64);
	int page, sig;

	secret_vm_start(svm);
	for (page = 0; page < NR_SECRET_PAGES; page++) {
		for (offset = 0; offset <= last; offset += last / 7 / 8 * 8) {
			sig = host_try_write(secret_vm_page(svm, page) + offset, HOST_DATA);
			EXPECT_EQ(sig, variant->protected ? SIGSEGV : 0);
		}
	}

	EXPECT_EQ(secret_vm_check(svm), 0);
	for (page = 0; page < NR_SECRET_PAGES; page++)
		EXPECT_EQ(svm->guest_sees[page], variant->protected ? secret : HOST_DATA);
	secret_vm_free(svm);
}

TEST_F(access, host_access_that_straddles_into_a_guest_page_gets_sigsegv)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	void *untouched = secret_vm_page(svm, UNTOUCHED_PAGE);
	u64 val;

	*(u64 *)untouched = HOST_DATA;
	secret_vm_start(svm);

	EXPECT_EQ(host_try_read(untouched, &val), 0);
	EXPECT_EQ(host_try_read(untouched - 4, &val), variant->protected ? SIGSEGV : 0);
	EXPECT_EQ(host_try_write(untouched - 4, ~0ul), variant->protected ? SIGSEGV : 0);

	EXPECT_EQ(secret_vm_check(svm), 0);
	secret_vm_free(svm);
}

TEST_F(access, host_access_to_what_the_guest_only_read_gets_sigsegv)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	u64 *page = secret_vm_page(svm, READ_PAGE);

	*page = HOST_DATA;
	secret_vm_start(svm);
	EXPECT_EQ(svm->read_word, HOST_DATA);

	EXPECT_VIEW(svm, page, variant->protected ? HOST_SIGSEGV : HOST_SEES_DATA);
	EXPECT_EQ(host_try_write(page, 0), variant->protected ? SIGSEGV : 0);
	secret_vm_free(svm);
}

TEST_F(access, page_not_touched_by_the_guest_is_still_the_hosts)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_ANON);
	u64 *page = secret_vm_page(svm, UNTOUCHED_PAGE), val = 0;

	secret_vm_start(svm);
	EXPECT_EQ(host_try_write(page, HOST_DATA), 0);
	EXPECT_EQ(host_try_read(page, &val), 0);
	EXPECT_EQ(val, HOST_DATA);
	secret_vm_free(svm);
}

TEST_F(access, second_mapping_of_the_memory_gets_sigsegv)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_MEMFD);
	enum host_view expected = variant->protected ? HOST_SIGSEGV : HOST_SEES_SECRET;
	void *before, *after, *private;

	before = kvm_mmap(svm->mem_size, PROT_READ | PROT_WRITE, MAP_SHARED, svm->memfd);
	*(u64 *)before = HOST_DATA;
	secret_vm_start(svm);
	after = kvm_mmap(svm->mem_size, PROT_READ | PROT_WRITE, MAP_SHARED, svm->memfd);
	private = kvm_mmap(svm->mem_size, PROT_READ, MAP_PRIVATE, svm->memfd);

	EXPECT_VIEW(svm, before, expected);
	EXPECT_VIEW(svm, after, expected);
	EXPECT_VIEW(svm, private, expected);
	EXPECT_VIEW(svm, svm->mem, expected);

	EXPECT_EQ(secret_vm_check(svm), 0);
	EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret_vm_secret(svm));
	secret_vm_free(svm);
}

/* Those that modify the futex are in pkvm_regressions.c: they may hang. */
TEST_F(access, futex_of_a_guest_word_gets_efault)
{
	struct secret_vm *svm = secret_vm_create(variant->protected, SECRET_MEMFD);
	u32 *word = secret_vm_page(svm, SECRET_PAGE), other = 0;
	u32 wrong_guess = ~secret_vm_secret(svm);
	int expected = variant->protected ? EFAULT : EAGAIN;
	static const int wait[] = { FUTEX_WAIT, FUTEX_WAIT_PRIVATE };
	int i;

	secret_vm_start(svm);
	for (i = 0; i < ARRAY_SIZE(wait); i++) {
		EXPECT_EQ(syscall(SYS_futex, word, wait[i], wrong_guess, NULL), -1);
		EXPECT_EQ(errno, expected);
	}
	EXPECT_EQ(syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, 1, 1, &other, wrong_guess), -1);
	EXPECT_EQ(errno, expected);

	EXPECT_EQ(secret_vm_check(svm), 0);
	EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret_vm_secret(svm));
	secret_vm_free(svm);
}

static u64 gva_to_ipa(const void *gva)
{
	u64 par;

	asm volatile("at s1e1r, %1\n\tisb\n\tmrs %0, par_el1" : "=r" (par) : "r" (gva));
	GUEST_ASSERT(!(par & 1));

	return (par & GENMASK(47, 12)) | ((u64)gva & GENMASK(11, 0));
}

/* The host can't walk the guest's page tables any more, so the guest says where it lives. */
static void guest_whereabouts(void)
{
	u64 on_stack = 0;

	GUEST_SYNC3(gva_to_ipa(guest_whereabouts), gva_to_ipa(&on_stack),
		    read_sysreg(ttbr0_el1) & GENMASK(47, 12));
	GUEST_DONE();
}

TEST_F(access, guest_code_stack_and_page_tables_get_sigsegv)
{
	int expected = variant->protected ? SIGSEGV : 0;
	u64 val, pgd_entry, *last_level, *host[3];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	int i;

	vm = vm_create_shape_with_one_vcpu(variant->protected ? VM_SHAPE_PROTECTED :
					   VM_SHAPE_DEFAULT, &vcpu, guest_whereabouts);
	last_level = virt_get_pte_hva(vm, (gva_t)guest_whereabouts);
	pgd_entry = *(u64 *)addr_gpa2hva(vm, vm->mmu.pgd);
	/* The host has written all of this. */
	EXPECT_EQ(host_try_read(last_level, &val), 0);

	vcpu_run(vcpu);
	ASSERT_EQ(get_ucall(vcpu, &uc), UCALL_SYNC);
	for (i = 0; i < ARRAY_SIZE(host); i++) {
		host[i] = addr_gpa2hva(vm, uc.args[i] & ~7ul);
		EXPECT_EQ(host_try_read(host[i], &val), expected);
	}
	EXPECT_EQ(host_try_read(last_level, &val), expected);

	/* Nothing that the control would not survive */
	EXPECT_EQ(host_try_write(host[1], 0), expected);
	EXPECT_EQ(host_try_write(host[2], pgd_entry), expected);

	vcpu_run(vcpu);
	EXPECT_EQ(get_ucall(vcpu, &uc), UCALL_DONE);
	kvm_vm_free(vm);
}

/*
 * Attacks by system call.  Each moves a page, or less, from the target to the
 * buffer or the other way and says how much it moved, or a negative errno.
 */

struct attack {
	pid_t vmm;
	void *target;
	void *buf;
	size_t size;
	int memfd;
	const char *unavailable;	/* set: can't be tried here, for this reason */
};

#define UNAVAILABLE(attack, reason)		\
({						\
	(attack)->unavailable = (reason);	\
	(ssize_t)-ENODEV;			\
})

/* Write the target to @out, and if that works, get it back from @in. */
static ssize_t out_and_in(struct attack *a, int out, int in)
{
	ssize_t ret;

	ret = write(out, a->target, a->size);
	if (ret < 0)
		return -errno;
	return read(in, a->buf, ret);
}

/* Write the buffer to @out and read it from @in into the target. */
static ssize_t in_and_out(struct attack *a, int out, int in)
{
	ssize_t ret;

	TEST_ASSERT_EQ(write(out, a->buf, a->size), a->size);
	ret = read(in, a->target, a->size);
	return ret < 0 ? -errno : ret;
}

static void make_pipe(int fds[2])
{
	TEST_ASSERT(!pipe(fds), "pipe() failed");
}

static int make_file(struct attack *a, bool filled)
{
	int fd = kvm_memfd_alloc(a->size, false);

	if (filled)
		TEST_ASSERT_EQ(pwrite(fd, a->buf, a->size, 0), a->size);
	return fd;
}

static ssize_t write_to_pipe(struct attack *a)
{
	int fds[2];

	make_pipe(fds);
	return out_and_in(a, fds[1], fds[0]);
}

static ssize_t read_from_pipe(struct attack *a)
{
	int fds[2];

	make_pipe(fds);
	return in_and_out(a, fds[1], fds[0]);
}

static ssize_t write_to_socket(struct attack *a)
{
	int fds[2];

	TEST_ASSERT(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair() failed");
	return out_and_in(a, fds[0], fds[1]);
}

static ssize_t read_from_socket(struct attack *a)
{
	int fds[2];

	TEST_ASSERT(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair() failed");
	return in_and_out(a, fds[0], fds[1]);
}

static ssize_t write_to_file(struct attack *a)
{
	int fd = make_file(a, false);
	ssize_t ret;

	ret = pwrite(fd, a->target, a->size, 0);
	if (ret < 0)
		return -errno;
	return pread(fd, a->buf, ret, 0);
}

static ssize_t read_from_file(struct attack *a)
{
	ssize_t ret;

	ret = pread(make_file(a, true), a->target, a->size, 0);
	return ret < 0 ? -errno : ret;
}

static ssize_t process_vm_read(struct attack *a)
{
	struct iovec local = { a->buf, a->size }, remote = { a->target, a->size };
	ssize_t ret;

	ret = process_vm_readv(a->vmm, &local, 1, &remote, 1, 0);
	return ret < 0 ? -errno : ret;
}

static ssize_t process_vm_write(struct attack *a)
{
	struct iovec local = { a->buf, a->size }, remote = { a->target, a->size };
	ssize_t ret;

	ret = process_vm_writev(a->vmm, &local, 1, &remote, 1, 0);
	return ret < 0 ? -errno : ret;
}

static int open_proc_mem(struct attack *a)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", a->vmm);
	fd = open(path, O_RDWR);
	TEST_ASSERT(fd >= 0, "Can't open %s", path);

	return fd;
}

static ssize_t read_proc_mem(struct attack *a)
{
	ssize_t ret;

	ret = pread(open_proc_mem(a), a->buf, a->size, (off_t)a->target);
	return ret < 0 ? -errno : ret;
}

static ssize_t write_proc_mem(struct attack *a)
{
	ssize_t ret;

	ret = pwrite(open_proc_mem(a), a->buf, a->size, (off_t)a->target);
	return ret < 0 ? -errno : ret;
}

static ssize_t ptrace_vmm(struct attack *a, int request, void *data)
{
	ssize_t ret;
	int status;

	if (ptrace(PTRACE_ATTACH, a->vmm, NULL, NULL))
		return UNAVAILABLE(a, "no permission to trace the VMM");
	TEST_ASSERT_EQ(waitpid(a->vmm, &status, __WALL), a->vmm);
	/* The system call, not libc's wrapper: it stores the word in *data */
	ret = syscall(SYS_ptrace, request, a->vmm, a->target, data);
	ret = ret ? -errno : (ssize_t)sizeof(u64);
	TEST_ASSERT(!ptrace(PTRACE_DETACH, a->vmm, NULL, NULL), "Can't let go of the VMM");

	return ret;
}

static ssize_t ptrace_peek(struct attack *a)
{
	return ptrace_vmm(a, PTRACE_PEEKDATA, a->buf);
}

static ssize_t ptrace_poke(struct attack *a)
{
	return ptrace_vmm(a, PTRACE_POKEDATA, (void *)*(u64 *)a->buf);
}

/* The pipe refers to the page until somebody reads from it. */
static ssize_t vmsplice_to_pipe(struct attack *a)
{
	struct iovec iov = { a->target, a->size };
	ssize_t ret;
	int fds[2];

	make_pipe(fds);
	ret = vmsplice(fds[1], &iov, 1, 0);
	if (ret < 0)
		return -errno;
	ret = read(fds[0], a->buf, ret);
	return ret < 0 ? -errno : ret;
}

static ssize_t vmsplice_and_splice_to_file(struct attack *a)
{
	struct iovec iov = { a->target, a->size };
	ssize_t ret;
	int fds[2], fd;

	make_pipe(fds);
	fd = make_file(a, false);
	ret = vmsplice(fds[1], &iov, 1, SPLICE_F_GIFT);
	if (ret < 0)
		return -errno;
	ret = splice(fds[0], NULL, fd, NULL, ret, 0);
	if (ret < 0)
		return -errno;
	return pread(fd, a->buf, ret, 0);
}

static ssize_t vmsplice_from_pipe(struct attack *a)
{
	struct iovec iov = { a->target, a->size };
	ssize_t ret;
	int fds[2];

	make_pipe(fds);
	TEST_ASSERT_EQ(write(fds[1], a->buf, a->size), a->size);
	ret = vmsplice(fds[0], &iov, 1, 0);
	return ret < 0 ? -errno : ret;
}

/* Loopback hands the pages to the receiver's softirq, which copies them there. */
static ssize_t send_zerocopy(struct attack *a)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int one = 1, tx, rx;
	ssize_t ret;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	tx = socket(AF_INET, SOCK_DGRAM, 0);
	rx = socket(AF_INET, SOCK_DGRAM, 0);
	if (tx < 0 || rx < 0 || bind(rx, (struct sockaddr *)&addr, len) ||
	    getsockname(rx, (struct sockaddr *)&addr, &len) ||
	    connect(tx, (struct sockaddr *)&addr, len))
		return UNAVAILABLE(a, "no network on the loopback device");
	if (setsockopt(tx, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		return UNAVAILABLE(a, "no SO_ZEROCOPY");

	ret = send(tx, a->target, a->size, MSG_ZEROCOPY);
	if (ret < 0)
		return -errno;
	ret = recv(rx, a->buf, a->size, 0);
	return ret < 0 ? -errno : ret;
}

/* One request on a ring of its own. */
static ssize_t submit_to_ring(struct attack *a, int op, int fd, int flags)
{
	struct iovec fixed = { a->target, a->size };
	struct io_uring_params p = {};
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqe;
	void *sq, *cq;
	int ring, ret;

	ring = syscall(SYS_io_uring_setup, 1, &p);
	if (ring < 0)
		return UNAVAILABLE(a, "no io_uring");

	sq = __kvm_mmap(p.sq_off.array + p.sq_entries * sizeof(u32), PROT_READ | PROT_WRITE,
			MAP_SHARED, ring, IORING_OFF_SQ_RING);
	cq = __kvm_mmap(p.cq_off.cqes + p.cq_entries * sizeof(*cqe), PROT_READ | PROT_WRITE,
			MAP_SHARED, ring, IORING_OFF_CQ_RING);
	sqes = __kvm_mmap(p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED, ring, IORING_OFF_SQES);

	if (op == IORING_OP_READ_FIXED || op == IORING_OP_WRITE_FIXED) {
		ret = syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &fixed, 1);
		if (ret)
			return -errno;
	}

	sqes[0] = (struct io_uring_sqe) {
		.opcode	= op,
		.flags	= flags,
		.fd	= fd,
		.addr	= (u64)a->target,
		.len	= a->size,
	};
	((u32 *)(sq + p.sq_off.array))[0] = 0;
	/* The request is complete before the kernel may see it. */
	smp_store_release((u32 *)(sq + p.sq_off.tail), 1);
	ret = syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	TEST_ASSERT_EQ(ret, 1);
	/* Pairs with the kernel's release of the result. */
	TEST_ASSERT_EQ(smp_load_acquire((u32 *)(cq + p.cq_off.tail)), 1);
	cqe = cq + p.cq_off.cqes;
	ret = cqe->res;
	close(ring);

	return ret;
}

static ssize_t __io_uring_write(struct attack *a, int op, int flags)
{
	int fd = make_file(a, false);
	ssize_t ret;

	ret = submit_to_ring(a, op, fd, flags);
	return ret < 0 ? ret : pread(fd, a->buf, ret, 0);
}

static ssize_t io_uring_write(struct attack *a)
{
	return __io_uring_write(a, IORING_OP_WRITE, 0);
}

/* By a worker thread of the kernel */
static ssize_t io_uring_write_async(struct attack *a)
{
	return __io_uring_write(a, IORING_OP_WRITE, IOSQE_ASYNC);
}

static ssize_t io_uring_write_registered(struct attack *a)
{
	return __io_uring_write(a, IORING_OP_WRITE_FIXED, 0);
}

static ssize_t io_uring_read(struct attack *a)
{
	return submit_to_ring(a, IORING_OP_READ, make_file(a, true), 0);
}

static ssize_t io_uring_read_async(struct attack *a)
{
	return submit_to_ring(a, IORING_OP_READ, make_file(a, true), IOSQE_ASYNC);
}

static ssize_t io_uring_read_registered(struct attack *a)
{
	return submit_to_ring(a, IORING_OP_READ_FIXED, make_file(a, true), 0);
}

/*
 * O_DIRECT on a block device whose driver copies with the CPU: a loop device
 * on a memfd.
 */
static ssize_t direct_io(struct attack *a, bool write)
{
	struct loop_config config = { .fd = make_file(a, true) };
	char path[32];
	int ctl, fd, nr;
	ssize_t ret;

	ctl = open("/dev/loop-control", O_RDWR);
	if (ctl < 0)
		return UNAVAILABLE(a, "no loop device, or no permission to use one");
	nr = ioctl(ctl, LOOP_CTL_GET_FREE);
	snprintf(path, sizeof(path), "/dev/loop%d", nr);
	fd = open(path, O_RDWR | O_DIRECT);
	if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config))
		return UNAVAILABLE(a, "can't set up a loop device");

	if (write)
		ret = pwrite(fd, a->target, a->size, 0);
	else
		ret = pread(fd, a->target, a->size, 0);
	if (ret < 0)
		ret = -errno;
	ioctl(fd, LOOP_CLR_FD);
	close(fd);
	close(ctl);

	if (write && ret > 0)
		return pread(config.fd, a->buf, ret, 0);
	return ret;
}

static ssize_t o_direct_write(struct attack *a)
{
	return direct_io(a, true);
}

static ssize_t o_direct_read(struct attack *a)
{
	return direct_io(a, false);
}

/* By the file that the memory belongs to */
static ssize_t read_memfd(struct attack *a)
{
	ssize_t ret;

	ret = pread(a->memfd, a->buf, a->size, 0);
	return ret < 0 ? -errno : ret;
}

static ssize_t write_memfd(struct attack *a)
{
	ssize_t ret;

	ret = pwrite(a->memfd, a->buf, a->size, 0);
	return ret < 0 ? -errno : ret;
}

static ssize_t sendfile_memfd(struct attack *a)
{
	off_t off = 0;
	ssize_t ret;
	int fds[2];

	make_pipe(fds);
	ret = sendfile(fds[1], a->memfd, &off, a->size);
	if (ret < 0)
		return -errno;
	ret = read(fds[0], a->buf, ret);
	return ret < 0 ? -errno : ret;
}

static ssize_t splice_memfd(struct attack *a)
{
	loff_t off = 0;
	ssize_t ret;
	int fds[2], fd;

	make_pipe(fds);
	fd = make_file(a, false);
	ret = splice(a->memfd, &off, fds[1], NULL, a->size, 0);
	if (ret < 0)
		return -errno;
	ret = splice(fds[0], NULL, fd, NULL, ret, 0);
	if (ret < 0)
		return -errno;
	return pread(fd, a->buf, ret, 0);
}

enum outcome {
	FAULTS,		/* the system call gets EFAULT, the guest notices nothing */
	RECLAIMS,	/* the guest loses the page */
};

/*
 * A process that attacks the VMM from outside.  It has to exist before the
 * protected VM does, because fork() is an access to the guest's memory.
 */
struct helper {
	struct attack attack;
	ssize_t (*fn)(struct attack *a);
	ssize_t ret;
	int request[2];
	int reply[2];
};

FIXTURE(attack) {
	struct helper *helper;
};

FIXTURE_VARIANT(attack) {
	ssize_t (*fn)(struct attack *a);
	enum outcome outcome;
	size_t moves;		/* bytes, or a page */
	bool writes;		/* to the guest's memory */
	bool from_outside;	/* by another process */
	enum secret_mem mem;
};

#define ATTACK(name, ...)		\
FIXTURE_VARIANT_ADD(attack, name)	\
{					\
	.fn = name,			\
	__VA_ARGS__			\
}

ATTACK(write_to_pipe,		.outcome = FAULTS);
ATTACK(read_from_pipe,		.outcome = FAULTS, .writes = true);
ATTACK(write_to_socket,		.outcome = FAULTS);
ATTACK(read_from_socket,	.outcome = FAULTS, .writes = true);
ATTACK(write_to_file,		.outcome = FAULTS);
ATTACK(read_from_file,		.outcome = FAULTS, .writes = true);
ATTACK(io_uring_write,		.outcome = FAULTS);
ATTACK(io_uring_read,		.outcome = FAULTS, .writes = true);
ATTACK(io_uring_write_async,	.outcome = FAULTS);
ATTACK(io_uring_read_async,	.outcome = FAULTS, .writes = true);
ATTACK(io_uring_write_registered, .outcome = RECLAIMS);
ATTACK(io_uring_read_registered, .outcome = RECLAIMS, .writes = true);
ATTACK(process_vm_read,		.outcome = RECLAIMS, .from_outside = true);
ATTACK(process_vm_write,	.outcome = RECLAIMS, .from_outside = true, .writes = true);
ATTACK(read_proc_mem,		.outcome = RECLAIMS, .from_outside = true);
ATTACK(write_proc_mem,		.outcome = RECLAIMS, .from_outside = true, .writes = true);
ATTACK(ptrace_peek,		.outcome = RECLAIMS, .from_outside = true, .moves = 8);
ATTACK(ptrace_poke, .outcome = RECLAIMS, .from_outside = true, .moves = 8, .writes = true);
ATTACK(vmsplice_to_pipe,	.outcome = RECLAIMS);
ATTACK(vmsplice_and_splice_to_file, .outcome = RECLAIMS);
ATTACK(vmsplice_from_pipe,	.outcome = FAULTS, .writes = true);
ATTACK(send_zerocopy,		.outcome = RECLAIMS);
ATTACK(o_direct_write,		.outcome = RECLAIMS);
ATTACK(o_direct_read,		.outcome = RECLAIMS, .writes = true);
ATTACK(read_memfd,		.outcome = RECLAIMS, .mem = SECRET_MEMFD);
ATTACK(write_memfd,		.outcome = RECLAIMS, .mem = SECRET_MEMFD, .writes = true);
ATTACK(sendfile_memfd,		.outcome = RECLAIMS, .mem = SECRET_MEMFD);
ATTACK(splice_memfd,		.outcome = RECLAIMS, .mem = SECRET_MEMFD);

static void serve(struct helper *h)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(h->request[0], &c, 1) == 1) {
		h->ret = h->fn(&h->attack);
		TEST_ASSERT_EQ(write(h->reply[1], &c, 1), 1);
	}
	_exit(0);
}

static ssize_t ask(struct helper *h)
{
	char c = 0;

	TEST_ASSERT_EQ(write(h->request[1], &c, 1), 1);
	TEST_ASSERT_EQ(read(h->reply[0], &c, 1), 1);

	return h->ret;
}

FIXTURE_SETUP(attack)
{
	size_t size = getpagesize();
	pid_t vmm = getpid();
	struct helper *h;

	/* Shared with the helper process */
	h = kvm_mmap(sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	h->attack.vmm = vmm;
	h->attack.size = size;
	h->attack.buf = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	h->fn = variant->fn;
	self->helper = h;

	if (variant->from_outside) {
		make_pipe(h->request);
		make_pipe(h->reply);
		/* Where Yama asks for it */
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		if (!fork())
			serve(h);
	}
}

FIXTURE_TEARDOWN(attack)
{
}

/* Let the attack loose on the guest's first page, and return what it says. */
static ssize_t launch(struct helper *h, struct secret_vm *svm, bool writes, bool from_outside)
{
	struct attack *a = &h->attack;
	size_t i;

	a->target = secret_vm_page(svm, SECRET_PAGE);
	a->memfd = svm->memfd;
	for (i = 0; i < a->size / sizeof(u64); i++)
		((u64 *)a->buf)[i] = writes ? HOST_DATA : 0;

	return from_outside ? ask(h) : h->fn(a);
}

static bool is_filled_with(const u64 *buf, size_t size, u64 val)
{
	while (size && *buf == val) {
		size -= sizeof(*buf);
		buf++;
	}

	return !size;
}

TEST_F(attack, never_gets_protected_guest_data)
{
	struct secret_vm *svm = secret_vm_create(true, variant->mem);
	struct attack *a = &self->helper->attack;
	size_t moves = variant->moves ?: a->size;
	u64 secret = secret_vm_secret(svm);
	u64 *target = secret_vm_page(svm, SECRET_PAGE);
	ssize_t ret;
	int page;

	secret_vm_start(svm);
	ret = launch(self->helper, svm, variant->writes, variant->from_outside);
	if (a->unavailable)
		SKIP(return, "%s", a->unavailable);

	EXPECT_FALSE(has_secret(svm, a->buf, a->size));
	for (page = SECRET_PAGE + 1; page < NR_SECRET_PAGES; page++)
		EXPECT_VIEW(svm, secret_vm_page(svm, page), HOST_SIGSEGV);

	if (variant->outcome == FAULTS) {
		EXPECT_EQ(ret, -EFAULT);
		EXPECT_VIEW(svm, target, HOST_SIGSEGV);

		EXPECT_EQ(secret_vm_check(svm), 0);
		EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret);
	} else if (variant->writes) {
		EXPECT_EQ(ret, (ssize_t)moves);
		ASSERT_NE(secret_vm_host_view(svm, target), HOST_SIGSEGV);
		EXPECT_TRUE(is_filled_with(target, moves, HOST_DATA));
		EXPECT_TRUE(is_filled_with((void *)target + moves, a->size - moves, 0));
	} else {
		EXPECT_EQ(ret, (ssize_t)moves);
		EXPECT_TRUE(is_filled_with(a->buf, a->size, 0));
		EXPECT_VIEW(svm, target, HOST_SEES_ZEROES);
	}

	if (variant->outcome == RECLAIMS) {
		EXPECT_EQ(secret_vm_check(svm), -EFAULT);
		/* and this does not heal */
		EXPECT_NE(_vcpu_run(svm->vcpu), 0);
		EXPECT_EQ(errno, EFAULT);
	}

	/* The guest's other pages have kept what they had. */
	if (variant->outcome == FAULTS)
		EXPECT_EQ(secret_vm_check(svm), 0);
	for (page = SECRET_PAGE + 1; page < NR_SECRET_PAGES; page++) {
		EXPECT_EQ(svm->guest_sees[page], secret);
		EXPECT_VIEW(svm, secret_vm_page(svm, page), HOST_SIGSEGV);
	}
	secret_vm_free(svm);
}

/* The control: where there is something to see or to change, the attack does. */
TEST_F(attack, works_on_a_non_protected_guest)
{
	struct secret_vm *svm = secret_vm_create(false, variant->mem);
	struct attack *a = &self->helper->attack;
	size_t moves = variant->moves ?: a->size;
	u64 secret = secret_vm_secret(svm);
	ssize_t ret;

	secret_vm_start(svm);
	ret = launch(self->helper, svm, variant->writes, variant->from_outside);
	if (a->unavailable)
		SKIP(return, "%s", a->unavailable);

	EXPECT_EQ(ret, (ssize_t)moves);
	if (!variant->writes)
		EXPECT_TRUE(is_filled_with(a->buf, moves, secret));
	EXPECT_EQ(secret_vm_check(svm), 0);
	EXPECT_EQ(svm->guest_sees[SECRET_PAGE], variant->writes ? HOST_DATA : secret);
	secret_vm_free(svm);
}

/*
 * Two VMs that were given the same memory: what the first one has touched is
 * out of the second one's reach if either of them is protected.
 */

FIXTURE(two_vms) {
};

FIXTURE_VARIANT(two_vms) {
	bool first_protected;
	bool second_protected;
};

FIXTURE_VARIANT_ADD(two_vms, both_protected) {
	.first_protected = true,
	.second_protected = true,
};

FIXTURE_VARIANT_ADD(two_vms, first_protected) {
	.first_protected = true,
};

FIXTURE_VARIANT_ADD(two_vms, second_protected) {
	.second_protected = true,
};

FIXTURE_VARIANT_ADD(two_vms, none_protected) {
};

FIXTURE_SETUP(two_vms)
{
}

FIXTURE_TEARDOWN(two_vms)
{
}

static void guest_thief(gva_t gva)
{
	GUEST_SYNC1(READ_ONCE(*(u64 *)gva));
	WRITE_ONCE(*(u64 *)gva, HOST_DATA);
	GUEST_DONE();
}

static void guest_vandal(gva_t gva)
{
	WRITE_ONCE(*(u64 *)gva, HOST_DATA);
	GUEST_DONE();
}

static void second_vm_gets_nothing(struct __test_metadata *_metadata, bool first_protected,
				   bool second_protected, void *guest_code)
{
	bool shielded = first_protected || second_protected;
	struct secret_vm *first, *second;
	struct ucall uc;
	u64 secret;
	int ret;

	first = secret_vm_create(first_protected, SECRET_MEMFD);
	second = __secret_vm_create(second_protected, guest_code, first->mem, -1);
	secret = secret_vm_secret(first);
	secret_vm_start(first);

	ret = _vcpu_run(second->vcpu);
	if (shielded) {
		EXPECT_EQ(ret, -1);
		EXPECT_EQ(errno, EPERM);
	} else {
		EXPECT_EQ(ret, 0);
		if (get_ucall(second->vcpu, &uc) == UCALL_SYNC) {
			EXPECT_EQ(uc.args[0], secret);
			vcpu_run(second->vcpu);
			get_ucall(second->vcpu, &uc);
		}
		EXPECT_EQ(uc.cmd, UCALL_DONE);
	}

	EXPECT_EQ(secret_vm_check(first), 0);
	EXPECT_EQ(first->guest_sees[SECRET_PAGE_2], secret);
	EXPECT_EQ(first->guest_sees[SECRET_PAGE], shielded ? secret : HOST_DATA);

	/* The second VM's end takes nothing from the first one. */
	secret_vm_free(second);
	EXPECT_EQ(secret_vm_check(first), 0);
	EXPECT_EQ(first->guest_sees[SECRET_PAGE], shielded ? secret : HOST_DATA);
	EXPECT_VIEW(first, secret_vm_page(first, SECRET_PAGE_2),
		    first_protected ? HOST_SIGSEGV : HOST_SEES_SECRET);
	secret_vm_free(first);
}

TEST_F(two_vms, second_vm_cannot_read_what_the_first_one_touched)
{
	second_vm_gets_nothing(_metadata, variant->first_protected, variant->second_protected,
			       guest_thief);
}

TEST_F(two_vms, second_vm_cannot_write_what_the_first_one_touched)
{
	second_vm_gets_nothing(_metadata, variant->first_protected, variant->second_protected,
			       guest_vandal);
}

int main(int argc, char **argv)
{
	/* Once, not for each test: it creates a VM. */
	TEST_REQUIRE_PKVM();

	return test_harness_run(argc, argv);
}
