// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_el3_psci - What gets to EL3 of the host's power management.
 *
 * Whatever takes the address where a CPU goes on has EL3 enter the non-secure
 * world there, at EL2.  So the address that EL3 gets is EL2's, whatever the host
 * said; where the host wanted to go is where EL2 enters it, at EL1 and under
 * stage-2.  The firmware's log shows the one, a stub at the host's entry point
 * the other, while a protected guest waits for its memory to be touched.
 *
 * While there is a protected guest, a reset is to wipe memory (MEM_PROTECT).
 *
 * Needs an EL3 monitor with a log, which implements CPU_SUSPEND to power-down and
 * SYSTEM_SUSPEND.
 */
#include <fcntl.h>
#include <linux/psci.h>
#include <sys/timerfd.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_attack.h"
#include "pkvm_cpu.h"
#include "pkvm_el3.h"
#include "processor.h"
#include "test_util.h"

#include "kselftest_harness.h"

#define TEST_SLOT	10
#define TEST_GPA	0x80000000ul
#define TEST_PAGES	2ul

/* Power-down, in the original format of the parameter */
#define POWER_DOWN	BIT(16)

FIXTURE(el3_psci) {
	struct remote_guest guest;
	u64 pa[TEST_PAGES];
	u64 mark;
	int cpu;
};

FIXTURE_SETUP(el3_psci)
{
	struct kvm_vm *vm;
	int i;

	remote_guest_create(&self->guest, VM_SHAPE_PROTECTED);
	vm = self->guest.vm;
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA, TEST_SLOT,
				    vm_calc_num_guest_pages(vm->mode, TEST_PAGES * getpagesize()),
				    0);
	virt_map(vm, TEST_GPA, TEST_GPA, TEST_PAGES * getpagesize() / vm->page_size);
	for (i = 0; i < TEST_PAGES; i++)
		self->pa[i] = adv_pin(addr_gpa2hva(vm, TEST_GPA) + i * getpagesize());
	remote_guest_do(&self->guest, REMOTE_WRITE, TEST_GPA, TEST_PAGES);

	self->cpu = adv_info()->nr_cpus - 1;
	self->mark = el3_log_mark();
}

/* From all CPUs: EL2 and the guest are as they were, and do their work. */
FIXTURE_TEARDOWN(el3_psci)
{
	int cpu;

	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++) {
		EXPECT_EQ(attack_el2(cpu), 0);
		EXPECT_EQ(attack_boot(cpu), 0);
		EXPECT_FAULT(adv_mem(ADV_READ64, self->pa[0], ADV_NORMAL, cpu, 0, 0, NULL),
			     ADV_FAULT_DENIED);
		EXPECT_FAULT(adv_mem(ADV_LDADD, self->pa[1], ADV_NORMAL, cpu, 0, 0, NULL),
			     ADV_FAULT_DENIED);
	}
	remote_guest_do(&self->guest, REMOTE_CHECK, TEST_GPA, TEST_PAGES);
	kvm_vm_free(self->guest.vm);
}

static int cpu_of_mpidr(u64 mpidr)
{
	int cpu;

	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++) {
		if (cpu_mpidr(cpu) == mpidr)
			return cpu;
	}
	TEST_FAIL("No CPU has MPIDR 0x%lx", mpidr);
}

/* Memory where only EL2 writes: what it finds there it believes. */
static bool is_el2s_own(u64 pa, int cpu)
{
	struct adv_target target;

	adv_find_target("percpu", cpu, &target);
	return pa >= target.pa && pa < target.pa + target.size;
}

/*
 * All calls since entry @mark of the log that take an address for EL2 have EL2's
 * own, and a context that is EL2's.  Returns how many there were.
 */
