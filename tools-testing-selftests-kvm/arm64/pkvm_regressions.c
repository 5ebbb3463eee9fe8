// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_regressions - What user space may ask of a protected VM, and what a
 * protected guest may do, harms neither the host kernel nor the guest, and has
 * the documented result.  Each test stands for a bug that there was.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/bitfield.h>
#include <linux/futex.h>
#include <linux/sizes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm_syscalls.h"
#include "kvm_util.h"
#include "gic.h"
#include "pkvm.h"
#include "pkvm_secret.h"
#include "processor.h"
#include "ucall_common.h"
#include "vgic.h"

#include "kselftest_harness.h"

#define SLOT		10

/* As much as an emulated machine may need for what takes milliseconds */
#define PATIENCE_US	(20 * 1000 * 1000)

#define shape_of(variant) ((variant)->protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT)

FIXTURE(pkvm_regressions) {
	unsigned long warnings;
};

FIXTURE_VARIANT(pkvm_regressions) {
	bool protected;
};

FIXTURE_VARIANT_ADD(pkvm_regressions, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(pkvm_regressions, non_protected) {
	.protected = false,
};

FIXTURE_SETUP(pkvm_regressions)
{
	TEST_REQUIRE_PKVM();
	self->warnings = kernel_warnings();
}

FIXTURE_TEARDOWN(pkvm_regressions)
{
	EXPECT_EQ(kernel_warnings(), self->warnings)
		TH_LOG("The host kernel warned, see dmesg");
}

/* Counters */

static void guest_counters(void)
{
	GUEST_SYNC2(read_sysreg(cntvct_el0), read_sysreg(cntpct_el0));
}

TEST_F(pkvm_regressions, only_the_counters_of_a_non_protected_vm_are_moved)
{
	u64 before, after, moved = BIT(60);
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	int i;

	vm = vm_create_shape_with_one_vcpu(shape_of(variant), &vcpu, guest_counters);

	before = read_sysreg(cntvct_el0);
	EXPECT_EQ(__vcpu_set_reg(vcpu, KVM_REG_ARM_TIMER_CNT, moved), 0);
	EXPECT_EQ(__vcpu_set_reg(vcpu, KVM_REG_ARM_PTIMER_CNT, moved), 0);
	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	after = read_sysreg(cntvct_el0);

	for (i = 0; i < 2; i++) {
		if (variant->protected)
			TEST_ASSERT(before <= uc.args[i] && uc.args[i] <= after,
				    "Counter %d: 0x%lx, the host's is 0x%lx", i, uc.args[i], after);
		else
			TEST_ASSERT(moved <= uc.args[i] && uc.args[i] < moved + after,
				    "Counter %d: 0x%lx was not moved", i, uc.args[i]);
	}

	kvm_vm_free(vm);
}

/* vCPU features */

static const struct {
	u32 features;
	int cap;
	bool of_protected;
} vcpu_features[] = {
	{ BIT(KVM_ARM_VCPU_PSCI_0_2), KVM_CAP_ARM_PSCI_0_2, true },
	{ BIT(KVM_ARM_VCPU_PTRAUTH_ADDRESS) | BIT(KVM_ARM_VCPU_PTRAUTH_GENERIC),
	  KVM_CAP_ARM_PTRAUTH_ADDRESS, true },
	{ BIT(KVM_ARM_VCPU_EL1_32BIT), KVM_CAP_ARM_EL1_32BIT },
	{ BIT(KVM_ARM_VCPU_PMU_V3), KVM_CAP_ARM_PMU_V3 },
	{ BIT(KVM_ARM_VCPU_PMU_V3) | BIT(KVM_ARM_VCPU_PMU_V3_STRICT), KVM_CAP_ARM_PMU_V3_STRICT },
	{ BIT(KVM_ARM_VCPU_SVE), KVM_CAP_ARM_SVE },
	{ BIT(KVM_ARM_VCPU_HAS_EL2), KVM_CAP_ARM_EL2 },
};

TEST_F(pkvm_regressions, a_vcpu_has_the_features_that_the_vm_claims)
{
	struct kvm_vcpu_init init, with_feature;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	int i, ret, err;
	bool claimed;

	for (i = 0; i < ARRAY_SIZE(vcpu_features); i++) {
		vm = ____vm_create(shape_of(variant));
		vcpu = __vm_vcpu_add(vm, 0);
		kvm_get_default_vcpu_target(vm, &init);

		claimed = vm_check_cap(vm, vcpu_features[i].cap) > 0;
		if (variant->protected && !vcpu_features[i].of_protected)
			EXPECT_FALSE(claimed);

		with_feature = init;
		with_feature.features[0] |= vcpu_features[i].features;
		ret = __vcpu_ioctl(vcpu, KVM_ARM_VCPU_INIT, &with_feature);
		err = errno;
		EXPECT_TRUE(claimed ? !ret : ret && err == EINVAL)
			TH_LOG("features 0x%x: claimed %d, got %d, errno %d",
			       vcpu_features[i].features, claimed, ret, err);

		/* Once it is refused, any that can be had can be had. */
		if (ret)
			EXPECT_EQ(__vcpu_ioctl(vcpu, KVM_ARM_VCPU_INIT, &init), 0);

		kvm_vm_free(vm);
	}
}

/* AArch32 */

#define ID_AA64PFR0_EL0_AARCH32		2
#define SPSR_AARCH32_EL0		0x1d0	/* A32, all exceptions masked */
#define PTE_EL0_RW			BIT(6)
#define PTE_EL0_RO			(BIT(6) | BIT(7))

/* What runs in AArch32, at EL0: counts at r0, for ever */
static const u32 aarch32_code[] = {
	0xe5901000,	/* 0: ldr	r1, [r0] */
	0xe2811001,	/*    add	r1, r1, #1 */
	0xe5801000,	/*    str	r1, [r0] */
	0xeafffffb,	/*    b		0b */
};

static void guest_goes_aarch32(u64 code, u64 counter, gpa_t counter_ipa)
{
	/* Have both pages in place: it is not to exit for them. */
	GUEST_ASSERT_EQ(pkvm_mem_share(counter_ipa), 0);
	WRITE_ONCE(*(u32 *)counter, 0);
	GUEST_ASSERT_EQ(READ_ONCE(*(u32 *)code), aarch32_code[0]);

	write_sysreg(code, elr_el1);
	write_sysreg(SPSR_AARCH32_EL0, spsr_el1);
	asm volatile("ic	ialluis\n"
		     "dsb	ish\n"
		     "isb\n"
		     "mov	x0, %0\n"
		     "eret" : : "r" (counter) : "x0");
}

static void ignore_signal(int sig)
{
}

/* Errno of KVM_RUN: EINTR if the guest just runs. */
static int run_for_a_second(struct kvm_vcpu *vcpu)
{
	struct sigaction sa = { .sa_handler = ignore_signal };
	int err;

	sigaction(SIGALRM, &sa, NULL);
	alarm(1);
	err = __vcpu_run(vcpu) ? errno : 0;
	alarm(0);

	return err;
}

/*
 * A CPU can't be kept from it.  EL2 sees it at the next interrupt, and that's
 * the end of the vCPU.
 */
TEST(protected_vcpu_that_was_in_aarch32_never_runs_again)
{
	struct kvm_vcpu_init init;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	gva_t code, data;
	u64 pfr0, count;
	u32 *counter;
	int i;

	TEST_REQUIRE_PKVM();

	vm = vm_create_with_one_vcpu(&vcpu, guest_counters);
	pfr0 = vcpu_get_reg(vcpu, KVM_ARM64_SYS_REG(SYS_ID_AA64PFR0_EL1));
	kvm_vm_free(vm);
	if (FIELD_GET(ID_AA64PFR0_EL1_EL0, pfr0) != ID_AA64PFR0_EL0_AARCH32)
		SKIP(return, "the CPU has no AArch32");

	vm = __vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &vcpu, 16, guest_goes_aarch32);
	code = vm_alloc_page(vm);
	data = vm_alloc_page(vm);
	*virt_get_pte_hva(vm, code) |= PTE_EL0_RO;
	*virt_get_pte_hva(vm, data) |= PTE_EL0_RW;
	memcpy(addr_gva2hva(vm, code), aarch32_code, sizeof(aarch32_code));
	counter = addr_gva2hva(vm, data);
	vcpu_args_set(vcpu, 3, code, data, addr_gva2gpa(vm, data));

	EXPECT_EQ(run_for_a_second(vcpu), EINVAL);
	EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_FAIL_ENTRY);

	count = READ_ONCE(*counter);
	EXPECT_GT(count, 0);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(run_for_a_second(vcpu), EINVAL);
		EXPECT_EQ(READ_ONCE(*counter), count);
	}

	/* Nor can the VMM bring it back. */
	init = vcpu->init;
	__vcpu_ioctl(vcpu, KVM_ARM_VCPU_INIT, &init);
	EXPECT_EQ(run_for_a_second(vcpu), EINVAL);
	EXPECT_EQ(READ_ONCE(*counter), count);

	kvm_vm_free(vm);
}

