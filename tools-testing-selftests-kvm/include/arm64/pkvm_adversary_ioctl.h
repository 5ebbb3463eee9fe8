/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What /dev/pkvm_adversary does, shared by the module and its users.
 *
 * Unless stated otherwise an ioctl returns 0 when the operation was carried
 * out, whatever came of it.  A fault is a result, not an error: see struct
 * adv_fault.  EINVAL: an argument is out of range.  ENODEV: no such CPU online.
 */
#ifndef SELFTEST_KVM_PKVM_ADVERSARY_IOCTL_H
#define SELFTEST_KVM_PKVM_ADVERSARY_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define ADV_DEVICE_NAME		"pkvm_adversary"
#define ADV_NAME_MAX		64
#define ADV_NR_XREGS		18

/* Any CPU: the one that the caller happens to run on */
#define ADV_CPU_ANY		(-1)

enum adv_vector {
	ADV_NO_FAULT,
	ADV_SYNC,
	ADV_IRQ,
	ADV_FIQ,
	ADV_SERROR,
};

/**
 * struct adv_fault - exception that an operation took at EL1
 *
 * @vector:	enum adv_vector; ADV_NO_FAULT: all others are 0
 * @esr:	ESR_EL1
 * @far:	FAR_EL1
 * @elr:	ELR_EL1
 * @spsr:	SPSR_EL1
 */
struct adv_fault {
	__u64 vector;
	__u64 esr;
	__u64 far;
	__u64 elr;
	__u64 spsr;
};

/**
 * struct adv_info - what is there
 *
 * @protected:	protected mode, and finalised
 * @hvhe:	EL2 runs with HCR_EL2.E2H set
 * @lse:	the CPU has LSE atomics
 * @nr_cpus:	possible CPUs
 * @page_size:	in bytes
 * @pa_bits:	physical address size that the kernel can map
 * @pa_range:	physical address size that the CPU implements
 * @edu:	there is a device for ADV_IOC_DMA
 * @its:	there is an ITS for ADV_IOC_ITS
 */
struct adv_info {
	__u32 protected;
	__u32 hvhe;
	__u32 lse;
	__u32 nr_cpus;
	__u32 page_size;
	__u32 pa_bits;
	__u32 pa_range;
	__u32 edu;
	__u32 its;
};

/* How a physical address is mapped for an access */
#define ADV_NORMAL		0	/* normal, write-back */
#define ADV_NORMAL_NC		1	/* normal, non-cacheable */
#define ADV_DEVICE		2	/* device-nGnRnE */
#define ADV_TYPE_MASK		3
#define ADV_READ_ONLY		0x04
#define ADV_EXECUTABLE		0x08
#define ADV_USER		0x10	/* not with ADV_EXECUTABLE, ADV_READ_ONLY */
/* The address is a virtual one, and used as it is. */
#define ADV_VA			0x20
/*
 * Let an interrupt end the operation with a fault of vector ADV_IRQ: for those
 * that may never end by themselves.  Whether it was done is unknown then.
 */
#define ADV_INTERRUPTIBLE	0x40

/*
 * mmap() maps physical memory to user space: the offset is the address, with a
 * memory type in these bits.
 */
#define ADV_MMAP_TYPE_SHIFT	56

enum adv_op {
	/* out[0] */
	ADV_READ8,
	ADV_READ16,
	ADV_READ32,
	ADV_READ64,
	ADV_LDTR,		/* 64 bit, unprivileged */
	/* out[0], out[1] */
	ADV_LDP,
	/* in[0] */
	ADV_WRITE8,
	ADV_WRITE16,
	ADV_WRITE32,
	ADV_WRITE64,
	ADV_STTR,
	/* in[0], in[1] */
	ADV_STP,
	/*
	 * 64-bit atomics.  out[0]: the old value; out[1]: 1 if it is not known
	 * that the store was done, as the exclusive monitor never let it
	 * through.  Without LSE, all of them are made of LDXR and STXR.
	 */
	ADV_CAS,		/* in[0]: expected, in[1]: new */
	ADV_LDADD,		/* in[0] */
	ADV_LDXR_STXR,		/* an addition of in[0], also where there is LSE */
	/* Branch to the address.  out[0], out[1]: x0 and x1 when it returns. */
	ADV_EXEC,
	/* out[0]: PAR_EL1 */
	ADV_AT_S1E1R,
	ADV_AT_S1E1W,
	ADV_AT_S1E0R,
	ADV_AT_S12E1R,
	/* Cache maintenance, prefetch */
	ADV_DC_CIVAC,
	ADV_DC_CVAC,
	ADV_DC_CVAU,
	ADV_DC_IVAC,
	ADV_DC_ZVA,
	ADV_IC_IVAU,
	ADV_PRFM,
	ADV_NR_OPS,
};

