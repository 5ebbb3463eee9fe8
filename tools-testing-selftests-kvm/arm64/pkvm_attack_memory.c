// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_attack_memory - The host kernel tries to get at memory that is not its
 * own: loads, stores, atomics, exclusives and branches from EL1 and EL0, on all
 * CPUs and with any memory type, to everything that EL2 has and to pages of
 * guests in each state.  EL2 denies all that; what the host owns or was given a
 * share of works, and what comes back to it is wiped.
 */
#include <linux/sizes.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_attack.h"
#include "processor.h"
#include "test_util.h"

#include "kselftest_harness.h"

#define INSN_RET	0xd65f03c0u

#define TEXT_IS_READABLE	"EL2's text is readable by the host until topic 60-host-stage2"

/* EL2's own memory */

FIXTURE(el2) {
	size_t page_size;
};

FIXTURE_VARIANT(el2) {
	const char *target;
};

#define EL2_VARIANT(name)		\
FIXTURE_VARIANT_ADD(el2, hyp_##name) {	\
	.target = #name,		\
}

EL2_VARIANT(text);
EL2_VARIANT(idmap);
EL2_VARIANT(rodata);
EL2_VARIANT(data);
EL2_VARIANT(bss);
EL2_VARIANT(stack);
EL2_VARIANT(percpu);
/* The carve-out: vmemmap, page tables of EL2 and of the host, page pool */
EL2_VARIANT(memory);

FIXTURE_SETUP(el2)
{
	self->page_size = getpagesize();
}

/* EL2 is there and does its work. */
FIXTURE_TEARDOWN(el2)
{
	u64 pa = adv_page_alloc(0, NULL);

	EXPECT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_share_hyp), pa / self->page_size), 0);
	EXPECT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_unshare_hyp), pa / self->page_size), 0);
	EXPECT_EQ(adv_page_free(pa), 0);
}

/* All there is of a target, in general one range or one for each CPU */
#define for_each_target(_name, _target)					\
	for (u32 __i = 0; adv_target(__i, (_target)); __i++)		\
		if (!strcmp((_target)->name, _name))

/* The first, one in the middle and the last page */
#define for_some_pages(_target, _pa, _page_size)				\
	for (u64 __n = (_target)->size / (_page_size), __k = 0, _pa;		\
	     __k < 3 && (_pa = (_target)->pa + __k * (__n - 1) / 2 * (_page_size), true); \
	     __k++)

TEST_F(el2, is_not_readable)
{
	struct adv_target target;

	for_each_target(variant->target, &target) {
		if (target.host == ADV_HOST_READ &&
		    adv_probe_read(target.pa, target.size) == target.size / self->page_size)
			XFAIL(return, TEXT_IS_READABLE);

		EXPECT_EQ(attack_range(target.pa, target.size, ATTACK_READ, ADV_FAULT_DENIED), 0);
		for_some_pages(&target, pa, self->page_size)
			EXPECT_EQ(attack_page(pa, ATTACK_READ, ADV_FAULT_DENIED), 0);
	}
}

TEST_F(el2, is_not_writable)
{
	struct adv_target target;

	for_each_target(variant->target, &target) {
		ASSERT_EQ(attack_range(target.pa, target.size, ATTACK_WRITE, ADV_FAULT_DENIED), 0);
		for_some_pages(&target, pa, self->page_size)
			EXPECT_EQ(attack_page(pa, ATTACK_WRITE, ADV_FAULT_DENIED), 0);
	}
}

TEST_F(el2, is_not_executable)
{
	struct adv_target target;

	for_each_target(variant->target, &target) {
		for_some_pages(&target, pa, self->page_size)
			EXPECT_EQ(attack_page(pa, ATTACK_EXEC, ADV_FAULT_DENIED), 0);
	}
}

/*
 * Writes and branches of EL0 to a mapping of what is not its own, and stores of
 * EL1 with EL0's rights; returns whether reads work.
 */
