// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMIO guard: a protected guest says where it has devices.
 *
 * The host acts as the guest's devices: it completes accesses where the guest
 * has no memory. As memory is donated lazily, and memory slots are the host's,
 * it could do so for an access to what the guest believes to be its RAM, and
 * see the data or make it up. A guest that is enrolled has named its devices:
 * an access elsewhere is never completed by the host. All that the host hears
 * of it is the page, as it has to, to donate memory; or it asks for an external
 * abort (see pvm_vcpu.c).
 *
 * The attacker is the host, which may also run other vCPUs of the guest in the
 * meantime, and the guest itself, whose arguments are anything. That a page is
 * MMIO is an annotation in the guest's stage-2, under the lock and with the
 * checks of every other page state there: mem_protect.c.
 */

#include <kvm/arm_hypercalls.h>

#include <linux/kvm_host.h>

#include <asm/kvm_emulate.h>

#include <nvhe/mem_protect.h>
#include <nvhe/memory.h>
#include <nvhe/pkvm.h>
#include <nvhe/pvm_vcpu.h>

/**
 * pvm_mmio_guard_call() - Serve a call of MMIO guard of a protected guest
 * @hyp_vcpu:	the vCPU, stopped at the HVC
 * @fn:		the function
 * @ret:	the return values for the guest's x0 and x1, which are
 *		INVALID_PARAMETER and 0 when it is called
 *
 * A range is served from its first page on, as far as one call goes, and x1
 * says how far that is. Nothing has changed on an error.
 *
 * Return: whether the vCPU goes on at once. If it does not, the host is asked
 * for page tables, and the guest will make the call again.
 */
bool pvm_mmio_guard_call(struct pkvm_hyp_vcpu *hyp_vcpu, u32 fn, u64 *ret)
{
	struct kvm_vcpu *vcpu = &hyp_vcpu->vcpu;
	u64 arg1 = smccc_get_arg1(vcpu), arg2 = smccc_get_arg2(vcpu), arg3 = smccc_get_arg3(vcpu);
	bool is_range = false;
	u64 nr_pages = 1;
	int done;

	switch (fn) {
	case ARM_SMCCC_VENDOR_HYP_KVM_MMIO_GUARD_INFO_FUNC_ID:
		if (!arg1 && !arg2 && !arg3)
			ret[0] = PAGE_SIZE;
		return true;
	case ARM_SMCCC_VENDOR_HYP_KVM_MMIO_GUARD_ENROLL_FUNC_ID:
		__pkvm_guest_enroll(pkvm_hyp_vcpu_to_hyp_vm(hyp_vcpu));
		ret[0] = SMCCC_RET_SUCCESS;
		return true;
	case ARM_SMCCC_VENDOR_HYP_KVM_MMIO_RGUARD_MAP_FUNC_ID:
	case ARM_SMCCC_VENDOR_HYP_KVM_MMIO_RGUARD_UNMAP_FUNC_ID:
		is_range = true;
		nr_pages = arg2;
		arg2 = 0;
		break;
	}

	if (!PAGE_ALIGNED(arg1) || arg2 || arg3)
		return true;

	switch (fn) {
	case ARM_SMCCC_VENDOR_HYP_KVM_MMIO_GUARD_FUNC_ID:
	case ARM_SMCCC_VENDOR_HYP_KVM_MMIO_RGUARD_MAP_FUNC_ID:
		done = __pkvm_guest_guard_mmio(hyp_vcpu, hyp_phys_to_pfn(arg1), nr_pages);
		break;
	default:
		done = __pkvm_guest_unguard_mmio(hyp_vcpu, hyp_phys_to_pfn(arg1), nr_pages);
	}

	if (done == -ENOMEM)
		return pvm_vcpu_retry_with_memcache(hyp_vcpu);

	if (done > 0) {
		ret[0] = SMCCC_RET_SUCCESS;
		if (is_range)
			ret[1] = done;
	}

	return true;
}
