// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_stats - What EL2 counts is what happened, to the last page and call; the
 * host learns nothing from it that it could not count itself, and gets it in
 * memory that it shares, or not at all.
 */
#include <fcntl.h>
#include <linux/sizes.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_attack.h"
#include "processor.h"
#include "test_util.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

#define HYP_STATS	"/sys/kernel/debug/kvm/hyp_stats"
#define MAX_STATS	128

#define TEST_SLOT	10
#define TEST_GPA	0xc0000000ul
#define MMIO_GPA	0x10000000ul
#define NR_PAGES	16ul
#define NR_SHARED	8ul
#define NR_UNSHARED	3ul
#define NR_ROUNDS	100ul
#define NR_BLOCKS	16ul

#define NR_CALLS	50
#define NR_RACES	20000
#define NOWHERE		GENMASK_ULL(47, 32)
#define PATTERN		0x7374617473000000ul

struct stats {
	int nr;
	char names[MAX_STATS][48];
	u64 values[MAX_STATS];
};

static void stats_read(struct stats *s)
{
	FILE *f = fopen(HYP_STATS, "r");

	TEST_ASSERT(f, "%s: %s", HYP_STATS, strerror(errno));
	for (s->nr = 0; s->nr < MAX_STATS; s->nr++) {
		if (fscanf(f, "%47s %lu", s->names[s->nr], &s->values[s->nr]) != 2)
			break;
	}
	TEST_ASSERT(s->nr && s->nr < MAX_STATS, "%d counters in %s", s->nr, HYP_STATS);
	fclose(f);
}

static u64 value(const struct stats *s, const char *name)
{
	int i;

	for (i = 0; i < s->nr; i++) {
		if (!strcmp(s->names[i], name))
			return s->values[i];
	}
	TEST_FAIL("No counter %s in %s", name, HYP_STATS);
}

/* How much more a counter of @b is than that of @a */
static s64 grown(const struct stats *a, const struct stats *b, const char *name)
{
	return value(b, name) - value(a, name);
}

#define EXPECT_GROWN(a, b, name, nr)						\
	EXPECT_EQ(grown(a, b, name), (s64)(nr)) TH_LOG("%s", name)

FIXTURE(stats) {
	struct stats before;
	struct stats after;
};

FIXTURE_SETUP(stats)
{
	TEST_REQUIRE(kvm_has_pkvm());
	TEST_REQUIRE(getpagesize() == SZ_4K);
	TEST_REQUIRE_ADVERSARY();
	if (access("/sys/kernel/debug/kvm", X_OK))
		SKIP(return, "no debugfs at /sys/kernel/debug");
	if (access(HYP_STATS, R_OK))
		SKIP(return, "a kernel without CONFIG_PKVM_STATS");
	stats_read(&self->before);
}

FIXTURE_TEARDOWN(stats)
{
}

TEST_F(stats, hypercalls_are_counted_by_number_and_result)
{
	u64 share = HOST_HVC(__pkvm_host_share_hyp), unshare = HOST_HVC(__pkvm_host_unshare_hyp);
	u64 pa[NR_CALLS], no_such_id = HOST_HVC(__kvm_hyp_init) + 0xfff;
	int i, cpu;

	for (i = 0; i < NR_CALLS; i++)
		pa[i] = adv_page_alloc(0, NULL);

	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++) {
		stats_read(&self->before);
		for (i = 0; i < NR_CALLS; i++)
			ASSERT_EQ(adv_hvc(cpu, share, pa[i] / SZ_4K), 0);
		for (i = 0; i < NR_CALLS - 1; i++)
			ASSERT_EQ(adv_hvc(cpu, share, pa[i] / SZ_4K), -EPERM);
		for (i = 0; i < NR_CALLS; i++)
			ASSERT_EQ(adv_hvc(cpu, unshare, pa[i] / SZ_4K), 0);
		for (i = 0; i < NR_CALLS - 2; i++)
			ASSERT_EQ(adv_hvc_status(cpu, no_such_id), SMCCC_RET_NOT_SUPPORTED);
		stats_read(&self->after);

		EXPECT_GROWN(&self->before, &self->after, "hvc___pkvm_host_share_hyp",
			     2 * NR_CALLS - 1);
		EXPECT_GROWN(&self->before, &self->after, "hvc___pkvm_host_unshare_hyp", NR_CALLS);
		EXPECT_GROWN(&self->before, &self->after, "hvc_failed", NR_CALLS - 1);
		EXPECT_GROWN(&self->before, &self->after, "hvc_denied", NR_CALLS - 2);
		EXPECT_GROWN(&self->before, &self->after, "pages_host_shared_hyp", NR_CALLS);
		EXPECT_GROWN(&self->before, &self->after, "pages_host_unshared_hyp", NR_CALLS);
		EXPECT_GROWN(&self->before, &self->after, "hvc___pkvm_read_stats", 1);
		EXPECT_GROWN(&self->before, &self->after, "pages_host_donated_guest", 0);
	}
	for (i = 0; i < NR_CALLS; i++)
		EXPECT_EQ(adv_page_free(pa[i]), 0);
}

