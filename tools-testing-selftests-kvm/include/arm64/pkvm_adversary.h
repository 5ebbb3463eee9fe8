/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host kernel as an attacker of EL2: wrappers for the module pkvm_adversary
 * (test_modules/), whose ioctls pkvm_adversary_ioctl.h describes.
 *
 *	TEST_REQUIRE_ADVERSARY();
 *	ret = adv_read64(pa, &val);
 *	TEST_ASSERT(ret == ADV_FAULT_DENIED, "%s", adv_fault_name(ret));
 *
 * What attacks returns 0 if nothing stopped it, or what did as enum
 * adv_fault_type, with the details in adv_last_fault().  Everything that goes
 * wrong otherwise is an assertion failure.
 */
#ifndef SELFTEST_KVM_PKVM_ADVERSARY_H
#define SELFTEST_KVM_PKVM_ADVERSARY_H

#include "kvm_util.h"
#include "pkvm_adversary_ioctl.h"

enum adv_fault_type {
	ADV_OK,
	ADV_FAULT_DENIED,	/* an abort that EL2 injected: not the host's memory */
	ADV_FAULT_TRANSLATION,	/* of stage-1, as are the following two */
	ADV_FAULT_PERMISSION,
	ADV_FAULT_ADDRESS_SIZE,
	ADV_FAULT_EXTERNAL,	/* nothing answers at that address */
	ADV_FAULT_ALIGNMENT,
	ADV_FAULT_ABORT,	/* any other data or instruction abort */
	ADV_FAULT_UNDEF,
	ADV_FAULT_SERROR,
	ADV_FAULT_INTERRUPT,	/* ended by an interrupt, with ADV_INTERRUPTIBLE */
	ADV_FAULT_OTHER,
};

/*
 * Open the device, after loading the module if it has to be.  Returns NULL, or
 * the reason why there is none.  Once is enough, children inherit it.
 */
const char *__adv_open(void);

#define TEST_REQUIRE_ADVERSARY()					\
do {									\
	const char *__why = __adv_open();				\
									\
	__TEST_REQUIRE(!__why, "no pkvm_adversary: %s", __why);		\
} while (0)

