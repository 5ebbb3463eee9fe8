// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: the interrupt controller's accesses to memory
 *
 * An ITS reads its commands from memory, and keeps tables there that it writes:
 * at addresses that the host programs, and past every IOMMU.  Here the device
 * table, or the command queue, is memory of somebody else's.  So does a
 * redistributor, with the LPIs that the ITS makes pending.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/irqchip/arm-gic-v3.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>
#include <linux/string.h>

#include <asm/cputype.h>

#include "adv.h"

#define ADV_ITS_CMD_SIZE	32
#define ADV_ITS_TIMEOUT_US	100000

static void __iomem *adv_its_regs;
static void __iomem *adv_gicr_regs;
static u64 *adv_cpu_logical_map;
/* What the driver does for suspend and resume: it keeps its own state in step. */
static int (*adv_its_save)(void *data);
static void (*adv_its_restore)(void *data);

static void __iomem *adv_its_device_baser(void)
{
	int i;

	for (i = 0; i < GITS_BASER_NR_REGS; i++) {
		void __iomem *reg = adv_its_regs + GITS_BASER + i * 8;

		if (GITS_BASER_TYPE(readq(reg)) == GITS_BASER_TYPE_DEVICE)
			return reg;
	}

	return NULL;
}

/* The redistributors follow one another; CPU 0 need not be first. */
static void __iomem *adv_gicr_of_cpu0(void)
{
	void __iomem *gicr = adv_gicr_regs;
	u64 mpidr = adv_cpu_logical_map[0], typer;
	u32 aff = MPIDR_AFFINITY_LEVEL(mpidr, 3) << 24 | (mpidr & GENMASK(23, 0));

	do {
		typer = readq(gicr + GICR_TYPER);
		if (typer >> 32 == aff)
			return gicr;
		gicr += SZ_64K * (typer & GICR_TYPER_VLPIS ? 4 : 2);
	} while (!(typer & GICR_TYPER_LAST));

	return NULL;
}

/* The table may be elsewhere only while LPIs are off.  Returns where it was. */
static u64 adv_gicr_set_pendbaser(void __iomem *gicr, u64 val)
{
	u32 ctlr = readl(gicr + GICR_CTLR);
	u64 old = readq(gicr + GICR_PENDBASER);

	writel(ctlr & ~GICR_CTLR_ENABLE_LPIS, gicr + GICR_CTLR);
	while (readl(gicr + GICR_CTLR) & GICR_CTLR_RWP)
		cpu_relax();
	writeq(val, gicr + GICR_PENDBASER);
	writel(ctlr, gicr + GICR_CTLR);

	return old;
}

struct adv_its_work {
	struct adv_its *its;
	u64 table;
	u64 queue;
	u64 end;
};

static int adv_its_stopped(void *data)
{
	struct adv_its_work *work = data;
	void __iomem *reg = adv_its_device_baser(), *gicr = NULL;
	u64 timeout = ADV_ITS_TIMEOUT_US, val, pendbaser;
	int ret;

	if (!reg)
		return -ENODEV;
	if (work->its->pending) {
		gicr = adv_gicr_of_cpu0();
		if (!gicr)
			return -ENODEV;
	}
	ret = adv_its_save(NULL);
	if (ret)
		return ret;

	/* One page, flat; type and entry size are read-only. */
	val = readq(reg) & (GITS_BASER_ENTRY_SIZE_MASK | GENMASK_ULL(58, 56));
	val |= GITS_BASER_VALID | GITS_BASER_RaWaWb | GITS_BASER_InnerShareable |
	       GITS_BASER_PAGE_SIZE_4K | work->table;
	writeq(val, reg);
	writeq(GITS_CBASER_VALID | GITS_CBASER_RaWaWb | GITS_CBASER_InnerShareable | work->queue,
	       adv_its_regs + GITS_CBASER);
	writeq(0, adv_its_regs + GITS_CWRITER);
	writel(readl(adv_its_regs + GITS_CTLR) | GITS_CTLR_ENABLE, adv_its_regs + GITS_CTLR);
	if (gicr)
		pendbaser = adv_gicr_set_pendbaser(gicr, GICR_PENDBASER_RaWaWb |
						   GICR_PENDBASER_InnerShareable |
						   work->its->pending);
	writeq(work->end, adv_its_regs + GITS_CWRITER);

	do {
		work->its->done = readq(adv_its_regs + GITS_CREADR);
		if ((work->its->done & ~(ADV_ITS_CMD_SIZE - 1ull)) == work->end)
			break;
		udelay(1);
	} while (--timeout);
	work->its->done /= ADV_ITS_CMD_SIZE;

	if (gicr)
		adv_gicr_set_pendbaser(gicr, pendbaser);
	writel(readl(adv_its_regs + GITS_CTLR) & ~GITS_CTLR_ENABLE, adv_its_regs + GITS_CTLR);
	adv_its_restore(NULL);

	return 0;
}

int adv_its(struct adv_its *its)
{
	struct adv_its_work work = {
		.its	= its,
		.table	= its->table,
		.queue	= its->queue,
		.end	= its->nr * ADV_ITS_CMD_SIZE,
	};
	void *table, *queue;
	int ret = -ENOMEM;

	if (!adv_its_regs)
		return -ENODEV;
	if (!its->nr || its->nr > ADV_ITS_MAX_CMDS || its->pad ||
	    !IS_ALIGNED(its->table, SZ_4K) || !IS_ALIGNED(its->queue, SZ_4K) ||
	    (its->table | its->queue | its->pending) & ~GENMASK_ULL(47, 0) ||
	    !IS_ALIGNED(its->pending, SZ_64K))
		return -EINVAL;
	if (its->pending && !adv_gicr_regs)
		return -ENODEV;

	table = (void *)get_zeroed_page(GFP_KERNEL);
	queue = (void *)get_zeroed_page(GFP_KERNEL);
	if (!table || !queue)
		goto out;
	if (!work.table)
		work.table = __pa(table);
	if (!work.queue) {
		memcpy(queue, its->cmd, work.end);
		work.queue = __pa(queue);
	}

	ret = stop_machine(adv_its_stopped, &work, NULL);
	memcpy(its->own_table, table, sizeof(its->own_table));
out:
	free_page((unsigned long)table);
	free_page((unsigned long)queue);
	return ret;
}

bool adv_has_its(void)
{
	return adv_its_regs;
}

/* Without an ITS there are no such accesses, which is no error. */
void adv_its_init(void)
{
	struct device_node *node;

	adv_its_save = adv_symbol("its_save_disable");
	adv_its_restore = adv_symbol("its_restore_enable");
	node = of_find_compatible_node(NULL, NULL, "arm,gic-v3-its");
	if (node && adv_its_save && adv_its_restore)
		adv_its_regs = of_iomap(node, 0);
	of_node_put(node);
	/* The first region behind the distributor's, where CPU 0 is */
	node = of_find_compatible_node(NULL, NULL, "arm,gic-v3");
	adv_cpu_logical_map = adv_symbol("__cpu_logical_map");
	if (node && adv_cpu_logical_map)
		adv_gicr_regs = of_iomap(node, 1);
	of_node_put(node);
}

void adv_its_exit(void)
{
	if (adv_its_regs)
		iounmap(adv_its_regs);
	if (adv_gicr_regs)
		iounmap(adv_gicr_regs);
}
