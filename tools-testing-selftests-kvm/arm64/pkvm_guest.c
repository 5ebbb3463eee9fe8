// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_guest - A protected guest works: it starts, takes arguments, talks to
 * the VMM by shared memory and by MMIO, handles exceptions and interrupts, and
 * turns its other vCPUs on.  The same guest runs in a non-protected VM as the
 * control.
 */
#include <pthread.h>

#include "arch_timer.h"
#include "delay.h"
#include "gic.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"
#include "ucall_common.h"
#include "vgic.h"

#include "kselftest_harness.h"

#define NR_VCPUS	3
#define VTIMER_INTID	27
#define TEST_SPI	40

FIXTURE(pkvm_guest) {
};

FIXTURE_VARIANT(pkvm_guest) {
	bool protected;
};

FIXTURE_VARIANT_ADD(pkvm_guest, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(pkvm_guest, non_protected) {
	.protected = false,
};

FIXTURE_SETUP(pkvm_guest)
{
	TEST_REQUIRE_PKVM();
}

FIXTURE_TEARDOWN(pkvm_guest)
{
}

#define shape_of(variant) ((variant)->protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT)

/* Values that show which half of the register file was lost */
#define ARG(n)	(0x1111111111111111ul * (n))

static void guest_args(u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5, u64 a6, u64 a7)
{
	GUEST_ASSERT_EQ(a0, ARG(1));
	GUEST_ASSERT_EQ(a1, ARG(2));
	GUEST_ASSERT_EQ(a2, ARG(3));
	GUEST_ASSERT_EQ(a3, ARG(4));
	GUEST_ASSERT_EQ(a4, ARG(5));
	GUEST_ASSERT_EQ(a5, ARG(6));
	GUEST_ASSERT_EQ(a6, ARG(7));
	GUEST_ASSERT_EQ(a7, ARG(8));
	GUEST_SYNC3(a0 + 1, a3 + 1, a7 + 1);
	GUEST_DONE();
}

TEST_F(pkvm_guest, guest_gets_its_arguments_and_answers_by_shared_memory)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	vm = vm_create_shape_with_one_vcpu(shape_of(variant), &vcpu, guest_args);
	vcpu_args_set(vcpu, 8, ARG(1), ARG(2), ARG(3), ARG(4),
		      ARG(5), ARG(6), ARG(7), ARG(8));

	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	TEST_ASSERT_EQ(uc.args[0], ARG(1) + 1);
	TEST_ASSERT_EQ(uc.args[1], ARG(4) + 1);
	TEST_ASSERT_EQ(uc.args[2], ARG(8) + 1);
	vcpu_run_until(vcpu, UCALL_DONE, &uc);

	kvm_vm_free(vm);
}

static void guest_mmio_channel(void)
{
	GUEST_MMIO_SYNC2(ARG(3), ARG(4));
	GUEST_MMIO_DONE();
}

TEST_F(pkvm_guest, guest_answers_by_mmio_alone)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	vm = vm_create_shape_with_one_vcpu(shape_of(variant), &vcpu, guest_mmio_channel);

	TEST_ASSERT_EQ(vcpu_run_mmio_ucall(vcpu, &uc), UCALL_SYNC);
	TEST_ASSERT_EQ(uc.args[0], ARG(3));
	TEST_ASSERT_EQ(uc.args[1], ARG(4));
	TEST_ASSERT_EQ(vcpu_run_mmio_ucall(vcpu, &uc), UCALL_DONE);

	kvm_vm_free(vm);
}

#define MMIO_GPA	0x10000000ul
#define MMIO_GVA	MMIO_GPA

static void guest_mmio_reads(void)
{
	GUEST_ASSERT_EQ(READ_ONCE(*(u8 *)MMIO_GVA), 0x88);
	GUEST_ASSERT_EQ(READ_ONCE(*(u16 *)(MMIO_GVA + 8)), 0x7788);
	GUEST_ASSERT_EQ(READ_ONCE(*(u32 *)(MMIO_GVA + 16)), 0x55667788);
	GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)(MMIO_GVA + 24)), 0x1122334455667788ul);
	GUEST_DONE();
}