TEST_F(stats, firmware_calls_are_counted)
{
	/* Of the realm management interface, and of the vendor's hypervisor: EL2 itself */
	const u32 denied[] = { 0xc4000150, 0xc600ffff };
	int i;

	for (i = 0; i < NR_CALLS; i++)
		EXPECT_EQ(adv_smc(0, denied[i % 2]), SMCCC_RET_NOT_SUPPORTED);
	stats_read(&self->after);
	/* Drivers may be denied some as well. */
	EXPECT_GE(grown(&self->before, &self->after, "smc_denied"), NR_CALLS);
	EXPECT_LT(grown(&self->before, &self->after, "smc_denied"), 2 * NR_CALLS);
	EXPECT_GE(grown(&self->before, &self->after, "smc"), NR_CALLS);
}

TEST_F(stats, faults_of_the_host_are_counted)
{
	struct adv_target target;
	int i;
	u64 val;

	adv_find_target("bss", ADV_CPU_ANY, &target);
	stats_read(&self->before);
	for (i = 0; i < NR_CALLS; i++)
		EXPECT_FAULT(adv_read64(target.pa, &val), ADV_FAULT_DENIED);
	stats_read(&self->after);
	EXPECT_GROWN(&self->before, &self->after, "host_abort_denied", NR_CALLS);
	EXPECT_GE(grown(&self->before, &self->after, "host_abort"), NR_CALLS);
}

/* On one page, so that none of it runs for the first time while pages are counted */
static void __aligned(SZ_4K) guest_code(u64 protected)
{
	u64 i, nr;

	/* The tables that map these pages are not what is counted. */
	asm volatile("at s1e1r, %0\n\tisb" :: "r"(TEST_GPA));
	WRITE_ONCE(*(u64 *)TEST_GPA, 0);
	GUEST_SYNC(1);

	for (i = 1; i < NR_PAGES; i++)
		WRITE_ONCE(*(u64 *)(TEST_GPA + i * SZ_4K), i);
	GUEST_SYNC(2);

	/* The first time there is more to it than an exit for each. */
	for (nr = 10; nr <= 10 + 2 * NR_ROUNDS; nr += NR_ROUNDS) {
		for (i = 0; i < nr; i++)
			READ_ONCE(*(u64 *)MMIO_GPA);
		GUEST_SYNC(nr);
	}
	if (!protected)
		GUEST_DONE();

	for (i = 0; i < NR_SHARED; i++)
		GUEST_ASSERT_EQ(pkvm_mem_share(TEST_GPA + i * SZ_4K), 0);
	GUEST_SYNC(3);

	for (i = 0; i < NR_UNSHARED; i++)
		GUEST_ASSERT_EQ(pkvm_mem_unshare(TEST_GPA + i * SZ_4K), 0);
	GUEST_SYNC(4);

	for (i = 0; i < NR_ROUNDS; i++) {
		GUEST_ASSERT_EQ(pkvm_mem_share(TEST_GPA), 0);
		pkvm_hvc(PKVM_HVC_FEATURES, 0, 0, 0);
		GUEST_ASSERT_EQ(pkvm_mem_unshare(TEST_GPA), 0);
	}
	GUEST_SYNC(5);
	GUEST_DONE();
}

