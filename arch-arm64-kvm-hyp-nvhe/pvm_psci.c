// SPDX-License-Identifier: GPL-2.0-only
/*
 * PSCI (Arm DEN0022) for protected guests.
 *
 * Where a CPU starts, and that it starts once, decides what code runs in the
 * guest. So EL2 keeps the state of each vCPU and the entry point of each
 * CPU_ON; the host is told which vCPU it may schedule now, and no vCPU runs,
 * however often the host tries, that the guest has not turned on. The host may
 * leave a vCPU that is on unscheduled: availability is not promised.
 */

#include <kvm/arm_hypercalls.h>

#include <linux/kvm_host.h>

#include <asm/kvm_emulate.h>
#include <asm/kvm_hyp.h>

#include <nvhe/pkvm.h>
#include <nvhe/pvm_vcpu.h>

#include <uapi/linux/psci.h>

/* The vCPU at @idx, or NULL if the host has not made it. */
static struct pkvm_hyp_vcpu *pvm_vcpu_at(struct pkvm_hyp_vm *hyp_vm, unsigned int idx)
{
	/* Pairs with smp_store_release() in register_hyp_vcpu(). */
	return smp_load_acquire(&hyp_vm->vcpus[idx]);
}

static struct pkvm_hyp_vcpu *pvm_find_vcpu(struct pkvm_hyp_vm *hyp_vm, u64 mpidr)
{
	unsigned int i;

	for (i = 0; i < hyp_vm->kvm.created_vcpus; i++) {
		struct pkvm_hyp_vcpu *hyp_vcpu = pvm_vcpu_at(hyp_vm, i);

		if (hyp_vcpu && pvm_vcpu_mpidr(hyp_vcpu) == mpidr)
			return hyp_vcpu;
	}

	return NULL;
}

/**
 * pvm_psci_init_vcpu() - Decide whether a new vCPU of a protected VM is on
 * @hyp_vm:	its VM
 * @hyp_vcpu:	the vCPU, not yet in hyp_vm->vcpus[]
 *
 * One vCPU is on from the start: the first one made that the host does not
 * hold to be stopped. Its PC and x0 are the host's to choose.
 * Called with vm_table_lock held, which orders it against other new vCPUs.
 *
 * Return: 0, or -EINVAL if the VM has a vCPU with this MPIDR, or has one to boot on.
 */
int pvm_psci_init_vcpu(struct pkvm_hyp_vm *hyp_vm, struct pkvm_hyp_vcpu *hyp_vcpu)
{
	const struct kvm_vcpu *host_vcpu = hyp_vcpu->host_vcpu;
	bool boot = READ_ONCE(host_vcpu->arch.mp_state.mp_state) != KVM_MP_STATE_STOPPED;

	hyp_assert_lock_held(&vm_table_lock);

	if (boot && hyp_vm->has_boot_vcpu)
		return -EINVAL;

	if (boot)
		pvm_vcpu_reset(hyp_vcpu, READ_ONCE(host_vcpu->arch.ctxt.regs.pc),
			       READ_ONCE(host_vcpu->arch.ctxt.regs.regs[0]), 0);
	else
		pvm_vcpu_reset(hyp_vcpu, 0, 0, 0);

	if (pvm_find_vcpu(hyp_vm, pvm_vcpu_mpidr(hyp_vcpu)))
		return -EINVAL;

	hyp_vcpu->power_state = boot ? PVM_POWER_ON : PVM_POWER_OFF;

	return 0;
}

/**
 * pvm_psci_enter() - May the host run this vCPU?
 * @hyp_vcpu:	a protected vCPU, loaded on this CPU
 * @exit_code:	if not, what __kvm_vcpu_run() is to return: see pvm_vcpu_flush()
 *
 * A vCPU that was turned on starts here, at the entry point of its CPU_ON.
 *
 * Return: whether it may
 */
bool pvm_psci_enter(struct pkvm_hyp_vcpu *hyp_vcpu, int *exit_code)
{
	struct pkvm_hyp_vm *hyp_vm = pkvm_hyp_vcpu_to_hyp_vm(hyp_vcpu);
	bool ret = false;

	hyp_spin_lock(&hyp_vm->power_lock);

	/* The vCPU that said so may not have got to the host yet. */
	if (hyp_vm->is_halted) {
		*exit_code = ARM_EXCEPTION_IRQ;
		goto unlock;
	}

	switch (hyp_vcpu->power_state) {
	case PVM_POWER_ON_PENDING:
		pvm_vcpu_reset(hyp_vcpu, hyp_vcpu->entry_pc, hyp_vcpu->entry_x0,
			       hyp_vcpu->entry_ee);
		hyp_vcpu->power_state = PVM_POWER_ON;
		ret = true;
		break;
	case PVM_POWER_ON:
		ret = true;
		break;
	default:
		*exit_code = ARM_EXCEPTION_IL;
	}
unlock:
	hyp_spin_unlock(&hyp_vm->power_lock);

	return ret;
}

