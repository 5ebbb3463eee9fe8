// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_hypercalls - EL2 believes nothing that the host says in a hypercall.
 *
 * Each hypercall gets what KVM would never pass: numbers that do not exist,
 * handles of VMs that are gone or were never there, memory that is not the
 * host's to give, objects in the wrong state.  It is refused with an error, and
 * nothing has changed: what was offered still is the host's, what is a guest's
 * or EL2's still is out of its reach, and a protected guest goes on with its
 * secret.
 *
 * The VMs that are attacked here are known to EL2 alone.  They are made of
 * copies of what KVM has of a VM, so that KVM is not confused.
 */
#include <fcntl.h>
#include <linux/psci.h>
#include <linux/sizes.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_secret.h"
#include "processor.h"
#include "test_util.h"

#include "kselftest_harness.h"

/* The CPU that makes the calls, and another one */
#define CPU		0
#define OTHER_CPU	1

#define NR_VCPUS	2
#define GFN		0x100ul
#define PATTERN		0x686f737427730a00ul

#define hvc_on(cpu, name, ...)	adv_hvc(cpu, HOST_HVC(name), ##__VA_ARGS__)
#define hvc(name, ...)		hvc_on(CPU, name, ##__VA_ARGS__)

/* enum kvm_pgtable_prot */
#define PROT_RWX		0xful
#define PROT_RX_PRIVILEGED	0x9ul
#define PROT_R_DEVICE		0x18ul

/* Beyond the memory of any machine */
#define NOWHERE			GENMASK_ULL(47, 32)
/* What EL2 hands out last */
#define UNUSED_HANDLE		0x10f0ul

static u64 page_size(void)
{
	return adv_info()->page_size;
}

static u64 pfn(u64 pa)
{
	return pa / page_size();
}

/* Registers of a device */
static u64 mmio(void)
{
	static u64 pa;
	char line[256];
	FILE *f;

	if (pa)
		return pa;
	f = fopen("/proc/iomem", "r");
	TEST_ASSERT(f, "Can't open /proc/iomem");
	while (!pa && fgets(line, sizeof(line), f)) {
		if (line[0] != ' ' && !strstr(line, "System RAM") && !strstr(line, "reserved"))
			pa = strtoul(line, NULL, 16) & ~(page_size() - 1);
	}
	fclose(f);
	TEST_ASSERT(pa, "No device in /proc/iomem");

	return pa;
}

/*
 * Kernel address of a page in the linear map.  That of a page that is no RAM is
 * for EL2 the address of another one: it drops the upper bits.
 */
static u64 linear(u64 pa)
{
	static u64 offset;
	u64 page, va;

	if (!offset) {
		page = adv_page_alloc(0, &va);
		offset = va - page;
		TEST_ASSERT_EQ(adv_page_free(page), 0);
	}

	return pa + offset;
}

static u32 order_of(u64 size)
{
	u32 order = 0;

	while (page_size() << order < size)
		order++;

	return order;
}

/* A page of the host's */
static u64 new_page(void)
{
	u64 pa = adv_page_alloc(0, NULL);

	TEST_ASSERT_EQ(adv_write64(pa, PATTERN), 0);
	return pa;
}

static bool host_has(u64 pa)
{
	u64 val;

	return adv_read64(pa, &val) == ADV_OK && adv_write64(pa, val) == ADV_OK;
}

#define EXPECT_HOST_HAS(pa)							\
do {										\
	u64 __pa = (pa);							\
										\
	EXPECT_TRUE(host_has(__pa))						\
		TH_LOG("0x%lx is not the host's any more: %s", __pa,		\
		       adv_fault_name(adv_fault_type(adv_last_fault())));	\
} while (0)
#define EXPECT_HOST_HAS_NOT(pa)							\
do {										\
	u64 __pa = (pa);							\
										\
	EXPECT_FALSE(host_has(__pa)) TH_LOG("the host has got 0x%lx", __pa);	\
} while (0)

/* A VM that KVM does not know: copies of its structures, and what EL2 is given */
struct el2_vm {
	struct adv_object kvm;
	struct adv_object vcpu[NR_VCPUS];
	u64 handle;
	u64 hyp_vm;
	u64 pgd;
	u64 hyp_vcpu[NR_VCPUS];
};

static u64 nr_pages(const struct adv_object *object)
{
	return (object->size + page_size() - 1) / page_size();
}

static void copy_object(const struct adv_object *from, struct adv_object *to)
{
	char *buf = malloc(from->size);
	u64 va, i;

	*to = *from;
	to->pa = adv_page_alloc(order_of(from->size), &va);
	to->va = va;
	TEST_ASSERT_EQ(adv_read(from->va, ADV_VA, buf, from->size), 0);
	TEST_ASSERT_EQ(adv_write(to->va, ADV_VA, buf, from->size), 0);
	free(buf);

	for (i = 0; i < nr_pages(to); i++)
		TEST_ASSERT_EQ(hvc(__pkvm_host_share_hyp, pfn(to->pa) + i), 0);
}

static void free_object(struct adv_object *object)
{
	u64 i;

	for (i = 0; i < nr_pages(object); i++)
		TEST_ASSERT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(object->pa) + i), 0);
	TEST_ASSERT_EQ(adv_page_free(object->pa), 0);
}

/* All that it takes, and nothing that EL2 knows of but the handle */
static void el2_vm_prepare(struct el2_vm *vm, struct kvm_vcpu *template)
{
	struct adv_object kvm, vcpu;
	s64 handle;
	int i;

	adv_vm(template->vm, &kvm);
	adv_vcpu(template, &vcpu);
	copy_object(&kvm, &vm->kvm);

	handle = hvc(__pkvm_reserve_vm);
	TEST_ASSERT(handle > 0, "__pkvm_reserve_vm: %ld", handle);
	vm->handle = handle;
	adv_field_write(&vm->kvm, "handle", handle);
	adv_field_write(&vm->kvm, "created_vcpus", NR_VCPUS);

	/* EL2's structures are somewhat larger than the host's. */
	vm->hyp_vm = adv_page_alloc(order_of(kvm.size + SZ_8K), NULL);
	/* 16 pages for the first level at most, and as aligned */
	vm->pgd = adv_page_alloc(4, NULL);

	for (i = 0; i < NR_VCPUS; i++) {
		copy_object(&vcpu, &vm->vcpu[i]);
		adv_field_write(&vm->vcpu[i], "vcpu_idx", i);
		adv_field_write(&vm->vcpu[i], "vcpu_id", i);
		/* The guest boots on the first one. */
		if (i)
			adv_field_write(&vm->vcpu[i], "mp_state", KVM_MP_STATE_STOPPED);
		adv_field_write(&vm->vcpu[i], "memcache.nr_pages", 0);
		vm->hyp_vcpu[i] = adv_page_alloc(order_of(vcpu.size + SZ_4K), NULL);
	}
}

static s64 el2_init_vm(struct el2_vm *vm)
{
	return hvc(__pkvm_init_vm, vm->kvm.va, linear(vm->hyp_vm), linear(vm->pgd));
}

static s64 el2_init_vcpu(struct el2_vm *vm, int i)
{
	return hvc(__pkvm_init_vcpu, vm->handle, vm->vcpu[i].va, linear(vm->hyp_vcpu[i]));
}

static void el2_vm_create(struct el2_vm *vm, struct kvm_vcpu *template)
{
	int i;

	el2_vm_prepare(vm, template);
	TEST_ASSERT_EQ(el2_init_vm(vm), 0);
	for (i = 0; i < NR_VCPUS; i++)
		TEST_ASSERT_EQ(el2_init_vcpu(vm, i), 0);
}

