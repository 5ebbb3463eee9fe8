/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM whose guest keeps a secret in memory that the VMM chose, for tests that
 * try to get at it.
 *
 * The secret is computed by the guest from a random seed, so that its value is
 * nowhere in the memory of a VMM that does not ask for it with
 * secret_vm_secret().
 */
#ifndef SELFTEST_KVM_PKVM_SECRET_H
#define SELFTEST_KVM_PKVM_SECRET_H

#include "kvm_util.h"

/* Pages of secret_vm.mem, by what the guest does to them in secret_vm_start() */
enum {
	/* filled with the secret */
	SECRET_PAGE,
	SECRET_PAGE_2,
	SECRET_PAGE_3,
	NR_SECRET_PAGES,
	/* only read */
	READ_PAGE = NR_SECRET_PAGES,
	NR_GUEST_PAGES,
	/* left alone */
	UNTOUCHED_PAGE = NR_GUEST_PAGES,
	NR_SECRET_VM_PAGES,
};

enum secret_mem {
	SECRET_ANON,		/* small pages of anonymous memory */
	SECRET_THP,		/* a transparent huge page, if there is one to be had */
	SECRET_MEMFD,
};

struct secret_vm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	size_t page_size;
	void *mem;
	size_t mem_size;		/* of the memslot */
	int memfd;			/* -1: anonymous memory */
	u64 seed;
	u64 read_word;			/* what the guest read in READ_PAGE */
	u64 guest_sees[NR_SECRET_PAGES];
	unsigned long warnings;
};

/* What the host gets from a page of its address space */
enum host_view {
	HOST_SEES_SECRET,
	HOST_SEES_ZEROES,
	HOST_SEES_DATA,			/* its own */
	HOST_SIGSEGV,
	HOST_SIGBUS,
};

/*
 * Create a VM with memory for the secret that stands alone in a huge page
 * sized, and aligned, mapping.  The guest has not run.
 */
struct secret_vm *secret_vm_create(bool protected, enum secret_mem type);

/* The same with other guest code, arguments (gva, page size, seed), in the given memory. */
struct secret_vm *__secret_vm_create(bool protected, void *guest_code, void *mem, int memfd);

/* Run the guest until it has stored its secret. */
void secret_vm_start(struct secret_vm *svm);

/*
 * Let the guest look at its secret pages, the last one first, and set
 * guest_sees[] to the secret if it is in every word of a page, or to the first
 * word that differs.  Returns 0 or the error of KVM_RUN, negative, where
 * guest_sees[] is 0 for the pages that the guest could not look at any more.
 */
int secret_vm_check(struct secret_vm *svm);
/* As that, or -EINTR: a signal came before the guest was done. */
int secret_vm_check_interruptible(struct secret_vm *svm);

/* Asserts that the host did not crash on the way: no new warning or oops. */
void secret_vm_free(struct secret_vm *svm);

/* Bits of the kernel's taint that say it has warned, or an oops has happened */
unsigned long kernel_warnings(void);

u64 secret_vm_secret(struct secret_vm *svm);
bool has_secret(struct secret_vm *svm, const void *buf, size_t size);
enum host_view secret_vm_host_view(struct secret_vm *svm, const void *page);
const char *host_view_name(enum host_view view);

/* For files that include kselftest_harness.h */
#define EXPECT_VIEW(svm, page, expected)					\
do {										\
	enum host_view __view = secret_vm_host_view(svm, page);			\
	enum host_view __wanted = (expected);					\
										\
	EXPECT_EQ(__view, __wanted)						\
		TH_LOG("the host's load gets %s instead of %s",			\
		       host_view_name(__view), host_view_name(__wanted));	\
} while (0)

static inline void *secret_vm_page(struct secret_vm *svm, int page)
{
	return svm->mem + page * svm->page_size;
}

#endif /* SELFTEST_KVM_PKVM_SECRET_H */