static bool attack_from_el0(struct __test_metadata *_metadata, u64 *mem, size_t size)
{
	u64 *last = mem + size / sizeof(u64) - 1, val;
	bool readable;

	readable = !host_try_read(mem, &val) || !host_try_read(last, &val);
	EXPECT_EQ(host_try_write(mem, 0), SIGSEGV);
	EXPECT_EQ(host_try_write(last, 0), SIGSEGV);
	EXPECT_EQ(attack_exec_user(mem), SIGSEGV);

	readable |= attack_mem(ADV_LDTR, (u64)mem, ADV_VA, ADV_CPU_ANY) != ADV_FAULT_DENIED;
	EXPECT_FAULT(attack_mem(ADV_STTR, (u64)mem, ADV_VA, ADV_CPU_ANY), ADV_FAULT_DENIED);

	return readable;
}

TEST_F(el2, is_not_accessible_from_el0)
{
	static const u32 types[] = { ADV_NORMAL, ADV_NORMAL_NC, ADV_DEVICE };
	struct adv_target target;
	bool readable = false;
	u64 *mem;
	int i;

	for_each_target(variant->target, &target) {
		for (i = 0; i < ARRAY_SIZE(types); i++) {
			mem = adv_mmap(target.pa, target.size, PROT_READ | PROT_WRITE | PROT_EXEC,
				       types[i]);
			readable |= attack_from_el0(_metadata, mem, target.size);
			munmap(mem, target.size);
		}
		EXPECT_EQ(readable && target.host == ADV_HOST_NONE, false);
	}
	if (readable)
		XFAIL(return, TEXT_IS_READABLE);
}

/* What the host's own tables translate is its own business, the rest is EL2's. */
static void translate_and_maintain(struct __test_metadata *_metadata, u64 pa)
{
	static const enum adv_op stage1[] = { ADV_AT_S1E1R, ADV_AT_S1E1W };
	static const enum adv_op nothing[] = { ADV_DC_CIVAC, ADV_DC_CVAC, ADV_DC_CVAU,
					       ADV_IC_IVAU, ADV_PRFM };
	u64 par;
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(stage1); i++) {
		EXPECT_FAULT(adv_mem(stage1[i], pa, ADV_NORMAL, ADV_CPU_ANY, 0, 0, &par), ADV_OK);
		EXPECT_EQ(par & 1, 0);
		EXPECT_EQ(par & GENMASK(51, 12), pa);
	}
	/* Also those by which EL2 looks at the host's memory */
	EXPECT_FAULT(adv_mem(ADV_AT_S12E1R, pa, ADV_NORMAL, ADV_CPU_ANY, 0, 0, &par),
		     ADV_FAULT_UNDEF);

	for (i = 0; i < ARRAY_SIZE(nothing); i++) {
		ret = attack_mem(nothing[i], pa, ADV_NORMAL, ADV_CPU_ANY);
		EXPECT_EQ(ret == ADV_OK || ret == ADV_FAULT_DENIED, true)
			TH_LOG("operation %d: %s", nothing[i], adv_fault_name(ret));
	}
	/*
	 * This one could throw away what EL2 or a guest has just written.  CPUs
	 * either want the right to write, or clean the line as well.
	 */
	ret = attack_mem(ADV_DC_IVAC, pa, ADV_NORMAL, ADV_CPU_ANY);
	EXPECT_EQ(ret == ADV_OK || ret == ADV_FAULT_DENIED, true)
		TH_LOG("DC IVAC: %s", adv_fault_name(ret));
}

TEST_F(el2, is_not_reached_by_translation_and_cache_maintenance)
{
	struct adv_target target;

	for_each_target(variant->target, &target) {
		translate_and_maintain(_metadata, target.pa);
		ASSERT_EQ(attack_range(target.pa, self->page_size, ATTACK_WRITE, ADV_FAULT_DENIED),
			  0);
	}
}