/* Of one that does not exist at EL2 (any more): all of it is the host's again. */
static void el2_vm_free(struct el2_vm *vm)
{
	int i;

	TEST_ASSERT_EQ(adv_page_free(vm->hyp_vm), 0);
	TEST_ASSERT_EQ(adv_page_free(vm->pgd), 0);
	for (i = 0; i < NR_VCPUS; i++) {
		TEST_ASSERT_EQ(adv_page_free(vm->hyp_vcpu[i]), 0);
		free_object(&vm->vcpu[i]);
	}
	free_object(&vm->kvm);
}

static void el2_vm_destroy(struct el2_vm *vm)
{
	TEST_ASSERT_EQ(hvc(__pkvm_start_teardown_vm, vm->handle), 0);
	TEST_ASSERT_EQ(hvc(__pkvm_finalize_teardown_vm, vm->handle), 0);
	el2_vm_free(vm);
}

/* Pages for page tables, as many as a mapping may take */
static void el2_vcpu_top_up(struct el2_vm *vm, int i)
{
	u64 n, pa, head = 0;

	for (n = 0; n < 4; n++) {
		pa = new_page();
		TEST_ASSERT_EQ(adv_write64(pa, head), 0);
		head = pa;
	}
	adv_field_write(&vm->vcpu[i], "memcache.head", head);
	adv_field_write(&vm->vcpu[i], "memcache.nr_pages", n);
}

/*
 * Does EL2 think that a vCPU is loaded on @cpu?  It can't be given a page of
 * registers, but the error depends on it.
 */
static bool vcpu_is_loaded(int cpu)
{
	return hvc_on(cpu, __pkvm_host_donate_guest, pfn(mmio()), GFN) == -EPERM ||
	       hvc_on(cpu, __pkvm_host_share_guest, pfn(mmio()), GFN, 1, 0) == -EPERM;
}

static void load(struct el2_vm *vm, int i)
{
	hvc(__pkvm_vcpu_load, vm->handle, i, 0);
	TEST_ASSERT(vcpu_is_loaded(CPU), "vCPU %d is not loaded", i);
}

static void put(void)
{
	hvc(__pkvm_vcpu_put);
	TEST_ASSERT(!vcpu_is_loaded(CPU), "A vCPU is still loaded");
}

FIXTURE(hypercalls) {
	struct secret_vm *victim;
	struct adv_object victim_kvm;
	u64 victim_page;
	struct kvm_vm *np_vm;
	struct kvm_vcpu *np_vcpu;
	u64 el2_page;
};

static void guest_nop(void)
{
	GUEST_DONE();
}

FIXTURE_SETUP(hypercalls)
{
	struct adv_target target;

	adv_find_target("memory", ADV_CPU_ANY, &target);
	self->el2_page = target.pa + target.size / 2;

	self->victim = secret_vm_create(true, SECRET_ANON);
	secret_vm_start(self->victim);
	adv_vm(self->victim->vm, &self->victim_kvm);
	self->victim_page = adv_virt_to_phys(secret_vm_page(self->victim, SECRET_PAGE));

	self->np_vm = vm_create_with_one_vcpu(&self->np_vcpu, guest_nop);

	/* The tests below would prove nothing about the host's memory. */
	ASSERT_FALSE(host_has(self->victim_page));
	ASSERT_FALSE(host_has(self->el2_page));
}

/* Whatever was tried, the guest goes on with its secret, and the host as well. */
FIXTURE_TEARDOWN(hypercalls)
{
	EXPECT_EQ(secret_vm_check(self->victim), 0);
	EXPECT_EQ(self->victim->guest_sees[SECRET_PAGE], secret_vm_secret(self->victim));
	EXPECT_HOST_HAS_NOT(self->victim_page);
	EXPECT_HOST_HAS_NOT(self->el2_page);
	vcpu_run(self->np_vcpu);
	kvm_vm_free(self->np_vm);
	secret_vm_free(self->victim);
}

/* -- numbers and functions -------------------------------------------------------------------- */

TEST_F(hypercalls, number_without_a_function_is_not_supported)
{
	u64 first = HOST_HVC(__kvm_hyp_init), max = __adv_hypercall_nr("MAX"), i;
	u64 bad[] = { first - 1, first - 0x1000, first | BIT_ULL(32), first | BIT_ULL(63), ~0ul };

	ASSERT_LT(max, 0x1000);
	for (i = max; i < max + 0x200; i++) {
		EXPECT_EQ(adv_hvc_status(CPU, first + i), SMCCC_RET_NOT_SUPPORTED)
			TH_LOG("hypercall %lu", i);
	}
	EXPECT_EQ(adv_hvc_status(CPU, first + 0xfffe), SMCCC_RET_NOT_SUPPORTED);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(adv_hvc_status(CPU, bad[i]), SMCCC_RET_NOT_SUPPORTED)
			TH_LOG("x0 0x%lx", bad[i]);
	}
	/* The hypervisor stub, which EL2 was before KVM */
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(adv_hvc_status(CPU, i), SMCCC_RET_NOT_SUPPORTED)
			TH_LOG("stub call %lu", i);
	}
}

/* The most harmless one first */
static void assert_boot_is_over(struct __test_metadata *_metadata, int cpu)
{
	u64 first = HOST_HVC(__kvm_hyp_init), i;

	for (i = __adv_hypercall_nr("MIN_PKVM"); i-- > 0;) {
		ASSERT_EQ(adv_hvc_status(cpu, first + i), SMCCC_RET_NOT_SUPPORTED)
			TH_LOG("CPU %d, hypercall %lu (%s)", cpu, i, adv_hypercall_name(i));
	}
	ASSERT_EQ(hvc_on(cpu, __pkvm_prot_finalize), -EPERM)
		TH_LOG("CPU %d", cpu);
}

TEST_F(hypercalls, calls_of_the_boot_are_not_replayed)
{
	assert_boot_is_over(_metadata, CPU);
	assert_boot_is_over(_metadata, OTHER_CPU);
}

static void set_online(int cpu, const char *online)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	TEST_ASSERT(fd >= 0, "Can't open %s", path);
	TEST_ASSERT(write(fd, online, 1) == 1, "Can't write %s to %s", online, path);
	close(fd);
}

TEST_F(hypercalls, calls_of_the_boot_are_not_replayed_on_a_cpu_that_was_off)
{
	set_online(OTHER_CPU, "0");
	set_online(OTHER_CPU, "1");
	assert_boot_is_over(_metadata, OTHER_CPU);

	/* It obeys EL2 as before. */
	EXPECT_EQ(adv_mem(ADV_READ64, self->victim_page, ADV_NORMAL, OTHER_CPU, 0, 0, NULL),
		  ADV_FAULT_DENIED);
}

/* What EL2 would have to follow, or needs registers that not every CPU has */
TEST_F(hypercalls, calls_that_only_other_modes_need_are_not_supported)
{
	static const char * const names[] = {
		"__kvm_tlb_flush_vmid_ipa", "__kvm_tlb_flush_vmid_ipa_nsh", "__kvm_tlb_flush_vmid",
		"__kvm_tlb_flush_vmid_range", "__kvm_flush_cpu_context",
		"__vgic_v5_save_apr", "__vgic_v5_restore_vmcr_apr",
	};
	u64 i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		EXPECT_EQ(adv_hvc_status(CPU, adv_hypercall_id(names[i]),
					 linear(self->victim_page), 0, 1), SMCCC_RET_NOT_SUPPORTED)
			TH_LOG("%s", names[i]);
	}
}