static u32 check_entry_points(struct __test_metadata *_metadata, u64 mark)
{
	const u64 start = adv_sym_pa("__kvm_nvhe_kvm_hyp_cpu_entry");
	const u64 resume = adv_sym_pa("__kvm_nvhe_kvm_hyp_cpu_resume");
	struct el3_log_entry e;
	u64 n, entry, context, expected;
	u32 count = 0;
	int cpu;

	el3_log_for_each(n, mark, &e) {
		cpu = e.cpu;
		expected = resume;
		switch (EL3_LOG_FID(&e)) {
		case PSCI_0_2_FN64_CPU_ON:
			cpu = cpu_of_mpidr(e.x[1]);
			expected = start;
			entry = e.x[2];
			context = e.x[3];
			break;
		case PSCI_0_2_FN64_CPU_SUSPEND:
			entry = e.x[2];
			context = e.x[3];
			break;
		case PSCI_1_0_FN64_SYSTEM_SUSPEND:
			entry = e.x[1];
			context = e.x[2];
			break;
		/* EL2 knows nothing of these, nor does EL3 hear of them. */
		case PSCI_0_2_FN_CPU_ON:
		case PSCI_0_2_FN_CPU_SUSPEND:
		case PSCI_1_0_FN_SYSTEM_SUSPEND:
		case PSCI_1_0_FN_CPU_DEFAULT_SUSPEND:
		case PSCI_1_0_FN64_CPU_DEFAULT_SUSPEND:
			EXPECT_TRUE(false) TH_LOG("0x%lx got to EL3", e.x[0]);
			continue;
		default:
			continue;
		}
		count++;
		EXPECT_EQ(entry, expected)
			TH_LOG("call 0x%lx has EL3 enter 0x%lx at EL2", e.x[0], entry);
		EXPECT_TRUE(is_el2s_own(context, cpu))
			TH_LOG("call 0x%lx: context 0x%lx", e.x[0], context);
		EXPECT_EQ(EL3_LOG_EL(e.flags), 2);
	}

	return count;
}

/* Addresses where a CPU must not start with the rights of EL2 */
static int hostile_entries(u64 guest_pa, u64 *entries)
{
	static const char * const names[] = { "text", "idmap", "data", "memory" };
	struct adv_target target;
	int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		adv_find_target(names[i], ADV_CPU_ANY, &target);
		entries[i] = target.pa;
	}
	entries[i++] = guest_pa;
	entries[i++] = adv_sym_pa("cpu_resume");
	entries[i++] = 3;
	entries[i++] = ~0ul;

	return i;
}

/* CPUs that are on, states in which a CPU does not lose its context */
TEST_F(el3_psci, call_that_comes_to_nothing_has_el2s_entry_point_too)
{
	u64 entries[16];
	int i, nr = hostile_entries(self->pa[0], entries), cpu, nr_cpus = adv_info()->nr_cpus;

	for (i = 0; i < nr; i++) {
		for (cpu = 0; cpu < nr_cpus; cpu++) {
			EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN64_CPU_ON, cpu_mpidr(cpu),
					  entries[i], entries[i]), PSCI_RET_ALREADY_ON);
			EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN_CPU_ON, cpu_mpidr(cpu),
					  entries[i], 0), PSCI_RET_NOT_SUPPORTED);
		}
		EXPECT_EQ(adv_smc(0, PSCI_0_2_FN64_CPU_SUSPEND, 0, entries[i], entries[i]),
			  PSCI_RET_SUCCESS);
		EXPECT_EQ(adv_smc(0, PSCI_0_2_FN_CPU_SUSPEND, POWER_DOWN, entries[i], 0),
			  PSCI_RET_NOT_SUPPORTED);
		/* No such state */
		EXPECT_EQ(adv_smc(0, PSCI_0_2_FN64_CPU_SUSPEND, ~0ul, entries[i], entries[i]),
			  PSCI_RET_INVALID_PARAMS);
		EXPECT_EQ(adv_smc(0, PSCI_1_0_FN64_CPU_DEFAULT_SUSPEND, entries[i], 0),
			  PSCI_RET_NOT_SUPPORTED);
		if (nr_cpus == 1)
			continue;
		EXPECT_EQ(adv_smc(0, PSCI_1_0_FN64_SYSTEM_SUSPEND, entries[i], entries[i]),
			  PSCI_RET_DENIED);
		EXPECT_EQ(adv_smc(0, PSCI_1_0_FN_SYSTEM_SUSPEND, entries[i], 0),
			  PSCI_RET_NOT_SUPPORTED);
	}

	EXPECT_EQ(check_entry_points(_metadata, self->mark),
		  nr * (nr_cpus + 2 + (nr_cpus > 1)));
}

#define REQUIRE_HOTPLUG()							\
do {										\
	if (!self->cpu || !cpu_can_be_offline(self->cpu))			\
		SKIP(return, "no CPU that can be turned off");			\
} while (0)

TEST_F(el3_psci, cpu_that_is_turned_on_comes_by_el2)
{
	static const u64 fids[] = { PSCI_0_2_FN64_CPU_ON, PSCI_0_2_FN64_CPU_ON | BIT(16) };
	u64 pa;
	int i;

	REQUIRE_HOTPLUG();
	ASSERT_EQ(cpu_set_online(self->cpu, false), 0);
	wait_until_cpu_is_off(self->cpu);

	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		pa = stub_create_attack(self->cpu, self->pa[0], 0);
		ASSERT_EQ(adv_smc(ADV_CPU_ANY, fids[i], cpu_mpidr(self->cpu), pa, stub_data(pa)),
			  0);
		stub_wait(pa);
		EXPECT_EQ(stub_check_attack(pa), 0);
		stub_release(pa, self->cpu);
	}
	EXPECT_EQ(check_entry_points(_metadata, self->mark), 2);

	/* The kernel's own start */
	EXPECT_EQ(cpu_set_online(self->cpu, true), 0);
	EXPECT_EQ(check_entry_points(_metadata, self->mark), 3);
}