static void run_until(struct kvm_vcpu *vcpu, u64 stage)
{
	struct kvm_run *run = vcpu->run;
	struct ucall uc;

	for (;;) {
		vcpu_run(vcpu);
		if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == MMIO_GPA) {
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
			continue;
		}
		switch (get_ucall(vcpu, &uc)) {
		case UCALL_SYNC:
			TEST_ASSERT_EQ(uc.args[1], stage);
			return;
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(uc);
		default:
			TEST_FAIL("Exit reason %u", run->exit_reason);
		}
	}
}

static struct kvm_vm *guest_create(bool protected, struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm;

	vm = vm_create_shape_with_one_vcpu(protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT,
					   vcpu, guest_code);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA, TEST_SLOT, NR_PAGES, 0);
	/* A page at a time */
	TEST_ASSERT(!madvise(addr_gpa2hva(vm, TEST_GPA), NR_PAGES * SZ_4K, MADV_NOHUGEPAGE),
		    "madvise()");
	virt_map(vm, TEST_GPA, TEST_GPA, NR_PAGES);
	virt_map(vm, MMIO_GPA, MMIO_GPA, 1);
	vcpu_args_set(*vcpu, 1, (u64)protected);

	return vm;
}

static void run_to_sharing(struct kvm_vcpu *vcpu)
{
	int i;

	run_until(vcpu, 1);
	run_until(vcpu, 2);
	for (i = 0; i < 3; i++)
		run_until(vcpu, 10 + i * NR_ROUNDS);
	run_until(vcpu, 3);
}

/* Runs it to @stage, and reads the counters before and after. */
static void run_stage(struct kvm_vcpu *vcpu, u64 stage, struct stats *before, struct stats *after)
{
	stats_read(before);
	run_until(vcpu, stage);
	stats_read(after);
}

/* The host ages and moves what is its own: then there are more exits for other guests. */
static void expect_exits(struct __test_metadata *_metadata, struct kvm_vcpu *vcpu, bool protected)
{
	struct stats a, b;
	u64 few;

	run_until(vcpu, 10);
	run_stage(vcpu, 10 + NR_ROUNDS, &a, &b);
	few = grown(&a, &b, "exit_dabt");
	run_stage(vcpu, 10 + 2 * NR_ROUNDS, &a, &b);
	if (protected) {
		EXPECT_EQ(grown(&a, &b, "exit_dabt"), few + NR_ROUNDS);
		EXPECT_GROWN(&a, &b, "exit_iabt", 0);
	} else {
		EXPECT_GE(grown(&a, &b, "exit_dabt"), 10 + 2 * NR_ROUNDS);
		EXPECT_LT(grown(&a, &b, "exit_dabt"), 10 + 3 * NR_ROUNDS);
	}
	EXPECT_GROWN(&a, &b, "exit_serror", 0);
	EXPECT_GE(grown(&a, &b, "hvc___kvm_vcpu_run"), 10 + 2 * NR_ROUNDS);
}

TEST_F(stats, pages_and_exits_of_a_protected_guest_are_counted)
{
	struct stats start, *a = &self->before, *b = &self->after;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	u64 donated;

	stats_read(&start);
	vm = guest_create(true, &vcpu);
	run_until(vcpu, 1);
	run_stage(vcpu, 2, a, b);
	EXPECT_GROWN(a, b, "pages_host_donated_guest", NR_PAGES - 1);
	EXPECT_GROWN(a, b, "hvc___pkvm_host_donate_guest", NR_PAGES - 1);
	expect_exits(_metadata, vcpu, true);
	run_stage(vcpu, 3, a, b);
	EXPECT_GROWN(a, b, "pages_guest_shared", NR_SHARED);
	run_stage(vcpu, 4, a, b);
	EXPECT_GROWN(a, b, "pages_guest_shared", -NR_UNSHARED);

	stats_read(a);
	donated = grown(&start, a, "pages_host_donated_guest");
	kvm_vm_free(vm);
	stats_read(b);
	EXPECT_GROWN(a, b, "pages_reclaimed", donated);
	EXPECT_GROWN(&start, b, "pages_guest_shared", 0);
	EXPECT_GROWN(&start, b, "pages_host_shared_guest", 0);
	/* What EL2 had it for: the VM and vCPU, page tables */
	EXPECT_GT(grown(&start, b, "pages_host_donated_hyp"), 2);
	EXPECT_EQ(grown(&start, b, "pages_host_donated_hyp"),
		  grown(&start, b, "pages_hyp_donated_host"));
	EXPECT_GT(grown(a, b, "tlb_flush"), 0);
}

