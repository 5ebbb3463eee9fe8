// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary - the host kernel turned against EL2, at user space's command.
 *
 * Protected KVM promises to withstand a compromised host kernel.  A test of that
 * has to do what such a kernel would do: access memory that it has lost, and make
 * hypercalls that KVM would never make.  This module does it for kselftests, and
 * reports what happened instead of dying of it.
 *
 * It gives root everything that the host kernel can do, and more ways than ever
 * to crash it: for test machines only.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/panic.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include <asm/cputype.h>
#include <asm/esr.h>
#include <asm/sysreg.h>
#include <asm/tlbflush.h>
#include <asm/virt.h>

#include "adv.h"

#define ADV_MAX_ORDER		9
#define ADV_WINDOW_PAGES	2

/**
 * struct adv_file - what an open device has to give back
 *
 * @pages:	allocated, struct page by frame number
 * @pins:	pinned, struct page by frame number
 */
struct adv_file {
	struct xarray pages;
	struct xarray pins;
};

static unsigned long (*adv_kallsyms_lookup_name)(const char *name);
static struct mm_struct *adv_init_mm;
static struct static_key *adv_protected_key;

/* Own kernel address space: ADV_WINDOW_PAGES for each CPU, then the slots */
static struct vm_struct *adv_area;
static pte_t **adv_ptes;

void *adv_symbol(const char *name)
{
	return (void *)adv_kallsyms_lookup_name(name);
}

/* kallsyms_lookup_name() is not exported, but kprobes find it. */
static int adv_symbol_init(void)
{
	struct kprobe kp = { .symbol_name = "kallsyms_lookup_name" };
	int ret;

	ret = register_kprobe(&kp);
	if (ret) {
		pr_err("can't find kallsyms_lookup_name(): %d; needs KPROBES and KALLSYMS_ALL\n",
		       ret);
		return ret;
	}
	adv_kallsyms_lookup_name = (void *)kp.addr;
	unregister_kprobe(&kp);

	/* Data symbols are there with KALLSYMS_ALL only. */
	adv_init_mm = adv_symbol("init_mm");
	if (!adv_init_mm) {
		pr_err("no symbols of data; needs KALLSYMS_ALL\n");
		return -ENOENT;
	}
	adv_protected_key = adv_symbol("kvm_protected_mode_initialized");

	return 0;
}

bool adv_protected(void)
{
	return adv_protected_key && static_key_enabled(adv_protected_key);
}

bool adv_has_lse(void)
{
	return FIELD_GET(ID_AA64ISAR0_EL1_ATOMIC_MASK, read_sysreg(id_aa64isar0_el1)) >= 2;
}

bool adv_denied(const struct adv_fault *fault)
{
	switch (ESR_ELx_EC(fault->esr)) {
	case ESR_ELx_EC_DABT_CUR:
	case ESR_ELx_EC_IABT_CUR:
		return fault->vector == ADV_SYNC && (fault->esr & ESR_ELx_S1PTW);
	default:
		return false;
	}
}

struct adv_work {
	void (*func)(void *data);
	void *data;
};

static int adv_do_work(void *data)
{
	struct adv_work *work = data;
	unsigned long flags;

	local_irq_save(flags);
	work->func(work->data);
	local_irq_restore(flags);

	return 0;
}

int adv_on_cpu(int cpu, void (*func)(void *data), void *data)
{
	struct adv_work work = { func, data };

	if (cpu == ADV_CPU_ANY)
		return adv_do_work(&work);
	if (cpu < 0 || cpu >= nr_cpu_ids)
		return -ENODEV;

	/* Not smp_call_function_single(): an idle CPU may have no timer that ticks. */
	return smp_call_on_cpu(cpu, adv_do_work, &work, false) ? -ENODEV : 0;
}