/**
 * struct adv_mem - one access
 *
 * @addr:	physical address, or with ADV_VA a virtual one; that of user space
 *		only with @cpu ADV_CPU_ANY.  An access may cross into the next
 *		page.
 * @op:		enum adv_op
 * @attr:	ADV_NORMAL and so on
 * @cpu:	CPU that does it
 * @in:		operands
 * @out:	results, 0 where there is none
 * @fault:	set by the module
 * @pad:	0
 */
struct adv_mem {
	__u64 addr;
	__u32 op;
	__u32 attr;
	__s32 cpu;
	__u32 pad;
	__u64 in[2];
	__u64 out[2];
	struct adv_fault fault;
};

#define ADV_RANGE_MAX_PAGES	0x400000ul

/**
 * struct adv_range - the same access to each page of a range
 *
 * A write adds 0 atomically, so that one that should have failed, and has not,
 * destroys nothing.
 *
 * @addr:	of the first access, 8-byte aligned; the following ones are a
 *		page size apart
 * @nr_pages:	up to ADV_RANGE_MAX_PAGES
 * @bitmap:	NULL or user space address of a bit for each page, set by the
 *		module where the access worked, else cleared; a multiple of 8
 *		bytes
 * @write:	0 or 1
 * @attr:	ADV_NORMAL and so on
 * @cpu:	CPU that does it
 * @nr_ok:	accesses that worked
 * @first_ok:	address of the first one
 * @nr_denied:	accesses that EL2 denied: the fault has the mark of EL2's injection
 * @first_denied: address of the first one
 * @nr_stuck:	accesses that neither work nor fault however long they may take
 * @first_stuck: address of the first one
 * @nr_other:	accesses that faulted otherwise
 * @first_other: address of the first one
 * @fault:	its fault
 * @pad:	0
 */
struct adv_range {
	__u64 addr;
	__u64 nr_pages;
	__u64 bitmap;
	__u32 write;
	__u32 attr;
	__s32 cpu;
	__u32 pad;
	__u64 nr_ok;
	__u64 first_ok;
	__u64 nr_denied;
	__u64 first_denied;
	__u64 nr_stuck;
	__u64 first_stuck;
	__u64 nr_other;
	__u64 first_other;
	struct adv_fault fault;
};

#define ADV_COPY_MAX		(16ul << 20)

/**
 * struct adv_copy - copy memory from or to a buffer of user space
 *
 * @addr:	physical or kernel virtual address
 * @buf:	user space address
 * @len:	bytes, up to ADV_COPY_MAX
 * @write:	0: from @addr to @buf
 * @attr:	ADV_NORMAL and so on
 * @cpu:	CPU that does it
 * @pad:	0
 * @done:	bytes copied before the fault
 * @fault:	set by the module
 */
struct adv_copy {
	__u64 addr;
	__u64 buf;
	__u64 len;
	__u32 write;
	__u32 attr;
	__s32 cpu;
	__u32 pad;
	__u64 done;
	struct adv_fault fault;
};

enum adv_conduit {
	ADV_HVC,
	ADV_SMC,
};

/**
 * struct adv_call - a call of the hypervisor or the firmware
 *
 * @conduit:	enum adv_conduit
 * @imm:	immediate of the instruction, 16 bits
 * @cpu:	CPU that calls
 * @pad:	0
 * @x:		registers, before and after
 * @fault:	set by the module
 */
struct adv_call {
	__u32 conduit;
	__u32 imm;
	__s32 cpu;
	__u32 pad;
	__u64 x[ADV_NR_XREGS];
	struct adv_fault fault;
};

/**
 * struct adv_hypercall - name and number of a host hypercall
 *
 * The names are those of the kernel that the module was built for, without
 * the prefix __KVM_HOST_SMCCC_FUNC_, and "MAX" and the like for the markers.
 * ENOENT: there is none.
 *
 * @name:	empty: look for @nr instead
 * @nr:		number; the function identifier is @id
 * @id:		value for x0
 */
struct adv_hypercall {
	char name[ADV_NAME_MAX];
	__u32 nr;
	__u32 id;
};

