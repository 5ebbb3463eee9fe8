// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: hypercalls and firmware calls
 */
#include <linux/arm-smccc.h>
#include <linux/cacheflush.h>
#include <linux/string.h>

#include <asm/kvm_asm.h>

#include "adv.h"

/*
 * The immediate is part of the instruction, so the code is generated: for each
 * CPU a landing pad, the call and a return.
 */
#define ADV_INSN_BTI_C		0xd503245f
#define ADV_INSN_HVC		0xd4000002
#define ADV_INSN_SMC		0xd4000003
#define ADV_INSN_IMM_SHIFT	5
#define ADV_INSN_RET		0xd65f03c0
#define ADV_CODE_SIZE		16

#define ADV_CODE_SLOT		(ADV_NR_SLOTS - 1)

static struct page *adv_code_page;
static void *adv_code;

static const void *adv_call_code(u32 conduit, u32 imm)
{
	size_t offset = smp_processor_id() * ADV_CODE_SIZE;
	__le32 *insn = page_address(adv_code_page) + offset;
	unsigned long exec = (unsigned long)adv_code + offset;
	u32 call = conduit == ADV_HVC ? ADV_INSN_HVC : ADV_INSN_SMC;
	__le32 new = cpu_to_le32(call | imm << ADV_INSN_IMM_SHIFT);

	if (insn[1] != new) {
		insn[0] = cpu_to_le32(ADV_INSN_BTI_C);
		insn[1] = new;
		insn[2] = cpu_to_le32(ADV_INSN_RET);
		caches_clean_inval_pou(exec, exec + ADV_CODE_SIZE);
		isb();
	}

	return (void *)exec;
}

void adv_call_on_cpu(void *data)
{
	struct adv_call *call = data;
	struct adv_regs regs = {};

	memcpy(regs.x, call->x, sizeof(regs.x));
	adv_guard(&regs, adv_call_code(call->conduit, call->imm), false);
	memcpy(call->x, regs.x, sizeof(regs.x));
	call->fault = regs.fault;
}

int adv_check_call(const struct adv_call *call)
{
	return call->conduit > ADV_SMC || call->imm > U16_MAX || call->pad ? -EINVAL : 0;
}

int adv_call(struct adv_call *call)
{
	int ret = adv_check_call(call);

	return ret ?: adv_on_cpu(call->cpu, adv_call_on_cpu, call);
}

static const struct {
	const char *name;
	u32 nr;
} adv_hypercalls[] = {
	{ "__kvm_hyp_init", __KVM_HOST_SMCCC_FUNC___kvm_hyp_init },
#define HYPERCALL(name)	{ #name, __KVM_HOST_SMCCC_FUNC_##name },
#include "adv_hypercalls.inc"
};

int adv_hypercall(struct adv_hypercall *arg)
{
	int i;

	arg->name[sizeof(arg->name) - 1] = '\0';
	for (i = 0; i < ARRAY_SIZE(adv_hypercalls); i++) {
		const char *name = adv_hypercalls[i].name;

		/* By number it is a hypercall, not a marker. */
		if (arg->name[0] ? !strcmp(name, arg->name) :
				   name[0] == '_' && adv_hypercalls[i].nr == arg->nr)
			break;
	}
	if (i == ARRAY_SIZE(adv_hypercalls))
		return -ENOENT;

	strscpy_pad(arg->name, adv_hypercalls[i].name);
	arg->nr = adv_hypercalls[i].nr;
	arg->id = KVM_HOST_SMCCC_ID(arg->nr);

	return 0;
}

int adv_call_init(void)
{
	if (nr_cpu_ids * ADV_CODE_SIZE > PAGE_SIZE)
		return -E2BIG;

	adv_code_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!adv_code_page)
		return -ENOMEM;
	adv_code = adv_slot_map(ADV_CODE_SLOT, page_to_phys(adv_code_page),
				ADV_READ_ONLY | ADV_EXECUTABLE);

	return 0;
}

void adv_call_exit(void)
{
	adv_slot_unmap(ADV_CODE_SLOT);
	__free_page(adv_code_page);
}
