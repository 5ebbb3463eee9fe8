// SPDX-License-Identifier: GPL-2.0-only
/*
 * Protected VMs: creation, and boot of the guest.
 */
#include <sys/resource.h>

#include <linux/psci.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_boot.h"
#include "processor.h"
#include "ucall_common.h"

/*
 * What a vCPU needs to know before it can run guest code, in guest memory.
 * The first part is read by pkvm_entry.S, with the MMU off.
 */
struct pkvm_boot {
	u64	mair;
	u64	tcr;
	u64	ttbr0;
	u64	vbar;
	u64	vcpu_id;
	u64	stack;
	u64	start;
	u64	sctlr;
	u64	self;

	gpa_t	ipa;		/* of this structure */
	gpa_t	entry;		/* of pkvm_entry */
	gpa_t	ucall_pool;
	u64	ucall_pages;
	u64	page_size;
	u64	nr_vcpus;	/* structures in the array */
	u64	guest_code;	/* NULL: the guest turns this vCPU on itself */
	u64	args[8];
};

#define ASSERT_OFFSET(field, offset) \
	kvm_static_assert(offsetof(struct pkvm_boot, field) == (offset))

ASSERT_OFFSET(mair, PKVM_BOOT_MAIR);
ASSERT_OFFSET(tcr, PKVM_BOOT_TCR);
ASSERT_OFFSET(ttbr0, PKVM_BOOT_TTBR0);
ASSERT_OFFSET(vbar, PKVM_BOOT_VBAR);
ASSERT_OFFSET(vcpu_id, PKVM_BOOT_VCPU_ID);
ASSERT_OFFSET(stack, PKVM_BOOT_STACK);
ASSERT_OFFSET(start, PKVM_BOOT_START);
ASSERT_OFFSET(sctlr, PKVM_BOOT_SCTLR);
ASSERT_OFFSET(self, PKVM_BOOT_SELF);

bool kvm_has_pkvm(void)
{
	int kvm_fd, vm_fd;

	kvm_fd = open_kvm_dev_path_or_exit();
	vm_fd = __kvm_ioctl(kvm_fd, KVM_CREATE_VM, (void *)KVM_VM_TYPE_ARM_PROTECTED);
	TEST_ASSERT(vm_fd >= 0 || errno == EINVAL, KVM_IOCTL_ERROR(KVM_CREATE_VM, vm_fd));
	if (vm_fd >= 0)
		close(vm_fd);
	close(kvm_fd);

	return vm_fd >= 0;
}

/*
 * Every page that the guest touches is locked for as long as the VM lives.
 * Best effort: with CAP_IPC_LOCK the limit does not matter, and without it a
 * test may make do with what there is.
 */
void pkvm_vm_open(struct kvm_vm *vm)
{
	struct rlimit rl;

	TEST_ASSERT(!getrlimit(RLIMIT_MEMLOCK, &rl), "getrlimit() failed");
	if (rl.rlim_cur == RLIM_INFINITY)
		return;

	rl.rlim_cur = RLIM_INFINITY;
	rl.rlim_max = RLIM_INFINITY;
	if (!setrlimit(RLIMIT_MEMLOCK, &rl))
		return;

	TEST_ASSERT(!getrlimit(RLIMIT_MEMLOCK, &rl), "getrlimit() failed");
	rl.rlim_cur = rl.rlim_max;
	TEST_ASSERT(!setrlimit(RLIMIT_MEMLOCK, &rl), "setrlimit() failed");
}

static struct pkvm_boot *pkvm_boot(struct kvm_vcpu *vcpu)
{
	struct kvm_vm *vm = vcpu->vm;

	TEST_ASSERT(vcpu->id < vm->arch.nr_pkvm_boot,
		    "vCPU %u, but the VM was created for %u vCPUs",
		    vcpu->id, vm->arch.nr_pkvm_boot);

	return addr_gva2hva(vm, vm->arch.pkvm_boot + vcpu->id * sizeof(struct pkvm_boot));
}

/*
 * The entry code turns the MMU on, so its page has to stand at the same
 * address in stage-1 as in stage-2: look for one that is free in both.
 */
static gpa_t pkvm_load_entry(struct kvm_vm *vm)
{
	gva_t gva = KVM_UTIL_MIN_VADDR;
	gpa_t gpa;

	for (;;) {
		gpa = vm_phy_page_alloc(vm, gva, vm->memslots[MEM_REGION_CODE]);
		gva = vm_unused_gva_gap(vm, vm->page_size, gpa);
		if (gva == gpa)
			break;
	}

	virt_map(vm, gva, gpa, 1);
	memcpy(addr_gpa2hva(vm, gpa), pkvm_entry, pkvm_entry_end - pkvm_entry);

	return gpa;
}