TEST_F(hypercalls, firmware_call_with_an_immediate_or_upper_bits_is_refused)
{
	u64 x[ADV_NR_XREGS] = { PSCI_0_2_FN_PSCI_VERSION };

	EXPECT_GE(adv_smc(CPU, PSCI_0_2_FN_PSCI_VERSION), PSCI_VERSION(0, 2));
	ASSERT_EQ(__adv_call(ADV_SMC, 1, CPU, x), 0);
	EXPECT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED);
	EXPECT_EQ(adv_smc(CPU, PSCI_0_2_FN_PSCI_VERSION | BIT_ULL(32)), SMCCC_RET_NOT_SUPPORTED);
	EXPECT_EQ(adv_smc(CPU, PSCI_0_2_FN64_CPU_ON | BIT_ULL(63), OTHER_CPU, 0),
		  SMCCC_RET_NOT_SUPPORTED);
}

/*
 * What takes the address of code that a CPU goes on with: at EL2, if EL3 got
 * the call as it is.
 */
TEST_F(hypercalls, psci_call_that_el2_does_not_know_never_gets_to_el3)
{
	static const u32 calls[] = {
		PSCI_0_2_FN_CPU_ON, PSCI_0_2_FN_CPU_SUSPEND, PSCI_0_2_FN_MIGRATE,
		PSCI_0_2_FN_AFFINITY_INFO, PSCI_1_0_FN_CPU_FREEZE,
		PSCI_1_0_FN_CPU_DEFAULT_SUSPEND, PSCI_1_0_FN64_CPU_DEFAULT_SUSPEND,
		PSCI_1_0_FN_SYSTEM_SUSPEND, PSCI_1_1_FN_MEM_PROTECT,
		PSCI_1_1_FN_MEM_PROTECT_CHECK_RANGE, PSCI_1_1_FN64_MEM_PROTECT_CHECK_RANGE,
	};
	u64 mpidr = 1, i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		EXPECT_EQ((int)adv_smc(CPU, calls[i], mpidr, 0), PSCI_RET_NOT_SUPPORTED)
			TH_LOG("function 0x%x", calls[i]);
	}
}

TEST_F(hypercalls, cpu_that_is_none_or_runs_is_not_turned_on)
{
	static const u64 none[] = { 0xfe, 0xff00000000ul, BIT_ULL(31) | 1, BIT_ULL(63) | 1, ~0ul };
	u64 i;

	for (i = 0; i < ARRAY_SIZE(none); i++) {
		EXPECT_EQ((int)adv_smc(CPU, PSCI_0_2_FN64_CPU_ON, none[i], 0),
			  PSCI_RET_INVALID_PARAMS)
			TH_LOG("MPIDR 0x%lx", none[i]);
	}
	/* The second time shows that the first one has left nothing behind. */
	for (i = 0; i < 2; i++) {
		EXPECT_EQ((int)adv_smc(CPU, PSCI_0_2_FN64_CPU_ON, OTHER_CPU, 0),
			  PSCI_RET_ALREADY_ON);
	}
	set_online(OTHER_CPU, "0");
	set_online(OTHER_CPU, "1");
}

/* -- handles ---------------------------------------------------------------------------------- */

/* All that takes a handle */
static void expect_no_vm(struct __test_metadata *_metadata, u64 handle)
{
	/* Enough for a vCPU of EL2 */
	u64 pages = adv_page_alloc(4, NULL);

	EXPECT_EQ(hvc(__pkvm_init_vcpu, handle, 0, linear(pages)), -ENOENT);
	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, handle, GFN, 1), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_wrprotect_guest, handle, GFN, 1), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_test_clear_young_guest, handle, GFN, 1, 1), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_reclaim_dying_guest_page, handle, GFN), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_start_teardown_vm, handle), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_finalize_teardown_vm, handle), -EINVAL);
	hvc(__pkvm_tlb_flush_vmid, handle);
	hvc(__pkvm_vcpu_load, handle, 0, 0);
	EXPECT_FALSE(vcpu_is_loaded(CPU));
	hvc(__pkvm_vcpu_put);
	EXPECT_EQ(adv_page_free(pages), 0) TH_LOG("handle 0x%lx", handle);
}

TEST_F(hypercalls, handle_of_no_vm_is_refused)
{
	static const u64 handles[] = {
		0, 1, 0xfff, UNUSED_HANDLE, 0x10fe, 0x10ff, 0x1100, 0x7fff, 0xffff,
	};
	u64 i;

	for (i = 0; i < ARRAY_SIZE(handles); i++)
		expect_no_vm(_metadata, handles[i]);
}

TEST_F(hypercalls, handle_of_a_vm_that_is_gone_is_refused)
{
	struct el2_vm vm, other;

	el2_vm_create(&vm, self->victim->vcpu);
	el2_vm_destroy(&vm);
	expect_no_vm(_metadata, vm.handle);

	/* It is handed out again, and names the new VM only. */
	el2_vm_create(&other, self->victim->vcpu);
	EXPECT_EQ(other.handle, vm.handle);
	el2_vm_destroy(&other);
}

TEST_F(hypercalls, reserved_handle_is_no_vm)
{
	s64 handle = hvc(__pkvm_reserve_vm);

	ASSERT_GT(handle, 0);
	expect_no_vm(_metadata, handle);
	hvc(__pkvm_unreserve_vm, handle);
	hvc(__pkvm_unreserve_vm, handle);
	EXPECT_EQ(hvc(__pkvm_reserve_vm), handle);
	hvc(__pkvm_unreserve_vm, handle);
}

TEST_F(hypercalls, handle_of_a_vm_is_not_taken_from_it)
{
	s64 handle;

	hvc(__pkvm_unreserve_vm, self->victim_kvm.handle);
	handle = hvc(__pkvm_reserve_vm);
	EXPECT_NE(handle, self->victim_kvm.handle);
	hvc(__pkvm_unreserve_vm, handle);
}

TEST_F(hypercalls, number_of_handles_is_limited)
{
	s64 handles[1024];
	int n = 0;

	while (n < ARRAY_SIZE(handles) && (handles[n] = hvc(__pkvm_reserve_vm)) > 0)
		n++;
	EXPECT_LT(n, ARRAY_SIZE(handles));
	EXPECT_EQ(handles[n], -ENOMEM);
	while (n--)
		hvc(__pkvm_unreserve_vm, handles[n]);
}

/* -- VMs and vCPUs ---------------------------------------------------------------------------- */

/* Refused, with all that was offered still the host's */
static void expect_no_new_vm(struct __test_metadata *_metadata, struct el2_vm *vm, int error)
{
	EXPECT_EQ(el2_init_vm(vm), error);
	EXPECT_HOST_HAS(vm->pgd);
	EXPECT_HOST_HAS(vm->kvm.pa);
}

