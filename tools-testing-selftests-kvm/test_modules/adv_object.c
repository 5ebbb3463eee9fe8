// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: what the host has of VMs and vCPUs
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/file.h>
#include <linux/kvm_host.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <asm/kvm_pkvm.h>

#include "adv.h"

#define ADV_MAX_LIST		65536

static const struct file_operations *adv_vm_fops, *adv_vcpu_fops;

struct adv_field_desc {
	const char *name;
	u32 kind;
	u32 offset;
	u32 size;
	u32 count;
};

#define FIELD(_kind, _type, _name, _member) {			\
	.name	= (_name),					\
	.kind	= (_kind),					\
	.offset	= offsetof(_type, _member),			\
	.size	= sizeof_field(_type, _member),			\
	.count	= 1,						\
}

#define ARRAY(_kind, _type, _name, _member) {			\
	.name	= (_name),					\
	.kind	= (_kind),					\
	.offset	= offsetof(_type, _member),			\
	.size	= sizeof_field(_type, _member[0]),		\
	.count	= sizeof_field(_type, _member) /		\
		  sizeof_field(_type, _member[0]),		\
}

#define VM(name, member)		FIELD(ADV_VM, struct kvm, name, member)
#define VM_ARRAY(name, member)		ARRAY(ADV_VM, struct kvm, name, member)
#define VCPU(name, member)		FIELD(ADV_VCPU, struct kvm_vcpu, name, arch.member)
#define VCPU_ARRAY(name, member)	ARRAY(ADV_VCPU, struct kvm_vcpu, name, arch.member)
#define SYS_REG(reg)			VCPU(#reg, ctxt.sys_regs[reg])