/**
 * struct adv_sym - address of a kernel symbol
 *
 * ENOENT: there is none.
 *
 * @name:	those of EL2 start with __kvm_nvhe_
 * @va:		kernel virtual address
 * @pa:		where the kernel's page tables say it is, ~0 if they do not
 */
struct adv_sym {
	char name[ADV_NAME_MAX];
	__u64 va;
	__u64 pa;
};

/* What the host may do with a target, by what EL2 promises */
#define ADV_HOST_NONE		0
#define ADV_HOST_READ		1

/**
 * struct adv_target - physical memory of EL2
 *
 * ENOENT: @index is past the end.  EL2's per-CPU data is where only EL2 knows;
 * it is found by ADV_SCAN's means on first use.  Have no VM at that time.
 *
 * @index:	counts from 0
 * @cpu:	whose per-CPU data or stack it is, or ADV_CPU_ANY
 * @name:	"text", "idmap", "rodata", "data", "bss", "memory" (the
 *		carve-out: page tables, vmemmap and pool), "stack", "percpu"
 * @pa:		physical address, page aligned
 * @size:	in bytes, page aligned
 * @host:	ADV_HOST_NONE or ADV_HOST_READ
 * @pad:	0
 */
struct adv_target {
	__u32 index;
	__s32 cpu;
	char name[ADV_NAME_MAX];
	__u64 pa;
	__u64 size;
	__u32 host;
	__u32 pad;
};

/**
 * struct adv_pages - pages one after the other
 *
 * @pa:		of the first
 * @nr_pages:	their number
 */
struct adv_pages {
	__u64 pa;
	__u64 nr_pages;
};

/**
 * struct adv_scan - look for all RAM that EL2 does not let the host read
 *
 * By a read of each page through the linear map, so every page of the host's
 * gets mapped in its stage-2 on the way.
 *
 * @pages:	user space address of an array of struct adv_pages
 * @max:	its size, 1 to 65536
 * @nr:		entries written: the first ones in order of address
 * @total:	pages found
 */
struct adv_scan {
	__u64 pages;
	__u32 max;
	__u32 nr;
	__u64 total;
};

enum adv_kind {
	ADV_VM,
	ADV_VCPU,
};

/**
 * struct adv_object - what the host has of a VM or vCPU
 *
 * EBADF: not a file descriptor of a VM or vCPU.
 *
 * @fd:		of the caller
 * @kind:	enum adv_kind
 * @va:		of struct kvm or struct kvm_vcpu
 * @pa:		the same
 * @size:	the same
 * @vm_va:	of struct kvm
 * @handle:	of the VM at EL2
 * @protected:	is it a protected VM?
 * @created:	does it exist at EL2?
 * @vcpu_id:	of a vCPU
 */
struct adv_object {
	__s32 fd;
	__u32 kind;
	__u64 va;
	__u64 pa;
	__u64 size;
	__u64 vm_va;
	__u32 handle;
	__u32 protected;
	__u32 created;
	__u32 vcpu_id;
};

/**
 * struct adv_field - where a field of struct kvm or struct kvm_vcpu is
 *
 * ENOENT: there is none.
 *
 * @kind:	enum adv_kind
 * @index:	of the table of fields, used if @name is empty; ends with ENOENT
 * @name:	"pc", of an array the element "x3", "lr0" or, by its index in enum
 *		vcpu_sysreg, "sys_reg17"
 * @offset:	of the field or element
 * @size:	of the field or element
 * @count:	elements of the array, 1 if it is none
 */
struct adv_field {
	__u32 kind;
	__u32 index;
	char name[ADV_NAME_MAX];
	__u64 offset;
	__u32 size;
	__u32 count;
};

enum adv_page_list {
	ADV_GUEST_PAGES,	/* given or lent to the guest: gfn, pa */
	/* page caches, in which @gfn is 0 */
	ADV_VCPU_MEMCACHE,	/* of a vCPU, for EL2's page tables */
	ADV_TEARDOWN_MEMCACHE,
	ADV_STAGE2_TEARDOWN_MEMCACHE,
	ADV_NR_PAGE_LISTS,
};

/**
 * struct adv_vm_page - a page, or block, of a VM
 *
 * @gfn:	guest frame number
 * @pa:		physical address
 * @nr_pages:	1 for a page
 */
struct adv_vm_page {
	__u64 gfn;
	__u64 pa;
	__u64 nr_pages;
};

