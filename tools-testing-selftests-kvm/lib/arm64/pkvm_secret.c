// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM whose guest keeps a secret, see pkvm_secret.h.
 */
#include <signal.h>
#include <linux/sizes.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_secret.h"
#include "processor.h"
#include "ucall_common.h"

/* Far from what the library allocates */
#define SECRET_GPA	0x80000000ul
#define SECRET_SLOT	10

#define TAINT_DIE	BIT(7)
#define TAINT_WARN	BIT(9)

/* One step of splitmix64: nothing of the seed can be recognised in the result. */
static u64 seed_to_secret(u64 seed)
{
	seed += 0x9e3779b97f4a7c15ul;
	seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9ul;
	seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebul;
	return seed ^ (seed >> 31);
}

u64 secret_vm_secret(struct secret_vm *svm)
{
	return seed_to_secret(svm->seed);
}

static void guest_secret(gva_t gva, u64 page_size, u64 seed)
{
	u64 i, words = page_size / sizeof(u64), secret = seed_to_secret(seed);
	u64 *mem = (u64 *)gva;
	int page;

	for (i = 0; i < NR_SECRET_PAGES * words; i++)
		WRITE_ONCE(mem[i], secret);
	GUEST_SYNC1(READ_ONCE(mem[READ_PAGE * words]));

	for (;;) {
		for (page = NR_SECRET_PAGES - 1; page >= 0; page--) {
			for (i = 0; i < words - 1; i++) {
				if (READ_ONCE(mem[page * words + i]) != secret)
					break;
			}
			GUEST_SYNC2(page, READ_ONCE(mem[page * words + i]));
		}
	}
}

unsigned long kernel_warnings(void)
{
	unsigned long taint;
	FILE *f;

	f = fopen("/proc/sys/kernel/tainted", "r");
	TEST_ASSERT(f && fscanf(f, "%lu", &taint) == 1, "Can't read the kernel's taint");
	fclose(f);

	return taint & (TAINT_DIE | TAINT_WARN);
}

struct secret_vm *__secret_vm_create(bool protected, void *guest_code, void *mem, int memfd)
{
	struct vm_shape shape = protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT;
	struct secret_vm *svm = calloc(1, sizeof(*svm));
	int ret;

	TEST_ASSERT(svm, "calloc() failed");

	svm->warnings = kernel_warnings();
	svm->vm = vm_create_shape_with_one_vcpu(shape, &svm->vcpu, guest_code);
	svm->page_size = max_t(size_t, getpagesize(), svm->vm->page_size);
	svm->mem = mem;
	svm->mem_size = NR_SECRET_VM_PAGES * svm->page_size;
	svm->memfd = memfd;

	ret = getrandom(&svm->seed, sizeof(svm->seed), 0);
	TEST_ASSERT(ret == sizeof(svm->seed), "getrandom() failed");

	ret = __vm_set_user_memory_region(svm->vm, SECRET_SLOT, 0, SECRET_GPA,
					  svm->mem_size, svm->mem);
	TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_SET_USER_MEMORY_REGION, ret));
	virt_map(svm->vm, SECRET_GPA, SECRET_GPA, svm->mem_size / svm->vm->page_size);
	vcpu_args_set(svm->vcpu, 3, SECRET_GPA, svm->page_size, svm->seed);

	return svm;
}

struct secret_vm *secret_vm_create(bool protected, enum secret_mem type)
{
	size_t size = thp_configured() ? get_trans_hugepagesz() : SZ_2M;
	int memfd = -1;
	void *mem;

	/* Reserve twice the size, to find the alignment in it. */
	mem = kvm_mmap(2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	mem = align_ptr_up(mem, size);

	if (type == SECRET_MEMFD)
		memfd = kvm_memfd_alloc(size, false);
	mem = mmap(mem, size, PROT_READ | PROT_WRITE,
		   MAP_FIXED | (memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED), memfd, 0);
	TEST_ASSERT(mem != MAP_FAILED, "mmap() failed");

	if (type == SECRET_THP) {
		kvm_madvise(mem, size, MADV_HUGEPAGE);
		*(u64 *)mem = 0;
	}

	return __secret_vm_create(protected, guest_secret, mem, memfd);
}

static void get_sync(struct secret_vm *svm, struct ucall *uc)
{
	if (get_ucall(svm->vcpu, uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(*uc);
	TEST_ASSERT(uc->cmd == UCALL_SYNC, "Unexpected ucall %lu", uc->cmd);
}

void secret_vm_start(struct secret_vm *svm)
{
	struct ucall uc;

	vcpu_run(svm->vcpu);
	get_sync(svm, &uc);
	svm->read_word = uc.args[0];
}

static int __secret_vm_check(struct secret_vm *svm, bool interruptible)
{
	struct ucall uc;

	memset(svm->guest_sees, 0, sizeof(svm->guest_sees));
	do {
		if (interruptible ? __vcpu_run(svm->vcpu) : _vcpu_run(svm->vcpu))
			return -errno;
		get_sync(svm, &uc);
		TEST_ASSERT(uc.args[0] < NR_SECRET_PAGES, "Page %lu?", uc.args[0]);
		svm->guest_sees[uc.args[0]] = uc.args[1];
	} while (uc.args[0]);

	return 0;
}

int secret_vm_check(struct secret_vm *svm)
{
	return __secret_vm_check(svm, false);
}

int secret_vm_check_interruptible(struct secret_vm *svm)
{
	return __secret_vm_check(svm, true);
}

void secret_vm_free(struct secret_vm *svm)
{
	kvm_vm_free(svm->vm);
	TEST_ASSERT(kernel_warnings() == svm->warnings,
		    "The kernel warned or crashed, see its log");
	free(svm);
}

bool has_secret(struct secret_vm *svm, const void *buf, size_t size)
{
	u64 secret = secret_vm_secret(svm);

	return memmem(buf, size, &secret, sizeof(secret));
}

enum host_view secret_vm_host_view(struct secret_vm *svm, const void *page)
{
	const u64 *word = page;
	u64 val;
	size_t i;

	/* All of a page is accessible or nothing is. */
	switch (host_try_read(word, &val)) {
	case 0:
		break;
	case SIGSEGV:
		return HOST_SIGSEGV;
	default:
		return HOST_SIGBUS;
	}

	if (has_secret(svm, page, svm->page_size))
		return HOST_SEES_SECRET;

	for (i = 0; i < svm->page_size / sizeof(u64); i++) {
		if (word[i])
			return HOST_SEES_DATA;
	}

	return HOST_SEES_ZEROES;
}

const char *host_view_name(enum host_view view)
{
	static const char * const names[] = {
		[HOST_SEES_SECRET]	= "the secret",
		[HOST_SEES_ZEROES]	= "zeroes",
		[HOST_SEES_DATA]	= "data",
		[HOST_SIGSEGV]		= "SIGSEGV",
		[HOST_SIGBUS]		= "SIGBUS",
	};

	return names[view];
}