/* For those who need an ioctl as it is: 0 or errno */
int __adv_ioctl(unsigned long cmd, void *arg);
#define adv_ioctl(cmd, arg)							\
({										\
	int __err = __adv_ioctl(cmd, arg);					\
										\
	TEST_ASSERT(!__err, "%s: errno %d (%s)", #cmd, __err, strerror(__err));	\
})

const struct adv_info *adv_info(void);
enum adv_fault_type adv_fault_type(const struct adv_fault *fault);
const char *adv_fault_name(int type);
/* Of this thread */
const struct adv_fault *adv_last_fault(void);

/*
 * Memory.  @addr is physical, unless @attr has ADV_VA.  @out may be NULL, or
 * has as many words as the operation has results.
 */
int adv_mem(enum adv_op op, u64 addr, u32 attr, int cpu, u64 in0, u64 in1, u64 *out);

#define ADV_ACCESSORS(bits, type)					\
static inline int adv_read##bits(u64 pa, typeof(type) *val)		\
{									\
	u64 out;							\
	int ret;							\
									\
	ret = adv_mem(ADV_READ##bits, pa, ADV_NORMAL, ADV_CPU_ANY, 0, 0, &out);	\
	*val = out;							\
	return ret;							\
}									\
static inline int adv_write##bits(u64 pa, type val)			\
{									\
	return adv_mem(ADV_WRITE##bits, pa, ADV_NORMAL, ADV_CPU_ANY, val, 0, NULL);	\
}

ADV_ACCESSORS(8, u8)
ADV_ACCESSORS(16, u16)
ADV_ACCESSORS(32, u32)
ADV_ACCESSORS(64, u64)

/* Branch to @pa at EL1. */
static inline int adv_exec(u64 pa)
{
	return adv_mem(ADV_EXEC, pa, ADV_READ_ONLY | ADV_EXECUTABLE, ADV_CPU_ANY, 0, 0, NULL);
}

/* Bytes, by physical or with ADV_VA by kernel address */
int adv_read(u64 addr, u32 attr, void *buf, size_t len);
int adv_write(u64 addr, u32 attr, const void *buf, size_t len);

/* Fills in the results; returns the number of accesses that worked. */
u64 adv_probe(struct adv_range *range);
u64 adv_probe_read(u64 pa, u64 size);
/* Does not change anything when it works. */
u64 adv_probe_write(u64 pa, u64 size);

/* Is every 64-bit word @pattern?  A fault is an assertion failure. */
bool adv_is_filled_with(u64 pa, u64 size, u64 pattern);

/* Map physical memory into this process. */
void *adv_mmap(u64 pa, size_t size, int prot, u32 type);

/* Calls.  x[18] is changed. */
int __adv_call(enum adv_conduit conduit, u16 imm, int cpu, u64 *x);

/* A host hypercall's function identifier by name; the name has to exist. */
u64 adv_hypercall_id(const char *name);
/* ... or number, which is ~0 if it does not */
u32 __adv_hypercall_nr(const char *name);
/* NULL: no such number */
const char *adv_hypercall_name(u32 nr);

#define HOST_HVC(name)		adv_hypercall_id(#name)

/*
 * A host hypercall: the value it returns, which for most is 0 or a negative
 * errno.  Asserts that EL2 knows the function and nothing faults.
 */
s64 __adv_hvc(int cpu, u64 id, const u64 *args, int nr_args);
#define adv_hvc(cpu, id, ...)							\
({										\
	const u64 __args[] = { 0, ##__VA_ARGS__ };				\
										\
	__adv_hvc(cpu, id, __args + 1, ARRAY_SIZE(__args) - 1);			\
})

/* SMCCC status in x0: 0, or NOT_SUPPORTED and the like, or a fault as ADV_CALL_FAULT */
#define ADV_CALL_FAULT		INT64_MIN
s64 __adv_hvc_status(int cpu, u64 id, const u64 *args, int nr_args);
#define adv_hvc_status(cpu, id, ...)						\
({										\
	const u64 __args[] = { 0, ##__VA_ARGS__ };				\
										\
	__adv_hvc_status(cpu, id, __args + 1, ARRAY_SIZE(__args) - 1);		\
})

/* Firmware: x0 as the result, or ADV_CALL_FAULT */
s64 __adv_smc(int cpu, const u64 *args, int nr_args);
#define adv_smc(cpu, ...)							\
({										\
	const u64 __args[] = { __VA_ARGS__ };					\
										\
	__adv_smc(cpu, __args, ARRAY_SIZE(__args));				\
})

/*
 * A firmware call on @cpu that suspends it.  Returns true if it came back by
 * cpu_resume; else @x is what the call returned.
 */
bool adv_suspend(int cpu, u64 *x);

/*
 * Calls for ever: @iterations times each of the calls, all at once.  Fill in
 * call (conduit, cpu, x) and what else there is in struct adv_loop_thread.
 */
void adv_loop(struct adv_loop_thread *threads, u32 nr, u64 iterations);
/* How often the result was @value */
u64 adv_loop_count(const struct adv_loop_thread *thread, u64 value);
void adv_batch(struct adv_call *calls, u32 nr);

/* DMA, if adv_info()->edu.  Whether it worked is to be seen in memory. */
void adv_dma_read(u64 pa, void *buf, u32 len);
void adv_dma_write(u64 pa, const void *buf, u32 len);

/*
 * Accesses by the GIC, if adv_info()->its.  Run @nr commands, of four words each,
 * with the device table at @table; if @cmds is NULL, those that are at @queue.
 * Either address may be 0 for memory of the module's; its device table is copied
 * to @own_table, unless that is NULL.  Returns the number of commands that the
 * ITS has read.
 */
u64 adv_its(u64 table, u64 queue, const u64 *cmds, u32 nr, u64 *own_table);
/* The command MAPD: write the entry of @device, 8 bytes each. */
void adv_its_mapd(u64 *cmd, u32 device, u64 itt);
/*
 * Make LPI @lpi pending on CPU 0, whose redistributor has its table of pending
 * LPIs at @pending meanwhile, and sets the LPI's bit there.
 */
void adv_gicr_pend(u64 pending, u32 lpi);

/* Where things are */
bool __adv_sym(const char *name, struct adv_sym *sym);
u64 adv_sym_va(const char *name);
u64 adv_sym_pa(const char *name);

/* Returns false past the end. */
bool adv_target(u32 index, struct adv_target *target);
/* A target that has to exist; @cpu is ADV_CPU_ANY for those that are not of a CPU. */
void adv_find_target(const char *name, int cpu, struct adv_target *target);

/* All memory that the host can't read; returns the number of entries. */
u32 adv_scan(struct adv_pages *pages, u32 max, u64 *total);

/* VMs */
void adv_object(int fd, struct adv_object *object);
#define adv_vm(vm, object)		adv_object((vm)->fd, object)
#define adv_vcpu(vcpu, object)		adv_object((vcpu)->fd, object)
bool __adv_field(enum adv_kind kind, const char *name, struct adv_field *field);
/* Kernel virtual address of a field, which has to exist; *size may be NULL. */
u64 adv_field(const struct adv_object *object, const char *name, u32 *size);
u64 adv_field_read(const struct adv_object *object, const char *name);
void adv_field_write(const struct adv_object *object, const char *name, u64 val);

/* Returns the number of entries. */
u32 adv_vm_pages(int fd, enum adv_page_list list, struct adv_vm_page *pages, u32 max);
/* Where a page of the guest is; false: nowhere. */
bool adv_gpa_to_pa(struct kvm_vm *vm, gpa_t gpa, u64 *pa);

/* Let a CPU write @a and @b in turn to @addr until adv_flip_stop(); returns an id. */
u32 adv_flip_start(u64 addr, u32 attr, u32 size, int cpu, u64 a, u64 b);
/* Returns the number of stores; see adv_last_fault() for the first fault, if any. */
u64 adv_flip_stop(u32 id);

/* Pages of the host's */
u64 adv_page_alloc(u32 order, u64 *va);
/* 0 or errno: EBUSY if it is not the host's any more */
int adv_page_free(u64 pa);
/* By the page tables of this process: ~0 if there is nothing. */
u64 adv_virt_to_phys(const void *addr);
/* The same, and the page stays there as long as the device is open. */
u64 adv_pin(void *addr);

#endif /* SELFTEST_KVM_PKVM_ADVERSARY_H */