/* Capabilities */

#define DOORBELL_GPA	0x10000000ul

static void guest_rings(void)
{
	WRITE_ONCE(*(u32 *)DOORBELL_GPA, 1);
	GUEST_SYNC(0);
}

TEST_F(pkvm_regressions, vm_claims_what_works)
{
	static const int caps[] = { KVM_CAP_ONE_REG, KVM_CAP_MP_STATE, KVM_CAP_IOEVENTFD,
				    KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_VCPU_ATTRIBUTES };
	struct kvm_ioeventfd doorbell = { .addr = DOORBELL_GPA, .len = 4 };
	struct kvm_mp_state mp_state = { .mp_state = KVM_MP_STATE_STOPPED };
	int i, intid = 25;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	u64 pc, rung;

	vm = __vm_create_shape_with_one_vcpu(shape_of(variant), &vcpu, 16, guest_rings);
	virt_map(vm, DOORBELL_GPA, DOORBELL_GPA, 1);
	for (i = 0; i < ARRAY_SIZE(caps); i++) {
		EXPECT_EQ(vm_check_cap(vm, caps[i]), 1)
			TH_LOG("capability %d", caps[i]);
	}

	pc = vcpu_get_reg(vcpu, ARM64_CORE_REG(regs.pc));
	vcpu_set_reg(vcpu, ARM64_CORE_REG(regs.pc), 0xbadull << 32);
	EXPECT_EQ(vcpu_get_reg(vcpu, ARM64_CORE_REG(regs.pc)), 0xbadull << 32);
	vcpu_set_reg(vcpu, ARM64_CORE_REG(regs.pc), pc);

	vcpu_mp_state_set(vcpu, &mp_state);
	vcpu_mp_state_get(vcpu, &mp_state);
	EXPECT_EQ(mp_state.mp_state, KVM_MP_STATE_STOPPED);
	mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
	vcpu_mp_state_set(vcpu, &mp_state);

	vcpu_device_attr_set(vcpu, KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &intid);
	intid = 0;
	vcpu_device_attr_get(vcpu, KVM_ARM_VCPU_TIMER_CTRL, KVM_ARM_VCPU_TIMER_IRQ_VTIMER, &intid);
	EXPECT_EQ(intid, 25);

	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(__vcpu_run(vcpu), -1);
	EXPECT_EQ(errno, EINTR);
	vcpu->run->immediate_exit = 0;

	/* No exit to user space on the way */
	doorbell.fd = kvm_new_eventfd();
	vm_ioctl(vm, KVM_IOEVENTFD, &doorbell);
	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	EXPECT_EQ(read(doorbell.fd, &rung, sizeof(rung)), sizeof(rung));
	EXPECT_EQ(rung, 1);

	close(doorbell.fd);
	kvm_vm_free(vm);
}