TEST(hosts_own_memory_is_the_hosts)
{
	u64 pa = adv_page_alloc(0, NULL), size = getpagesize(), i;
	u32 *mem;

	EXPECT_EQ(attack_page(pa, ATTACK_READ | ATTACK_WRITE, ADV_OK), 0);
	for (i = 0; i < size; i += sizeof(u32))
		ASSERT_EQ(adv_write32(pa + i, INSN_RET), 0);
	ASSERT_EQ(adv_mem(ADV_DC_CVAU, pa, ADV_NORMAL, ADV_CPU_ANY, 0, 0, NULL), 0);
	ASSERT_EQ(adv_mem(ADV_IC_IVAU, pa, ADV_NORMAL, ADV_CPU_ANY, 0, 0, NULL), 0);
	EXPECT_EQ(attack_page(pa, ATTACK_EXEC, ADV_OK), 0);

	mem = adv_mmap(pa, size, PROT_READ | PROT_WRITE | PROT_EXEC, ADV_NORMAL);
	EXPECT_EQ(attack_exec_user(mem), 0);
	munmap(mem, size);
	translate_and_maintain(_metadata, pa);
	EXPECT_EQ(adv_page_free(pa), 0);
}

/* Physical addresses that are not memory */

struct iomem {
	u64 start;
	u64 end;
	bool ram;
};

/* The outermost level of /proc/iomem */
static int read_iomem(struct iomem *iomem, int max)
{
	char line[256], name[64];
	int nr = 0;
	FILE *f;

	f = fopen("/proc/iomem", "r");
	TEST_ASSERT(f, "Can't open /proc/iomem");
	while (nr < max && fgets(line, sizeof(line), f)) {
		if (line[0] == ' ' ||
		    sscanf(line, "%lx-%lx : %63[^\n]", &iomem[nr].start, &iomem[nr].end, name) != 3)
			continue;
		iomem[nr].ram = !strcmp(name, "System RAM");
		nr++;
	}
	fclose(f);

	return nr;
}

static const struct iomem *find_iomem(const struct iomem *iomem, int nr, u64 pa)
{
	int i;

	for (i = 0; i < nr; i++) {
		if (pa >= iomem[i].start && pa <= iomem[i].end)
			return &iomem[i];
	}

	return NULL;
}

/*
 * EL2 lets the host map what is not memory, in order not to have to know the
 * devices, but not execute it.  An attempt is refused, instead of being tried
 * again and again.
 */
TEST(devices_and_holes_are_not_executable)
{
	static struct iomem iomem[256];
	int i, nr = read_iomem(iomem, ARRAY_SIZE(iomem)), done = 0;
	u64 end = BIT(min(adv_info()->pa_range, adv_info()->pa_bits));

	for (i = 0; i < nr; i++) {
		if (!iomem[i].ram) {
			EXPECT_FAULT(attack_mem(ADV_EXEC, iomem[i].start & ~(getpagesize() - 1ul),
						ADV_READ_ONLY | ADV_EXECUTABLE, ADV_CPU_ANY),
				     ADV_FAULT_DENIED);
			done++;
		}
	}
	EXPECT_FAULT(attack_mem(ADV_EXEC, end - getpagesize(), ADV_READ_ONLY | ADV_EXECUTABLE,
				ADV_CPU_ANY), ADV_FAULT_DENIED);
	EXPECT_GT(done, 0);
}

/* Guests */

#define TEST_SLOT	10
#define TEST_GPA	0x80000000ul
#define TEST_PAGES	16ul
#define PAGE_GPA(n)	(TEST_GPA + (n) * (u64)getpagesize())

static struct adv_vm_page pages[8192];

FIXTURE(guest) {
	struct remote_guest guest;
	struct kvm_vm *vm;
	size_t page_size;
	gpa_t ucall_pool;
	u64 ucall_size;
	u64 pa[TEST_PAGES];
};

