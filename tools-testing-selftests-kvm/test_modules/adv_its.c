// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: the interrupt controller's accesses to memory
 *
 * An ITS reads its commands from memory, and keeps tables there that it writes:
 * at addresses that the host programs, and past every IOMMU.  Here the device
 * table, or the command queue, is memory of somebody else's.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/irqchip/arm-gic-v3.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/slab.h>
#include <linux/stop_machine.h>
#include <linux/string.h>

#include "adv.h"

#define ADV_ITS_CMD_SIZE	32
#define ADV_ITS_TIMEOUT_US	100000

static void __iomem *adv_its_regs;
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

struct adv_its_work {
	struct adv_its *its;
	u64 table;
	u64 queue;
	u64 end;
};

static int adv_its_stopped(void *data)
{
	struct adv_its_work *work = data;
	void __iomem *reg = adv_its_device_baser();
	u64 timeout = ADV_ITS_TIMEOUT_US, val;
	int ret;

	if (!reg)
		return -ENODEV;
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
	writeq(work->end, adv_its_regs + GITS_CWRITER);

	do {
		work->its->done = readq(adv_its_regs + GITS_CREADR);
		if ((work->its->done & ~(ADV_ITS_CMD_SIZE - 1ull)) == work->end)
			break;
		udelay(1);
	} while (--timeout);
	work->its->done /= ADV_ITS_CMD_SIZE;

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
	    (its->table | its->queue) & ~GENMASK_ULL(47, 0))
		return -EINVAL;

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
}

void adv_its_exit(void)
{
	if (adv_its_regs)
		iounmap(adv_its_regs);
}