TEST_F(hypercalls, vm_is_made_of_the_hosts_memory_only)
{
	u64 not_the_hosts[] = { self->victim_page, self->el2_page };
	struct el2_vm vm, bad;
	u64 i;

	el2_vm_prepare(&vm, self->victim->vcpu);

	for (i = 0; i < ARRAY_SIZE(not_the_hosts); i++) {
		bad = vm;
		bad.hyp_vm = not_the_hosts[i];
		expect_no_new_vm(_metadata, &bad, -ENOMEM);
		bad = vm;
		bad.pgd = not_the_hosts[i];
		EXPECT_LT(el2_init_vm(&bad), 0);
		EXPECT_HOST_HAS(vm.hyp_vm);
		bad = vm;
		bad.kvm.va = linear(not_the_hosts[i]);
		EXPECT_NE(el2_init_vm(&bad), 0);
		EXPECT_HOST_HAS(vm.hyp_vm);
	}

	/* Not a page, lent to EL2 already, given twice */
	bad = vm;
	bad.hyp_vm += 8;
	expect_no_new_vm(_metadata, &bad, -ENOMEM);
	bad = vm;
	bad.pgd += 8;
	EXPECT_LT(el2_init_vm(&bad), 0);
	EXPECT_HOST_HAS(vm.hyp_vm);
	bad = vm;
	bad.hyp_vm = vm.kvm.pa;
	expect_no_new_vm(_metadata, &bad, -ENOMEM);
	bad = vm;
	bad.pgd = vm.hyp_vm;
	EXPECT_LT(el2_init_vm(&bad), 0);
	EXPECT_HOST_HAS(vm.hyp_vm);
	/* Not lent to EL2 */
	bad = vm;
	bad.kvm.va = linear(vm.pgd);
	EXPECT_EQ(el2_init_vm(&bad), -EPERM);
	EXPECT_HOST_HAS(vm.hyp_vm);

	ASSERT_EQ(el2_init_vm(&vm), 0);
	EXPECT_HOST_HAS_NOT(vm.hyp_vm);
	EXPECT_HOST_HAS_NOT(vm.pgd);
	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, vm_has_a_handle_and_vcpus_of_its_own)
{
	u64 handles[] = { 0, 1, 0xfff, UNUSED_HANDLE, 0x10ff, 0xffff, self->victim_kvm.handle };
	struct el2_vm vm;
	u64 i;

	el2_vm_prepare(&vm, self->victim->vcpu);

	for (i = 0; i < ARRAY_SIZE(handles); i++) {
		adv_field_write(&vm.kvm, "handle", handles[i]);
		expect_no_new_vm(_metadata, &vm, -EINVAL);
	}
	adv_field_write(&vm.kvm, "handle", vm.handle);

	adv_field_write(&vm.kvm, "created_vcpus", 0);
	expect_no_new_vm(_metadata, &vm, -EINVAL);
	adv_field_write(&vm.kvm, "created_vcpus", -1);
	expect_no_new_vm(_metadata, &vm, -ENOMEM);
	adv_field_write(&vm.kvm, "created_vcpus", NR_VCPUS);

	ASSERT_EQ(el2_init_vm(&vm), 0);
	EXPECT_EQ(el2_init_vm(&vm), -ENOMEM);
	el2_vm_destroy(&vm);
}

/* With several tables at the first level they are aligned to their size. */
TEST_F(hypercalls, vm_with_unaligned_tables_is_refused_or_has_one)
{
	struct el2_vm vm, bad;
	s64 ret;

	el2_vm_prepare(&vm, self->victim->vcpu);
	bad = vm;
	bad.pgd += page_size();
	ret = el2_init_vm(&bad);
	if (ret) {
		EXPECT_EQ(ret, -EINVAL);
		EXPECT_HOST_HAS(bad.pgd);
		ASSERT_EQ(el2_init_vm(&vm), 0);
	}
	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, vcpu_is_made_of_the_hosts_memory_only)
{
	u64 not_the_hosts[] = { self->victim_page, self->el2_page };
	struct el2_vm vm, bad;
	u64 i;

	el2_vm_prepare(&vm, self->victim->vcpu);
	ASSERT_EQ(el2_init_vm(&vm), 0);

	for (i = 0; i < ARRAY_SIZE(not_the_hosts); i++) {
		bad = vm;
		bad.hyp_vcpu[0] = not_the_hosts[i];
		EXPECT_EQ(el2_init_vcpu(&bad, 0), -ENOMEM);
		bad = vm;
		bad.vcpu[0].va = linear(not_the_hosts[i]);
		EXPECT_EQ(el2_init_vcpu(&bad, 0), -EBUSY);
		EXPECT_HOST_HAS(vm.hyp_vcpu[0]);
	}
	bad = vm;
	bad.hyp_vcpu[0] += 8;
	EXPECT_EQ(el2_init_vcpu(&bad, 0), -ENOMEM);
	bad.hyp_vcpu[0] = vm.hyp_vm;
	EXPECT_EQ(el2_init_vcpu(&bad, 0), -ENOMEM);
	/* Not lent to EL2 */
	bad = vm;
	bad.vcpu[0].va = linear(vm.hyp_vcpu[1]);
	EXPECT_EQ(el2_init_vcpu(&bad, 0), -EBUSY);

	EXPECT_EQ(el2_init_vcpu(&vm, 0), 0);
	EXPECT_HOST_HAS_NOT(vm.hyp_vcpu[0]);
	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, vcpu_has_an_index_of_its_own)
{
	static const u64 indices[] = { NR_VCPUS, NR_VCPUS + 1, 0x10000, 0x7fffffff, 0xffffffff };
	struct el2_vm vm;
	u64 i;

	el2_vm_prepare(&vm, self->victim->vcpu);
	ASSERT_EQ(el2_init_vm(&vm), 0);
	ASSERT_EQ(el2_init_vcpu(&vm, 0), 0);

	for (i = 0; i < ARRAY_SIZE(indices); i++) {
		adv_field_write(&vm.vcpu[1], "vcpu_idx", indices[i]);
		EXPECT_EQ(el2_init_vcpu(&vm, 1), -EINVAL) TH_LOG("index 0x%lx", indices[i]);
		EXPECT_HOST_HAS(vm.hyp_vcpu[1]);
	}
	adv_field_write(&vm.vcpu[1], "vcpu_idx", 0);
	EXPECT_EQ(el2_init_vcpu(&vm, 1), -EINVAL);
	EXPECT_HOST_HAS(vm.hyp_vcpu[1]);

	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, vcpu_that_is_not_there_is_not_loaded)
{
	static const u64 indices[] = { 1, NR_VCPUS, 0x10000, 0x7fffffff, 0xffffffff };
	struct el2_vm vm;
	u64 i;

	el2_vm_prepare(&vm, self->victim->vcpu);
	ASSERT_EQ(el2_init_vm(&vm), 0);
	ASSERT_EQ(el2_init_vcpu(&vm, 0), 0);

	for (i = 0; i < ARRAY_SIZE(indices); i++) {
		hvc(__pkvm_vcpu_load, vm.handle, indices[i], 0);
		ASSERT_FALSE(vcpu_is_loaded(CPU)) TH_LOG("index 0x%lx", indices[i]);
	}

	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, vcpu_is_loaded_on_one_cpu_only)
{
	struct el2_vm vm;

	el2_vm_create(&vm, self->victim->vcpu);
	load(&vm, 0);
	hvc_on(OTHER_CPU, __pkvm_vcpu_load, vm.handle, 0, 0);
	EXPECT_FALSE(vcpu_is_loaded(OTHER_CPU));
	hvc_on(OTHER_CPU, __pkvm_vcpu_put);
	put();
	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, cpu_has_one_vcpu_loaded_at_most)
{
	struct el2_vm vm;

	el2_vm_create(&vm, self->victim->vcpu);
	load(&vm, 0);
	hvc(__pkvm_vcpu_load, vm.handle, 1, 0);
	/* The other one is free. */
	hvc_on(OTHER_CPU, __pkvm_vcpu_load, vm.handle, 1, 0);
	EXPECT_TRUE(vcpu_is_loaded(OTHER_CPU));
	hvc_on(OTHER_CPU, __pkvm_vcpu_put);
	put();
	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, only_the_loaded_vcpu_runs)
{
	struct el2_vm vm;

	el2_vm_create(&vm, self->victim->vcpu);
	EXPECT_EQ(hvc(__kvm_vcpu_run, vm.vcpu[0].va), -EINVAL);
	load(&vm, 0);
	EXPECT_EQ(hvc(__kvm_vcpu_run, vm.vcpu[1].va), -EINVAL);
	EXPECT_EQ(hvc(__kvm_vcpu_run, linear(self->victim_page)), -EINVAL);
	EXPECT_EQ(hvc(__kvm_vcpu_run, 0), -EINVAL);
	put();
	el2_vm_destroy(&vm);
}