phys_addr_t adv_va_to_pa(const void *va)
{
	struct adv_regs regs = { .x[0] = (u64)va };
	unsigned long flags;

	local_irq_save(flags);
	adv_guard(&regs, adv_op_at_s1e1r, false);
	local_irq_restore(flags);

	if (regs.fault.vector || (regs.x[0] & SYS_PAR_EL1_F))
		return ~0ull;

	return (regs.x[0] & SYS_PAR_EL1_PA) | offset_in_page(va);
}

int adv_check_addr(u64 addr, u64 len, u32 attr, int cpu)
{
	if (attr & ~(ADV_TYPE_MASK | ADV_READ_ONLY | ADV_EXECUTABLE | ADV_USER | ADV_VA |
		     ADV_INTERRUPTIBLE))
		return -EINVAL;
	if ((attr & ADV_TYPE_MASK) > ADV_DEVICE)
		return -EINVAL;
	if ((attr & ADV_USER) && (attr & (ADV_READ_ONLY | ADV_EXECUTABLE)))
		return -EINVAL;
	if (addr + len < addr)
		return -EINVAL;

	if (attr & ADV_VA) {
		/* The address space of another process, on another CPU */
		if (cpu != ADV_CPU_ANY && !(addr >> 63))
			return -EINVAL;
		return attr & ~(ADV_VA | ADV_INTERRUPTIBLE) ? -EINVAL : 0;
	}

	return (addr + len - 1) & ~PHYS_MASK ? -EINVAL : 0;
}

/* pgprot_noncached() and so on take the right to execute away: use their type only. */
static pgprot_t adv_prot_type(pgprot_t prot, u32 type)
{
	pgprot_t like = prot;

	if (type == ADV_NORMAL_NC)
		like = pgprot_writecombine(prot);
	else if (type == ADV_DEVICE)
		like = pgprot_noncached(prot);

	return __pgprot_modify(prot, PTE_ATTRINDX_MASK, pgprot_val(like) & PTE_ATTRINDX_MASK);
}

static pgprot_t adv_prot(u32 attr)
{
	pgprot_t prot = PAGE_KERNEL;

	if ((attr & ADV_READ_ONLY) && (attr & ADV_EXECUTABLE))
		prot = PAGE_KERNEL_ROX;
	else if (attr & ADV_READ_ONLY)
		prot = PAGE_KERNEL_RO;
	else if (attr & ADV_EXECUTABLE)
		prot = PAGE_KERNEL_EXEC;
	else if (attr & ADV_USER)
		prot = __pgprot((_PAGE_SHARED & ~(PTE_RDONLY | PTE_NG)) | PTE_DIRTY);

	return adv_prot_type(prot, attr & ADV_TYPE_MASK);
}

static void *adv_area_page(unsigned int index)
{
	return adv_area->addr + index * PAGE_SIZE;
}

static void adv_area_set(unsigned int index, pte_t pte)
{
	WRITE_ONCE(*adv_ptes[index], pte);
	dsb(ishst);
	isb();
}

static void adv_area_clear(unsigned int index, unsigned int nr)
{
	unsigned long addr = (unsigned long)adv_area_page(index);
	unsigned int i;

	for (i = 0; i < nr; i++)
		WRITE_ONCE(*adv_ptes[index + i], __pte(0));
	flush_tlb_kernel_range(addr, addr + nr * PAGE_SIZE);
}

void *adv_window_map(phys_addr_t pa, size_t len, u32 attr)
{
	unsigned int index = smp_processor_id() * ADV_WINDOW_PAGES;
	pgprot_t prot = adv_prot(attr);

	lockdep_assert_irqs_disabled();
	adv_area_set(index, pfn_pte(PHYS_PFN(pa), prot));
	if (offset_in_page(pa) + len > PAGE_SIZE)
		adv_area_set(index + 1, pfn_pte(PHYS_PFN(pa) + 1, prot));

	return adv_area_page(index) + offset_in_page(pa);
}