void pkvm_vm_setup(struct kvm_vm *vm, unsigned int nr_vcpus)
{
	vm->arch.nr_pkvm_boot = nr_vcpus;
	vm->arch.pkvm_boot = vm_alloc(vm, nr_vcpus * sizeof(struct pkvm_boot),
				      KVM_UTIL_MIN_VADDR);
	memset(addr_gva2hva(vm, vm->arch.pkvm_boot), 0,
	       nr_vcpus * sizeof(struct pkvm_boot));
	vm->arch.pkvm_entry = pkvm_load_entry(vm);
}

static void pkvm_guest_init(struct pkvm_boot *boot)
{
	u64 i;

	for (i = 0; i < boot->ucall_pages; i++) {
		if (pkvm_mem_share(boot->ucall_pool + i * boot->page_size))
			goto failed;
	}

	for (i = 1; i < boot->nr_vcpus; i++) {
		if (!boot[i].guest_code)
			continue;

		if (psci_cpu_on(vcpu_id_to_mpidr(i), boot[i].entry, boot[i].ipa))
			goto failed;
	}

	return;
failed:
	/* There may be no shared memory to say more. */
	mmio_ucall(UCALL_ABORT, 0);
}

static void pkvm_guest_start(struct pkvm_boot *boot, gpa_t entered_at)
{
	void (*guest_code)(u64 a0, u64 a1, u64 a2, u64 a3,
			   u64 a4, u64 a5, u64 a6, u64 a7);

	if (entered_at != boot->entry)
		mmio_ucall(UCALL_ABORT, 0);

	if (!boot->vcpu_id)
		pkvm_guest_init(boot);

	guest_code = (void *)boot->guest_code;
	guest_code(boot->args[0], boot->args[1], boot->args[2], boot->args[3],
		   boot->args[4], boot->args[5], boot->args[6], boot->args[7]);
	GUEST_FAIL("Guest code returned");
}

void pkvm_vcpu_setup(struct kvm_vcpu *vcpu, struct kvm_vcpu_init *init)
{
	struct kvm_vcpu_init default_init;
	struct kvm_vm *vm = vcpu->vm;
	struct pkvm_boot *boot;
	u64 ttbr0, tcr;

	if (!init) {
		kvm_get_default_vcpu_target(vm, &default_init);
		init = &default_init;
	}

	init->features[0] |= BIT(KVM_ARM_VCPU_PSCI_0_2);
	if (vcpu->id)
		init->features[0] |= BIT(KVM_ARM_VCPU_POWER_OFF);
	vcpu_ioctl(vcpu, KVM_ARM_VCPU_INIT, init);
	vcpu->init = *init;

	boot = pkvm_boot(vcpu);
	aarch64_stage1_config(vm, &ttbr0, &tcr);
	*boot = (struct pkvm_boot) {
		.mair		= DEFAULT_MAIR_EL1,
		.tcr		= tcr,
		.ttbr0		= ttbr0,
		.vcpu_id	= vcpu->id,
		.start		= (u64)pkvm_guest_start,
		.sctlr		= SCTLR_ELx_M | SCTLR_ELx_C | SCTLR_ELx_I,
		.self		= vm->arch.pkvm_boot + vcpu->id * sizeof(*boot),
		.entry		= vm->arch.pkvm_entry,
		.ucall_pool	= addr_gva2gpa(vm, vm->ucall_pool),
		.ucall_pages	= ucall_nr_pages_required(vm->page_size),
		.page_size	= vm->page_size,
		.nr_vcpus	= vm->arch.nr_pkvm_boot,
	};
	boot->ipa = addr_gva2gpa(vm, vm->arch.pkvm_boot) + vcpu->id * sizeof(*boot);

	if (!vcpu->id) {
		vcpu_set_reg(vcpu, ARM64_CORE_REG(regs.pc), boot->entry);
		vcpu_set_reg(vcpu, ARM64_CORE_REG(regs.regs[0]), boot->ipa);
	}
}

struct pkvm_start pkvm_vcpu_add_start(struct kvm_vcpu *vcpu, void *guest_code,
				      unsigned int nr_args, ...)
{
	struct pkvm_boot *boot, *own = pkvm_boot(vcpu);
	struct kvm_vm *vm = vcpu->vm;
	gva_t gva = vm_alloc(vm, sizeof(*boot), KVM_UTIL_MIN_VADDR);
	unsigned int i;
	va_list ap;

	TEST_ASSERT(nr_args <= ARRAY_SIZE(boot->args), "Too many arguments: %u", nr_args);

	boot = addr_gva2hva(vm, gva);
	*boot = *own;
	boot->self = gva;
	boot->ipa = addr_gva2gpa(vm, gva);
	boot->entry = pkvm_load_entry(vm);
	boot->guest_code = (u64)guest_code;
	va_start(ap, nr_args);
	for (i = 0; i < nr_args; i++)
		boot->args[i] = va_arg(ap, u64);
	va_end(ap);

	/* What is done once for all vCPUs has been done when this one starts. */
	boot->ucall_pages = 0;
	boot->nr_vcpus = 0;

	return (struct pkvm_start) { .entry = boot->entry, .context = boot->ipa };
}

