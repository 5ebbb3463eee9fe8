// SPDX-License-Identifier: GPL-2.0-only
/*
 * What passes between a protected vCPU and the host.
 *
 * The attacker is the host: it runs the vCPU whenever it likes, may write any
 * field of its own struct kvm_vcpu at any time, and reads all of it. EL2's
 * copy of the context is therefore the only one that counts. Nothing in it is
 * copied from or to the host as a whole; an exit tells the host what it needs
 * to serve that exit, in the host vCPU's fault information and in its x0, and
 * the next entry takes back the answer to that exit and nothing else:
 *
 *   exit                   to the host                      from the host
 *   ---------------------  -------------------------------  ----------------------
 *   MMIO (a data abort     page, offset, width, direction,  x0 of a read, of that
 *   with syndrome, where   a write's data in x0             width; or an abort
 *   the guest says so, or
 *   there is no memory)
 *   other abort            page, kind of access             an abort
 *   WFI, WFE               which, a deadline in x0          nothing
 *   PSCI                   function, target of CPU_ON       nothing
 *   MMIO guard that needs  that it does                     pages for the vCPU's
 *   page tables                                             memcache
 *   write of a register    register, its value in x0        nothing
 *   (see sys_regs.c)
 *   SError                 its syndrome                     a virtual SError
 *   interrupt              nothing                          nothing
 *
 * Which general-purpose register an access names stays at EL2: the syndrome
 * always says x0. What is not in the table does not reach the host: the guest
 * gets an UNDEFINED exception (pvm_exit_handlers[]).
 *
 * At each exit, the host also gets the virtual timer's registers, to wake the
 * vCPU; ICH_VMCR_EL2, to know what would wake it; and the active priorities
 * when the vCPU is put. Of these nothing comes back. Interrupts are the host's
 * to deliver: the list registers pass in both directions, and ICH_HCR_EL2
 * from the host, bounded (flush_hyp_vgic_state()). Of the trap controls, TWI
 * and TWE are the host's.
 */

#include <hyp/adjust_pc.h>

#include <linux/kvm_host.h>
#include <linux/swab.h>

#include <asm/kvm_emulate.h>
#include <asm/kvm_hyp.h>
#include <asm/stage2_pgtable.h>

#include <nvhe/mem_protect.h>
#include <nvhe/pkvm.h>
#include <nvhe/pvm_vcpu.h>

#define PVM_ESR_COMMON		(ESR_ELx_EC_MASK | ESR_ELx_IL)
#define PVM_ESR_ABORT		(PVM_ESR_COMMON | ESR_ELx_FnV | ESR_ELx_S1PTW | ESR_ELx_FSC)
#define PVM_ESR_DABT		(PVM_ESR_ABORT | ESR_ELx_CM | ESR_ELx_WNR)
#define PVM_ESR_DABT_ISV	(PVM_ESR_DABT | ESR_ELx_ISV | ESR_ELx_SAS | ESR_ELx_SSE | \
				 ESR_ELx_SF)
#define PVM_ESR_SERROR		(PVM_ESR_COMMON | ESR_ELx_IDS | DISR_EL1_ESR_MASK)
#define PVM_ESR_WFX		(PVM_ESR_COMMON | ESR_ELx_WFx_ISS_RV | ESR_ELx_WFx_ISS_TI)
#define PVM_ESR_SYS64		(PVM_ESR_COMMON | ESR_ELx_SYS64_ISS_SYS_OP_MASK)

#define PVM_SCTLR_EL1_RESET	(SCTLR_EL1_SPAN | SCTLR_EL1_EIS | SCTLR_EL1_nTWE |	\
				 SCTLR_EL1_nTWI | SCTLR_EL1_nAA | SCTLR_EL1_CP15BEN |	\
				 SCTLR_EL1_SA0 | SCTLR_EL1_SA)

/* The host's say in how its vCPU goes on: see kvm_pend_exception(), kvm_incr_pc(). */
#define PVM_HOST_IFLAGS		(unpack_vcpu_flag(PENDING_EXCEPTION) | \
				 unpack_vcpu_flag(INCREMENT_PC) | \
				 unpack_vcpu_flag(EXCEPT_MASK))

/* The affinity of a vCPU, as the host's reset_mpidr() has it: its vGIC goes by that. */
u64 pvm_vcpu_mpidr(const struct pkvm_hyp_vcpu *hyp_vcpu)
{
	u64 id = hyp_vcpu->vcpu.vcpu_id;

	return (id & 0xf) |
	       ((id >> 4) & 0xff) << MPIDR_LEVEL_SHIFT(1) |
	       ((id >> 12) & 0xff) << MPIDR_LEVEL_SHIFT(2);
}