/* Ucalls, and the page of the remote guest's command */
#define is_shared(self, gfn)							\
({										\
	gpa_t __gpa = (gfn) * (self)->page_size;				\
										\
	__gpa - (self)->ucall_pool < (self)->ucall_size ||			\
	addr_gpa2hva((self)->vm, __gpa) == (self)->guest.cmd;			\
})

FIXTURE_SETUP(guest)
{
	int i;

	self->page_size = getpagesize();
	remote_guest_create(&self->guest, VM_SHAPE_PROTECTED);
	self->vm = self->guest.vm;
	vm_userspace_mem_region_add(self->vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA, TEST_SLOT,
				    vm_calc_num_guest_pages(self->vm->mode,
							    TEST_PAGES * self->page_size), 0);
	virt_map(self->vm, TEST_GPA, TEST_GPA, TEST_PAGES * self->page_size / self->vm->page_size);

	/* Later the tables are the guest's. */
	self->ucall_pool = addr_gva2gpa(self->vm, self->vm->ucall_pool);
	self->ucall_size = ucall_nr_pages_required(self->vm->page_size) * self->vm->page_size;

	for (i = 0; i < TEST_PAGES; i++)
		self->pa[i] = adv_pin(addr_gpa2hva(self->vm, PAGE_GPA(i)));
	remote_guest_do(&self->guest, REMOTE_WRITE, TEST_GPA, 8);
}

FIXTURE_TEARDOWN(guest)
{
	if (self->vm)
		kvm_vm_free(self->vm);
}

TEST_F(guest, private_page_is_denied)
{
	EXPECT_EQ(attack_page(self->pa[0], ATTACK_ALL, ADV_FAULT_DENIED), 0);
	translate_and_maintain(_metadata, self->pa[0]);
	remote_guest_do(&self->guest, REMOTE_CHECK, PAGE_GPA(0), 1);
}

TEST_F(guest, private_page_is_denied_to_el0)
{
	u64 *own = addr_gpa2hva(self->vm, PAGE_GPA(0)), *mem, val;

	mem = adv_mmap(self->pa[0], self->page_size, PROT_READ | PROT_WRITE | PROT_EXEC,
		       ADV_NORMAL);
	EXPECT_EQ(attack_from_el0(_metadata, mem, self->page_size), false);
	munmap(mem, self->page_size);
	EXPECT_EQ(host_try_read(own, &val), SIGSEGV);
	EXPECT_EQ(host_try_write(own, 0), SIGSEGV);
	remote_guest_do(&self->guest, REMOTE_CHECK, PAGE_GPA(0), 1);
}

TEST_F(guest, shared_page_is_accessible_until_it_is_unshared)
{
	u64 val;

	remote_guest_do(&self->guest, REMOTE_SHARE, PAGE_GPA(1), 1);
	ASSERT_EQ(adv_read64(self->pa[1], &val), 0);
	EXPECT_EQ(val, REMOTE_PATTERN(PAGE_GPA(1)));
	EXPECT_EQ(attack_page(self->pa[1], ATTACK_READ | ATTACK_WRITE, ADV_OK), 0);
	EXPECT_EQ(attack_page(self->pa[0], ATTACK_ALL, ADV_FAULT_DENIED), 0);
	EXPECT_EQ(attack_page(self->pa[2], ATTACK_ALL, ADV_FAULT_DENIED), 0);

	remote_guest_do(&self->guest, REMOTE_WRITE, PAGE_GPA(1), 1);
	remote_guest_do(&self->guest, REMOTE_UNSHARE, PAGE_GPA(1), 1);
	EXPECT_EQ(attack_page(self->pa[1], ATTACK_ALL, ADV_FAULT_DENIED), 0);
	remote_guest_do(&self->guest, REMOTE_CHECK, PAGE_GPA(0), 8);
}

