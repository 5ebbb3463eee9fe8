// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: memory accesses
 */
#include <linux/bitmap.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "adv.h"

/* An access that so many interrupts, over that time, found undone has no end. */
#define ADV_STUCK_TRIES		8
#define ADV_STUCK_MS		20

struct adv_op_desc {
	void (*code)(void);
	void (*code_lse)(void);
	u8 size;		/* bytes accessed */
	u8 nr_out;		/* results */
};

#define OP(_code, _size, _nr_out)	{ .code = (_code), .size = (_size), .nr_out = (_nr_out) }

static const struct adv_op_desc adv_ops[ADV_NR_OPS] = {
	[ADV_READ8]		= OP(adv_op_read8, 1, 1),
	[ADV_READ16]		= OP(adv_op_read16, 2, 1),
	[ADV_READ32]		= OP(adv_op_read32, 4, 1),
	[ADV_READ64]		= OP(adv_op_read64, 8, 1),
	[ADV_LDTR]		= OP(adv_op_ldtr, 8, 1),
	[ADV_LDP]		= OP(adv_op_ldp, 16, 2),
	[ADV_WRITE8]		= OP(adv_op_write8, 1, 0),
	[ADV_WRITE16]		= OP(adv_op_write16, 2, 0),
	[ADV_WRITE32]		= OP(adv_op_write32, 4, 0),
	[ADV_WRITE64]		= OP(adv_op_write64, 8, 0),
	[ADV_STTR]		= OP(adv_op_sttr, 8, 0),
	[ADV_STP]		= OP(adv_op_stp, 16, 0),
	[ADV_CAS]		= { adv_op_cas_llsc, adv_op_cas_lse, 8, 2 },
	[ADV_LDADD]		= { adv_op_ldadd_llsc, adv_op_ldadd_lse, 8, 2 },
	[ADV_LDXR_STXR]		= OP(adv_op_ldadd_llsc, 8, 2),
	[ADV_EXEC]		= OP(NULL, 4, 2),
	[ADV_AT_S1E1R]		= OP(adv_op_at_s1e1r, 1, 1),
	[ADV_AT_S1E1W]		= OP(adv_op_at_s1e1w, 1, 1),
	[ADV_AT_S1E0R]		= OP(adv_op_at_s1e0r, 1, 1),
	[ADV_AT_S12E1R]		= OP(adv_op_at_s12e1r, 1, 1),
	[ADV_DC_CIVAC]		= OP(adv_op_dc_civac, 1, 0),
	[ADV_DC_CVAC]		= OP(adv_op_dc_cvac, 1, 0),
	[ADV_DC_CVAU]		= OP(adv_op_dc_cvau, 1, 0),
	[ADV_DC_IVAC]		= OP(adv_op_dc_ivac, 1, 0),
	[ADV_DC_ZVA]		= OP(adv_op_dc_zva, 1, 0),
	[ADV_IC_IVAU]		= OP(adv_op_ic_ivau, 1, 0),
	[ADV_PRFM]		= OP(adv_op_prfm, 1, 0),
};

static const void *adv_op_code(u32 op)
{
	const struct adv_op_desc *desc = &adv_ops[op];

	return desc->code_lse && adv_has_lse() ? desc->code_lse : desc->code;
}

/* One guarded access, with interrupts off.  The operands are in regs->x[1] and [2]. */
static void adv_access(struct adv_regs *regs, u64 addr, u32 op, u32 attr)
{
	const void *code = adv_op_code(op);
	void *va = (void *)addr;

	if (!(attr & ADV_VA))
		va = adv_window_map(addr, adv_ops[op].size, attr);

	regs->x[0] = (u64)va;
	adv_guard(regs, code ?: va, attr & ADV_INTERRUPTIBLE);

	if (!(attr & ADV_VA))
		adv_window_unmap();
}

static void adv_mem_on_cpu(void *data)
{
	struct adv_mem *mem = data;
	struct adv_regs regs = {
		.x[1] = mem->in[0],
		.x[2] = mem->in[1],
	};
	unsigned int i;

	adv_access(&regs, mem->addr, mem->op, mem->attr);
	mem->fault = regs.fault;
	for (i = 0; i < ARRAY_SIZE(mem->out); i++)
		mem->out[i] = !regs.fault.vector && i < adv_ops[mem->op].nr_out ? regs.x[i] : 0;
}

int adv_mem(struct adv_mem *mem)
{
	int ret;

	if (mem->op >= ADV_NR_OPS || mem->pad)
		return -EINVAL;
	ret = adv_check_addr(mem->addr, adv_ops[mem->op].size, mem->attr, mem->cpu);
	if (ret)
		return ret;

	return adv_on_cpu(mem->cpu, adv_mem_on_cpu, mem);
}

struct adv_probe {
	u64 addr;
	u32 op;
	u32 attr;
	bool undone;		/* a store exclusive that never succeeded */
	struct adv_fault fault;
};

static void adv_probe_on_cpu(void *data)
{
	struct adv_probe *probe = data;
	struct adv_regs regs = {};

	adv_access(&regs, probe->addr, probe->op, probe->attr);
	probe->fault = regs.fault;
	probe->undone = !regs.fault.vector && probe->op == ADV_LDADD && regs.x[1];
}