void adv_window_unmap(void)
{
	adv_area_clear(smp_processor_id() * ADV_WINDOW_PAGES, ADV_WINDOW_PAGES);
}

void *adv_slot_map(unsigned int slot, phys_addr_t pa, u32 attr)
{
	unsigned int index = nr_cpu_ids * ADV_WINDOW_PAGES + slot;

	adv_area_set(index, pfn_pte(PHYS_PFN(pa), adv_prot(attr)));

	return adv_area_page(index) + offset_in_page(pa);
}

void adv_slot_unmap(unsigned int slot)
{
	adv_area_clear(nr_cpu_ids * ADV_WINDOW_PAGES + slot, 1);
}

static int adv_record_pte(pte_t *ptep, unsigned long addr, void *data)
{
	adv_ptes[(addr - (unsigned long)adv_area->addr) >> PAGE_SHIFT] = ptep;
	return 0;
}

static void adv_area_exit(void)
{
	if (adv_area)
		free_vm_area(adv_area);
	kvfree(adv_ptes);
}

static int adv_area_init(void)
{
	unsigned int nr = nr_cpu_ids * ADV_WINDOW_PAGES + ADV_NR_SLOTS;
	struct vm_struct *(*get_vm_area)(unsigned long size, unsigned long flags);
	int ret = -ENOENT;

	adv_ptes = kvcalloc(nr, sizeof(*adv_ptes), GFP_KERNEL);
	if (!adv_ptes)
		return -ENOMEM;

	/* VM_IOREMAP: /proc/kcore keeps away from it. */
	get_vm_area = adv_symbol("get_vm_area");
	if (!get_vm_area)
		goto err;
	ret = -ENOMEM;
	adv_area = get_vm_area(nr * PAGE_SIZE, VM_IOREMAP);
	if (!adv_area)
		goto err;
	ret = apply_to_page_range(adv_init_mm, (unsigned long)adv_area->addr, nr * PAGE_SIZE,
				  adv_record_pte, NULL);
	if (!ret)
		return 0;
err:
	adv_area_exit();
	return ret;
}

static void adv_get_info(struct adv_info *info)
{
	u64 parange = FIELD_GET(ID_AA64MMFR0_EL1_PARANGE_MASK, read_sysreg(id_aa64mmfr0_el1));

	*info = (struct adv_info) {
		.protected	= adv_protected(),
		.lse		= adv_has_lse(),
		.edu		= adv_has_edu(),
		.its		= adv_has_its(),
		.nr_cpus	= nr_cpu_ids,
		.page_size	= PAGE_SIZE,
		.pa_bits	= CONFIG_ARM64_PA_BITS,
		.pa_range	= id_aa64mmfr0_parange_to_phys_shift(parange),
		.hvhe		= cpus_have_final_cap(ARM64_KVM_HVHE),
	};
}

static int adv_page_alloc(struct adv_file *file, struct adv_page *arg)
{
	struct page *page;
	int ret;

	if (arg->order > ADV_MAX_ORDER || arg->pad)
		return -EINVAL;

	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, arg->order);
	if (!page)
		return -ENOMEM;
	set_page_private(page, arg->order);
	ret = xa_insert(&file->pages, page_to_pfn(page), page, GFP_KERNEL);
	if (ret) {
		__free_pages(page, arg->order);
		return ret;
	}
	arg->pa = page_to_phys(page);
	arg->va = (u64)page_address(page);

	return 0;
}

static int adv_free(struct page *page)
{
	unsigned int order = page_private(page);
	struct adv_range range = {
		.addr		= page_to_phys(page),
		.nr_pages	= 1ul << order,
		.write		= 1,
		.cpu		= ADV_CPU_ANY,
	};
	int ret;

	ret = adv_range(&range);
	if (!ret && range.nr_ok != range.nr_pages)
		ret = -EBUSY;
	if (ret) {
		pr_warn("%llu pages at %#llx are not the host's any more\n",
			range.nr_pages - range.nr_ok, range.addr);
		return ret;
	}
	set_page_private(page, 0);
	__free_pages(page, order);

	return 0;
}