TEST_F(guest, page_that_it_never_touched_is_the_hosts)
{
	EXPECT_EQ(attack_page(self->pa[TEST_PAGES - 1], ATTACK_READ | ATTACK_WRITE, ADV_OK), 0);
	remote_guest_do(&self->guest, REMOTE_READ, PAGE_GPA(TEST_PAGES - 1), 1);
	EXPECT_EQ(attack_page(self->pa[TEST_PAGES - 1], ATTACK_ALL, ADV_FAULT_DENIED), 0);
}

TEST_F(guest, every_page_of_it_is_denied_unless_shared)
{
	u32 i, nr = adv_vm_pages(self->vm->fd, ADV_GUEST_PAGES, pages, ARRAY_SIZE(pages));

	/* More than the pages of this test: code, stack, tables */
	EXPECT_GT(nr, 8 + 2);
	for (i = 0; i < nr; i++) {
		enum adv_fault_type expected = ADV_FAULT_DENIED;
		u64 size = pages[i].nr_pages * self->page_size;

		if (is_shared(self, pages[i].gfn))
			expected = ADV_OK;
		EXPECT_EQ(attack_range(pages[i].pa, size, ATTACK_READ, expected), 0);
		EXPECT_EQ(attack_range(pages[i].pa, size, ATTACK_WRITE, expected), 0);
	}
	remote_guest_do(&self->guest, REMOTE_CHECK, TEST_GPA, 8);
}

/* No other physical address shows what is in the page. */
TEST_F(guest, page_has_no_alias)
{
	static struct iomem iomem[256];
	int nr = read_iomem(iomem, ARRAY_SIZE(iomem)), bit, ret;
	const struct iomem *found;
	u64 alias, val;

	for (bit = 12; bit < adv_info()->pa_bits; bit++) {
		alias = self->pa[0] ^ BIT(bit);
		if (bit >= adv_info()->pa_range) {
			EXPECT_FAULT(adv_read64(alias, &val), ADV_FAULT_ADDRESS_SIZE);
			EXPECT_FAULT(adv_write64(alias, 0), ADV_FAULT_ADDRESS_SIZE);
			continue;
		}
		/* Devices may not like it. */
		found = find_iomem(iomem, nr, alias);
		if (found && !found->ram)
			continue;
		ret = adv_read64(alias, &val);
		EXPECT_NE(ret, ADV_FAULT_INTERRUPT);
		if (!ret) {
			EXPECT_NE(val, REMOTE_PATTERN(PAGE_GPA(0)))
				TH_LOG("0x%lx is readable at 0x%lx", self->pa[0], alias);
		}
	}
	remote_guest_do(&self->guest, REMOTE_CHECK, PAGE_GPA(0), 1);
}

/* Pages that the guest had come back wiped. */
TEST_F(guest, memory_is_wiped_when_it_comes_back)
{
	u32 i, nr, wiped = 0;
	bool *shared;

	nr = adv_vm_pages(self->vm->fd, ADV_GUEST_PAGES, pages, ARRAY_SIZE(pages));
	shared = calloc(nr, sizeof(*shared));

	for (i = 0; i < nr; i++)
		shared[i] = is_shared(self, pages[i].gfn);

	/* Leaves the memory mapped. */
	kvm_vm_release(self->vm);
	for (i = 0; i < nr; i++) {
		u64 size = pages[i].nr_pages * self->page_size;

		if (shared[i])
			continue;
		EXPECT_EQ(adv_is_filled_with(pages[i].pa, size, 0), true);
		EXPECT_EQ(attack_range(pages[i].pa, size, ATTACK_WRITE, ADV_OK), 0);
		wiped++;
	}
	EXPECT_GT(wiped, 8);
	EXPECT_EQ(attack_page(self->pa[0], ATTACK_READ | ATTACK_WRITE, ADV_OK), 0);
	self->vm = NULL;
	free(shared);
}