TEST_F(el3_psci, cpu_that_was_suspended_comes_back_by_el2)
{
	u64 x[ADV_NR_XREGS], pa;
	int cpu, i, nr_cpus = adv_info()->nr_cpus;

	for (cpu = 0; cpu < nr_cpus; cpu++) {
		for (i = 0; i < 2; i++) {
			pa = stub_create_attack(cpu, self->pa[0], adv_sym_pa("cpu_resume"));
			memset(x, 0, sizeof(x));
			x[0] = PSCI_0_2_FN64_CPU_SUSPEND | (i ? BIT(16) : 0);
			x[1] = POWER_DOWN;
			x[2] = pa;
			x[3] = stub_data(pa);
			ASSERT_TRUE(adv_suspend(cpu, x)) TH_LOG("returns %ld", (s64)x[0]);
			EXPECT_EQ(stub_check_attack(pa), 0);
			stub_free(pa);
			EXPECT_EQ(attack_boot(cpu), 0);
			remote_guest_do(&self->guest, REMOTE_CHECK, TEST_GPA, TEST_PAGES);
		}
	}
	/* The kernel may have suspended CPUs as well. */
	EXPECT_GE(check_entry_points(_metadata, self->mark), 2 * nr_cpus);
}

/* To power the system down, only one CPU may be on. */
TEST_F(el3_psci, system_that_was_suspended_comes_back_by_el2)
{
	u64 x[ADV_NR_XREGS] = { PSCI_1_0_FN64_SYSTEM_SUSPEND }, pa;
	int cpu, nr_cpus = adv_info()->nr_cpus;
	bool resumed;

	for (cpu = 1; cpu < nr_cpus; cpu++) {
		if (!cpu_can_be_offline(cpu))
			SKIP(return, "there are CPUs that can't be turned off");
	}
	for (cpu = 1; cpu < nr_cpus; cpu++) {
		ASSERT_EQ(cpu_set_online(cpu, false), 0);
		wait_until_cpu_is_off(cpu);
	}

	pa = stub_create_attack(0, self->pa[0], adv_sym_pa("cpu_resume"));
	x[1] = pa;
	x[2] = stub_data(pa);
	resumed = adv_suspend(0, x);
	for (cpu = 1; cpu < nr_cpus; cpu++)
		EXPECT_EQ(cpu_set_online(cpu, true), 0);

	ASSERT_TRUE(resumed) TH_LOG("returns %ld", (s64)x[0]);
	EXPECT_EQ(stub_check_attack(pa), 0);
	stub_free(pa);
	EXPECT_EQ(el3_log_count(self->mark, PSCI_1_0_FN64_SYSTEM_SUSPEND), 1);
	EXPECT_EQ(check_entry_points(_metadata, self->mark), 1 + nr_cpus - 1);
}

static bool file_has(const char *path, const char *word)
{
	char buf[64] = "";
	int fd = open(path, O_RDONLY);
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, buf, sizeof(buf) - 1);
	close(fd);

	return len > 0 && strstr(buf, word);
}

/* The kernel does not suspend with an alarm in less than two of them. */
#define ALARM_SECONDS	4

/* As a user does it; the clock wakes the machine up. */
TEST_F(el3_psci, kernel_that_was_suspended_comes_back_by_el2)
{
	struct itimerspec alarm = { .it_value.tv_sec = ALARM_SECONDS };
	int nr_cpus = adv_info()->nr_cpus, fd;

	if (!file_has("/sys/power/state", "mem") || !file_has("/sys/power/mem_sleep", "deep"))
		SKIP(return, "the kernel does not suspend to RAM");
	fd = timerfd_create(CLOCK_BOOTTIME_ALARM, 0);
	if (fd < 0 || timerfd_settime(fd, 0, &alarm, NULL))
		SKIP(return, "no clock that wakes the machine up");

	ASSERT_EQ(write_file("/sys/power/mem_sleep", "deep"), 0);
	EXPECT_EQ(write_file("/sys/power/state", "mem"), 0);
	close(fd);

	remote_guest_do(&self->guest, REMOTE_CHECK, TEST_GPA, TEST_PAGES);
	EXPECT_EQ(el3_log_count(self->mark, PSCI_1_0_FN64_SYSTEM_SUSPEND), 1);
	EXPECT_EQ(el3_log_count(self->mark, PSCI_0_2_FN64_CPU_ON), nr_cpus - 1);
	EXPECT_GE(check_entry_points(_metadata, self->mark), nr_cpus);
}