/* Its registers are not there on most CPUs. */
TEST_F(hypercalls, guest_with_a_gicv5_is_none)
{
	struct el2_vm vm;

	el2_vm_prepare(&vm, self->victim->vcpu);
	adv_field_write(&vm.kvm, "vgic_model", KVM_DEV_TYPE_ARM_VGIC_V5);
	ASSERT_EQ(el2_init_vm(&vm), 0);
	ASSERT_EQ(el2_init_vcpu(&vm, 0), 0);
	load(&vm, 0);
	/* It has no memory, and comes back with a fault or an interrupt. */
	EXPECT_GE(hvc(__kvm_vcpu_run, vm.vcpu[0].va), 0);
	put();
	el2_vm_destroy(&vm);
}

/* Whoever else they belong to, EL2 has no place for their values. */
TEST_F(hypercalls, debug_registers_of_nobody_stay_the_hosts)
{
	static const u64 owners[] = { 3, 4, 0x7fffffff, 0xffffffff };
	struct el2_vm vm;
	u64 i;

	el2_vm_create(&vm, self->np_vcpu);
	load(&vm, 0);
	for (i = 0; i < ARRAY_SIZE(owners); i++) {
		adv_field_write(&vm.vcpu[0], "debug_owner", owners[i]);
		/* It has no memory, and comes back with a fault or an interrupt. */
		EXPECT_GE(hvc(__kvm_vcpu_run, vm.vcpu[0].va), 0) TH_LOG("owner 0x%lx", owners[i]);
	}
	put();
	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, live_vm_keeps_its_memory_and_a_dying_one_does_not_run)
{
	struct el2_vm vm;
	u64 page = new_page(), val;

	el2_vm_create(&vm, self->victim->vcpu);
	el2_vcpu_top_up(&vm, 0);
	load(&vm, 0);
	ASSERT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), 0);
	EXPECT_EQ(hvc(__pkvm_start_teardown_vm, vm.handle), -EINVAL);
	put();

	EXPECT_EQ(hvc(__pkvm_reclaim_dying_guest_page, vm.handle, GFN), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_finalize_teardown_vm, vm.handle), -EINVAL);
	EXPECT_HOST_HAS_NOT(page);

	ASSERT_EQ(hvc(__pkvm_start_teardown_vm, vm.handle), 0);
	EXPECT_EQ(hvc(__pkvm_start_teardown_vm, vm.handle), -EINVAL);
	hvc(__pkvm_vcpu_load, vm.handle, 0, 0);
	ASSERT_FALSE(vcpu_is_loaded(CPU));

	EXPECT_EQ(hvc(__pkvm_reclaim_dying_guest_page, vm.handle, GFN + 1), -ENOENT);
	EXPECT_EQ(hvc(__pkvm_reclaim_dying_guest_page, vm.handle, BIT_ULL(45)), -ERANGE);
	ASSERT_EQ(hvc(__pkvm_reclaim_dying_guest_page, vm.handle, GFN), 0);
	EXPECT_EQ(adv_read64(page, &val), 0);
	EXPECT_EQ(val, 0);
	EXPECT_EQ(hvc(__pkvm_reclaim_dying_guest_page, vm.handle, GFN), -ENOENT);

	ASSERT_EQ(hvc(__pkvm_finalize_teardown_vm, vm.handle), 0);
	EXPECT_EQ(hvc(__pkvm_finalize_teardown_vm, vm.handle), -EINVAL);
	el2_vm_free(&vm);
	EXPECT_EQ(adv_page_free(page), 0);
}

/* -- memory of protected guests --------------------------------------------------------------- */

TEST_F(hypercalls, guest_is_given_the_hosts_memory_only)
{
	u64 page = new_page(), other = new_page(), lent = new_page(), val, i;
	u64 not_the_hosts[] = {
		self->victim_page, self->el2_page, page, lent, mmio(), NOWHERE,
		GENMASK_ULL(51, 12),
	};
	struct el2_vm vm;

	ASSERT_EQ(hvc(__pkvm_host_share_hyp, pfn(lent)), 0);
	el2_vm_create(&vm, self->victim->vcpu);
	el2_vcpu_top_up(&vm, 0);

	EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), -EINVAL);
	load(&vm, 0);
	ASSERT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), 0);
	EXPECT_HOST_HAS_NOT(page);

	for (i = 0; i < ARRAY_SIZE(not_the_hosts); i++) {
		EXPECT_LT(hvc(__pkvm_host_donate_guest, pfn(not_the_hosts[i]), GFN + 1), 0)
			TH_LOG("0x%lx", not_the_hosts[i]);
	}
	EXPECT_HOST_HAS(lent);

	/* Not where there is something, or nothing can be */
	EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(other), GFN), -EPERM);
	EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(other), BIT_ULL(45)), -ERANGE);
	EXPECT_HOST_HAS(other);

	/* Once taken by force there is nothing any more, for good. */
	ASSERT_EQ(hvc(__pkvm_force_reclaim_guest_page, page), 0);
	EXPECT_EQ(adv_read64(page, &val), 0);
	EXPECT_EQ(val, 0);
	EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(other), GFN), -EPERM);
	EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), -EPERM);
	EXPECT_HOST_HAS(other);

	put();
	el2_vm_destroy(&vm);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(lent)), 0);
	EXPECT_EQ(adv_page_free(lent), 0);
	EXPECT_EQ(adv_page_free(page), 0);
	EXPECT_EQ(adv_page_free(other), 0);
}

/* What the other CPU has in its TLB does not help it. */
TEST_F(hypercalls, donated_page_is_gone_from_every_cpu)
{
	u64 pages[8], i;
	struct el2_vm vm;

	el2_vm_create(&vm, self->victim->vcpu);
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = new_page();
		el2_vcpu_top_up(&vm, 0);
		load(&vm, 0);
		EXPECT_EQ(adv_mem(ADV_READ64, linear(pages[i]), ADV_VA, OTHER_CPU, 0, 0, NULL),
			  ADV_OK);
		ASSERT_EQ(hvc(__pkvm_host_donate_guest, pfn(pages[i]), GFN + i), 0);
		EXPECT_EQ(adv_mem(ADV_READ64, linear(pages[i]), ADV_VA, OTHER_CPU, 0, 0, NULL),
			  ADV_FAULT_DENIED);
		put();
	}

	ASSERT_EQ(hvc(__pkvm_start_teardown_vm, vm.handle), 0);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		TEST_ASSERT_EQ(hvc(__pkvm_reclaim_dying_guest_page, vm.handle, GFN + i), 0);
	ASSERT_EQ(hvc(__pkvm_finalize_teardown_vm, vm.handle), 0);
	el2_vm_free(&vm);
}

