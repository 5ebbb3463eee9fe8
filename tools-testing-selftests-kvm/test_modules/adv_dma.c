// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: DMA by a device that the host programs
 *
 * The device is the one that QEMU has for lessons: "-device edu", see
 * docs/specs/edu.rst there.  It copies between a buffer of its own and any
 * address; with the property dma_mask=0xffffffffffffffff it uses all of the
 * address.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "adv.h"

#define EDU_VENDOR		0x1234
#define EDU_DEVICE		0x11e8

#define EDU_DMA_SRC		0x80
#define EDU_DMA_DST		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_CMD		0x98
#define EDU_DMA_CMD_RUN		BIT(0)
#define EDU_DMA_CMD_TO_PCI	BIT(1)

#define EDU_BUFFER		0x40000
#define EDU_BUFFER_SIZE		4096

/* It takes 100 ms on purpose. */
#define EDU_POLL_US		1000
#define EDU_TIMEOUT_US		5000000

static struct pci_dev *adv_edu;
static void __iomem *adv_edu_regs;
static DEFINE_MUTEX(adv_dma_lock);

static int adv_edu_dma(u64 src, u64 dst, u32 len, u32 cmd)
{
	u64 val;

	writeq(src, adv_edu_regs + EDU_DMA_SRC);
	writeq(dst, adv_edu_regs + EDU_DMA_DST);
	writeq(len, adv_edu_regs + EDU_DMA_COUNT);
	writeq(cmd | EDU_DMA_CMD_RUN, adv_edu_regs + EDU_DMA_CMD);

	return readq_poll_timeout(adv_edu_regs + EDU_DMA_CMD, val, !(val & EDU_DMA_CMD_RUN),
				  EDU_POLL_US, EDU_TIMEOUT_US);
}

/*
 * The device's buffer is reached by DMA only: @buf takes the same way, by way of
 * a page that the host owns.
 */
static int __adv_dma(struct adv_dma *dma, void *buf)
{
	void __user *ubuf = u64_to_user_ptr(dma->buf);
	int ret;

	if (dma->write) {
		if (copy_from_user(buf, ubuf, dma->len))
			return -EFAULT;
		return adv_edu_dma(__pa(buf), EDU_BUFFER, dma->len, 0) ?:
		       adv_edu_dma(EDU_BUFFER, dma->pa, dma->len, EDU_DMA_CMD_TO_PCI);
	}

	/* What an access that fails leaves in the device's buffer is ours. */
	ret = adv_edu_dma(__pa(buf), EDU_BUFFER, dma->len, 0) ?:
	      adv_edu_dma(dma->pa, EDU_BUFFER, dma->len, 0) ?:
	      adv_edu_dma(EDU_BUFFER, __pa(buf), dma->len, EDU_DMA_CMD_TO_PCI);
	if (ret)
		return ret;

	return copy_to_user(ubuf, buf, dma->len) ? -EFAULT : 0;
}

int adv_dma(struct adv_dma *dma)
{
	void *buf;
	int ret;

	if (!adv_edu)
		return -ENODEV;
	if (!dma->len || dma->len > EDU_BUFFER_SIZE || dma->write > 1 ||
	    dma->pa + dma->len < dma->pa)
		return -EINVAL;

	buf = (void *)get_zeroed_page(GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	mutex_lock(&adv_dma_lock);
	ret = __adv_dma(dma, buf);
	mutex_unlock(&adv_dma_lock);
	/* A device that is still at it would write to what comes next in this page. */
	if (ret != -ETIMEDOUT)
		free_page((unsigned long)buf);

	return ret;
}

bool adv_has_edu(void)
{
	return adv_edu;
}

/* Without a device there is no DMA, which is no error. */
void adv_dma_init(void)
{
	struct pci_dev *pdev = pci_get_device(EDU_VENDOR, EDU_DEVICE, NULL);

	if (!pdev)
		return;
	if (pdev->driver || pci_enable_device(pdev))
		goto err_put;
	adv_edu_regs = pci_iomap(pdev, 0, 0);
	if (!adv_edu_regs)
		goto err_disable;
	pci_set_master(pdev);
	adv_edu = pdev;
	return;

err_disable:
	pci_disable_device(pdev);
err_put:
	pci_warn(pdev, "is there, but can't be used\n");
	pci_dev_put(pdev);
}

void adv_dma_exit(void)
{
	if (!adv_edu)
		return;
	pci_clear_master(adv_edu);
	pci_iounmap(adv_edu, adv_edu_regs);
	pci_disable_device(adv_edu);
	pci_dev_put(adv_edu);
}