/* Whether a reset would wipe memory, as the next call finds it */
static bool mem_is_protected(void)
{
	u64 mark = el3_log_mark();
	struct el3_log_entry e;

	TEST_ASSERT(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN_PSCI_VERSION) > 0, "PSCI_VERSION");
	TEST_ASSERT(el3_log_find(mark, PSCI_0_2_FN_PSCI_VERSION, &e), "no PSCI_VERSION in the log");

	return e.flags & EL3_LOG_MEM_PROTECT;
}

FIXTURE(el3_mem_protect) {
	u64 mark;
};

FIXTURE_SETUP(el3_mem_protect)
{
	/* It is from the first run of this program on, see the last of its tests. */
	ASSERT_FALSE(mem_is_protected());
	self->mark = el3_log_mark();
}

/* Released with the last guest, and asked for no more often than has to be */
FIXTURE_TEARDOWN(el3_mem_protect)
{
	struct el3_log_entry e;
	bool on = false;
	u64 n;

	EXPECT_FALSE(mem_is_protected());
	el3_log_for_each(n, self->mark, &e) {
		if (EL3_LOG_FID(&e) != PSCI_1_1_FN_MEM_PROTECT)
			continue;
		EXPECT_EQ(e.x[1], !on);
		EXPECT_EQ(e.out[0], on);
		on = e.x[1];
	}
	EXPECT_FALSE(on);
}

static void create_guest(struct remote_guest *guest, struct vm_shape shape)
{
	struct kvm_vm *vm;

	remote_guest_create(guest, shape);
	vm = guest->vm;
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA, TEST_SLOT,
				    vm_calc_num_guest_pages(vm->mode, TEST_PAGES * getpagesize()),
				    0);
	virt_map(vm, TEST_GPA, TEST_GPA, TEST_PAGES * getpagesize() / vm->page_size);
	remote_guest_do(guest, REMOTE_WRITE, TEST_GPA, TEST_PAGES);
}

TEST_F(el3_mem_protect, memory_is_wiped_on_reset_while_any_protected_guest_lives)
{
	struct remote_guest guests[3];
	int i;

	for (i = 0; i < ARRAY_SIZE(guests); i++) {
		create_guest(&guests[i], VM_SHAPE_PROTECTED);
		EXPECT_TRUE(mem_is_protected());
	}
	for (i = 0; i < ARRAY_SIZE(guests); i++) {
		EXPECT_TRUE(mem_is_protected());
		kvm_vm_free(guests[i].vm);
	}
	EXPECT_FALSE(mem_is_protected());
	EXPECT_EQ(el3_log_count(self->mark, PSCI_1_1_FN_MEM_PROTECT), 2);

	/* Once more */
	create_guest(&guests[0], VM_SHAPE_PROTECTED);
	EXPECT_TRUE(mem_is_protected());
	kvm_vm_free(guests[0].vm);
}

TEST_F(el3_mem_protect, guest_that_shares_and_reclaims_releases_it_too)
{
	struct remote_guest guest;

	create_guest(&guest, VM_SHAPE_PROTECTED);
	remote_guest_do(&guest, REMOTE_SHARE, TEST_GPA, 1);
	remote_guest_do(&guest, REMOTE_SHARE, TEST_GPA + getpagesize(), 1);
	remote_guest_do(&guest, REMOTE_UNSHARE, TEST_GPA, 1);
	EXPECT_TRUE(mem_is_protected());
	kvm_vm_free(guest.vm);
}

TEST_F(el3_mem_protect, non_protected_guest_does_not_need_it)
{
	struct remote_guest guest;

	create_guest(&guest, VM_SHAPE_DEFAULT);
	EXPECT_FALSE(mem_is_protected());
	kvm_vm_free(guest.vm);
	EXPECT_EQ(el3_log_count(self->mark, PSCI_1_1_FN_MEM_PROTECT), 0);
}