TEST_F(hypercalls, page_tables_are_made_of_the_hosts_memory_only)
{
	u64 not_the_hosts[] = {
		self->victim_page, self->el2_page, mmio(), NOWHERE,
	};
	struct adv_object *vcpu;
	u64 page = new_page(), i;
	struct el2_vm vm;

	el2_vm_create(&vm, self->victim->vcpu);
	vcpu = &vm.vcpu[0];
	load(&vm, 0);

	/* No memory at all */
	EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), -ENOMEM);
	EXPECT_HOST_HAS(page);

	for (i = 0; i < ARRAY_SIZE(not_the_hosts); i++) {
		adv_field_write(vcpu, "memcache.head", not_the_hosts[i]);
		adv_field_write(vcpu, "memcache.nr_pages", 4);
		EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), -ENOMEM)
			TH_LOG("0x%lx", not_the_hosts[i]);
		EXPECT_HOST_HAS(page);
	}

	/* The list bites its tail. */
	adv_write64(page, page);
	adv_field_write(vcpu, "memcache.head", page);
	adv_field_write(vcpu, "memcache.nr_pages", -1);
	EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), -ENOMEM);
	EXPECT_HOST_HAS_NOT(page);

	adv_field_write(vcpu, "memcache.nr_pages", 0);
	put();
	el2_vm_destroy(&vm);
	EXPECT_EQ(adv_page_free(page), 0);
}

TEST_F(hypercalls, protected_guest_is_not_treated_as_a_non_protected_one)
{
	u64 handle = self->victim_kvm.handle, page = new_page();
	struct el2_vm vm;

	el2_vm_create(&vm, self->victim->vcpu);
	el2_vcpu_top_up(&vm, 0);
	load(&vm, 0);
	ASSERT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), 0);

	/* EL2 has made up its mind when the VM was made. */
	adv_field_write(&vm.kvm, "is_protected", 0);
	EXPECT_EQ(hvc(__pkvm_host_share_guest, pfn(page), GFN + 1, 1, PROT_RWX), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_relax_perms_guest, GFN, PROT_RWX), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_mkyoung_guest, GFN), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, GFN, 1), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_wrprotect_guest, vm.handle, GFN, 1), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_test_clear_young_guest, vm.handle, GFN, 1, 1), -EINVAL);
	hvc(__pkvm_vcpu_sync_state);
	EXPECT_HOST_HAS_NOT(page);

	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, handle, GFN, 1), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_wrprotect_guest, handle, GFN, 1), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_test_clear_young_guest, handle, GFN, 1, 1), -EINVAL);

	put();
	ASSERT_EQ(hvc(__pkvm_start_teardown_vm, vm.handle), 0);
	ASSERT_EQ(hvc(__pkvm_reclaim_dying_guest_page, vm.handle, GFN), 0);
	ASSERT_EQ(hvc(__pkvm_finalize_teardown_vm, vm.handle), 0);
	el2_vm_free(&vm);
	EXPECT_EQ(adv_page_free(page), 0);
}

/* Torn down without its memory, which remains of no use to anyone */
TEST_F(hypercalls, page_of_a_guest_that_is_gone_stays_lost)
{
	u64 page = new_page(), other = new_page();
	struct el2_vm vm, next;

	el2_vm_create(&vm, self->victim->vcpu);
	el2_vcpu_top_up(&vm, 0);
	load(&vm, 0);
	ASSERT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), 0);
	put();
	el2_vm_destroy(&vm);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, page), -EAGAIN);

	/* The next VM has the same handle, and another page at the same place. */
	el2_vm_create(&next, self->victim->vcpu);
	ASSERT_EQ(next.handle, vm.handle);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, page), -ENOENT);
	el2_vcpu_top_up(&next, 0);
	load(&next, 0);
	ASSERT_EQ(hvc(__pkvm_host_donate_guest, pfn(other), GFN), 0);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, page), -EPERM);
	put();
	EXPECT_HOST_HAS_NOT(page);
	EXPECT_HOST_HAS_NOT(other);

	ASSERT_EQ(hvc(__pkvm_start_teardown_vm, next.handle), 0);
	EXPECT_EQ(hvc(__pkvm_reclaim_dying_guest_page, next.handle, GFN), 0);
	ASSERT_EQ(hvc(__pkvm_finalize_teardown_vm, next.handle), 0);
	el2_vm_free(&next);
	EXPECT_EQ(adv_page_free(other), 0);
	EXPECT_EQ(adv_page_free(page), EBUSY);
}

TEST_F(hypercalls, only_guest_memory_is_taken_by_force)
{
	u64 page = new_page(), lent = new_page();
	struct adv_target text;

	ASSERT_EQ(hvc(__pkvm_host_share_hyp, pfn(lent)), 0);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, page), -EAGAIN);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, lent), -EAGAIN);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, self->el2_page), -EPERM);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, mmio()), -EFAULT);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, NOWHERE), -EFAULT);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, ~0ul), -EFAULT);
	/* Which the host can read */
	adv_find_target("text", ADV_CPU_ANY, &text);
	EXPECT_EQ(hvc(__pkvm_force_reclaim_guest_page, text.pa), -EPERM);
	EXPECT_HOST_HAS(page);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(lent)), 0);
	EXPECT_EQ(adv_page_free(lent), 0);
	EXPECT_EQ(adv_page_free(page), 0);
}

/* -- memory of non-protected guests ----------------------------------------------------------- */

TEST_F(hypercalls, non_protected_guest_is_lent_the_hosts_memory_only)
{
	u64 page = new_page(), lent = new_page(), i;
	u64 not_the_hosts[] = {
		self->victim_page, self->el2_page, lent, mmio(), NOWHERE,
		GENMASK_ULL(51, 12),
	};
	static const u64 sizes[] = { 0, 2, 511, 513, BIT_ULL(52) - 1, ~0ul };
	struct el2_vm vm;
	s64 ret;

	ASSERT_EQ(hvc(__pkvm_host_share_hyp, pfn(lent)), 0);
	el2_vm_create(&vm, self->np_vcpu);
	el2_vcpu_top_up(&vm, 0);
	load(&vm, 0);

	for (i = 0; i < ARRAY_SIZE(not_the_hosts); i++) {
		EXPECT_LT(hvc(__pkvm_host_share_guest, pfn(not_the_hosts[i]), GFN, 1, PROT_RWX), 0)
			TH_LOG("0x%lx", not_the_hosts[i]);
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(hvc(__pkvm_host_share_guest, pfn(page), GFN, sizes[i], PROT_RWX), -EINVAL)
			TH_LOG("%ld pages", sizes[i]);
	}
	/* Blocks are aligned. */
	EXPECT_EQ(hvc(__pkvm_host_share_guest, (pfn(page) | 511) - 510, 512, 512, PROT_RWX),
		  -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_share_guest, pfn(page) & ~511ul, 513, 512, PROT_RWX), -EINVAL);
	/* Neither memory types nor the bits that hold the page's state */
	EXPECT_EQ(hvc(__pkvm_host_share_guest, pfn(page), GFN, 1, PROT_R_DEVICE), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_share_guest, pfn(page), GFN, 1, PROT_RWX | BIT_ULL(55)), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_share_guest, pfn(page), BIT_ULL(45), 1, PROT_RWX), -ERANGE);
	/* Of FEAT_XNX */
	ret = hvc(__pkvm_host_share_guest, pfn(page), GFN, 1, PROT_RX_PRIVILEGED);
	EXPECT_TRUE(!ret || ret == -EINVAL);
	if (!ret)
		TEST_ASSERT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, GFN, 1), 0);
	EXPECT_EQ(hvc(__pkvm_host_donate_guest, pfn(page), GFN), -EINVAL);
	/* The page is still all the host's: it can be lent to EL2. */
	EXPECT_EQ(hvc(__pkvm_host_share_hyp, pfn(page)), 0);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(page)), 0);

	put();
	el2_vm_destroy(&vm);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(lent)), 0);
	EXPECT_EQ(adv_page_free(lent), 0);
	EXPECT_EQ(adv_page_free(page), 0);
}