/*
 * What the host gives to EL2 for a VM, and to the guest.  The test does what KVM
 * does, with pages that it keeps track of.
 */

#define DONATION_ORDER	4
#define DONATION_PAGES	BIT(DONATION_ORDER)
#define DONATED_GFN	0x12345ul
#define GUEST_PAGES	2

enum donation {
	DONATED_VM,
	DONATED_PGD,
	DONATED_VCPU,
	DONATED_MEMCACHE,	/* for the tables of stage-2 */
	DONATED_GUEST_PAGE,
	NR_DONATIONS,
};

FIXTURE(donation) {
	struct kvm_vm *vm;
	struct adv_object object;
	size_t page_size;
	size_t size;
	u64 pa[NR_DONATIONS];
};

FIXTURE_VARIANT(donation) {
	enum donation donation;
};

FIXTURE_VARIANT_ADD(donation, pkvm_hyp_vm) {
	.donation = DONATED_VM,
};

FIXTURE_VARIANT_ADD(donation, stage2_pgd) {
	.donation = DONATED_PGD,
};

FIXTURE_VARIANT_ADD(donation, pkvm_hyp_vcpu) {
	.donation = DONATED_VCPU,
};

FIXTURE_VARIANT_ADD(donation, memcache) {
	.donation = DONATED_MEMCACHE,
};

FIXTURE_VARIANT_ADD(donation, guest_page) {
	.donation = DONATED_GUEST_PAGE,
};

/* Never runs. */
static void guest_code(void)
{
}

FIXTURE_SETUP(donation)
{
	u64 va[NR_DONATIONS], i;
	struct adv_object vcpu_object;
	struct kvm_vcpu *vcpu;

	self->vm = vm_create_shape_with_one_vcpu(VM_SHAPE_PROTECTED, &vcpu, guest_code);
	adv_vm(self->vm, &self->object);
	adv_vcpu(vcpu, &vcpu_object);

	self->page_size = getpagesize();
	self->size = self->page_size << DONATION_ORDER;
	for (i = 0; i < NR_DONATIONS; i++) {
		self->pa[i] = adv_page_alloc(DONATION_ORDER, &va[i]);
		EXPECT_EQ(adv_probe_write(self->pa[i], self->size), DONATION_PAGES);
	}
	for (i = 0; i < GUEST_PAGES; i++)
		ASSERT_EQ(adv_write64(self->pa[DONATED_GUEST_PAGE] + i * self->page_size, ~0ul), 0);

	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_init_vm), self->object.va, va[DONATED_VM],
			  va[DONATED_PGD]), 0);
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_init_vcpu), self->object.handle,
			  vcpu_object.va, va[DONATED_VCPU]), 0);

	for (i = 0; i < DONATION_PAGES - 1; i++)
		ASSERT_EQ(adv_write64(self->pa[DONATED_MEMCACHE] + i * self->page_size,
				      self->pa[DONATED_MEMCACHE] + (i + 1) * self->page_size), 0);
	adv_field_write(&vcpu_object, "memcache.head", self->pa[DONATED_MEMCACHE]);
	adv_field_write(&vcpu_object, "memcache.nr_pages", DONATION_PAGES);
	adv_hvc(0, HOST_HVC(__pkvm_vcpu_load), self->object.handle, 0, 0);
	for (i = 0; i < GUEST_PAGES; i++)
		EXPECT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_donate_guest),
				  self->pa[DONATED_GUEST_PAGE] / self->page_size + i,
				  DONATED_GFN + i), 0);
	adv_hvc(0, HOST_HVC(__pkvm_vcpu_put));
	EXPECT_EQ(adv_field_read(&vcpu_object, "memcache.nr_pages"), 0);
}

/* KVM does not know that there was something at EL2. */
FIXTURE_TEARDOWN(donation)
{
	int i;

	for (i = 0; i < NR_DONATIONS; i++)
		EXPECT_EQ(adv_page_free(self->pa[i]), 0);
	kvm_vm_free(self->vm);
}