/**
 * struct adv_vm_pages - list the pages of a VM
 *
 * The caller makes sure that no vCPU changes a page cache meanwhile.
 *
 * @fd:		VM, or for ADV_VCPU_MEMCACHE a vCPU
 * @list:	enum adv_page_list
 * @start_gfn:	leave out what ends before it
 * @pages:	user space address of an array of struct adv_vm_page
 * @max:	its size, 1 to 65536
 * @nr:		entries written
 */
struct adv_vm_pages {
	__s32 fd;
	__u32 list;
	__u64 start_gfn;
	__u64 pages;
	__u32 max;
	__u32 nr;
};

/**
 * struct adv_page - pages of the host, as arguments for hypercalls
 *
 * They live until they are freed or the device is closed.  Freed is what the
 * host can write to, the rest stays lost: EBUSY.
 *
 * @order:	0 to 9; to allocate
 * @pad:	0
 * @pa:		physical address; result, or what to free
 * @va:		result: kernel virtual address in the linear map
 */
struct adv_page {
	__u32 order;
	__u32 pad;
	__u64 pa;
	__u64 va;
};

/**
 * struct adv_pin - pin a page of the caller's memory until the device is closed
 *
 * EFAULT: it can't be.
 *
 * @addr:	user space address
 * @pa:		result: its physical address
 */
struct adv_pin {
	__u64 addr;
	__u64 pa;
};

#define ADV_MAX_FLIPS		8

/**
 * struct adv_flip - change memory for ever, for the time between two ioctls
 *
 * ADV_IOC_FLIP_START returns when it goes on, EBUSY: ADV_MAX_FLIPS are running.
 * A store that faults is counted and tried again.  All end when the device is closed.
 *
 * @addr:	physical or kernel virtual address, aligned to @size
 * @val:	the two values that are written in turn
 * @size:	1, 2, 4 or 8 bytes
 * @attr:	ADV_NORMAL and so on
 * @cpu:	CPU that does it
 * @id:		result of ADV_IOC_FLIP_START, argument of ADV_IOC_FLIP_STOP, for
 *		which the rest is its result:
 * @count:	stores done
 * @nr_faults:	faults
 * @fault:	the first one
 */
struct adv_flip {
	__u64 addr;
	__u64 val[2];
	__u32 size;
	__u32 attr;
	__s32 cpu;
	__u32 id;
	__u64 count;
	__u64 nr_faults;
	struct adv_fault fault;
};

#define ADV_MAX_BATCH		65536

/**
 * struct adv_batch - calls one after the other
 *
 * @calls:	user space address of an array of struct adv_call, which gets the
 *		results
 * @nr:		its size, up to ADV_MAX_BATCH
 * @done:	calls made
 */
struct adv_batch {
	__u64 calls;
	__u32 nr;
	__u32 done;
};

#define ADV_MAX_THREADS		16
#define ADV_MAX_VALUES		16
#define ADV_MAX_ITERATIONS	100000000ul

/**
 * struct adv_value - how often there was that result
 *
 * @value:	of the register
 * @count:	that many times
 */
struct adv_value {
	__u64 value;
	__u64 count;
};

/**
 * struct adv_loop_thread - a call, again and again
 *
 * @call:	the call; its registers stay as they are, its fault is the first one
 * @iterations:	how often, up to ADV_MAX_ITERATIONS
 * @step:	is added to register @step_reg, times the number of the iteration
 *		modulo @step_count
 * @step_count:	0: always the same call
 * @step_reg:	0 to 17
 * @reg:	register to look at after the call, 0 to 17
 * @done:	calls made
 * @nr_faults:	those that ended with a fault
 * @nr_unlisted: those whose result found no place in @values
 * @nr_values:	different results in @values
 * @pad:	0
 * @values:	the results, in the order of their appearance
 */
struct adv_loop_thread {
	struct adv_call call;
	__u64 iterations;
	__u64 step;
	__u64 step_count;
	__u32 step_reg;
	__u32 reg;
	__u64 done;
	__u64 nr_faults;
	__u64 nr_unlisted;
	__u32 nr_values;
	__u32 pad;
	struct adv_value values[ADV_MAX_VALUES];
};

/**
 * struct adv_loop - calls at once, by as many kernel threads
 *
 * @threads:	user space address of an array of struct adv_loop_thread
 * @nr:		its size, 1 to ADV_MAX_THREADS
 * @pad:	0
 */
struct adv_loop {
	__u64 threads;
	__u32 nr;
	__u32 pad;
};