/* Which would keep memory, by whatever type the vendor has */
TEST_F(el3_mem_protect, host_gets_no_warm_reset_while_a_protected_guest_lives)
{
	static const u64 types[] = { 0, 1, BIT(31), BIT(31) | 1, ~0ul };
	struct remote_guest guest;
	int i;

	if (adv_smc(ADV_CPU_ANY, EL3_TEST_RESET, 1))
		SKIP(return, "needs a call of the OEM's");
	create_guest(&guest, VM_SHAPE_PROTECTED);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		EXPECT_LT((s64)adv_smc(ADV_CPU_ANY, PSCI_1_1_FN64_SYSTEM_RESET2, types[i]), 0);
		EXPECT_TRUE(mem_is_protected());
	}
	EXPECT_EQ(el3_log_count(self->mark, PSCI_1_1_FN64_SYSTEM_RESET2), 0);
	EXPECT_EQ(el3_log_count(self->mark, PSCI_0_2_FN_SYSTEM_RESET), ARRAY_SIZE(types));

	/* It does when there is none. */
	kvm_vm_free(guest.vm);
	EXPECT_LT((s64)adv_smc(ADV_CPU_ANY, PSCI_1_1_FN64_SYSTEM_RESET2, 0), 0);
	EXPECT_EQ(el3_log_count(self->mark, PSCI_1_1_FN64_SYSTEM_RESET2), 1);
	EXPECT_EQ(adv_smc(ADV_CPU_ANY, EL3_TEST_RESET, 0), 0);
}

TEST_F(el3_mem_protect, host_does_not_turn_it_off)
{
	static const u32 fids[] = {
		PSCI_1_1_FN_MEM_PROTECT, PSCI_1_1_FN_MEM_PROTECT | BIT(16),
		PSCI_1_1_FN_MEM_PROTECT | BIT(30), PSCI_1_1_FN_MEM_PROTECT | BIT(17),
		PSCI_1_1_FN_MEM_PROTECT_CHECK_RANGE, PSCI_1_1_FN64_MEM_PROTECT_CHECK_RANGE,
	};
	static const u64 args[] = { 0, 1, 2, ~0ul };
	struct remote_guest guest;
	int i, j;

	create_guest(&guest, VM_SHAPE_PROTECTED);
	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		for (j = 0; j < ARRAY_SIZE(args); j++) {
			EXPECT_EQ(adv_smc(ADV_CPU_ANY, fids[i], args[j]), PSCI_RET_NOT_SUPPORTED)
				TH_LOG("0x%x", fids[i]);
			EXPECT_TRUE(mem_is_protected());
		}
	}
	kvm_vm_free(guest.vm);
	EXPECT_EQ(el3_log_count(self->mark, PSCI_1_1_FN_MEM_PROTECT), 2);
	EXPECT_EQ(el3_log_count(self->mark, PSCI_1_1_FN_MEM_PROTECT_CHECK_RANGE), 0);
}

FIXTURE(el3_lost_page) {
};

FIXTURE_SETUP(el3_lost_page)
{
}

FIXTURE_TEARDOWN(el3_lost_page)
{
}

/*
 * The host can end a guest without taking all of its pages back.  They are lost,
 * and as the guest left them: memory is to be wiped until the machine is reset.
 * So this is the last one.
 */
TEST_F(el3_lost_page, page_of_a_guest_that_is_gone_is_wiped_on_reset)
{
	struct remote_guest guest;
	struct adv_object kvm;
	u64 page, handle;
	int cpu = 0;

	ASSERT_FALSE(mem_is_protected());
	create_guest(&guest, VM_SHAPE_PROTECTED);
	adv_vm(guest.vm, &kvm);
	handle = adv_field_read(&kvm, "handle");

	/* One more, of which KVM does not know */
	page = adv_page_alloc(0, NULL);
	adv_hvc(cpu, HOST_HVC(__pkvm_vcpu_load), handle, 0, 0);
	EXPECT_EQ(adv_hvc(cpu, HOST_HVC(__pkvm_host_donate_guest), page / getpagesize(),
			  TEST_GPA / getpagesize() + TEST_PAGES), 0);
	adv_hvc(cpu, HOST_HVC(__pkvm_vcpu_put));

	kvm_vm_free(guest.vm);
	EXPECT_FAULT(adv_mem(ADV_READ64, page, ADV_NORMAL, ADV_CPU_ANY, 0, 0, NULL),
		     ADV_FAULT_DENIED);
	EXPECT_TRUE(mem_is_protected());

	/* Others come and go. */
	create_guest(&guest, VM_SHAPE_PROTECTED);
	kvm_vm_free(guest.vm);
	EXPECT_TRUE(mem_is_protected());
}

int main(int argc, char **argv)
{
	struct adv_target target;

	TEST_REQUIRE_ADVERSARY();
	__TEST_REQUIRE(adv_info()->protected, "the host is not in protected mode");
	TEST_REQUIRE_EL3();
	/* EL2's per-CPU data is found as long as there is no VM. */
	adv_target(0, &target);

	return test_harness_run(argc, argv);
}