static void pvm_set_power_state(struct pkvm_hyp_vcpu *hyp_vcpu, enum pvm_power_state state)
{
	struct pkvm_hyp_vm *hyp_vm = pkvm_hyp_vcpu_to_hyp_vm(hyp_vcpu);

	hyp_spin_lock(&hyp_vm->power_lock);
	hyp_vcpu->power_state = state;
	hyp_spin_unlock(&hyp_vm->power_lock);
}

/**
 * pvm_psci_kill() - A protected vCPU never runs again
 * @hyp_vcpu:	the vCPU, loaded on this CPU and not in the guest
 */
void pvm_psci_kill(struct pkvm_hyp_vcpu *hyp_vcpu)
{
	pvm_set_power_state(hyp_vcpu, PVM_POWER_DEAD);
}

/* The host finds these in the vCPU's x0 and x1 (kvm_psci_protected_call()). */
static bool pvm_psci_exit(struct pkvm_hyp_vcpu *hyp_vcpu, u32 fn, u64 arg)
{
	hyp_vcpu->exit_args[0] = fn;
	hyp_vcpu->exit_args[1] = arg;

	return false;
}

static s64 pvm_psci_cpu_on(struct pkvm_hyp_vm *hyp_vm, u64 mpidr, u64 pc, u64 x0,
			   unsigned int *idx)
{
	struct pkvm_hyp_vcpu *target;
	s64 ret;

	if (mpidr & ~MPIDR_HWID_BITMASK)
		return PSCI_RET_INVALID_PARAMS;

	target = pvm_find_vcpu(hyp_vm, mpidr);
	if (!target)
		return PSCI_RET_INVALID_PARAMS;

	if (!IS_ALIGNED(pc, 4) || pc >> hyp_vm->pgt.ia_bits)
		return PSCI_RET_INVALID_ADDRESS;

	*idx = target->vcpu.vcpu_idx;

	hyp_spin_lock(&hyp_vm->power_lock);
	switch (target->power_state) {
	case PVM_POWER_OFF:
		target->entry_pc = pc;
		target->entry_x0 = x0;
		target->entry_ee = read_sysreg_el1(SYS_SCTLR) & SCTLR_ELx_EE;
		target->power_state = PVM_POWER_ON_PENDING;
		ret = PSCI_RET_SUCCESS;
		break;
	case PVM_POWER_ON_PENDING:
		ret = PSCI_RET_ON_PENDING;
		break;
	case PVM_POWER_ON:
		ret = PSCI_RET_ALREADY_ON;
		break;
	default:
		ret = PSCI_RET_INTERNAL_FAILURE;
	}
	hyp_spin_unlock(&hyp_vm->power_lock);

	return ret;
}

static s64 pvm_psci_affinity_info(struct pkvm_hyp_vm *hyp_vm, u64 affinity, u32 level)
{
	s64 ret = PSCI_RET_INVALID_PARAMS;
	unsigned int i;
	u64 mask;

	if (affinity & ~MPIDR_HWID_BITMASK || level > 3)
		return ret;

	/* The levels below @level are ignored. */
	mask = MPIDR_HWID_BITMASK;
	for (i = 0; i < level; i++)
		mask &= ~((u64)MPIDR_LEVEL_MASK << MPIDR_LEVEL_SHIFT(i));

	hyp_spin_lock(&hyp_vm->power_lock);
	for (i = 0; i < hyp_vm->kvm.created_vcpus; i++) {
		struct pkvm_hyp_vcpu *hyp_vcpu = pvm_vcpu_at(hyp_vm, i);

		if (!hyp_vcpu || (pvm_vcpu_mpidr(hyp_vcpu) ^ affinity) & mask)
			continue;

		if (hyp_vcpu->power_state == PVM_POWER_ON) {
			ret = PSCI_0_2_AFFINITY_LEVEL_ON;
			break;
		}
		if (hyp_vcpu->power_state == PVM_POWER_ON_PENDING)
			ret = PSCI_0_2_AFFINITY_LEVEL_ON_PENDING;
		else if (ret == PSCI_RET_INVALID_PARAMS)
			ret = PSCI_0_2_AFFINITY_LEVEL_OFF;
	}
	hyp_spin_unlock(&hyp_vm->power_lock);

	return ret;
}

