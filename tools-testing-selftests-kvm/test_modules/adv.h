/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pkvm_adversary: what its parts share.
 */
#ifndef PKVM_ADVERSARY_H
#define PKVM_ADVERSARY_H

/* struct adv_regs, for assembly */
#define ADV_REGS_FAULT		144

#ifndef __ASSEMBLER__

#include <linux/mm.h>
#include <linux/types.h>

#include "pkvm_adversary_ioctl.h"

/* What code run by adv_guard() gets and leaves in its registers, and its fault */
struct adv_regs {
	u64 x[ADV_NR_XREGS];
	struct adv_fault fault;
};

static_assert(offsetof(struct adv_regs, fault) == ADV_REGS_FAULT);

/*
 * Call @code with the registers of @regs, DAIF masked, and an exception vector
 * table for which every exception is the end of the call.  The caller has
 * interrupts off.  With @irqs they are not masked for @code, so that one of
 * them is the end of an access that EL2 neither completes nor denies.
 */
asmlinkage void adv_guard(struct adv_regs *regs, const void *code, bool irqs);

/* Denied by EL2: inject_host_exception() marks a memory abort by ISS bit S1PTW. */
bool adv_denied(const struct adv_fault *fault);

/* Address of a kernel symbol, exported or not, or NULL */
void *adv_symbol(const char *name);

/* Run in a task with interrupts off.  ENODEV: @cpu is not online. */
int adv_on_cpu(int cpu, void (*func)(void *data), void *data);

/* The kernel's own translation of @va, or ~0 */
phys_addr_t adv_va_to_pa(const void *va);

/* What can be checked without the access; @len is in bytes. */
int adv_check_addr(u64 addr, u64 len, u32 attr, int cpu);

/*
 * Map the page at @pa, and the following one if @len bytes reach into it.
 * Returns the address of @pa.  Both with interrupts off: the mapping is the
 * CPU's own, and replaced by the next one.
 */
void *adv_window_map(phys_addr_t pa, size_t len, u32 attr);
void adv_window_unmap(void);

/* A mapping that stays: page @slot of ADV_NR_SLOTS.  The first ADV_MAX_FLIPS are adv_flip's. */
#define ADV_NR_SLOTS		16
void *adv_slot_map(unsigned int slot, phys_addr_t pa, u32 attr);
void adv_slot_unmap(unsigned int slot);

/*
 * Access to the address in regs->x[0], see adv_guard.S: the same order as in
 * enum adv_op.
 */
asmlinkage void adv_op_read8(void);
asmlinkage void adv_op_read16(void);
asmlinkage void adv_op_read32(void);
asmlinkage void adv_op_read64(void);
asmlinkage void adv_op_ldtr(void);
asmlinkage void adv_op_ldp(void);
asmlinkage void adv_op_write8(void);
asmlinkage void adv_op_write16(void);
asmlinkage void adv_op_write32(void);
asmlinkage void adv_op_write64(void);
asmlinkage void adv_op_sttr(void);
asmlinkage void adv_op_stp(void);
asmlinkage void adv_op_cas_lse(void);
asmlinkage void adv_op_cas_llsc(void);
asmlinkage void adv_op_ldadd_lse(void);
asmlinkage void adv_op_ldadd_llsc(void);
asmlinkage void adv_op_at_s1e1r(void);
asmlinkage void adv_op_at_s1e1w(void);
asmlinkage void adv_op_at_s1e0r(void);
asmlinkage void adv_op_at_s12e1r(void);
asmlinkage void adv_op_dc_civac(void);
asmlinkage void adv_op_dc_cvac(void);
asmlinkage void adv_op_dc_cvau(void);
asmlinkage void adv_op_dc_ivac(void);
asmlinkage void adv_op_dc_zva(void);
asmlinkage void adv_op_ic_ivau(void);
asmlinkage void adv_op_prfm(void);
/* Copy x2 bytes from x1 to x0; x2 counts down, also up to a fault. */
asmlinkage void adv_op_copy(void);
/* Write x1 and x2 in turn; x3, the number of pairs, counts down. */
asmlinkage void adv_op_flip8(void);
asmlinkage void adv_op_flip16(void);
asmlinkage void adv_op_flip32(void);
asmlinkage void adv_op_flip64(void);

/* ioctls, with their argument in kernel memory */
struct adv_file;

int adv_mem(struct adv_mem *mem);
int adv_range(struct adv_range *range);
int adv_copy(struct adv_copy *copy);
int adv_call(struct adv_call *call);
int adv_hypercall(struct adv_hypercall *hypercall);
int adv_sym(struct adv_sym *sym);
int adv_target(struct adv_target *target);
int adv_scan(struct adv_scan *scan);
int adv_object(struct adv_object *object);
int adv_field(struct adv_field *field);
int adv_vm_pages(struct adv_vm_pages *pages);
int adv_batch(struct adv_batch *batch);
int adv_race(struct adv_loop *loop);
int adv_flip_start(struct adv_file *file, struct adv_flip *flip);
int adv_flip_stop(struct adv_file *file, struct adv_flip *flip);
void adv_flip_release(struct adv_file *file);

int adv_suspend(struct adv_suspend *suspend);
int adv_dma(struct adv_dma *dma);
int adv_its(struct adv_its *its);

int adv_check_call(const struct adv_call *call);
/* With interrupts off */
void adv_call_on_cpu(void *call);

bool adv_protected(void);
bool adv_has_lse(void);
bool adv_has_edu(void);
bool adv_has_its(void);

int adv_call_init(void);
void adv_call_exit(void);
int adv_target_init(void);
void adv_target_exit(void);
int adv_object_init(void);
void adv_dma_init(void);
void adv_dma_exit(void);
void adv_its_init(void);
void adv_its_exit(void);

#endif /* __ASSEMBLER__ */
#endif /* PKVM_ADVERSARY_H */