/* The name of an array is followed by the index, as in "x3". */
static const struct adv_field_desc adv_fields[] = {
	VM("created_vcpus", created_vcpus),
	VM("handle", arch.pkvm.handle),
	VM("is_protected", arch.pkvm.is_protected),
	VM("is_created", arch.pkvm.is_created),
	VM("is_dying", arch.pkvm.is_dying),
	VM("teardown_mc.head", arch.pkvm.teardown_mc.head),
	VM("teardown_mc.nr_pages", arch.pkvm.teardown_mc.nr_pages),
	VM("stage2_teardown_mc.head", arch.pkvm.stage2_teardown_mc.head),
	VM("stage2_teardown_mc.nr_pages", arch.pkvm.stage2_teardown_mc.nr_pages),
	VM("flags", arch.flags),
	VM_ARRAY("vcpu_features", arch.vcpu_features),
	VM("vmid", arch.mmu.vmid),
	VM("vtcr", arch.mmu.vtcr),
	VM("pgd_phys", arch.mmu.pgd_phys),
	VM("pgt", arch.mmu.pgt),
	VM("voffset", arch.timer_data.voffset),
	VM("poffset", arch.timer_data.poffset),
	VM("psci_version", arch.psci_version),
	VM("vgic_model", arch.vgic.vgic_model),
	VM_ARRAY("fgu", arch.fgu),
	VM_ARRAY("id_reg", arch.id_regs),
	VM("midr_el1", arch.midr_el1),
	VM("ctr_el0", arch.ctr_el0),
	VM("std_bmap", arch.smccc_feat.std_bmap),
	VM("std_hyp_bmap", arch.smccc_feat.std_hyp_bmap),
	VM("vendor_hyp_bmap", arch.smccc_feat.vendor_hyp_bmap),

	FIELD(ADV_VCPU, struct kvm_vcpu, "kvm", kvm),
	FIELD(ADV_VCPU, struct kvm_vcpu, "vcpu_id", vcpu_id),
	FIELD(ADV_VCPU, struct kvm_vcpu, "vcpu_idx", vcpu_idx),
	FIELD(ADV_VCPU, struct kvm_vcpu, "mode", mode),
	FIELD(ADV_VCPU, struct kvm_vcpu, "cpu", cpu),
	FIELD(ADV_VCPU, struct kvm_vcpu, "requests", requests),
	VCPU_ARRAY("x", ctxt.regs.regs),
	VCPU("sp", ctxt.regs.sp),
	VCPU("pc", ctxt.regs.pc),
	VCPU("pstate", ctxt.regs.pstate),
	VCPU("spsr_abt", ctxt.spsr_abt),
	VCPU("spsr_und", ctxt.spsr_und),
	VCPU("spsr_irq", ctxt.spsr_irq),
	VCPU("spsr_fiq", ctxt.spsr_fiq),
	VCPU_ARRAY("v", ctxt.fp_regs.vregs),
	VCPU("fpsr", ctxt.fp_regs.fpsr),
	VCPU("fpcr", ctxt.fp_regs.fpcr),
	VCPU_ARRAY("sys_reg", ctxt.sys_regs),
	SYS_REG(MPIDR_EL1),
	SYS_REG(SCTLR_EL1),
	SYS_REG(ACTLR_EL1),
	SYS_REG(CPACR_EL1),
	SYS_REG(TTBR0_EL1),
	SYS_REG(TTBR1_EL1),
	SYS_REG(TCR_EL1),
	SYS_REG(ESR_EL1),
	SYS_REG(FAR_EL1),
	SYS_REG(MAIR_EL1),
	SYS_REG(VBAR_EL1),
	SYS_REG(CONTEXTIDR_EL1),
	SYS_REG(TPIDR_EL0),
	SYS_REG(TPIDRRO_EL0),
	SYS_REG(TPIDR_EL1),
	SYS_REG(CNTKCTL_EL1),
	SYS_REG(PAR_EL1),
	SYS_REG(MDSCR_EL1),
	SYS_REG(SP_EL1),
	SYS_REG(ELR_EL1),
	SYS_REG(SPSR_EL1),
	SYS_REG(CNTV_CVAL_EL0),
	SYS_REG(CNTV_CTL_EL0),
	SYS_REG(CNTP_CVAL_EL0),
	SYS_REG(CNTP_CTL_EL0),
	SYS_REG(CNTVOFF_EL2),
	SYS_REG(APIAKEYLO_EL1),
	SYS_REG(APIAKEYHI_EL1),
	SYS_REG(PMCR_EL0),
	SYS_REG(PMUSERENR_EL0),
	VCPU("__hyp_running_vcpu", ctxt.__hyp_running_vcpu),
	VCPU("vncr_array", ctxt.vncr_array),
	VCPU("sve_state", sve_state),
	VCPU("fp_type", fp_type),
	VCPU("sve_max_vl", sve_max_vl),
	VCPU("hw_mmu", hw_mmu),
	VCPU("hcr_el2", hcr_el2),
	VCPU("hcrx_el2", hcrx_el2),
	VCPU("mdcr_el2", mdcr_el2),
	VCPU_ARRAY("fgt", fgt),
	VCPU("esr_el2", fault.esr_el2),
	VCPU("far_el2", fault.far_el2),
	VCPU("hpfar_el2", fault.hpfar_el2),
	VCPU("disr_el1", fault.disr_el1),
	VCPU("cflags", cflags),
	VCPU("iflags", iflags),
	VCPU("sflags", sflags),
	VCPU("pause", pause),
	VCPU_ARRAY("dbg_bcr", vcpu_debug_state.dbg_bcr),
	VCPU_ARRAY("dbg_bvr", vcpu_debug_state.dbg_bvr),
	VCPU_ARRAY("dbg_wcr", vcpu_debug_state.dbg_wcr),
	VCPU_ARRAY("dbg_wvr", vcpu_debug_state.dbg_wvr),
	VCPU("external_mdscr_el1", external_mdscr_el1),
	VCPU("debug_owner", debug_owner),
	VCPU("vgic.hcr", vgic_cpu.vgic_v3.vgic_hcr),
	VCPU("vgic.vmcr", vgic_cpu.vgic_v3.vgic_vmcr),
	VCPU("vgic.sre", vgic_cpu.vgic_v3.vgic_sre),
	VCPU_ARRAY("vgic.ap0r", vgic_cpu.vgic_v3.vgic_ap0r),
	VCPU_ARRAY("vgic.ap1r", vgic_cpu.vgic_v3.vgic_ap1r),
	VCPU_ARRAY("vgic.lr", vgic_cpu.vgic_v3.vgic_lr),
	VCPU("vgic.used_lrs", vgic_cpu.vgic_v3.used_lrs),
	VCPU("timer.vcpu_offset", timer_cpu.timers[TIMER_VTIMER].offset.vcpu_offset),
	VCPU("timer.vm_offset", timer_cpu.timers[TIMER_VTIMER].offset.vm_offset),
	VCPU("timer.enabled", timer_cpu.enabled),
	VCPU("mp_state", mp_state.mp_state),
	VCPU("memcache.head", pkvm_memcache.head),
	VCPU("memcache.nr_pages", pkvm_memcache.nr_pages),
	VCPU("memcache.flags", pkvm_memcache.flags),
	VCPU("vsesr_el2", vsesr_el2),
	VCPU("reset.pc", reset_state.pc),
	VCPU("reset.r0", reset_state.r0),
	VCPU("reset.be", reset_state.be),
	VCPU("reset.reset", reset_state.reset),
	VCPU("steal.base", steal.base),
	VCPU("pid", pid),
};