/**
 * pvm_vcpu_reset() - Give a protected vCPU the state of a CPU that comes out of reset
 * @hyp_vcpu:	the vCPU; not running, as its VM's power_lock or vm_table_lock makes sure
 * @pc:		IPA of the first instruction
 * @x0:		the argument of whoever turns it on
 * @ee:		SCTLR_EL1.EE of whoever turns it on, in its place
 *
 * As DEN0022 (PSCI), "CPU_ON", wants it: EL1h, interrupts masked, MMU and
 * caches off, the caller's endianness. Registers that the architecture leaves
 * UNKNOWN are zero.
 */
void pvm_vcpu_reset(struct pkvm_hyp_vcpu *hyp_vcpu, u64 pc, u64 x0, u64 ee)
{
	struct kvm_cpu_context *ctxt = &hyp_vcpu->vcpu.arch.ctxt;

	memset(ctxt, 0, sizeof(*ctxt));

	ctxt_sys_reg(ctxt, MPIDR_EL1) = BIT(31) | pvm_vcpu_mpidr(hyp_vcpu);
	ctxt_sys_reg(ctxt, SCTLR_EL1) = PVM_SCTLR_EL1_RESET | ee;

	ctxt->regs.pstate = PSR_MODE_EL1h | PSR_D_BIT | PSR_A_BIT | PSR_I_BIT | PSR_F_BIT;
	ctxt->regs.pc = pc;
	ctxt->regs.regs[0] = x0;

	hyp_vcpu->vcpu.arch.iflags = 0;
	hyp_vcpu->expects = PVM_EXPECTS_NOTHING;
}

/*
 * The virtual timer's registers are the CPU's own while a vCPU is loaded, and
 * the host reads them there to know when to wake the vCPU. It can write them
 * as well, so what the guest left in them is put back before it runs. The
 * offset is the same for all protected vCPUs, at all times: none.
 */
static void pvm_timer_restore(struct kvm_cpu_context *ctxt)
{
	write_sysreg(0, cntvoff_el2);
	write_sysreg_el0(0, SYS_CNTV_CTL);
	write_sysreg_el0(ctxt_sys_reg(ctxt, CNTV_CVAL_EL0), SYS_CNTV_CVAL);
	isb();
	write_sysreg_el0(ctxt_sys_reg(ctxt, CNTV_CTL_EL0), SYS_CNTV_CTL);
}

static void pvm_timer_save(struct kvm_cpu_context *ctxt)
{
	ctxt_sys_reg(ctxt, CNTV_CTL_EL0) = read_sysreg_el0(SYS_CNTV_CTL) & ~ARCH_TIMER_CTRL_IT_STAT;
	ctxt_sys_reg(ctxt, CNTV_CVAL_EL0) = read_sysreg_el0(SYS_CNTV_CVAL);
}

/*
 * The counters are the host's. It is not to count what the guest does, nor to
 * be interrupted when it has done so many instructions.
 */
static void pvm_pmu_stop(struct pkvm_hyp_vcpu *hyp_vcpu)
{
	if (!system_supports_pmuv3())
		return;

	hyp_vcpu->host_pmcnten = read_sysreg(pmcntenset_el0);
	write_sysreg(hyp_vcpu->host_pmcnten, pmcntenclr_el0);
}

static void pvm_pmu_resume(struct pkvm_hyp_vcpu *hyp_vcpu)
{
	if (system_supports_pmuv3())
		write_sysreg(hyp_vcpu->host_pmcnten, pmcntenset_el0);
}

static u64 swab_access(u64 data, unsigned int len)
{
	return swab64(data) >> (64 - 8 * len);
}

/* Data accesses of the guest are big-endian, by its context as saved. */
static bool pvm_vcpu_is_be(struct kvm_vcpu *vcpu)
{
	u64 bit = vcpu_mode_priv(vcpu) ? SCTLR_ELx_EE : SCTLR_EL1_E0E;

	return __vcpu_sys_reg(vcpu, SCTLR_EL1) & bit;
}