void pkvm_vcpu_set_stack(struct kvm_vcpu *vcpu, gva_t stack)
{
	pkvm_boot(vcpu)->stack = stack;
}

void pkvm_vcpu_set_entry_point(struct kvm_vcpu *vcpu, void *guest_code)
{
	pkvm_boot(vcpu)->guest_code = (u64)guest_code;
}

void pkvm_vcpu_set_vectors(struct kvm_vcpu *vcpu, void *vectors)
{
	pkvm_boot(vcpu)->vbar = (u64)vectors;
}

void pkvm_vcpu_set_arg(struct kvm_vcpu *vcpu, int nr, u64 val)
{
	pkvm_boot(vcpu)->args[nr] = val;
}

void vcpu_run_until(struct kvm_vcpu *vcpu, u64 cmd, struct ucall *uc)
{
	vcpu_run(vcpu);
	if (get_ucall(vcpu, uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(*uc);
	TEST_ASSERT(uc->cmd == cmd, "Wanted ucall %lu, got %lu (exit reason %u)",
		    cmd, uc->cmd, vcpu->run->exit_reason);
}

u64 proc_value(const char *path, const char *key)
{
	size_t len = strlen(key);
	u64 val = 0;
	bool found = false;
	char line[256];
	FILE *f;

	f = fopen(path, "r");
	TEST_ASSERT(f, "Cannot open %s: %s", path, strerror(errno));
	while (!found && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, len) && line[len] == ':')
			found = sscanf(line + len + 1, "%lu", &val) == 1;
	}
	fclose(f);
	TEST_ASSERT(found, "No %s in %s", key, path);

	return val;
}

static void remote_guest_page(enum remote_op op, u64 page, u64 page_size)
{
	u64 addr;

	switch (op) {
	case REMOTE_READ:
		READ_ONCE(*(u64 *)page);
		break;
	case REMOTE_WRITE:
		/* Without write-back: it may turn out to be MMIO. */
		for (addr = page; addr < page + page_size; addr += sizeof(u64))
			__raw_writeq(REMOTE_PATTERN(addr), (void *)addr);
		break;
	case REMOTE_CHECK:
		for (addr = page; addr < page + page_size; addr += sizeof(u64))
			GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)addr), REMOTE_PATTERN(addr));
		break;
	case REMOTE_SHARE:
		GUEST_ASSERT_EQ(pkvm_mem_share(page), 0);
		break;
	case REMOTE_UNSHARE:
		GUEST_ASSERT_EQ(pkvm_mem_unshare(page), 0);
		break;
	default:
		GUEST_FAIL("Unknown operation %u", op);
	}
}

static void remote_guest_code(struct remote_cmd *cmd, gpa_t ipa, u64 page_size, u64 protected)
{
	u64 i;

	if (protected)
		GUEST_ASSERT_EQ(pkvm_mem_share(ipa), 0);

	for (;;) {
		GUEST_SYNC(0);
		for (i = 0; i < READ_ONCE(cmd->nr_pages); i++)
			remote_guest_page(READ_ONCE(cmd->op),
					  READ_ONCE(cmd->addr) + i * page_size, page_size);
	}
}

void remote_guest_create(struct remote_guest *guest, struct vm_shape shape)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	gva_t gva;

	vm = __vm_create_shape_with_one_vcpu(shape, &vcpu, 64, remote_guest_code);
	gva = vm_alloc_page(vm);
	vcpu_args_set(vcpu, 4, gva, addr_gva2gpa(vm, gva), vm->page_size, vm_is_protected(vm));

	guest->vm = vm;
	guest->vcpu = vcpu;
	guest->cmd = addr_gva2hva(vm, gva);
	guest->started = false;
}

int __remote_guest_continue(struct remote_guest *guest)
{
	struct ucall uc;

	if (_vcpu_run(guest->vcpu))
		return errno;

	switch (get_ucall(guest->vcpu, &uc)) {
	case UCALL_SYNC:
		return 0;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
	default:
		TEST_ASSERT_KVM_EXIT_REASON(guest->vcpu, KVM_EXIT_MMIO);
		return REMOTE_MMIO;
	}
}

int __remote_guest_do(struct remote_guest *guest, enum remote_op op, gpa_t addr, u64 nr_pages)
{
	int err;

	/* The guest starts, and shares the page of the command. */
	if (!guest->started) {
		err = __remote_guest_continue(guest);
		if (err)
			return err;
		guest->started = true;
	}

	WRITE_ONCE(guest->cmd->op, op);
	WRITE_ONCE(guest->cmd->addr, addr);
	WRITE_ONCE(guest->cmd->nr_pages, nr_pages);

	return __remote_guest_continue(guest);
}