#define TEST_SPI	40
#define TEST_GSI	(TEST_SPI - 32)

static void guest_irq_handler(struct ex_regs *regs)
{
	unsigned int intid = gic_get_and_ack_irq();

	if (intid == IAR_SPURIOUS)
		return;

	GUEST_ASSERT_EQ(intid, TEST_SPI);
	gic_set_eoi(intid);
}

static void guest_irqs(void)
{
	gic_init(GIC_V3, 1);
	gic_irq_enable(TEST_SPI);
	gic_irq_set_config(TEST_SPI, false);
	local_irq_enable();

	for (;;)
		GUEST_SYNC(0);
}

/* A level-triggered interrupt by eventfd, and the guest's EOI as another one */
TEST_F(pkvm_regressions, vm_claims_how_its_interrupt_lines_work)
{
	struct kvm_irq_level line = {
		.irq = KVM_ARM_IRQ_TYPE_PPI << KVM_ARM_IRQ_TYPE_SHIFT | 16,
	};
	struct kvm_irqfd irqfd = { .gsi = TEST_GSI, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	struct pollfd resampled = { .events = POLLIN };
	u64 val = 1;
	int i;

	TEST_REQUIRE(kvm_supports_vgic_v3());

	vm = vm_create_shape_with_one_vcpu(shape_of(variant), &vcpu, guest_irqs);
	vm_init_descriptor_tables(vm);
	vcpu_init_descriptor_tables(vcpu);
	vm_install_exception_handler(vm, VECTOR_IRQ_CURRENT, guest_irq_handler);

	EXPECT_EQ(vm_check_cap(vm, KVM_CAP_IRQFD_RESAMPLE), 1);
	irqfd.fd = kvm_new_eventfd();
	irqfd.resamplefd = kvm_new_eventfd();
	vm_ioctl(vm, KVM_IRQFD, &irqfd);

	resampled.fd = irqfd.resamplefd;

	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	for (i = 0; i < 2; i++) {
		/* Nothing before the interrupt, and once for it */
		EXPECT_EQ(poll(&resampled, 1, 0), 0);
		EXPECT_EQ(write(irqfd.fd, &val, sizeof(val)), sizeof(val));
		while (!poll(&resampled, 1, 0))
			vcpu_run_until(vcpu, UCALL_SYNC, &uc);
		EXPECT_EQ(read(irqfd.resamplefd, &val, sizeof(val)), sizeof(val));
		EXPECT_EQ(val, 1);
	}

	/* There is a vCPU 0, and no vCPU 256. */
	EXPECT_EQ(vm_check_cap(vm, KVM_CAP_ARM_IRQ_LINE_LAYOUT_2), 1);
	EXPECT_EQ(__vm_ioctl(vm, KVM_IRQ_LINE, &line), 0);
	line.irq |= 1 << KVM_ARM_IRQ_VCPU2_SHIFT;
	EXPECT_EQ(__vm_ioctl(vm, KVM_IRQ_LINE, &line), -1);
	EXPECT_EQ(errno, EINVAL);

	close(irqfd.fd);
	close(irqfd.resamplefd);
	kvm_vm_free(vm);
}

/* Virtual SErrors */

static u64 nr_serrors;

static void guest_serror_handler(struct ex_regs *regs)
{
	WRITE_ONCE(nr_serrors, nr_serrors + 1);
}

static void guest_serrors(void)
{
	/* Masked at first: it is the CPU that delivers it, not KVM. */
	GUEST_SYNC1(nr_serrors);
	local_serror_enable();
	isb();

	for (;;)
		GUEST_SYNC1(READ_ONCE(nr_serrors));
}

/* In all modes: a protected VM has no such ioctl, and without pKVM it always worked. */
TEST(virtual_serror_is_taken_once)
{
	struct kvm_vcpu_events events = {};
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	int i;

	vm = vm_create_with_one_vcpu(&vcpu, guest_serrors);
	vm_init_descriptor_tables(vm);
	vcpu_init_descriptor_tables(vcpu);
	vm_install_exception_handler(vm, VECTOR_ERROR_CURRENT, guest_serror_handler);
	vcpu_run_until(vcpu, UCALL_SYNC, &uc);
	ASSERT_EQ(uc.args[0], 0);

	events.exception.serror_pending = 1;
	vcpu_events_set(vcpu, &events);
	vcpu_events_get(vcpu, &events);
	EXPECT_EQ(events.exception.serror_pending, 1);

	for (i = 0; i < 4; i++) {
		vcpu_run_until(vcpu, UCALL_SYNC, &uc);
		EXPECT_EQ(uc.args[0], 1);
		vcpu_events_get(vcpu, &events);
		EXPECT_EQ(events.exception.serror_pending, 0);
	}

	kvm_vm_free(vm);
}

/* Futexes */

struct futex_result {
	int ret;
	int err;
	bool secret_intact;
};

static u32 requeue_from;

static void *wait_requeue_pi(void *word)
{
	syscall(SYS_futex, &requeue_from, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, NULL, word, 0);
	return NULL;
}

static int do_futex(int op, u32 *word)
{
	pthread_t thread;
	u32 other = 0;
	int ret;

	switch (op) {
	case FUTEX_WAKE_OP:
	case FUTEX_WAKE_OP_PRIVATE:
		return syscall(SYS_futex, &other, op, 1, 1, word,
			       FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0));
	case FUTEX_CMP_REQUEUE_PI_PRIVATE:
		pthread_create(&thread, NULL, wait_requeue_pi, word);
		/* 0: nobody waits yet */
		do {
			ret = syscall(SYS_futex, &requeue_from, op, 1, 0, word, 0);
		} while (!ret);
		return ret;
	default:
		return syscall(SYS_futex, word, op, 0, NULL);
	}
}