/* The data of the store that the vCPU was stopped at: no more than it stores. */
static u64 pvm_mmio_write_data(struct kvm_vcpu *vcpu)
{
	unsigned int len = kvm_vcpu_dabt_get_as(vcpu);
	u64 data = vcpu_get_reg(vcpu, kvm_vcpu_dabt_get_rd(vcpu));

	data &= GENMASK_ULL(8 * len - 1, 0);

	return pvm_vcpu_is_be(vcpu) ? swab_access(data, len) : data;
}

static void pvm_mmio_read_done(struct kvm_vcpu *vcpu, u64 data)
{
	unsigned int len = kvm_vcpu_dabt_get_as(vcpu);

	data &= GENMASK_ULL(8 * len - 1, 0);
	if (pvm_vcpu_is_be(vcpu))
		data = swab_access(data, len);
	if (kvm_vcpu_dabt_issext(vcpu))
		data = sign_extend64(data, 8 * len - 1);
	if (!kvm_vcpu_dabt_issf(vcpu))
		data = lower_32_bits(data);

	vcpu_set_reg(vcpu, kvm_vcpu_dabt_get_rd(vcpu), data);
}

/*
 * Does it end in the page of its first byte? The smallest one that there is, as
 * the guest's may be smaller than the hypervisor's.
 */
static bool pvm_abort_is_in_a_page(const struct kvm_vcpu *vcpu)
{
	return (kvm_vcpu_get_hfar(vcpu) & (SZ_4K - 1)) + kvm_vcpu_dabt_get_as(vcpu) <= SZ_4K;
}

/*
 * May the host act as a device for the access that the vCPU was stopped at?
 * Not where the guest has memory, nor where it had some that was reclaimed, nor
 * where an enrolled guest did not say that there is one.
 */
static bool pvm_abort_is_mmio(struct pkvm_hyp_vcpu *hyp_vcpu)
{
	struct kvm_vcpu *vcpu = &hyp_vcpu->vcpu;

	return kvm_vcpu_trap_get_class(vcpu) == ESR_ELx_EC_DABT_LOW &&
	       (kvm_vcpu_dabt_isvalid(vcpu) || kvm_vcpu_dabt_is_cm(vcpu)) &&
	       kvm_vcpu_trap_is_translation_fault(vcpu) &&
	       !kvm_vcpu_abt_iss1tw(vcpu) &&
	       (!kvm_vcpu_dabt_isvalid(vcpu) || pvm_abort_is_in_a_page(vcpu)) &&
	       pkvm_guest_ipa_is_mmio(pkvm_hyp_vcpu_to_hyp_vm(hyp_vcpu),
				      kvm_vcpu_get_fault_ipa(vcpu));
}

/* A synchronous external abort for the access that the vCPU was stopped at. */
static void pvm_inject_abort(struct kvm_vcpu *vcpu)
{
	bool iabt = kvm_vcpu_trap_is_iabt(vcpu);
	u64 esr = ESR_ELx_FSC_EXTABT | (kvm_vcpu_get_esr(vcpu) & (ESR_ELx_IL | ESR_ELx_FnV));
	u64 ec = iabt ? ESR_ELx_EC_IABT_LOW : ESR_ELx_EC_DABT_LOW;

	if (vcpu_mode_priv(vcpu))
		ec = iabt ? ESR_ELx_EC_IABT_CUR : ESR_ELx_EC_DABT_CUR;

	__vcpu_assign_sys_reg(vcpu, ESR_EL1, esr | ec << ESR_ELx_EC_SHIFT);
	__vcpu_assign_sys_reg(vcpu, FAR_EL1, kvm_vcpu_get_hfar(vcpu));
	kvm_pend_exception(vcpu, EXCEPT_AA64_EL1_SYNC);
}