TEST_F(stats, page_that_is_taken_from_a_guest_is_counted)
{
	struct stats start, *a = &self->before, *b = &self->after;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	u64 pa, donated;

	stats_read(&start);
	vm = guest_create(true, &vcpu);
	run_until(vcpu, 1);
	stats_read(a);
	donated = grown(&start, a, "pages_host_donated_guest");
	ASSERT_TRUE(adv_gpa_to_pa(vm, TEST_GPA, &pa));
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_force_reclaim_guest_page), pa), 0);
	ASSERT_NE(adv_hvc(0, HOST_HVC(__pkvm_force_reclaim_guest_page), pa), 0);
	stats_read(b);
	EXPECT_GROWN(a, b, "pages_force_reclaimed", 1);
	EXPECT_GROWN(a, b, "pages_reclaimed", 0);
	kvm_vm_free(vm);
	stats_read(b);
	EXPECT_GROWN(a, b, "pages_force_reclaimed", 1);
	EXPECT_GROWN(a, b, "pages_reclaimed", donated - 1);
}

TEST_F(stats, pages_and_exits_of_another_guest_are_counted)
{
	struct stats start, *a = &self->before, *b = &self->after;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	stats_read(&start);
	vm = guest_create(false, &vcpu);
	run_until(vcpu, 1);
	run_stage(vcpu, 2, a, b);
	EXPECT_GROWN(a, b, "pages_host_shared_guest", NR_PAGES - 1);
	expect_exits(_metadata, vcpu, false);
	kvm_vm_free(vm);
	stats_read(b);
	EXPECT_EQ(grown(&start, b, "pages_host_shared_guest"),
		  grown(&start, b, "pages_host_unshared_guest"));
	EXPECT_GROWN(&start, b, "pages_host_donated_guest", 0);
	EXPECT_GROWN(&start, b, "pages_reclaimed", 0);
	EXPECT_GROWN(&start, b, "pages_guest_shared", 0);
}

/* How often a guest shares a page, and has EL2 answer it, is its own business. */
TEST_F(stats, what_a_protected_guest_has_of_el2_alone_does_not_show)
{
	struct stats *a = &self->before, *b = &self->after;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	int i;

	vm = guest_create(true, &vcpu);
	run_to_sharing(vcpu);
	run_until(vcpu, 4);
	run_stage(vcpu, 5, a, b);
	for (i = 0; i < a->nr; i++) {
		/* The host's own doing: it is interrupted now and then. */
		if (!strncmp(a->names[i], "hvc_", 4) || !strncmp(a->names[i], "smc", 3) ||
		    !strcmp(a->names[i], "exit_irq") || !strcmp(a->names[i], "host_abort"))
			continue;
		EXPECT_LT(b->values[i] - a->values[i], NR_ROUNDS / 2) TH_LOG("%s", a->names[i]);
		if (!strncmp(a->names[i], "pages_", 6) || !strcmp(a->names[i], "tlb_flush"))
			EXPECT_EQ(b->values[i], a->values[i]) TH_LOG("%s", a->names[i]);
	}
	kvm_vm_free(vm);
}

/* A page of each of NR_BLOCKS, then the next one */
static void guest_touch_blocks(void)
{
	u64 i, j;

	GUEST_SYNC(NR_PAGES);
	for (i = 0; i < NR_PAGES; i++) {
		for (j = 0; j < NR_BLOCKS; j++)
			WRITE_ONCE(*(u64 *)(TEST_GPA + j * SZ_2M + i * SZ_4K), i);
		GUEST_SYNC(i);
	}
	GUEST_DONE();
}