/* In a process of its own, as the kernel may keep it. */
static void futex_child(bool protected, int op, int result_fd)
{
	struct secret_vm *svm = secret_vm_create(protected, SECRET_ANON);
	struct futex_result result;

	secret_vm_start(svm);
	errno = 0;
	result.ret = do_futex(op, secret_vm_page(svm, SECRET_PAGE));
	result.err = errno;
	result.secret_intact = !secret_vm_check(svm) &&
			       svm->guest_sees[SECRET_PAGE] == secret_vm_secret(svm);
	TEST_ASSERT_EQ(write(result_fd, &result, sizeof(result)), sizeof(result));
	_exit(0);
}

static bool futex_in_child(bool protected, int op, struct futex_result *result)
{
	struct pollfd pfd = { .events = POLLIN };
	int fds[2], ret;
	pid_t pid;

	TEST_ASSERT(!pipe(fds), "pipe() failed");
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed");
	if (!pid)
		futex_child(protected, op, fds[1]);
	close(fds[1]);

	pfd.fd = fds[0];
	ret = poll(&pfd, 1, PATIENCE_US / 1000) == 1 &&
	      read(fds[0], result, sizeof(*result)) == sizeof(*result);
	close(fds[0]);
	kill(pid, SIGKILL);
	/* A child that hangs in the kernel is left behind. */
	if (ret)
		waitpid(pid, NULL, 0);

	return ret;
}