/**
 * struct adv_dma - access memory by a device
 *
 * ENODEV: there is no device; ETIMEDOUT: it does not come to an end.  A read
 * that the device is denied returns zeroes.  Where there is an IOMMU, @pa is what
 * the device asks for, and what becomes of it is the IOMMU's.
 *
 * @pa:		physical address
 * @buf:	user space address
 * @len:	1 to 4096 bytes
 * @write:	0: from @pa to @buf
 */
struct adv_dma {
	__u64 pa;
	__u64 buf;
	__u32 len;
	__u32 write;
};

#define ADV_ITS_MAX_CMDS	16
#define ADV_ITS_TABLE_ENTRIES	16

/**
 * struct adv_its - have the GIC's ITS run commands with tables elsewhere
 *
 * All CPUs are stopped meanwhile, and the ITS gets its own tables back after.
 * The tables' entries are 8 bytes for a device, with an encoding of the
 * implementation's.
 *
 * ENODEV: there is no ITS, or its driver can't be made to save and restore it.
 *
 * @table:	physical address of a page that is the device table, which the
 *		command MAPD writes to; 0: a page of the module's, zeroed
 * @queue:	physical address of a page where @nr commands are; 0: take those
 *		in @cmd
 * @cmd:	commands
 * @nr:		their number, 1 to ADV_ITS_MAX_CMDS
 * @pad:	0
 * @done:	commands that the ITS has read
 * @own_table:	the first entries of the module's page
 * @pending:	physical address, aligned to 64K, of the table where CPU 0's
 *		redistributor keeps a bit for each LPI that is pending; 0: its own
 */
struct adv_its {
	__u64 table;
	__u64 queue;
	__u64 cmd[ADV_ITS_MAX_CMDS][4];
	__u32 nr;
	__u32 pad;
	__u64 done;
	__u64 own_table[ADV_ITS_TABLE_ENTRIES];
	__u64 pending;
};

/**
 * struct adv_suspend - a firmware call after which the CPU may go on elsewhere
 *
 * The kernel's state is saved before, so that the CPU comes back to it when
 * whatever runs there branches to cpu_resume, with the MMU off.
 *
 * @call:	the call; its registers are results only if it returned
 * @resumed:	result: 1 if the CPU came back by cpu_resume, 0 if the call returned
 * @pad:	0
 */
struct adv_suspend {
	struct adv_call call;
	__u32 resumed;
	__u32 pad;
};

#define ADV_IOC_INFO		_IOR('P', 0x00, struct adv_info)
#define ADV_IOC_MEM		_IOWR('P', 0x01, struct adv_mem)
#define ADV_IOC_RANGE		_IOWR('P', 0x02, struct adv_range)
#define ADV_IOC_COPY		_IOWR('P', 0x03, struct adv_copy)
#define ADV_IOC_CALL		_IOWR('P', 0x04, struct adv_call)
#define ADV_IOC_HYPERCALL	_IOWR('P', 0x05, struct adv_hypercall)
#define ADV_IOC_SYM		_IOWR('P', 0x06, struct adv_sym)
#define ADV_IOC_TARGET		_IOWR('P', 0x07, struct adv_target)
#define ADV_IOC_SCAN		_IOWR('P', 0x08, struct adv_scan)
#define ADV_IOC_OBJECT		_IOWR('P', 0x09, struct adv_object)
#define ADV_IOC_FIELD		_IOWR('P', 0x0a, struct adv_field)
#define ADV_IOC_VM_PAGES	_IOWR('P', 0x0b, struct adv_vm_pages)
#define ADV_IOC_PAGE_ALLOC	_IOWR('P', 0x0c, struct adv_page)
#define ADV_IOC_PAGE_FREE	_IOWR('P', 0x0d, struct adv_page)
#define ADV_IOC_PIN		_IOWR('P', 0x0e, struct adv_pin)
#define ADV_IOC_FLIP_START	_IOWR('P', 0x0f, struct adv_flip)
#define ADV_IOC_FLIP_STOP	_IOWR('P', 0x10, struct adv_flip)
#define ADV_IOC_BATCH		_IOWR('P', 0x11, struct adv_batch)
#define ADV_IOC_LOOP		_IOWR('P', 0x12, struct adv_loop)
#define ADV_IOC_DMA		_IOWR('P', 0x13, struct adv_dma)
#define ADV_IOC_ITS		_IOWR('P', 0x14, struct adv_its)
#define ADV_IOC_SUSPEND		_IOWR('P', 0x15, struct adv_suspend)

#endif /* SELFTEST_KVM_PKVM_ADVERSARY_IOCTL_H */