static int adv_page_free(struct adv_file *file, struct adv_page *arg)
{
	struct page *page = xa_erase(&file->pages, PHYS_PFN(arg->pa));

	return page ? adv_free(page) : -EINVAL;
}

static int adv_pin(struct adv_file *file, struct adv_pin *arg)
{
	struct page *page;
	int ret;

	ret = pin_user_pages_fast(arg->addr & PAGE_MASK, 1, FOLL_WRITE | FOLL_LONGTERM, &page);
	if (ret != 1)
		return ret < 0 ? ret : -EFAULT;

	ret = xa_insert(&file->pins, page_to_pfn(page), page, GFP_KERNEL);
	if (ret) {
		unpin_user_page(page);
		/* Pinned already */
		if (ret != -EBUSY)
			return ret;
	}
	arg->pa = page_to_phys(page) + offset_in_page(arg->addr);

	return 0;
}

union adv_arg {
	struct adv_info info;
	struct adv_mem mem;
	struct adv_range range;
	struct adv_copy copy;
	struct adv_call call;
	struct adv_hypercall hypercall;
	struct adv_sym sym;
	struct adv_target target;
	struct adv_scan scan;
	struct adv_object object;
	struct adv_field field;
	struct adv_vm_pages vm_pages;
	struct adv_page page;
	struct adv_pin pin;
	struct adv_flip flip;
	struct adv_batch batch;
	struct adv_loop loop;
	struct adv_dma dma;
	struct adv_its its;
	struct adv_suspend suspend;
};

static int adv_do_ioctl(struct adv_file *file, unsigned int cmd, union adv_arg *arg)
{
	switch (cmd) {
	case ADV_IOC_INFO:
		adv_get_info(&arg->info);
		return 0;
	case ADV_IOC_MEM:
		return adv_mem(&arg->mem);
	case ADV_IOC_RANGE:
		return adv_range(&arg->range);
	case ADV_IOC_COPY:
		return adv_copy(&arg->copy);
	case ADV_IOC_CALL:
		return adv_call(&arg->call);
	case ADV_IOC_HYPERCALL:
		return adv_hypercall(&arg->hypercall);
	case ADV_IOC_SYM:
		return adv_sym(&arg->sym);
	case ADV_IOC_TARGET:
		return adv_target(&arg->target);
	case ADV_IOC_SCAN:
		return adv_scan(&arg->scan);
	case ADV_IOC_OBJECT:
		return adv_object(&arg->object);
	case ADV_IOC_FIELD:
		return adv_field(&arg->field);
	case ADV_IOC_VM_PAGES:
		return adv_vm_pages(&arg->vm_pages);
	case ADV_IOC_PAGE_ALLOC:
		return adv_page_alloc(file, &arg->page);
	case ADV_IOC_PAGE_FREE:
		return adv_page_free(file, &arg->page);
	case ADV_IOC_PIN:
		return adv_pin(file, &arg->pin);
	case ADV_IOC_FLIP_START:
		return adv_flip_start(file, &arg->flip);
	case ADV_IOC_FLIP_STOP:
		return adv_flip_stop(file, &arg->flip);
	case ADV_IOC_BATCH:
		return adv_batch(&arg->batch);
	case ADV_IOC_LOOP:
		return adv_race(&arg->loop);
	case ADV_IOC_DMA:
		return adv_dma(&arg->dma);
	case ADV_IOC_ITS:
		return adv_its(&arg->its);
	case ADV_IOC_SUSPEND:
		return adv_suspend(&arg->suspend);
	default:
		return -ENOTTY;
	}
}