TEST_F_TIMEOUT(pkvm_regressions, futex_operation_that_writes_ends, 240)
{
	static const int ops[] = { FUTEX_WAKE_OP, FUTEX_WAKE_OP_PRIVATE,
				   FUTEX_LOCK_PI, FUTEX_LOCK_PI_PRIVATE,
				   FUTEX_TRYLOCK_PI, FUTEX_TRYLOCK_PI_PRIVATE,
				   FUTEX_UNLOCK_PI, FUTEX_UNLOCK_PI_PRIVATE,
				   FUTEX_CMP_REQUEUE_PI_PRIVATE };
	struct futex_result result;
	int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		ASSERT_TRUE(futex_in_child(variant->protected, ops[i], &result))
			TH_LOG("futex operation %d hangs", ops[i]);

		if (variant->protected) {
			EXPECT_TRUE(result.ret == -1 && result.err == EFAULT)
				TH_LOG("futex operation %d: got %d, errno %d",
				       ops[i], result.ret, result.err);
			EXPECT_TRUE(result.secret_intact);
		} else {
			/* The word is no PI futex, which is for the kernel to find out. */
			EXPECT_NE(result.err, EFAULT);
		}
	}
}

/* IPA size */

#define IPA_BITS	36
#define IPA_LIMIT	BIT(IPA_BITS)
#define NR_PAGES	4

static struct vm_shape small_shape(bool protected)
{
	struct vm_shape shape = protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT;

	shape.mode = VM_MODE_P36V48_4K;
	return shape;
}

TEST_F(pkvm_regressions, memory_ends_at_the_ipa_size)
{
	struct remote_guest guest;
	u64 size, page_size;
	void *mem;

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_ARM_VM_IPA_SIZE) > IPA_BITS && getpagesize() == SZ_4K);

	remote_guest_create(&guest, small_shape(variant->protected));
	page_size = guest.vm->page_size;
	size = NR_PAGES * page_size;
	mem = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	EXPECT_EQ(__vm_set_user_memory_region(guest.vm, SLOT, 0, IPA_LIMIT, size, mem), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(__vm_set_user_memory_region(guest.vm, SLOT, 0, IPA_LIMIT - size + page_size,
					      size, mem), -1);
	EXPECT_EQ(errno, EFAULT);

	/* All of what is below is the guest's. */
	vm_set_user_memory_region(guest.vm, SLOT, 0, IPA_LIMIT - size, size, mem);
	virt_map(guest.vm, IPA_LIMIT - size, IPA_LIMIT - size, NR_PAGES);
	remote_guest_do(&guest, REMOTE_WRITE, IPA_LIMIT - size, NR_PAGES);
	remote_guest_do(&guest, REMOTE_CHECK, IPA_LIMIT - size, NR_PAGES);

	kvm_vm_free(guest.vm);
	kvm_munmap(mem, size);
}