static s64 pvm_psci_features(u32 fn)
{
	switch (fn) {
	case PSCI_0_2_FN_PSCI_VERSION:
	case PSCI_0_2_FN_CPU_SUSPEND:
	case PSCI_0_2_FN64_CPU_SUSPEND:
	case PSCI_0_2_FN_CPU_OFF:
	case PSCI_0_2_FN_CPU_ON:
	case PSCI_0_2_FN64_CPU_ON:
	case PSCI_0_2_FN_AFFINITY_INFO:
	case PSCI_0_2_FN64_AFFINITY_INFO:
	case PSCI_0_2_FN_MIGRATE_INFO_TYPE:
	case PSCI_0_2_FN_SYSTEM_OFF:
	case PSCI_0_2_FN_SYSTEM_RESET:
	case PSCI_1_0_FN_PSCI_FEATURES:
	case PSCI_1_1_FN_SYSTEM_RESET2:
	case PSCI_1_1_FN64_SYSTEM_RESET2:
	case ARM_SMCCC_VERSION_FUNC_ID:
		return PSCI_RET_SUCCESS;
	}

	return PSCI_RET_NOT_SUPPORTED;
}

/**
 * pvm_psci_call() - Serve a PSCI 1.1 call of a protected guest
 * @hyp_vcpu:	the vCPU, stopped at the HVC
 * @fn:		the function, bits 31:0 of x0
 * @ret:	the return value for the guest's x0
 *
 * Return: whether the vCPU goes on at once. If it does not, the host is told
 * the function and, for CPU_ON, the index of the target.
 */
bool pvm_psci_call(struct pkvm_hyp_vcpu *hyp_vcpu, u32 fn, u64 *ret)
{
	struct pkvm_hyp_vm *hyp_vm = pkvm_hyp_vcpu_to_hyp_vm(hyp_vcpu);
	struct kvm_vcpu *vcpu = &hyp_vcpu->vcpu;
	u64 arg1 = smccc_get_arg1(vcpu), arg2 = smccc_get_arg2(vcpu), arg3 = smccc_get_arg3(vcpu);
	unsigned int idx;

	if (!(fn & PSCI_0_2_64BIT)) {
		arg1 = lower_32_bits(arg1);
		arg2 = lower_32_bits(arg2);
		arg3 = lower_32_bits(arg3);
	}

	switch (fn) {
	case PSCI_0_2_FN_PSCI_VERSION:
		*ret = PSCI_VERSION(1, 1);
		return true;
	case PSCI_1_0_FN_PSCI_FEATURES:
		*ret = pvm_psci_features(arg1);
		return true;
	case PSCI_0_2_FN_MIGRATE_INFO_TYPE:
		*ret = PSCI_0_2_TOS_MP;
		return true;
	case PSCI_0_2_FN_AFFINITY_INFO:
	case PSCI_0_2_FN64_AFFINITY_INFO:
		*ret = pvm_psci_affinity_info(hyp_vm, arg1, lower_32_bits(arg2));
		return true;
	case PSCI_0_2_FN_CPU_ON:
	case PSCI_0_2_FN64_CPU_ON:
		*ret = pvm_psci_cpu_on(hyp_vm, arg1, arg2, arg3, &idx);
		if (*ret != PSCI_RET_SUCCESS)
			return true;
		return pvm_psci_exit(hyp_vcpu, PSCI_0_2_FN64_CPU_ON, idx);
	case PSCI_0_2_FN_CPU_OFF:
		pvm_set_power_state(hyp_vcpu, PVM_POWER_OFF);
		return pvm_psci_exit(hyp_vcpu, fn, 0);
	case PSCI_0_2_FN_CPU_SUSPEND:
	case PSCI_0_2_FN64_CPU_SUSPEND:
		/* A standby state, whatever was asked: the context is kept. */
		*ret = PSCI_RET_SUCCESS;
		return pvm_psci_exit(hyp_vcpu, PSCI_0_2_FN64_CPU_SUSPEND, 0);
	case PSCI_1_1_FN_SYSTEM_RESET2:
	case PSCI_1_1_FN64_SYSTEM_RESET2:
		/* None of the vendor's types, of which nobody would be told. */
		if (lower_32_bits(arg1) != PSCI_1_1_RESET_TYPE_SYSTEM_WARM_RESET) {
			*ret = PSCI_RET_INVALID_PARAMS;
			return true;
		}
		fn = PSCI_1_1_FN64_SYSTEM_RESET2;
		fallthrough;
	case PSCI_0_2_FN_SYSTEM_OFF:
	case PSCI_0_2_FN_SYSTEM_RESET:
		hyp_spin_lock(&hyp_vm->power_lock);
		hyp_vm->is_halted = true;
		hyp_spin_unlock(&hyp_vm->power_lock);
		return pvm_psci_exit(hyp_vcpu, fn, 0);
	}

	*ret = PSCI_RET_NOT_SUPPORTED;

	return true;
}
