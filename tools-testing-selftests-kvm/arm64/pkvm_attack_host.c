// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_attack_host - The powers that the host has besides memory accesses:
 * turning CPUs off and on with an entry point of its choice, suspend, kexec,
 * hibernation, calls of the firmware.  Whatever it does, each CPU comes back to
 * it under stage-2, or not at all, and EL2 and guests stay what they were.
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/psci.h>
#include <linux/sizes.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_attack.h"
#include "pkvm_cpu.h"
#include "processor.h"
#include "test_util.h"

#include "kselftest_harness.h"

#define TEST_SLOT	10
#define TEST_GPA	0x80000000ul
#define TEST_PAGES	2ul

static const u32 insn_ret = 0xd65f03c0;

/* A guest with something to protect; the CPU that tests may turn off */
FIXTURE(host) {
	struct remote_guest guest;
	u64 pa[TEST_PAGES];
	int cpu;
};

FIXTURE_SETUP(host)
{
	struct kvm_vm *vm;
	u64 size = TEST_PAGES * getpagesize();
	int i;

	remote_guest_create(&self->guest, VM_SHAPE_PROTECTED);
	vm = self->guest.vm;
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA, TEST_SLOT,
				    vm_calc_num_guest_pages(vm->mode, size), 0);
	virt_map(vm, TEST_GPA, TEST_GPA, size / vm->page_size);
	for (i = 0; i < TEST_PAGES; i++)
		self->pa[i] = adv_pin(addr_gpa2hva(vm, TEST_GPA) + i * getpagesize());
	remote_guest_do(&self->guest, REMOTE_WRITE, TEST_GPA, TEST_PAGES);

	self->cpu = adv_info()->nr_cpus - 1;
}

/* From all CPUs: EL2 and the guest are as they were, and do their work. */
FIXTURE_TEARDOWN(host)
{
	int cpu;

	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++) {
		EXPECT_EQ(attack_el2(cpu), 0);
		EXPECT_FAULT(adv_mem(ADV_READ64, self->pa[0], ADV_NORMAL, cpu, 0, 0, NULL),
			     ADV_FAULT_DENIED);
		EXPECT_FAULT(adv_mem(ADV_LDADD, self->pa[1], ADV_NORMAL, cpu, 0, 0, NULL),
			     ADV_FAULT_DENIED);
	}
	remote_guest_do(&self->guest, REMOTE_CHECK, TEST_GPA, TEST_PAGES);
	kvm_vm_free(self->guest.vm);
}

#define REQUIRE_HOTPLUG()							\
do {										\
	if (!self->cpu || !cpu_can_be_offline(self->cpu))			\
		SKIP(return, "no CPU that can be turned off");			\
} while (0)

TEST_F(host, boot_is_not_replayed)
{
	int cpu;

	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++)
		EXPECT_EQ(attack_boot(cpu), 0);
}

/* What has to be enabled at EL2, and is not: by HCR_EL2 or a fine-grained trap */
static const u32 trapped_registers[] = {
	sys_reg(3, 0, 13, 0, 7),	/* SCXTNUM_EL1 */
	sys_reg(3, 0, 5, 4, 4),		/* ERXPFGF_EL1 */
	sys_reg(3, 0, 5, 4, 5),		/* ERXPFGCTL_EL1 */
	sys_reg(3, 0, 5, 4, 6),		/* ERXPFGCDN_EL1 */
	sys_reg(3, 0, 10, 2, 1),	/* MAIR2_EL1 */
	sys_reg(3, 0, 10, 2, 4),	/* POR_EL1 */
	sys_reg(3, 0, 10, 2, 5),	/* S2POR_EL1 */
	sys_reg(3, 0, 10, 3, 1),	/* AMAIR2_EL1 */
	sys_reg(3, 0, 13, 0, 3),	/* RCWSMASK_EL1 */
	sys_reg(3, 0, 13, 0, 5),	/* ACCDATA_EL1 */
	sys_reg(3, 0, 13, 0, 6),	/* RCWMASK_EL1 */
};

TEST_F(host, register_that_is_not_enabled_for_the_host_is_undefined)
{
	u64 pa = adv_page_alloc(0, NULL), i;

	for (i = 0; i < ARRAY_SIZE(trapped_registers); i++) {
		u32 code[] = { 0xd5200000 | trapped_registers[i], insn_ret };	/* mrs x0, ... */

		ASSERT_EQ(adv_write(pa, ADV_NORMAL, code, sizeof(code)), 0);
		ASSERT_EQ(adv_mem(ADV_DC_CVAU, pa, ADV_NORMAL, ADV_CPU_ANY, 0, 0, NULL), 0);
		ASSERT_EQ(adv_mem(ADV_IC_IVAU, pa, ADV_NORMAL, ADV_CPU_ANY, 0, 0, NULL), 0);
		EXPECT_FAULT(adv_exec(pa), ADV_FAULT_UNDEF);
	}
	EXPECT_EQ(adv_page_free(pa), 0);
}