/*
 * The host's stage-2 has blocks, until it loses a page of one: then it needs a
 * table for that, and no more for the others.
 */
TEST_F(stats, tables_of_the_hosts_stage2_are_counted)
{
	u64 size = NR_BLOCKS * SZ_2M, huge, i, max, donated;
	struct stats *a = &self->before, *b = &self->after;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	char *hva;

	if (!thp_configured())
		SKIP(return, "no transparent huge pages");
	vm = vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &vcpu, guest_touch_blocks);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS_THP, TEST_GPA, TEST_SLOT,
				    size / SZ_4K, 0);
	virt_map(vm, TEST_GPA, TEST_GPA, size / SZ_4K);
	huge = proc_value("/proc/self/smaps_rollup", "AnonHugePages");
	hva = addr_gpa2hva(vm, TEST_GPA);
	for (i = 0; i < NR_BLOCKS; i++)
		WRITE_ONCE(hva[i * SZ_2M], 1);
	huge = proc_value("/proc/self/smaps_rollup", "AnonHugePages") - huge;

	run_until(vcpu, NR_PAGES);
	run_stage(vcpu, 0, a, b);
	/* The guest touches its own tables as well; and EL2 needs some for all of it. */
	donated = grown(a, b, "pages_host_donated_guest");
	EXPECT_GE(donated, NR_BLOCKS);
	EXPECT_GE(grown(a, b, "host_s2_tables"), 0);
	EXPECT_LE(grown(a, b, "host_s2_tables"), donated + NR_BLOCKS + 4);
	/* At least for those blocks that are pages of the host's, too */
	EXPECT_GE(value(b, "host_s2_tables"), huge / (SZ_2M / SZ_1K));
	EXPECT_GT(huge, 0);
	/* The whole memory by pages, and as much again as EL2 has for devices: 1 GiB */
	max = proc_value("/proc/meminfo", "MemTotal") / 1024 / 2 + 1024;
	EXPECT_LT(value(b, "host_s2_tables"), max);

	stats_read(a);
	for (i = 1; i < NR_PAGES; i++)
		run_until(vcpu, i);
	stats_read(b);
	EXPECT_GROWN(a, b, "pages_host_donated_guest", (NR_PAGES - 1) * NR_BLOCKS);
	/* The host goes on elsewhere. */
	EXPECT_LT(grown(a, b, "host_s2_tables"), NR_BLOCKS / 2);
	kvm_vm_free(vm);
}

static s64 read_stats(u64 pfn)
{
	return adv_hvc(0, HOST_HVC(__pkvm_read_stats), pfn);
}

TEST_F(stats, page_that_the_host_does_not_share_is_refused)
{
	struct adv_target target;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	u64 pa, i, guest;

	pa = adv_page_alloc(0, NULL);
	for (i = 0; i < SZ_4K; i += sizeof(u64))
		ASSERT_EQ(adv_write64(pa + i, PATTERN), 0);
	EXPECT_EQ(read_stats(pa / SZ_4K), -EPERM);

	for (i = 0; adv_target(i, &target); i++)
		EXPECT_EQ(read_stats(target.pa / SZ_4K), -EPERM) TH_LOG("%s", target.name);
	EXPECT_LT(read_stats(NOWHERE / SZ_4K), 0);
	EXPECT_LT(read_stats(0x8000000 / SZ_4K), 0);	/* the GIC */
	EXPECT_EQ(read_stats(~0ul), -EINVAL);

	/* A guest's own, and one that it shares */
	vm = guest_create(true, &vcpu);
	run_to_sharing(vcpu);
	for (i = 0; i < NR_PAGES; i++) {
		ASSERT_TRUE(adv_gpa_to_pa(vm, TEST_GPA + i * SZ_4K, &guest));
		EXPECT_EQ(read_stats(guest / SZ_4K), -EPERM);
	}
	kvm_vm_free(vm);
	/* Lent to a guest */
	vm = guest_create(false, &vcpu);
	run_until(vcpu, 1);
	EXPECT_EQ(read_stats(adv_virt_to_phys(addr_gpa2hva(vm, TEST_GPA)) / SZ_4K), -EPERM);
	kvm_vm_free(vm);

	EXPECT_TRUE(adv_is_filled_with(pa, SZ_4K, PATTERN));
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_share_hyp), pa / SZ_4K), 0);
	EXPECT_EQ(read_stats(pa / SZ_4K), 0);
	EXPECT_FALSE(adv_is_filled_with(pa, SZ_4K, PATTERN));
	/* EL2 has let go of it. */
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_unshare_hyp), pa / SZ_4K), 0);
	EXPECT_EQ(read_stats(pa / SZ_4K), -EPERM);
	EXPECT_EQ(adv_page_free(pa), 0);
}