/* The length of @name without the digits at its end */
static size_t adv_split(const char *name, unsigned int *index)
{
	size_t len = strlen(name), stem = len;

	while (stem && isdigit(name[stem - 1]))
		stem--;
	if (stem == len || kstrtouint(name + stem, 10, index))
		return 0;

	return stem;
}

static const struct adv_field_desc *adv_find_field(struct adv_field *arg, unsigned int *index)
{
	const struct adv_field_desc *desc;
	size_t stem;

	*index = 0;
	if (!arg->name[0])
		return arg->index < ARRAY_SIZE(adv_fields) ? &adv_fields[arg->index] : NULL;

	for (desc = adv_fields; desc < adv_fields + ARRAY_SIZE(adv_fields); desc++) {
		if (desc->kind == arg->kind && !strcmp(desc->name, arg->name))
			return desc;
	}

	stem = adv_split(arg->name, index);
	for (desc = adv_fields; stem && desc < adv_fields + ARRAY_SIZE(adv_fields); desc++) {
		if (desc->kind == arg->kind && strlen(desc->name) == stem &&
		    !strncmp(desc->name, arg->name, stem) && *index < desc->count)
			return desc;
	}

	return NULL;
}

int adv_field(struct adv_field *arg)
{
	const struct adv_field_desc *desc;
	unsigned int index;

	arg->name[sizeof(arg->name) - 1] = '\0';
	desc = adv_find_field(arg, &index);
	if (!desc)
		return -ENOENT;

	if (!arg->name[0])
		strscpy_pad(arg->name, desc->name);
	arg->kind = desc->kind;
	arg->index = desc - adv_fields;
	arg->size = desc->size;
	arg->offset = desc->offset + index * desc->size;
	arg->count = desc->count;

	return 0;
}

/* The caller releases @file. */
static int adv_get_object(int fd, struct file **file, struct kvm **kvm, struct kvm_vcpu **vcpu)
{
	*file = fget(fd);
	if (!*file)
		return -EBADF;

	*vcpu = NULL;
	if ((*file)->f_op == adv_vm_fops) {
		*kvm = (*file)->private_data;
		return 0;
	}
	if ((*file)->f_op == adv_vcpu_fops) {
		*vcpu = (*file)->private_data;
		*kvm = (*vcpu)->kvm;
		return 0;
	}

	fput(*file);
	return -EBADF;
}

int adv_object(struct adv_object *arg)
{
	struct kvm_vcpu *vcpu;
	struct file *file;
	struct kvm *kvm;
	int ret;

	ret = adv_get_object(arg->fd, &file, &kvm, &vcpu);
	if (ret)
		return ret;

	*arg = (struct adv_object) {
		.fd		= arg->fd,
		.kind		= vcpu ? ADV_VCPU : ADV_VM,
		.va		= vcpu ? (u64)vcpu : (u64)kvm,
		.size		= vcpu ? sizeof(*vcpu) : sizeof(*kvm),
		.vm_va		= (u64)kvm,
		.handle		= kvm->arch.pkvm.handle,
		.protected	= kvm->arch.pkvm.is_protected,
		.created	= kvm->arch.pkvm.is_created,
		.vcpu_id	= vcpu ? vcpu->vcpu_id : 0,
	};
	arg->pa = adv_va_to_pa((void *)arg->va);
	fput(file);

	return 0;
}