TEST_F(host, cpu_that_was_off_is_bound_by_the_same_rules)
{
	struct adv_target target;
	int i;

	REQUIRE_HOTPLUG();
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(cpu_set_online(self->cpu, false), 0);

		/* What EL2 has for that CPU, and what it runs on, is not up for grabs. */
		adv_find_target("stack", self->cpu, &target);
		EXPECT_EQ(attack_page(target.pa, ATTACK_ALL, ADV_FAULT_DENIED), 0);
		EXPECT_EQ(attack_el2(ADV_CPU_ANY), 0);
		remote_guest_do(&self->guest, REMOTE_CHECK, TEST_GPA, TEST_PAGES);

		ASSERT_EQ(cpu_set_online(self->cpu, true), 0);
		EXPECT_EQ(attack_el2(self->cpu), 0);
		EXPECT_EQ(attack_boot(self->cpu), 0);
	}
}

static void cpu_boots_under_stage2(struct __test_metadata *_metadata, int cpu, u64 guest_pa,
				   u64 fid)
{
	u64 pa = stub_create_attack(cpu, guest_pa, 0);

	ASSERT_EQ(adv_smc(ADV_CPU_ANY, fid, cpu_mpidr(cpu), pa, stub_data(pa)), 0);
	stub_wait(pa);

	/* It is on already, also for who asks with the other calls. */
	EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN64_CPU_ON, cpu_mpidr(cpu), pa, 0),
		  PSCI_RET_ALREADY_ON);

	EXPECT_EQ(stub_check_attack(pa), 0);
	stub_release(pa, cpu);
}

TEST_F(host, cpu_starts_under_stage2_at_an_entry_point_of_the_hosts)
{
	REQUIRE_HOTPLUG();
	ASSERT_EQ(cpu_set_online(self->cpu, false), 0);
	wait_until_cpu_is_off(self->cpu);

	cpu_boots_under_stage2(_metadata, self->cpu, self->pa[0],
			       PSCI_0_2_FN64_CPU_ON);
	/* The same function for SMCCC: "the caller has no live SVE state" */
	cpu_boots_under_stage2(_metadata, self->cpu, self->pa[0],
			       PSCI_0_2_FN64_CPU_ON | BIT(16));

	EXPECT_EQ(cpu_set_online(self->cpu, true), 0);
}

/* Each of them would have the firmware enter EL2 at an address of the host's. */
TEST_F(host, cpu_is_not_started_behind_el2s_back)
{
	u64 mpidr = cpu_mpidr(self->cpu), x[ADV_NR_XREGS];
	struct pkvm_stub stub = {};
	u64 pa;

	REQUIRE_HOTPLUG();
	ASSERT_EQ(cpu_set_online(self->cpu, false), 0);
	wait_until_cpu_is_off(self->cpu);
	pa = stub_create(&stub);

	/* SMC32 */
	EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN_CPU_ON, mpidr, pa, stub_data(pa)),
		  PSCI_RET_NOT_SUPPORTED);
	EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN_CPU_ON | BIT(16), mpidr, pa,
			  stub_data(pa)), PSCI_RET_NOT_SUPPORTED);
	/* Who looks at 32 bits only sees a call that EL2 may not have seen. */
	EXPECT_EQ(adv_smc(ADV_CPU_ANY, BIT(32) | PSCI_0_2_FN64_CPU_ON, mpidr, pa,
			  stub_data(pa)), SMCCC_RET_NOT_SUPPORTED);
	EXPECT_EQ(adv_smc(ADV_CPU_ANY, BIT(63) | PSCI_0_2_FN_CPU_ON, mpidr, pa,
			  stub_data(pa)), SMCCC_RET_NOT_SUPPORTED);
	/* SMC with an immediate */
	memset(x, 0, sizeof(x));
	x[0] = PSCI_0_2_FN64_CPU_ON;
	x[1] = mpidr;
	x[2] = pa;
	x[3] = stub_data(pa);
	EXPECT_FAULT(__adv_call(ADV_SMC, 1, ADV_CPU_ANY, x), ADV_OK);
	EXPECT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED);
	/* HVC is EL2's own. */
	EXPECT_EQ(adv_hvc_status(ADV_CPU_ANY, PSCI_0_2_FN64_CPU_ON, mpidr, pa,
				 stub_data(pa)), SMCCC_RET_NOT_SUPPORTED);

	usleep(100000);
	EXPECT_EQ(cpu_affinity_info(self->cpu), PSCI_0_2_AFFINITY_LEVEL_OFF);
	stub_read(pa, &stub);
	EXPECT_EQ(stub.done, 0);
	stub_free(pa);
	EXPECT_EQ(cpu_set_online(self->cpu, true), 0);
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
	entries[i++] = 0;
	entries[i++] = 3;
	entries[i++] = ~0ul;

	return i;
}