static long adv_ioctl(struct file *filp, unsigned int cmd, unsigned long uarg)
{
	union adv_arg arg = {};
	int ret;

	if (_IOC_SIZE(cmd) > sizeof(arg))
		return -ENOTTY;
	if ((_IOC_DIR(cmd) & _IOC_WRITE) &&
	    copy_from_user(&arg, (void __user *)uarg, _IOC_SIZE(cmd)))
		return -EFAULT;

	ret = adv_do_ioctl(filp->private_data, cmd, &arg);
	if (ret)
		return ret;

	return copy_to_user((void __user *)uarg, &arg, _IOC_SIZE(cmd)) ? -EFAULT : 0;
}

/* Lets user space, at EL0, access any physical address. */
static int adv_mmap(struct file *filp, struct vm_area_struct *vma)
{
	unsigned int type = vma->vm_pgoff >> (ADV_MMAP_TYPE_SHIFT - PAGE_SHIFT);
	unsigned long pfn = vma->vm_pgoff & (BIT(ADV_MMAP_TYPE_SHIFT - PAGE_SHIFT) - 1);

	if (type > ADV_DEVICE || !(vma->vm_flags & VM_SHARED) ||
	    adv_check_addr(PFN_PHYS(pfn), vma->vm_end - vma->vm_start, ADV_NORMAL, ADV_CPU_ANY))
		return -EINVAL;

	return remap_pfn_range(vma, vma->vm_start, pfn, vma->vm_end - vma->vm_start,
			       adv_prot_type(vma->vm_page_prot, type));
}

static int adv_open(struct inode *inode, struct file *filp)
{
	struct adv_file *file;

	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;

	file = kzalloc_obj(*file);
	if (!file)
		return -ENOMEM;
	xa_init(&file->pages);
	xa_init(&file->pins);
	filp->private_data = file;

	return 0;
}

static int adv_release(struct inode *inode, struct file *filp)
{
	struct adv_file *file = filp->private_data;
	struct page *page;
	unsigned long pfn;

	adv_flip_release(file);
	xa_for_each(&file->pages, pfn, page)
		adv_free(page);
	xa_destroy(&file->pages);
	xa_for_each(&file->pins, pfn, page)
		unpin_user_page(page);
	xa_destroy(&file->pins);
	kfree(file);

	return 0;
}

static const struct file_operations adv_fops = {
	.owner		= THIS_MODULE,
	.open		= adv_open,
	.release	= adv_release,
	.unlocked_ioctl	= adv_ioctl,
	.mmap		= adv_mmap,
};

static struct miscdevice adv_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= ADV_DEVICE_NAME,
	.fops	= &adv_fops,
	.mode	= 0600,
};

static int __init adv_init(void)
{
	int ret;

	if (is_kernel_in_hyp_mode()) {
		pr_err("the kernel runs at EL2: there is nothing above it to attack\n");
		return -ENODEV;
	}

	ret = adv_symbol_init();
	if (ret)
		return ret;
	ret = adv_object_init();
	if (ret)
		return ret;
	ret = adv_area_init();
	if (ret)
		return ret;
	ret = adv_call_init();
	if (ret)
		goto err_area;
	ret = adv_target_init();
	if (ret)
		goto err_call;
	adv_dma_init();
	adv_its_init();
	ret = misc_register(&adv_misc);
	if (ret)
		goto err_devices;

	pr_warn("root can do anything now, this kernel is for tests only\n");
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	return 0;

err_devices:
	adv_its_exit();
	adv_dma_exit();
	adv_target_exit();
err_call:
	adv_call_exit();
err_area:
	adv_area_exit();
	return ret;
}

static void __exit adv_exit(void)
{
	misc_deregister(&adv_misc);
	adv_its_exit();
	adv_dma_exit();
	adv_target_exit();
	adv_call_exit();
	adv_area_exit();
}

module_init(adv_init);
module_exit(adv_exit);
MODULE_DESCRIPTION("The host kernel turned against pKVM, for kselftests");
MODULE_LICENSE("GPL");