struct adv_list {
	struct adv_vm_page *pages;
	u32 max;
	u32 nr;
};

static void adv_list_add(struct adv_list *list, u64 gfn, u64 pa, u64 nr_pages)
{
	list->pages[list->nr++] = (struct adv_vm_page){ gfn, pa, nr_pages };
}

static int adv_list_guest_pages(struct adv_list *list, struct kvm *kvm, u64 start_gfn)
{
	struct rb_node *node;

	/* Otherwise the pages are in page tables of the host's. */
	if (!adv_protected())
		return -EOPNOTSUPP;

	read_lock(&kvm->mmu_lock);
	node = kvm->arch.mmu.pgt ? rb_first_cached(&kvm->arch.mmu.pgt->pkvm_mappings) : NULL;
	for (; node && list->nr < list->max; node = rb_next(node)) {
		struct pkvm_mapping *m = rb_entry(node, struct pkvm_mapping, node);

		if (m->gfn + m->nr_pages > start_gfn)
			adv_list_add(list, m->gfn, PFN_PHYS(m->pfn), m->nr_pages);
	}
	read_unlock(&kvm->mmu_lock);

	return 0;
}

/* A page cache is chained through the first words of its pages. */
static int adv_list_memcache(struct adv_list *list, struct kvm_hyp_memcache *mc)
{
	struct adv_mem mem = {
		.addr	= mc->head & PAGE_MASK,
		.op	= ADV_READ64,
		.cpu	= ADV_CPU_ANY,
	};
	unsigned long i;
	int ret;

	for (i = 0; i < mc->nr_pages && list->nr < list->max; i++) {
		adv_list_add(list, 0, mem.addr, 1);
		ret = adv_mem(&mem);
		if (ret)
			return ret;
		if (mem.fault.vector)
			return -EFAULT;
		mem.addr = mem.out[0] & PAGE_MASK;
	}

	return 0;
}

int adv_vm_pages(struct adv_vm_pages *arg)
{
	struct adv_list list = { .max = arg->max };
	struct kvm_vcpu *vcpu;
	struct file *file;
	struct kvm *kvm;
	int ret;

	if (arg->list >= ADV_NR_PAGE_LISTS || !arg->max || arg->max > ADV_MAX_LIST)
		return -EINVAL;
	ret = adv_get_object(arg->fd, &file, &kvm, &vcpu);
	if (ret)
		return ret;

	ret = -ENOMEM;
	list.pages = kvcalloc(list.max, sizeof(*list.pages), GFP_KERNEL);
	if (!list.pages)
		goto out;

	switch (arg->list) {
	case ADV_GUEST_PAGES:
		ret = adv_list_guest_pages(&list, kvm, arg->start_gfn);
		break;
	case ADV_VCPU_MEMCACHE:
		ret = vcpu ? adv_list_memcache(&list, &vcpu->arch.pkvm_memcache) : -EINVAL;
		break;
	case ADV_TEARDOWN_MEMCACHE:
		ret = adv_list_memcache(&list, &kvm->arch.pkvm.teardown_mc);
		break;
	case ADV_STAGE2_TEARDOWN_MEMCACHE:
		ret = adv_list_memcache(&list, &kvm->arch.pkvm.stage2_teardown_mc);
		break;
	}
	if (ret)
		goto out;

	arg->nr = list.nr;
	if (copy_to_user(u64_to_user_ptr(arg->pages), list.pages, list.nr * sizeof(*list.pages)))
		ret = -EFAULT;
out:
	kvfree(list.pages);
	fput(file);
	return ret;
}

int adv_object_init(void)
{
	adv_vm_fops = adv_symbol("kvm_vm_fops");
	adv_vcpu_fops = adv_symbol("kvm_vcpu_fops");
	if (!adv_vm_fops || !adv_vcpu_fops) {
		pr_err("no symbols kvm_vm_fops, kvm_vcpu_fops\n");
		return -ENOENT;
	}

	return 0;
}