/* The host's answer to the last exit, of which it reads each field once. */
static void pvm_import_answer(struct pkvm_hyp_vcpu *hyp_vcpu, u64 hcr)
{
	struct kvm_vcpu *vcpu = &hyp_vcpu->vcpu, *host_vcpu = hyp_vcpu->host_vcpu;
	u64 iflags = READ_ONCE(host_vcpu->arch.iflags);
	enum pvm_expects expects = hyp_vcpu->expects;

	hyp_vcpu->expects = PVM_EXPECTS_NOTHING;

	if (expects == PVM_EXPECTS_NOTHING)
		return;

	if (expects == PVM_EXPECTS_MEMCACHE) {
		/* If these are too few, the guest's call asks for more. */
		refill_memcache(&vcpu->arch.pkvm_memcache,
				kvm_mmu_cache_min_pages(vcpu->arch.hw_mmu),
				&host_vcpu->arch.pkvm_memcache);
		return;
	}

	if (expects == PVM_EXPECTS_SERROR) {
		/* Of no known cause, as kvm_inject_serror() has it. */
		vcpu->arch.vsesr_el2 = ESR_ELx_ISV;
		vcpu->arch.hcr_el2 |= hcr & HCR_EL2_VSE;
		return;
	}

	/* Which of the two it is depends on the PSTATE that the host believes in. */
	if ((iflags & unpack_vcpu_flag(PENDING_EXCEPTION)) || (hcr & HCR_EL2_VSE)) {
		pvm_inject_abort(vcpu);
		return;
	}

	/*
	 * Memory may have come since, or the guard of the page have gone, by
	 * way of another vCPU. The access was before that: the host could as
	 * well have entered the vCPU with its answer and an interrupt pending,
	 * and then have donated the page, or run the other vCPU.
	 */
	if (expects != PVM_EXPECTS_MMIO || !(iflags & unpack_vcpu_flag(INCREMENT_PC)))
		return;

	/* To be done again: another vCPU has enrolled the guest meanwhile. */
	if (!hyp_vcpu->expects_guarded &&
	    READ_ONCE(pkvm_hyp_vcpu_to_hyp_vm(hyp_vcpu)->is_enrolled))
		return;

	if (kvm_vcpu_dabt_isvalid(vcpu) && !kvm_vcpu_dabt_iswrite(vcpu))
		pvm_mmio_read_done(vcpu, READ_ONCE(host_vcpu->arch.ctxt.regs.regs[0]));
	kvm_incr_pc(vcpu);
}

/**
 * pvm_vcpu_flush() - Prepare a protected vCPU to run
 * @hyp_vcpu:	the vCPU, loaded on this CPU
 * @exit_code:	what __kvm_vcpu_run() is to return if the vCPU may not run:
 *		ARM_EXCEPTION_IRQ if the guest has shut down and the host has
 *		yet to hear of it, ARM_EXCEPTION_IL if the guest did not turn
 *		the vCPU on
 *
 * Return: whether the vCPU may run
 */
bool pvm_vcpu_flush(struct pkvm_hyp_vcpu *hyp_vcpu, int *exit_code)
{
	struct kvm_vcpu *vcpu = &hyp_vcpu->vcpu, *host_vcpu = hyp_vcpu->host_vcpu;
	u64 hcr = READ_ONCE(host_vcpu->arch.hcr_el2);

	if (!pvm_psci_enter(hyp_vcpu, exit_code))
		return false;

	vcpu->arch.hcr_el2 &= ~PKVM_HCR_EL2_HOST_PVM;
	vcpu->arch.hcr_el2 |= hcr & PKVM_HCR_EL2_HOST_PVM;

	/* The number of counters that EL1 has is the CPU's; the rest is fixed. */
	vcpu->arch.mdcr_el2 &= ~MDCR_EL2_HPMN_MASK;
	vcpu->arch.mdcr_el2 |= read_sysreg(mdcr_el2) & MDCR_EL2_HPMN_MASK;

	pvm_import_answer(hyp_vcpu, hcr);
	pvm_timer_restore(&vcpu->arch.ctxt);
	pvm_pmu_stop(hyp_vcpu);

	return true;
}

/**
 * pvm_vcpu_retry_with_memcache() - Have the host refill a vCPU's memcache for a hypercall
 * @hyp_vcpu:	the vCPU, stopped at an HVC that has changed nothing yet
 *
 * The guest makes its call again when the vCPU next runs.
 *
 * Return: false, the vCPU doesn't go on at once.
 */
bool pvm_vcpu_retry_with_memcache(struct pkvm_hyp_vcpu *hyp_vcpu)
{
	write_sysreg(read_sysreg(elr_el2) - 4, elr_el2);

	hyp_vcpu->expects = PVM_EXPECTS_MEMCACHE;
	hyp_vcpu->exit_args[0] = ARM_SMCCC_VENDOR_HYP_KVM_MMIO_GUARD_FUNC_ID;
	hyp_vcpu->exit_args[1] = 0;

	return false;
}