TEST_F(host, cpu_that_is_on_is_not_started_again)
{
	u64 entries[16];
	int cpu, i, nr = hostile_entries(self->pa[0], entries);

	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++) {
		for (i = 0; i < nr; i++)
			EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN64_CPU_ON, cpu_mpidr(cpu),
					  entries[i], entries[i]), PSCI_RET_ALREADY_ON);
	}
}

TEST_F(host, cpu_that_is_none_is_not_started)
{
	u64 mpidr = cpu_mpidr(0), entries[16];
	u64 mpidrs[] = {
		mpidr | 0xff, mpidr | 0xff00, mpidr | 0xff0000, mpidr | 0xff00000000ul,
		mpidr | BIT(24), mpidr | BIT(30), mpidr | BIT(31), mpidr | BIT(40), mpidr | BIT(63),
		~0ul, INT_MAX, BIT(32),
	};
	int i, j, nr = hostile_entries(self->pa[0], entries);

	for (i = 0; i < ARRAY_SIZE(mpidrs); i++) {
		for (j = 0; j < nr; j++) {
			EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN64_CPU_ON, mpidrs[i], entries[j],
					  0), PSCI_RET_INVALID_PARAMS)
				TH_LOG("MPIDR 0x%lx", mpidrs[i]);
		}
	}
}

/*
 * Standby, from which the CPU goes on behind the call: the entry point is for
 * deeper states.  As an SMC32 call it would be the firmware's business.
 */
TEST_F(host, cpu_suspend_with_a_hostile_entry_point_is_harmless)
{
	u64 entries[16];
	int i, cpu, nr = hostile_entries(self->pa[0], entries);
	s64 ret;

	for (i = 0; i < nr; i++) {
		for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++) {
			ret = adv_smc(cpu, PSCI_0_2_FN64_CPU_SUSPEND, 0, entries[i], entries[i]);
			EXPECT_EQ(ret == PSCI_RET_SUCCESS || ret == PSCI_RET_INVALID_PARAMS ||
				  ret == PSCI_RET_INVALID_ADDRESS || ret == PSCI_RET_DENIED ||
				  ret == PSCI_RET_NOT_SUPPORTED, true) TH_LOG("returned %ld", ret);
		}
		EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN_CPU_SUSPEND, 0, entries[i], 0),
			  PSCI_RET_NOT_SUPPORTED);
	}
}

/* The other CPUs are on, so the firmware refuses, if it knows the call at all. */
TEST_F(host, system_suspend_with_a_hostile_entry_point_is_refused)
{
	u64 entries[16];
	int i, nr = hostile_entries(self->pa[0], entries);

	if (adv_info()->nr_cpus == 1)
		SKIP(return, "there is one CPU only, which would be suspended");
	for (i = 0; i < nr; i++) {
		EXPECT_LT(adv_smc(0, PSCI_1_0_FN64_SYSTEM_SUSPEND, entries[i], entries[i]), 0);
		EXPECT_EQ(adv_smc(0, PSCI_1_0_FN_SYSTEM_SUSPEND, entries[i], 0),
			  PSCI_RET_NOT_SUPPORTED);
	}
}

/* PSCI functions for which EL2 has no use, and reserved ones */
TEST_F(host, other_psci_functions_are_not_supported)
{
	static const u32 known[] = {
		0x00, 0x02, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0f, 0x15,
	};
	static const u32 known64[] = { 0x01, 0x03, 0x04, 0x05, 0x07, 0x0e, 0x12, 0x15 };
	u32 nr, i, j;

	for (nr = 0; nr < 32; nr++) {
		for (i = 0; i < ARRAY_SIZE(known) && known[i] != nr; i++)
			;
		for (j = 0; j < ARRAY_SIZE(known64) && known64[j] != nr; j++)
			;
		if (i == ARRAY_SIZE(known)) {
			EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN(nr)), PSCI_RET_NOT_SUPPORTED)
				TH_LOG("function %u", nr);
		}
		if (j == ARRAY_SIZE(known64)) {
			EXPECT_EQ(adv_smc(ADV_CPU_ANY, PSCI_0_2_FN64(nr)), PSCI_RET_NOT_SUPPORTED)
				TH_LOG("64-bit function %u", nr);
		}
	}
}