TEST_F(hypercalls, page_lent_twice_is_the_hosts_when_both_gave_it_back)
{
	u64 page = new_page();
	struct el2_vm vm;

	el2_vm_create(&vm, self->np_vcpu);
	el2_vcpu_top_up(&vm, 0);
	load(&vm, 0);

	ASSERT_EQ(hvc(__pkvm_host_share_guest, pfn(page), GFN, 1, PROT_RWX), 0);
	EXPECT_EQ(hvc(__pkvm_host_share_guest, pfn(page), GFN, 1, PROT_RWX), -EPERM);
	el2_vcpu_top_up(&vm, 0);
	ASSERT_EQ(hvc(__pkvm_host_share_guest, pfn(page), GFN + 1, 1, PROT_RWX), 0);
	EXPECT_EQ(hvc(__pkvm_host_share_hyp, pfn(page)), -EPERM);

	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, GFN, 512), -EINVAL);
	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, GFN, 1), 0);
	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, GFN, 1), -ENOENT);
	EXPECT_EQ(hvc(__pkvm_host_share_hyp, pfn(page)), -EPERM);

	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, GFN + 1, 1), 0);
	EXPECT_EQ(hvc(__pkvm_host_share_hyp, pfn(page)), 0);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(page)), 0);

	put();
	el2_vm_destroy(&vm);
	EXPECT_EQ(adv_page_free(page), 0);
}

/* Neither an error of the page tables nor one of EL2's */
TEST_F(hypercalls, range_that_a_guest_cannot_have_is_refused)
{
	static const u64 gfns[] = { BIT_ULL(40), BIT_ULL(45), GENMASK_ULL(51, 9) };
	static const u64 sizes[] = { 1, 512 };
	struct el2_vm vm;
	u64 i, j;

	el2_vm_create(&vm, self->np_vcpu);
	load(&vm, 0);

	for (i = 0; i < ARRAY_SIZE(gfns); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			EXPECT_EQ(hvc(__pkvm_host_test_clear_young_guest, vm.handle, gfns[i],
				      sizes[j], 1), -ERANGE) TH_LOG("gfn 0x%lx", gfns[i]);
			EXPECT_EQ(hvc(__pkvm_host_wrprotect_guest, vm.handle, gfns[i], sizes[j]),
				  -ERANGE) TH_LOG("gfn 0x%lx", gfns[i]);
			EXPECT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, gfns[i], sizes[j]),
				  -ERANGE) TH_LOG("gfn 0x%lx", gfns[i]);
		}
		EXPECT_EQ(hvc(__pkvm_host_relax_perms_guest, gfns[i], PROT_RWX), -ERANGE)
			TH_LOG("gfn 0x%lx", gfns[i]);
		EXPECT_EQ(hvc(__pkvm_host_mkyoung_guest, gfns[i]), -ERANGE)
			TH_LOG("gfn 0x%lx", gfns[i]);
	}

	put();
	el2_vm_destroy(&vm);
}

TEST_F(hypercalls, block_is_asked_about_by_the_page)
{
	u64 block = adv_page_alloc(order_of(SZ_2M), NULL), gfn = SZ_2M / page_size();
	struct el2_vm vm;

	ASSERT_EQ(page_size(), SZ_4K);
	el2_vm_create(&vm, self->np_vcpu);
	el2_vcpu_top_up(&vm, 0);
	load(&vm, 0);
	ASSERT_EQ(hvc(__pkvm_host_share_guest, pfn(block), gfn, 512, PROT_RWX), 0);

	EXPECT_EQ(hvc(__pkvm_host_test_clear_young_guest, vm.handle, gfn + 1, 1, 1), 1);
	EXPECT_EQ(hvc(__pkvm_host_test_clear_young_guest, vm.handle, gfn, 512, 0), 0);
	EXPECT_EQ(hvc(__pkvm_host_wrprotect_guest, vm.handle, gfn + 1, 1), 0);
	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, gfn + 1, 1), -E2BIG);

	EXPECT_EQ(hvc(__pkvm_host_unshare_guest, vm.handle, gfn, 512), 0);
	put();
	el2_vm_destroy(&vm);
	EXPECT_EQ(adv_page_free(block), 0);
}

/* -- memory that EL2 shares ------------------------------------------------------------------- */

TEST_F(hypercalls, host_lends_el2_its_own_memory_only)
{
	u64 not_the_hosts[] = {
		self->victim_page, self->el2_page, mmio(), NOWHERE,
		GENMASK_ULL(51, 12),
	};
	u64 page = new_page(), i;

	for (i = 0; i < ARRAY_SIZE(not_the_hosts); i++) {
		EXPECT_LT(hvc(__pkvm_host_share_hyp, pfn(not_the_hosts[i])), 0)
			TH_LOG("0x%lx", not_the_hosts[i]);
		EXPECT_LT(hvc(__pkvm_host_unshare_hyp, pfn(not_the_hosts[i])), 0)
			TH_LOG("0x%lx", not_the_hosts[i]);
	}
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(page)), -EPERM);
	ASSERT_EQ(hvc(__pkvm_host_share_hyp, pfn(page)), 0);
	EXPECT_EQ(hvc(__pkvm_host_share_hyp, pfn(page)), -EPERM);
	EXPECT_HOST_HAS(page);
	ASSERT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(page)), 0);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(page)), -EPERM);
	EXPECT_EQ(adv_page_free(page), 0);
}

TEST_F(hypercalls, memory_that_el2_uses_stays_lent)
{
	struct el2_vm vm;

	el2_vm_create(&vm, self->victim->vcpu);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(vm.kvm.pa)), -EBUSY);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(vm.vcpu[1].pa)), -EBUSY);
	el2_vm_destroy(&vm);
}

/* -- tracing ---------------------------------------------------------------------------------- */

TEST_F(hypercalls, tracing_checks_its_arguments)
{
	static const u64 cpus[] = { 64, 0x10000, 0x7fffffff, 0xffffffff };
	u64 page = new_page(), mask = page_size() - 1, i;
	u64 not_the_hosts[] = { self->victim_page, self->el2_page };

	for (i = 0; i < ARRAY_SIZE(cpus); i++) {
		EXPECT_EQ(hvc(__tracing_swap_reader, cpus[i]), -EINVAL) TH_LOG("CPU %lu", cpus[i]);
		EXPECT_EQ(hvc(__tracing_reset, cpus[i]), -EINVAL) TH_LOG("CPU %lu", cpus[i]);
	}
	EXPECT_EQ(hvc(__tracing_swap_reader, CPU), -ENODEV);
	EXPECT_EQ(hvc(__tracing_reset, CPU), -ENODEV);
	EXPECT_EQ(hvc(__tracing_enable, 1), -EINVAL);
	EXPECT_EQ(hvc(__tracing_enable_event, 0xffff, 1), -EINVAL);
	hvc(__tracing_unload);

	EXPECT_EQ(hvc(__tracing_load, linear(page), 0), -EINVAL);
	EXPECT_EQ(hvc(__tracing_load, linear(page), 8), -EINVAL);
	EXPECT_EQ(hvc(__tracing_load, linear(page) + 8, page_size()), -EINVAL);
	EXPECT_EQ(hvc(__tracing_load, linear(page), ~mask), -EINVAL);
	EXPECT_EQ(hvc(__tracing_load, linear(page), BIT_ULL(63)), -EINVAL);
	for (i = 0; i < ARRAY_SIZE(not_the_hosts); i++) {
		EXPECT_LT(hvc(__tracing_load, linear(not_the_hosts[i]), page_size()), 0)
			TH_LOG("0x%lx", not_the_hosts[i]);
	}
	EXPECT_HOST_HAS(page);
	EXPECT_EQ(adv_page_free(page), 0);
}