TEST_F(donation, is_denied_and_comes_back_wiped)
{
	u64 pa = self->pa[variant->donation], words = self->page_size / sizeof(u64), *buf, i, j, nr;

	/* The host can't know how much EL2 takes. */
	nr = DONATION_PAGES - adv_probe_read(pa, self->size);
	EXPECT_GT(nr, 0);
	EXPECT_EQ(attack_range(pa, nr * self->page_size, ATTACK_READ, ADV_FAULT_DENIED), 0);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(attack_page(pa + i * self->page_size, ATTACK_ALL, ADV_FAULT_DENIED), 0);

	/* Leaves something in the tables. */
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_force_reclaim_guest_page),
			  self->pa[DONATED_GUEST_PAGE]), 0);

	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_start_teardown_vm), self->object.handle), 0);
	for (i = 0; i < GUEST_PAGES; i++)
		ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_reclaim_dying_guest_page), self->object.handle,
				  DONATED_GFN + i), 0);
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__pkvm_finalize_teardown_vm), self->object.handle), 0);
	/* These are not KVM's to free. */
	adv_field_write(&self->object, "teardown_mc.nr_pages", 0);
	adv_field_write(&self->object, "stage2_teardown_mc.nr_pages", 0);

	EXPECT_EQ(attack_range(pa, self->size, ATTACK_WRITE, ADV_OK), 0);
	buf = malloc(self->size);
	ASSERT_EQ(adv_read(pa, ADV_NORMAL, buf, self->size), 0);
	/* The first word is for the list by which pages come back. */
	for (i = 0; i < nr; i++) {
		for (j = variant->donation == DONATED_GUEST_PAGE ? 0 : 1; j < words; j++) {
			ASSERT_EQ(buf[i * words + j], 0)
				TH_LOG("page %lu, word %lu", i, j);
		}
	}
	free(buf);
}

/* Pages that the host lets others use stay the host's. */

TEST(page_shared_with_el2_is_the_hosts)
{
	u64 pa = adv_page_alloc(0, NULL), pfn = pa / getpagesize();

	ASSERT_EQ(adv_hvc(ADV_CPU_ANY, HOST_HVC(__pkvm_host_share_hyp), pfn), 0);
	EXPECT_EQ(attack_page(pa, ATTACK_READ | ATTACK_WRITE, ADV_OK), 0);
	ASSERT_EQ(adv_hvc(ADV_CPU_ANY, HOST_HVC(__pkvm_host_unshare_hyp), pfn), 0);
	EXPECT_EQ(attack_page(pa, ATTACK_READ | ATTACK_WRITE, ADV_OK), 0);
	EXPECT_EQ(adv_page_free(pa), 0);
}

TEST(page_lent_to_a_non_protected_guest_is_the_hosts)
{
	struct remote_guest guest;
	u64 pa, val;

	remote_guest_create(&guest, VM_SHAPE_DEFAULT);
	vm_userspace_mem_region_add(guest.vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA, TEST_SLOT,
				    vm_calc_num_guest_pages(guest.vm->mode, getpagesize()), 0);
	virt_map(guest.vm, TEST_GPA, TEST_GPA, getpagesize() / guest.vm->page_size);
	pa = adv_pin(addr_gpa2hva(guest.vm, TEST_GPA));

	remote_guest_do(&guest, REMOTE_WRITE, TEST_GPA, 1);
	ASSERT_EQ(adv_read64(pa, &val), 0);
	EXPECT_EQ(val, REMOTE_PATTERN(TEST_GPA));
	EXPECT_EQ(attack_page(pa, ATTACK_READ | ATTACK_WRITE, ADV_OK), 0);
	kvm_vm_free(guest.vm);
	EXPECT_EQ(attack_page(pa, ATTACK_READ | ATTACK_WRITE, ADV_OK), 0);
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