/* What the host learns of a trap. @x0 stays as it is if there is nothing to hand over in it. */
static void pvm_export_trap(struct pkvm_hyp_vcpu *hyp_vcpu, struct kvm_vcpu_fault_info *fault,
			    u64 *x0, u64 *x1)
{
	struct kvm_vcpu *vcpu = &hyp_vcpu->vcpu;
	u64 esr = kvm_vcpu_get_esr(vcpu);

	switch (ESR_ELx_EC(esr)) {
	case ESR_ELx_EC_DABT_LOW:
		hyp_vcpu->expects = PVM_EXPECTS_ABORT;
		/* Before it is looked at: at worst the access is done again. */
		hyp_vcpu->expects_guarded =
			READ_ONCE(pkvm_hyp_vcpu_to_hyp_vm(hyp_vcpu)->is_enrolled);
		fault->hpfar_el2 = vcpu->arch.fault.hpfar_el2;
		fault->esr_el2 = esr & PVM_ESR_DABT;
		if (!pvm_abort_is_mmio(hyp_vcpu)) {
			/* The host would skip cache maintenance, and can't. */
			fault->esr_el2 &= ~ESR_ELx_CM;
			break;
		}
		hyp_vcpu->expects = PVM_EXPECTS_MMIO;
		if (!kvm_vcpu_dabt_isvalid(vcpu))
			break;
		fault->esr_el2 = esr & PVM_ESR_DABT_ISV;
		fault->far_el2 = FAR_TO_FIPA_OFFSET(kvm_vcpu_get_hfar(vcpu));
		if (kvm_vcpu_dabt_iswrite(vcpu))
			*x0 = pvm_mmio_write_data(vcpu);
		break;
	case ESR_ELx_EC_IABT_LOW:
		hyp_vcpu->expects = PVM_EXPECTS_ABORT;
		fault->hpfar_el2 = vcpu->arch.fault.hpfar_el2;
		fault->esr_el2 = esr & PVM_ESR_ABORT;
		break;
	case ESR_ELx_EC_WFx:
		/* Whatever the host does about it, the instruction is done. */
		kvm_incr_pc(vcpu);
		fault->esr_el2 = esr & PVM_ESR_WFX;
		if (esr & ESR_ELx_WFx_ISS_RV)
			*x0 = vcpu_get_reg(vcpu, kvm_vcpu_sys_get_rt(vcpu));
		break;
	case ESR_ELx_EC_SYS64:
		fault->esr_el2 = esr & PVM_ESR_SYS64;
		*x0 = hyp_vcpu->exit_args[0];
		break;
	case ESR_ELx_EC_HVC64:
		fault->esr_el2 = esr & PVM_ESR_COMMON;
		*x0 = hyp_vcpu->exit_args[0];
		*x1 = hyp_vcpu->exit_args[1];
		break;
	}
}

/**
 * pvm_vcpu_sync() - Tell the host why a protected vCPU stopped
 * @hyp_vcpu:	the vCPU, loaded on this CPU
 * @exit_code:	what __kvm_vcpu_run() returned
 */
void pvm_vcpu_sync(struct pkvm_hyp_vcpu *hyp_vcpu, int exit_code)
{
	struct kvm_vcpu *vcpu = &hyp_vcpu->vcpu, *host_vcpu = hyp_vcpu->host_vcpu;
	struct kvm_vcpu_fault_info fault = {};
	struct user_pt_regs *regs = &host_vcpu->arch.ctxt.regs;

	pvm_pmu_resume(hyp_vcpu);
	pvm_timer_save(&vcpu->arch.ctxt);

	/* An SError is of the machine, not of the guest. */
	if (ARM_SERROR_PENDING(exit_code)) {
		hyp_vcpu->expects = PVM_EXPECTS_SERROR;
		fault.disr_el1 = vcpu->arch.fault.disr_el1;
	}

	switch (ARM_EXCEPTION_CODE(exit_code)) {
	case ARM_EXCEPTION_EL1_SERROR:
		hyp_vcpu->expects = PVM_EXPECTS_SERROR;
		fault.esr_el2 = kvm_vcpu_get_esr(vcpu) & PVM_ESR_SERROR;
		break;
	case ARM_EXCEPTION_IL:
		pvm_psci_kill(hyp_vcpu);
		break;
	case ARM_EXCEPTION_TRAP:
		if (!ARM_SERROR_PENDING(exit_code))
			pvm_export_trap(hyp_vcpu, &fault, &regs->regs[0], &regs->regs[1]);
		break;
	}

	host_vcpu->arch.fault = fault;
	host_vcpu->arch.iflags &= ~PVM_HOST_IFLAGS;
	host_vcpu->arch.hcr_el2 &= ~HCR_EL2_VSE;
}