/* The start of struct hyp_trace_desc, with one struct ring_buffer_desc */
#define NR_TRACE_PAGES	450
struct trace_desc {
	u64 backing_start;
	u64 backing_size;
	s32 nr_cpus;
	u64 struct_len;
	s32 cpu;
	u32 nr_page_va;
	u64 meta_va;
	u64 page_va[NR_TRACE_PAGES];
};

TEST_F(hypercalls, trace_buffer_fits_its_description)
{
	u64 page = new_page(), backing = new_page(), lent = new_page(), i;
	const struct {
		u64 backing_size;
		s32 nr_cpus, cpu;
		u32 nr_page_va;
	} bad[] = {
		{ page_size(), 1, 0, ~0u },		/* more than the description has */
		{ page_size(), 1, 0, 600 },
		{ page_size(), 1, 0, NR_TRACE_PAGES },	/* more than the memory has */
		{ page_size(), 1, 0, 0 },		/* too few */
		{ page_size(), 1, 0, 2 },
		{ page_size(), 1, 1, 3 },		/* another CPU's */
		{ page_size(), 1, -1, 3 },
		{ page_size(), 0x10000, 0, 3 },		/* more than there are */
		{ page_size() + 8, 1, 0, 3 },		/* no pages */
		{ 0, 1, 0, 0 },
		{ ~0ul - page_size() + 1, 1, 0, 3 },
	};
	struct trace_desc desc = {
		.backing_start	= linear(backing),
		.meta_va	= linear(lent),
	};

	ASSERT_LE(sizeof(desc), page_size());
	for (i = 0; i < NR_TRACE_PAGES; i++)
		desc.page_va[i] = linear(lent);
	ASSERT_EQ(hvc(__pkvm_host_share_hyp, pfn(lent)), 0);

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		desc.backing_size = bad[i].backing_size;
		desc.nr_cpus = bad[i].nr_cpus;
		desc.cpu = bad[i].cpu;
		desc.nr_page_va = bad[i].nr_page_va;
		ASSERT_EQ(adv_write(page, ADV_NORMAL, &desc, sizeof(desc)), 0);
		EXPECT_LT(hvc(__tracing_load, linear(page), page_size()), 0) TH_LOG("case %lu", i);
		EXPECT_HOST_HAS(page);
		EXPECT_HOST_HAS(backing);
	}

	/* Memory of others as pages of the buffer, then a good one, twice */
	desc.backing_size = page_size();
	desc.nr_cpus = 1;
	desc.cpu = 0;
	desc.nr_page_va = 3;
	desc.page_va[2] = linear(self->victim_page);
	ASSERT_EQ(adv_write(page, ADV_NORMAL, &desc, sizeof(desc)), 0);
	EXPECT_EQ(hvc(__tracing_load, linear(page), page_size()), -EINVAL);
	desc.page_va[2] = linear(lent);
	ASSERT_EQ(adv_write(page, ADV_NORMAL, &desc, sizeof(desc)), 0);
	EXPECT_EQ(hvc(__tracing_load, linear(page), page_size()), 0);
	EXPECT_EQ(hvc(__tracing_load, linear(page), page_size()), -EINVAL);
	EXPECT_HOST_HAS(page);
	EXPECT_HOST_HAS_NOT(backing);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(lent)), -EBUSY);
	hvc(__tracing_unload);

	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(lent)), 0);
	EXPECT_EQ(adv_page_free(page), 0);
	EXPECT_EQ(adv_page_free(backing), 0);
	EXPECT_EQ(adv_page_free(lent), 0);
}

/* More than EL2 counts */
#define MAX_PINS		65535
/* At EL2, of each page of the buffer: struct simple_buffer_page */
#define TRACE_BPAGE_SIZE	40

/* Two blocks of the largest size, side by side */
static u64 new_blocks(u64 size)
{
	u64 blocks[32], first = 0;
	int i, j, n = 0;

	while (!first && n < ARRAY_SIZE(blocks)) {
		blocks[n] = adv_page_alloc(order_of(size), NULL);
		for (i = 0; i < n; i++) {
			if (blocks[i] + size == blocks[n] || blocks[n] + size == blocks[i])
				first = min(blocks[i], blocks[n]);
		}
		n++;
	}
	TEST_ASSERT(first, "Memory is too fragmented");
	for (j = 0; j < n; j++) {
		if (blocks[j] != first && blocks[j] != first + size)
			TEST_ASSERT_EQ(adv_page_free(blocks[j]), 0);
	}

	return first;
}

TEST_F_TIMEOUT(hypercalls, page_is_pinned_as_often_as_el2_can_count, 120)
{
	u64 nr = MAX_PINS + 1, mask = page_size() - 1, i;
	u64 size = (sizeof(struct trace_desc) + nr * sizeof(u64) + mask) & ~mask;
	u64 lent = new_page(), meta = new_page();
	u64 pages = adv_page_alloc(order_of(size), NULL), backing = new_blocks(SZ_2M);
	struct trace_desc *desc = calloc(1, size);
	u64 *page_va = (void *)desc + offsetof(struct trace_desc, page_va);

	*desc = (struct trace_desc) {
		.backing_start	= linear(backing),
		.backing_size	= (nr * TRACE_BPAGE_SIZE + mask) & ~mask,
		.nr_cpus	= 1,
		.meta_va	= linear(meta),
	};
	for (i = 0; i < nr; i++)
		page_va[i] = linear(lent);
	ASSERT_EQ(hvc(__pkvm_host_share_hyp, pfn(lent)), 0);
	ASSERT_EQ(hvc(__pkvm_host_share_hyp, pfn(meta)), 0);

	/* All that is wrong with the second buffer is that it has a page more. */
	desc->nr_page_va = nr - 1;
	ASSERT_EQ(adv_write(pages, ADV_NORMAL, desc, size), 0);
	EXPECT_EQ(hvc(__tracing_load, linear(pages), size), 0);
	hvc(__tracing_unload);
	desc->nr_page_va = nr;
	ASSERT_EQ(adv_write(pages, ADV_NORMAL, desc, size), 0);
	EXPECT_EQ(hvc(__tracing_load, linear(pages), size), -EINVAL);

	/* As often as it was pinned, it was let go. */
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(lent)), 0);
	EXPECT_EQ(hvc(__pkvm_host_unshare_hyp, pfn(meta)), 0);
	EXPECT_EQ(adv_page_free(lent), 0);
	EXPECT_EQ(adv_page_free(meta), 0);
	EXPECT_EQ(adv_page_free(pages), 0);
	EXPECT_EQ(adv_page_free(backing), 0);
	EXPECT_EQ(adv_page_free(backing + SZ_2M), 0);
	free(desc);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE_PKVM();
	TEST_REQUIRE_ADVERSARY();

	return test_harness_run(argc, argv);
}
