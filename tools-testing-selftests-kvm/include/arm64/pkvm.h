/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Protected VMs (KVM_VM_TYPE_ARM_PROTECTED).
 *
 * A VM of shape VM_SHAPE_PROTECTED is used like any other, with these
 * differences that come from what the host may do to it:
 *
 * - The VMM sets PC and x0 of the boot vCPU (id 0) and nothing else.  Stack,
 *   vectors, stage-1, entry point and arguments of a vCPU are handed over in
 *   guest memory, see pkvm_entry.S.
 * - All other vCPUs are off until the guest turns them on.  The boot vCPU
 *   does that for each one that has an entry point, before its own guest code.
 * - Guest memory belongs to the host until the guest first touches it:
 *   globals, page tables and handlers have to be in place before the first run.
 * - fork() copies the memory of the parent, which is an access to it: the host
 *   must not do it while a protected VM lives.
 */
#ifndef SELFTEST_KVM_PKVM_H
#define SELFTEST_KVM_PKVM_H

#include <linux/arm-smccc.h>
#include <linux/bitfield.h>
#include <linux/psci.h>

#include "kvm_util.h"
#include "processor.h"
#include "ucall_common.h"

#define VM_SHAPE_PROTECTED				\
({							\
	struct vm_shape shape = VM_SHAPE_DEFAULT;	\
							\
	shape.type = KVM_VM_TYPE_ARM_PROTECTED;		\
	shape;						\
})

/* Function numbers of the vendor specific hypervisor service, see hypercalls.rst */
#define PKVM_HVC(nr)			(0xc6000000u | (nr))
#define PKVM_HVC_FEATURES		0x86000000u
#define PKVM_HVC_HYP_MEMINFO		PKVM_HVC(0x02)
#define PKVM_HVC_MEM_SHARE		PKVM_HVC(0x03)
#define PKVM_HVC_MEM_UNSHARE		PKVM_HVC(0x04)
#define PKVM_HVC_MMIO_GUARD_INFO	PKVM_HVC(0x05)
#define PKVM_HVC_MMIO_GUARD_ENROLL	PKVM_HVC(0x06)
#define PKVM_HVC_MMIO_GUARD_MAP		PKVM_HVC(0x07)
#define PKVM_HVC_MMIO_GUARD_UNMAP	PKVM_HVC(0x08)
#define PKVM_HVC_MMIO_RGUARD_MAP	PKVM_HVC(0x0a)
#define PKVM_HVC_MMIO_RGUARD_UNMAP	PKVM_HVC(0x0b)

static inline bool vm_is_protected(struct kvm_vm *vm)
{
	return vm->type & KVM_VM_TYPE_ARM_PROTECTED;
}

/* Is the host in protected mode?  Asked by creating a protected VM. */
bool kvm_has_pkvm(void);

#define TEST_REQUIRE_PKVM()						\
	__TEST_REQUIRE(kvm_has_pkvm(),					\
		       "the host is not in protected mode (kvm-arm.mode=protected)")

/* Hooks of the arm64 library, for protected VMs only */
void pkvm_vm_open(struct kvm_vm *vm);
void pkvm_vm_setup(struct kvm_vm *vm, unsigned int nr_vcpus);
void pkvm_vcpu_setup(struct kvm_vcpu *vcpu, struct kvm_vcpu_init *init);
void pkvm_vcpu_set_stack(struct kvm_vcpu *vcpu, gva_t stack);
void pkvm_vcpu_set_entry_point(struct kvm_vcpu *vcpu, void *guest_code);
void pkvm_vcpu_set_vectors(struct kvm_vcpu *vcpu, void *vectors);
void pkvm_vcpu_set_arg(struct kvm_vcpu *vcpu, int nr, u64 val);

/*
 * Another way for the guest to start a vCPU than the one that its boot vCPU
 * takes: entry point and context id, for CPU_ON, of an own copy of the entry
 * code.  That the two belong together is checked.
 */
struct pkvm_start {
	gpa_t entry;
	gpa_t context;
};

struct pkvm_start pkvm_vcpu_add_start(struct kvm_vcpu *vcpu, void *guest_code,
				      unsigned int nr_args, ...);