/* Each file of a VM in debugfs can be read to its end; returns how many there are. */
static int read_all_files(const char *dir)
{
	struct dirent *entry;
	char buf[4096];
	int nr = 0, fd;
	DIR *d;

	d = opendir(dir);
	TEST_ASSERT(d, "No directory %s", dir);
	while ((entry = readdir(d))) {
		if (entry->d_type != DT_REG)
			continue;
		fd = openat(dirfd(d), entry->d_name, O_RDONLY);
		if (fd < 0)
			continue;
		while (read(fd, buf, sizeof(buf)) > 0)
			;
		close(fd);
		nr++;
	}
	closedir(d);

	return nr;
}

static int read_number(const char *dir, const char *name)
{
	char path[128];
	int val = -1;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%d", &val) != 1)
			val = -1;
		fclose(f);
	}

	return val;
}

TEST_F(pkvm_regressions, files_of_a_vm_in_debugfs_tell_no_nonsense)
{
	struct remote_guest guest;
	char dir[64];
	gva_t gva;

	if (access("/sys/kernel/debug/kvm", R_OK))
		SKIP(return, "no debugfs at /sys/kernel/debug");
	TEST_REQUIRE(kvm_check_cap(KVM_CAP_ARM_VM_IPA_SIZE) > IPA_BITS && getpagesize() == SZ_4K);

	remote_guest_create(&guest, small_shape(variant->protected));
	gva = vm_alloc_page(guest.vm);
	remote_guest_do(&guest, REMOTE_WRITE, gva, 1);
	snprintf(dir, sizeof(dir), "/sys/kernel/debug/kvm/%d-%d", getpid(), guest.vm->fd);

	EXPECT_GT(read_all_files(dir), 10);
	EXPECT_EQ(read_number(dir, "ipa_range"), IPA_BITS);
	/* Up to 16 tables of the first level make one, so 36 bits need no fourth level. */
	EXPECT_EQ(read_number(dir, "stage2_levels"), 3);

	kvm_vm_free(guest.vm);
}

static bool guest_got_sea;

static void guest_abort_handler(struct ex_regs *regs)
{
	GUEST_ASSERT_EQ(read_sysreg(esr_el1) & ESR_ELx_FSC, ESR_ELx_FSC_EXTABT);
	WRITE_ONCE(guest_got_sea, true);
	regs->pc += 4;
}

static void guest_beyond(u64 gva)
{
	u64 tcr = read_sysreg(tcr_el1);

	/* Stage-1 may go as far as the CPU does. */
	tcr &= ~TCR_IPS_MASK;
	tcr |= FIELD_PREP(TCR_IPS_MASK, FIELD_GET(ID_AA64MMFR0_EL1_PARANGE,
						  read_sysreg(id_aa64mmfr0_el1)));
	write_sysreg(tcr, tcr_el1);
	isb();
	asm volatile("tlbi vmalle1\n\tdsb nsh\n\tisb");

	asm volatile("ldr xzr, [%0]" : : "r" (gva));
	GUEST_ASSERT(READ_ONCE(guest_got_sea));
	GUEST_SYNC(0);
}

TEST_F(pkvm_regressions, guest_gets_an_abort_beyond_the_ipa_size)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	gva_t gva;

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_ARM_VM_IPA_SIZE) > IPA_BITS && getpagesize() == SZ_4K);

	vm = __vm_create_shape_with_one_vcpu(small_shape(variant->protected), &vcpu, 16,
					     guest_beyond);
	vm_init_descriptor_tables(vm);
	vcpu_init_descriptor_tables(vcpu);
	vm_install_sync_handler(vm, VECTOR_SYNC_CURRENT, ESR_ELx_EC_DABT_CUR, guest_abort_handler);

	/* A page that is there, and then isn't: virt_map() knows the limit. */
	gva = vm_alloc_page(vm);
	*virt_get_pte_hva(vm, gva) |= IPA_LIMIT;
	vcpu_args_set(vcpu, 1, gva);
	vcpu_run_until(vcpu, UCALL_SYNC, &uc);

	kvm_vm_free(vm);
}

TEST_HARNESS_MAIN