#define SMCCC_VERSION		0x80000000u
#define SMCCC_ARCH_FEATURES	0x80000001u
#define SMCCC_ARCH_SOC_ID	0x80000002u

/* Discovery says something that makes sense, from each CPU, and no more. */
TEST_F(host, smccc_discovery_works)
{
	static const u32 functions[] = { SMCCC_VERSION, SMCCC_ARCH_FEATURES, SMCCC_ARCH_SOC_ID,
					 0x80008000u, 0x80007fffu, 0x80003fffu };
	s64 version, ret;
	int cpu, i;

	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++) {
		version = adv_smc(cpu, SMCCC_VERSION);
		EXPECT_EQ(version == SMCCC_RET_NOT_SUPPORTED || version >= 0x10000, true);
		EXPECT_EQ(adv_smc(cpu, PSCI_1_0_FN_PSCI_FEATURES, PSCI_0_2_FN64_CPU_ON),
			  PSCI_RET_SUCCESS);
		EXPECT_EQ(adv_smc(cpu, PSCI_1_0_FN_PSCI_FEATURES, ~0u), PSCI_RET_NOT_SUPPORTED);
		for (i = 0; version >= 0x10001 && i < ARRAY_SIZE(functions); i++) {
			ret = adv_smc(cpu, SMCCC_ARCH_FEATURES, functions[i]);
			EXPECT_GE((s32)ret, SMCCC_RET_NOT_SUPPORTED);
		}
	}
}

#define FFA_FN(nr)		(0x84000000u | (nr))
#define FFA_FN64(nr)		(0xc4000000u | (nr))
#define FFA_MIN			0x60
#define FFA_MAX			0xff
#define FFA_VERSION_NR		0x63
#define FFA_ERROR		FFA_FN(0x60)
#define FFA_RET_NOT_SUPPORTED	(-1)

/*
 * Without a secure partition manager nobody negotiates a version, and EL2
 * answers everything else itself: with an error.
 */
TEST_F(host, ffa_without_spmc_is_refused)
{
	static const u32 versions[] = { 0x10000, 0x10001, 0x10002, 0x1ffff, 0x20000, 0, ~0u };
	u64 x[ADV_NR_XREGS];
	u32 nr, wide;
	int i;

	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		s32 version = adv_smc(ADV_CPU_ANY, FFA_FN(FFA_VERSION_NR), versions[i]);

		if (version != FFA_RET_NOT_SUPPORTED && versions[i] == 0x10000)
			SKIP(return, "the firmware has FF-A");
		EXPECT_EQ(version, FFA_RET_NOT_SUPPORTED);
	}

	for (nr = FFA_MIN; nr <= FFA_MAX; nr++) {
		if (nr == FFA_VERSION_NR)
			continue;
		for (wide = 0; wide < 2; wide++) {
			memset(x, 0, sizeof(x));
			x[0] = wide ? FFA_FN64(nr) : FFA_FN(nr);
			x[1] = self->pa[0];
			x[2] = self->pa[0];
			x[3] = 1;
			EXPECT_FAULT(__adv_call(ADV_SMC, 0, ADV_CPU_ANY, x), ADV_OK);
			EXPECT_EQ((u32)x[0] == FFA_ERROR || (s32)x[0] == FFA_RET_NOT_SUPPORTED,
				  true) TH_LOG("function 0x%x returns 0x%lx", nr, x[0]);
		}
	}
}

/* There are devices that don't work any more when they come back: virtio's 9p. */
static bool devices_survive_suspend(void)
{
	char line[512];
	bool ret = true;
	FILE *f;

	f = fopen("/proc/mounts", "r");
	TEST_ASSERT(f, "Can't open /proc/mounts");
	while (fgets(line, sizeof(line), f))
		ret &= !strstr(line, " 9p ");
	fclose(f);

	return ret;
}

#define REQUIRE_SUSPEND()							\
do {										\
	if (!devices_survive_suspend())						\
		SKIP(return, "9p over virtio does not survive suspend");	\
} while (0)

/* Suspend, as far as it goes without somebody to wake the machine up */