/*
 * Run until the guest makes a ucall, which has to be @cmd.  A failed guest
 * assertion is reported as such.
 */
void vcpu_run_until(struct kvm_vcpu *vcpu, u64 cmd, struct ucall *uc);

/* The value of "key:" in a file like /proc/meminfo or /proc/self/status */
u64 proc_value(const char *path, const char *key);

/* Memory that this process has locked, in bytes */
static inline u64 locked_memory(void)
{
	return proc_value("/proc/self/status", "VmLck") * 1024;
}

/*
 * A guest that does to pages of its memory what the host tells it to.
 * Memory slots are the test's, mapped with virt_map() at GVA == GPA.
 */
enum remote_op {
	REMOTE_READ,
	REMOTE_WRITE,		/* REMOTE_PATTERN, to the whole page */
	REMOTE_CHECK,		/* that it is all there */
	REMOTE_SHARE,
	REMOTE_UNSHARE,
};

#define REMOTE_PATTERN(addr)	(0x5ec2e70000000000ul | (addr))

struct remote_cmd {
	enum remote_op op;
	u64 addr;
	u64 nr_pages;
};

struct remote_guest {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct remote_cmd *cmd;
	bool started;
};

/* What KVM_RUN may tell instead of an errno: the guest's access is MMIO. */
#define REMOTE_MMIO	(-1)

void remote_guest_create(struct remote_guest *guest, struct vm_shape shape);

/* These two return 0, errno of KVM_RUN or REMOTE_MMIO. */
int __remote_guest_do(struct remote_guest *guest, enum remote_op op, gpa_t addr, u64 nr_pages);
/* Try again what failed */
int __remote_guest_continue(struct remote_guest *guest);

#define remote_guest_do(guest, op, addr, nr_pages)				\
({										\
	gpa_t __addr = (addr);							\
	int __err = __remote_guest_do(guest, op, __addr, nr_pages);		\
										\
	TEST_ASSERT(!__err, "The guest cannot do %s at 0x%lx: %d (%s)",		\
		    #op, __addr, __err, strerror(__err));			\
})

/* Guest side */

static inline u64 pkvm_hvc(u32 func, u64 arg1, u64 arg2, u64 arg3)
{
	struct arm_smccc_res res;

	smccc_hvc(func, arg1, arg2, arg3, 0, 0, 0, 0, &res);
	return res.a0;
}

static inline u64 vcpu_id_to_mpidr(u64 vcpu_id)
{
	return FIELD_GET(GENMASK(3, 0), vcpu_id) |
	       FIELD_GET(GENMASK(11, 4), vcpu_id) << 8 |
	       FIELD_GET(GENMASK(19, 12), vcpu_id) << 16;
}

/* The PSCI functions return a PSCI status. */
static inline s64 psci_cpu_on(u64 mpidr, u64 entry, u64 context)
{
	return pkvm_hvc(PSCI_0_2_FN64_CPU_ON, mpidr, entry, context);
}

static inline s64 psci_cpu_off(void)
{
	return pkvm_hvc(PSCI_0_2_FN_CPU_OFF, 0, 0, 0);
}

static inline s64 psci_affinity_info(u64 mpidr, u64 level)
{
	return pkvm_hvc(PSCI_0_2_FN64_AFFINITY_INFO, mpidr, level, 0);
}

/* Memory protection granule in bytes, or an SMCCC error. */
static inline s64 pkvm_meminfo(void)
{
	return pkvm_hvc(PKVM_HVC_HYP_MEMINFO, 0, 0, 0);
}

/* Share the granule at @ipa with the host, SMCCC status. */
static inline s64 pkvm_mem_share(gpa_t ipa)
{
	return pkvm_hvc(PKVM_HVC_MEM_SHARE, ipa, 0, 0);
}

/* Take the granule at @ipa back from the host, SMCCC status. */
static inline s64 pkvm_mem_unshare(gpa_t ipa)
{
	return pkvm_hvc(PKVM_HVC_MEM_UNSHARE, ipa, 0, 0);
}

#endif /* SELFTEST_KVM_PKVM_H */