static struct adv_loop_thread loop_thread(int cpu, u64 id, u64 arg)
{
	return (struct adv_loop_thread) {
		.call.conduit = ADV_HVC,
		.call.cpu = cpu,
		.call.x = { id, arg },
		.reg = 1,
	};
}

TEST_F(stats, page_is_not_taken_back_while_el2_writes_it)
{
	struct adv_loop_thread threads[2];
	u64 pa, reads, refused, done, busy = 0, i;

	if (adv_info()->nr_cpus < 2)
		SKIP(return, "one CPU");
	pa = adv_page_alloc(0, NULL);
	stats_read(&self->before);
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_share_hyp), pa / SZ_4K), 0);
	/* EL2 reads into it while the other CPU takes it back as soon as it can. */
	for (i = 0; i < 20; i++) {
		threads[0] = loop_thread(0, HOST_HVC(__pkvm_read_stats), pa / SZ_4K);
		threads[1] = loop_thread(1, HOST_HVC(__pkvm_host_unshare_hyp), pa / SZ_4K);
		adv_loop(threads, ARRAY_SIZE(threads), NR_RACES / 20);
		reads = adv_loop_count(&threads[0], 0);
		refused = adv_loop_count(&threads[0], (u64)-EPERM);
		EXPECT_EQ(reads + refused, NR_RACES / 20);
		done = adv_loop_count(&threads[1], 0);
		busy += adv_loop_count(&threads[1], (u64)-EBUSY);
		EXPECT_EQ(adv_loop_count(&threads[1], (u64)-EPERM) +
			  adv_loop_count(&threads[1], (u64)-EBUSY) + done, NR_RACES / 20);
		/* The other CPU may have stood still while it was writing. */
		if (!done)
			done = !adv_hvc(0, HOST_HVC(__pkvm_host_unshare_hyp), pa / SZ_4K);
		ASSERT_EQ(done, 1);
		/* It is the host's again, all of it. */
		EXPECT_EQ(adv_probe_write(pa, SZ_4K), 1) TH_LOG("round %lu", i);
		ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_share_hyp), pa / SZ_4K), 0);
	}
	EXPECT_GT(busy, 0) TH_LOG("EL2 was never found writing it");
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_unshare_hyp), pa / SZ_4K), 0);
	EXPECT_EQ(adv_page_free(pa), 0);
	stats_read(&self->after);
	EXPECT_GROWN(&self->before, &self->after, "pages_host_shared_hyp", 21);
	EXPECT_GROWN(&self->before, &self->after, "pages_host_unshared_hyp", 21);
}

TEST_F(stats, counters_are_out_of_the_hosts_reach)
{
	struct adv_target target;
	int i, nr = 0;

	for (i = 0; adv_target(i, &target); i++) {
		if (strcmp(target.name, "percpu"))
			continue;
		nr++;
		EXPECT_EQ(attack_range(target.pa, target.size, ATTACK_WRITE, ADV_FAULT_DENIED), 0);
		EXPECT_EQ(attack_range(target.pa, target.size, ATTACK_READ, ADV_FAULT_DENIED), 0);
	}
	EXPECT_GE(nr, adv_info()->nr_cpus);
	stats_read(&self->after);
	EXPECT_GROWN(&self->before, &self->after, "hvc___pkvm_read_stats", 1);
	EXPECT_GROWN(&self->before, &self->after, "pages_host_donated_guest", 0);
	EXPECT_GE(grown(&self->before, &self->after, "host_abort_denied"), nr);
}

TEST_HARNESS_MAIN