static void test_suspend(struct __test_metadata *_metadata, const char *level)
{
	REQUIRE_SUSPEND();
	if (access("/sys/power/pm_test", W_OK))
		SKIP(return, "the kernel has no tests of suspend");

	write_file("/sys/module/suspend/parameters/pm_test_delay", "0");
	ASSERT_EQ(write_file("/sys/power/pm_test", level), 0);
	EXPECT_EQ(write_file("/sys/power/state", "freeze"), 0);
	EXPECT_EQ(write_file("/sys/power/pm_test", "none"), 0);
}

TEST_F(host, suspend_of_devices_leaves_all_as_it_was)
{
	test_suspend(_metadata, "devices");
}

TEST_F(host, suspend_of_the_platform_leaves_all_as_it_was)
{
	test_suspend(_metadata, "platform");
}

/* It would need the image of memory that is not the host's. */
TEST_F(host, hibernation_is_refused)
{
	char states[64] = "";
	int cpu, fd;

	REQUIRE_SUSPEND();
	fd = open("/sys/power/state", O_RDONLY);
	if (fd >= 0 && read(fd, states, sizeof(states) - 1) < 0)
		states[0] = '\0';
	close(fd);
	if (!strstr(states, "disk"))
		SKIP(return, "the kernel has no hibernation");

	EXPECT_EQ(write_file("/sys/power/state", "disk"), EBUSY);
	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++)
		EXPECT_EQ(cpu_affinity_info(cpu), PSCI_0_2_AFFINITY_LEVEL_ON);
}

/* A new kernel would not get EL2, which it counts on. */

TEST_F(host, kexec_load_is_refused)
{
	u64 pa = adv_page_alloc(0, NULL);
	char code[64] = {};
	struct kexec_segment segment = {
		.buf	= code,
		.bufsz	= sizeof(code),
		.mem	= (void *)pa,
		.memsz	= getpagesize(),
	};
	long ret;

	ret = syscall(SYS_kexec_load, pa, 1, &segment, KEXEC_ARCH_AARCH64);
	if (ret && errno == ENOSYS)
		SKIP(return, "the kernel has no kexec");
	EXPECT_EQ(ret, -1);
	EXPECT_EQ(errno, EBUSY);
	EXPECT_EQ(adv_page_free(pa), 0);
}

/* See Documentation/arch/arm64/booting.rst */
struct image_header {
	u32 code0;
	u32 code1;
	u64 text_offset;
	u64 image_size;
	u64 flags;
	u64 res[3];
	u32 magic;
	u32 res5;
};

TEST_F(host, kexec_file_load_is_refused)
{
	struct image_header header = {
		.image_size	= SZ_64K,
		/* 4K pages, anywhere in memory */
		.flags		= BIT(1) | BIT(3),
		.magic		= 0x644d5241,
	};
	int fd = kvm_memfd_alloc(SZ_64K, false);
	long ret;

	TEST_ASSERT(pwrite(fd, &header, sizeof(header), 0) == sizeof(header), "pwrite() failed");
	ret = syscall(SYS_kexec_file_load, fd, -1, 0, NULL, KEXEC_FILE_NO_INITRAMFS);
	if (ret && errno == ENOSYS)
		SKIP(return, "the kernel has no kexec_file_load()");
	EXPECT_EQ(ret, -1);
	EXPECT_EQ(errno, EBUSY);
	close(fd);
}

/* The kernel for a crash can be loaded, but not to where the host has no say. */
TEST_F(host, crash_kexec_does_not_load_into_el2_or_a_guest)
{
	struct adv_target target;
	u64 pas[3];
	int i;

	adv_find_target("memory", ADV_CPU_ANY, &target);
	pas[0] = target.pa;
	adv_find_target("data", ADV_CPU_ANY, &target);
	pas[1] = target.pa;
	pas[2] = self->pa[0];
	for (i = 0; i < ARRAY_SIZE(pas); i++) {
		char code[64] = {};
		struct kexec_segment segment = {
			.buf	= code,
			.bufsz	= sizeof(code),
			.mem	= (void *)pas[i],
			.memsz	= getpagesize(),
		};
		long ret;

		ret = syscall(SYS_kexec_load, pas[i], 1, &segment,
			      KEXEC_ON_CRASH | KEXEC_ARCH_AARCH64);
		if (ret && errno == ENOSYS)
			SKIP(return, "the kernel has no kexec");
		EXPECT_EQ(ret, -1);
		EXPECT_EQ(errno, EADDRNOTAVAIL);
	}
}

int main(int argc, char **argv)
{
	struct adv_target target;

	TEST_REQUIRE_ADVERSARY();
	__TEST_REQUIRE(adv_info()->protected, "the host is not in protected mode");
	/* EL2's per-CPU data is found as long as there is no VM. */
	adv_target(0, &target);

	return test_harness_run(argc, argv);
}