TEST_F(pkvm_guest, guest_reads_mmio_of_each_width)
{
	static const u64 val = 0x1122334455667788ul;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	int i;

	vm = vm_create_shape_with_one_vcpu(shape_of(variant), &vcpu, guest_mmio_reads);
	virt_map(vm, MMIO_GVA, MMIO_GPA, 1);

	for (i = 0; i < 4; i++) {
		vcpu_run(vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(vcpu->run->mmio.phys_addr, MMIO_GPA + 8 * i);
		TEST_ASSERT_EQ(vcpu->run->mmio.len, 1 << i);
		TEST_ASSERT(!vcpu->run->mmio.is_write, "Expected a read");
		memcpy(vcpu->run->mmio.data, &val, sizeof(val));
	}
	vcpu_run_until(vcpu, UCALL_DONE, &uc);

	kvm_vm_free(vm);
}

static u64 nr_exceptions;

static void guest_svc_handler(struct ex_regs *regs)
{
	WRITE_ONCE(nr_exceptions, nr_exceptions + 1);
}

static void guest_exceptions(void)
{
	asm volatile("svc #0");
	GUEST_ASSERT_EQ(READ_ONCE(nr_exceptions), 1);
	asm volatile("svc #0");
	GUEST_ASSERT_EQ(READ_ONCE(nr_exceptions), 2);
	GUEST_DONE();
}

TEST_F(pkvm_guest, guest_handles_its_exceptions)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	vm = vm_create_shape_with_one_vcpu(shape_of(variant), &vcpu, guest_exceptions);
	vm_init_descriptor_tables(vm);
	vcpu_init_descriptor_tables(vcpu);
	vm_install_sync_handler(vm, VECTOR_SYNC_CURRENT, ESR_ELx_EC_SVC64, guest_svc_handler);

	vcpu_run_until(vcpu, UCALL_DONE, &uc);
	kvm_vm_free(vm);
}

static u64 irqs_seen[2];

static void guest_irq_handler(struct ex_regs *regs)
{
	unsigned int intid = gic_get_and_ack_irq();

	if (intid == IAR_SPURIOUS)
		return;

	if (intid == VTIMER_INTID) {
		timer_set_ctl(VIRTUAL, CTL_IMASK);
		WRITE_ONCE(irqs_seen[0], irqs_seen[0] + 1);
	} else if (intid == TEST_SPI) {
		WRITE_ONCE(irqs_seen[1], irqs_seen[1] + 1);
	}
	gic_set_eoi(intid);
}

/* An interrupt between the look at @seen and WFI must not be slept through. */
static void guest_wait_for_irq(u64 *seen)
{
	local_irq_disable();
	while (!READ_ONCE(*seen)) {
		wfi();
		local_irq_enable();
		isb();
		local_irq_disable();
	}
	local_irq_enable();
}

static void guest_interrupts(void)
{
	gic_init(GIC_V3, 1);
	gic_irq_enable(VTIMER_INTID);
	gic_irq_enable(TEST_SPI);
	gic_irq_set_config(TEST_SPI, true);
	local_irq_enable();

	timer_set_next_cval_ms(VIRTUAL, 1);
	timer_set_ctl(VIRTUAL, CTL_ENABLE);
	guest_wait_for_irq(&irqs_seen[0]);

	/* Ask for the SPI; it is pending when the VMM lets us run again. */
	GUEST_SYNC(0);
	guest_wait_for_irq(&irqs_seen[1]);

	GUEST_ASSERT_EQ(READ_ONCE(irqs_seen[0]), 1);
	GUEST_ASSERT_EQ(READ_ONCE(irqs_seen[1]), 1);
	GUEST_DONE();
}

TEST_F(pkvm_guest, guest_takes_timer_and_device_interrupts)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	TEST_REQUIRE(kvm_supports_vgic_v3());

	vm = vm_create_shape_with_one_vcpu(shape_of(variant), &vcpu, guest_interrupts);
	vm_init_descriptor_tables(vm);
	vcpu_init_descriptor_tables(vcpu);
	vm_install_exception_handler(vm, VECTOR_IRQ_CURRENT, guest_irq_handler);

	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	kvm_arm_irq_line(vm, TEST_SPI, 1);
	kvm_arm_irq_line(vm, TEST_SPI, 0);
	vcpu_run_until(vcpu, UCALL_DONE, &uc);

	kvm_vm_free(vm);
}

static u64 vcpus_up;

static void guest_vcpu(u64 cookie)
{
	GUEST_ASSERT_EQ(cookie, ARG(guest_get_vcpuid() + 1));

	__atomic_fetch_add(&vcpus_up, 1, __ATOMIC_SEQ_CST);
	while (READ_ONCE(vcpus_up) != NR_VCPUS)
		cpu_relax();

	GUEST_SYNC(guest_get_vcpuid());
	GUEST_DONE();
}

static void *vcpu_thread(void *arg)
{
	struct kvm_vcpu *vcpu = arg;
	struct ucall uc;

	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	TEST_ASSERT_EQ(uc.args[1], vcpu->id);
	vcpu_run_until(vcpu, UCALL_DONE, &uc);
	return NULL;
}

TEST_F(pkvm_guest, guest_runs_on_several_vcpus)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	pthread_t threads[NR_VCPUS];
	struct kvm_vm *vm;
	int i;

	vm = __vm_create_with_vcpus(shape_of(variant), NR_VCPUS, 0, guest_vcpu, vcpus);
	for (i = 0; i < NR_VCPUS; i++)
		vcpu_args_set(vcpus[i], 1, ARG(i + 1));

	/* The boot vCPU last: the others wait for it when they are protected. */
	for (i = NR_VCPUS - 1; i >= 0; i--)
		pthread_create(&threads[i], NULL, vcpu_thread, vcpus[i]);
	for (i = 0; i < NR_VCPUS; i++)
		pthread_join(threads[i], NULL);

	kvm_vm_free(vm);
}

TEST_HARNESS_MAIN