/* Either access may be repeated: an interrupt is not yet the end of it. */
static int adv_probe(int cpu, struct adv_probe *probe)
{
	ktime_t end = ktime_add_ms(ktime_get(), ADV_STUCK_MS);
	int tries = 0, ret;

	do {
		ret = adv_on_cpu(cpu, adv_probe_on_cpu, probe);
	} while (!ret && probe->fault.vector == ADV_IRQ &&
		 (++tries < ADV_STUCK_TRIES || ktime_before(ktime_get(), end)));

	return ret;
}

int adv_range(struct adv_range *range)
{
	struct adv_probe probe = {
		.op	= range->write ? ADV_LDADD : ADV_READ64,
		.attr	= range->attr | ADV_INTERRUPTIBLE,
	};
	unsigned long *bitmap = NULL;
	size_t bitmap_size;
	u64 i;
	int ret;

	if (range->pad || range->write > 1 || range->addr % sizeof(u64) ||
	    range->nr_pages > ADV_RANGE_MAX_PAGES)
		return -EINVAL;
	ret = adv_check_addr(range->addr, range->nr_pages * PAGE_SIZE, range->attr, range->cpu);
	if (ret)
		return ret;

	*range = (struct adv_range) {
		.addr		= range->addr,
		.nr_pages	= range->nr_pages,
		.bitmap		= range->bitmap,
		.write		= range->write,
		.attr		= range->attr,
		.cpu		= range->cpu,
	};

	bitmap_size = BITS_TO_LONGS(range->nr_pages) * sizeof(long);
	if (range->bitmap) {
		bitmap = kvzalloc(bitmap_size, GFP_KERNEL);
		if (!bitmap)
			return -ENOMEM;
	}

	for (i = 0; i < range->nr_pages; i++) {
		probe.addr = range->addr + i * PAGE_SIZE;
		ret = adv_probe(range->cpu, &probe);
		if (ret)
			goto out;

		if (probe.undone || probe.fault.vector == ADV_IRQ) {
			if (!range->nr_stuck++)
				range->first_stuck = probe.addr;
		} else if (!probe.fault.vector) {
			if (!range->nr_ok++)
				range->first_ok = probe.addr;
			if (bitmap)
				__set_bit(i, bitmap);
		} else if (adv_denied(&probe.fault)) {
			if (!range->nr_denied++)
				range->first_denied = probe.addr;
		} else if (!range->nr_other++) {
			range->first_other = probe.addr;
			range->fault = probe.fault;
		}
		cond_resched();
	}

	if (bitmap && copy_to_user(u64_to_user_ptr(range->bitmap), bitmap, bitmap_size))
		ret = -EFAULT;
out:
	kvfree(bitmap);
	return ret;
}

struct adv_copy_page {
	u64 addr;
	void *buf;
	u32 len;
	u32 attr;
	bool write;
	u32 left;
	struct adv_fault fault;
};

static void adv_copy_on_cpu(void *data)
{
	struct adv_copy_page *copy = data;
	struct adv_regs regs = {};
	u64 va = copy->addr;

	if (!(copy->attr & ADV_VA))
		va = (u64)adv_window_map(copy->addr, copy->len, copy->attr);

	regs.x[0] = copy->write ? va : (u64)copy->buf;
	regs.x[1] = copy->write ? (u64)copy->buf : va;
	regs.x[2] = copy->len;
	adv_guard(&regs, adv_op_copy, copy->attr & ADV_INTERRUPTIBLE);
	copy->left = regs.x[2];
	copy->fault = regs.fault;

	if (!(copy->attr & ADV_VA))
		adv_window_unmap();
}

int adv_copy(struct adv_copy *arg)
{
	struct adv_copy_page copy = {
		.attr	= arg->attr,
		.write	= arg->write,
	};
	void __user *ubuf = u64_to_user_ptr(arg->buf);
	int ret;

	if (arg->pad || arg->write > 1 || arg->len > ADV_COPY_MAX)
		return -EINVAL;
	ret = adv_check_addr(arg->addr, arg->len, arg->attr, arg->cpu);
	if (ret)
		return ret;

	arg->done = 0;
	memset(&arg->fault, 0, sizeof(arg->fault));

	copy.buf = (void *)__get_free_page(GFP_KERNEL);
	if (!copy.buf)
		return -ENOMEM;

	while (arg->done < arg->len && !arg->fault.vector) {
		copy.addr = arg->addr + arg->done;
		copy.len = min(arg->len - arg->done, PAGE_SIZE - offset_in_page(copy.addr));

		ret = -EFAULT;
		if (copy.write && copy_from_user(copy.buf, ubuf + arg->done, copy.len))
			break;
		ret = adv_on_cpu(arg->cpu, adv_copy_on_cpu, &copy);
		if (ret)
			break;
		arg->fault = copy.fault;
		copy.len -= copy.left;
		ret = -EFAULT;
		if (!copy.write && copy_to_user(ubuf + arg->done, copy.buf, copy.len))
			break;
		ret = 0;
		arg->done += copy.len;
		cond_resched();
	}

	free_page((unsigned long)copy.buf);
	return ret;
}
