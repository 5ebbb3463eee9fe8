// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_mmio - An MMIO access of a protected guest shows the VMM the bytes that
 * the access has, and gives the guest the bytes that it asked for: no more of
 * the source register, nothing more into the target register.
 */
#include <linux/bitfield.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

#define MMIO_GPA	0x10000000ul
#define GARBAGE		0xa5
#define OLD		0x1337133713371337ul

/* Sign bits set and clear at every width */
static const u64 patterns[] = {
	0x8081828384858687ul, 0x0123456776543210ul, 0xfedcba9880007fff, 0ul, ~0ul,
};

/* One instruction of the guest each */

#define LOAD(name, insn)							\
static u64 guest_##name(u64 addr)						\
{										\
	u64 val = OLD;								\
										\
	asm volatile(insn : "+r"(val) : "r"(addr) : "memory");			\
	return val;								\
}

LOAD(ldrb, "ldrb %w0, [%1]")
LOAD(ldrsb_w, "ldrsb %w0, [%1]")
LOAD(ldrsb_x, "ldrsb %0, [%1]")
LOAD(ldrh, "ldrh %w0, [%1]")
LOAD(ldrsh_w, "ldrsh %w0, [%1]")
LOAD(ldrsh_x, "ldrsh %0, [%1]")
LOAD(ldr_w, "ldr %w0, [%1]")
LOAD(ldrsw, "ldrsw %0, [%1]")
LOAD(ldr_x, "ldr %0, [%1]")
LOAD(ldar_w, "ldar %w0, [%1]")
LOAD(ldar_x, "ldar %0, [%1]")

#define STORE(name, insn)							\
static u64 guest_##name(u64 addr, u64 val)					\
{										\
	asm volatile(insn : "+r"(val) : "r"(addr) : "memory");			\
	return val;								\
}

STORE(strb, "strb %w0, [%1]")
STORE(strh, "strh %w0, [%1]")
STORE(str_w, "str %w0, [%1]")
STORE(str_x, "str %0, [%1]")
STORE(stlr_x, "stlr %0, [%1]")

static const struct load {
	const char *name;
	u64 (*fn)(u64 addr);
	u32 len;
	bool sign;
	bool sf;		/* the register is 64 bits wide */
} loads[] = {
	{ "ldrb", guest_ldrb, 1, false, false },
	{ "ldrsb_w", guest_ldrsb_w, 1, true, false },
	{ "ldrsb_x", guest_ldrsb_x, 1, true, true },
	{ "ldrh", guest_ldrh, 2, false, false },
	{ "ldrsh_w", guest_ldrsh_w, 2, true, false },
	{ "ldrsh_x", guest_ldrsh_x, 2, true, true },
	{ "ldr_w", guest_ldr_w, 4, false, false },
	{ "ldrsw", guest_ldrsw, 4, true, true },
	{ "ldr_x", guest_ldr_x, 8, false, true },
	{ "ldar_w", guest_ldar_w, 4, false, false },
	{ "ldar_x", guest_ldar_x, 8, false, true },
};

static const struct store {
	const char *name;
	u64 (*fn)(u64 addr, u64 val);
	u32 len;
} stores[] = {
	{ "strb", guest_strb, 1 },
	{ "strh", guest_strh, 2 },
	{ "str_w", guest_str_w, 4 },
	{ "str_x", guest_str_x, 8 },
	{ "stlr_x", guest_stlr_x, 8 },
};

static u64 loaded_value(const struct load *load, u64 pattern)
{
	u64 val = pattern & GENMASK(load->len * 8 - 1, 0);

	if (load->sign && (val & BIT(load->len * 8 - 1)))
		val |= ~GENMASK(load->len * 8 - 1, 0);

	return load->sf ? val : (u32)val;
}

/* Guest side */

static void guest_loads(void)
{
	u64 val, want;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(loads); i++) {
		for (j = 0; j < ARRAY_SIZE(patterns); j++) {
			val = loads[i].fn(MMIO_GPA + 8 * i);
			want = loaded_value(&loads[i], patterns[j]);
			__GUEST_ASSERT(val == want, "%s gives 0x%lx instead of 0x%lx",
				       loads[i].name, val, want);
		}
	}
	GUEST_DONE();
}

static void guest_stores(void)
{
	u64 val;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(stores); i++) {
		for (j = 0; j < ARRAY_SIZE(patterns); j++) {
			val = stores[i].fn(MMIO_GPA + 8 * i, patterns[j]);
			__GUEST_ASSERT(val == patterns[j], "%s makes 0x%lx of 0x%lx",
				       stores[i].name, val, patterns[j]);
		}
	}
	GUEST_DONE();
}

/* Register 31 is the stack pointer where it is not the zero register. */
static void guest_zero_register(void)
{
	u64 sp, sp_after;

	asm volatile("mov %0, sp\n"
		     "ldr xzr, [%2]\n"
		     "ldr wzr, [%2]\n"
		     "ldrsb xzr, [%2]\n"
		     "str xzr, [%2]\n"
		     "str wzr, [%2]\n"
		     "strb wzr, [%2]\n"
		     "mov %1, sp\n"
		     : "=&r"(sp), "=&r"(sp_after) : "r"(MMIO_GPA) : "memory");
	GUEST_ASSERT_EQ(sp, sp_after);
	GUEST_DONE();
}

static u64 nr_aborts, last_esr, last_far;

static void guest_abort_handler(struct ex_regs *regs)
{
	WRITE_ONCE(nr_aborts, nr_aborts + 1);
	WRITE_ONCE(last_esr, read_sysreg(esr_el1));
	WRITE_ONCE(last_far, read_sysreg(far_el1));
	/* From a function that is none, back to its caller */
	if (ESR_ELx_EC(last_esr) == ESR_ELx_EC_IABT_CUR)
		regs->pc = regs->regs[30];
	else
		regs->pc += 4;
}

#define ASSERT_ABORTS(nr, ec, addr)						\
do {										\
	GUEST_ASSERT_EQ(READ_ONCE(nr_aborts), nr);				\
	GUEST_ASSERT_EQ(ESR_ELx_EC(READ_ONCE(last_esr)), ec);			\
	GUEST_ASSERT_EQ(READ_ONCE(last_esr) & ESR_ELx_FSC, ESR_ELx_FSC_EXTABT);	\
	GUEST_ASSERT_EQ(READ_ONCE(last_far), addr);				\
} while (0)

/* Accesses that have no syndrome for anybody to emulate them by */
static void guest_no_syndrome(void)
{
	u64 a = OLD, b = OLD, addr = MMIO_GPA + 0x40;

	asm volatile("ldp %0, %1, [%2]" : "+r"(a), "+r"(b) : "r"(addr) : "memory");
	ASSERT_ABORTS(1, ESR_ELx_EC_DABT_CUR, MMIO_GPA + 0x40);
	GUEST_ASSERT_EQ(a, OLD);
	GUEST_ASSERT_EQ(b, OLD);

	asm volatile("stp %0, %1, [%2]" : : "r"(a), "r"(b), "r"(addr) : "memory");
	ASSERT_ABORTS(2, ESR_ELx_EC_DABT_CUR, MMIO_GPA + 0x40);

	/* Write-back */
	asm volatile("ldr %0, [%1], #8" : "+r"(a), "+r"(addr) : : "memory");
	ASSERT_ABORTS(3, ESR_ELx_EC_DABT_CUR, MMIO_GPA + 0x40);
	GUEST_ASSERT_EQ(a, OLD);
	GUEST_ASSERT_EQ(addr, MMIO_GPA + 0x40);

	asm volatile("ldr q0, [%0]" : : "r"(addr) : "v0", "memory");
	ASSERT_ABORTS(4, ESR_ELx_EC_DABT_CUR, MMIO_GPA + 0x40);

	((void (*)(void))addr)();
	ASSERT_ABORTS(5, ESR_ELx_EC_IABT_CUR, MMIO_GPA + 0x40);

	GUEST_DONE();
}

/* The last bytes of MMIO, the first ones of memory */
static void guest_ends_in_memory(u64 addr, u64 memory, u64 aborts)
{
	u64 val;

	WRITE_ONCE(*(u64 *)memory, OLD);
	val = guest_ldr_x(addr);
	GUEST_ASSERT_EQ(READ_ONCE(nr_aborts), aborts);
	GUEST_ASSERT_EQ(val, aborts ? OLD : patterns[0]);
	guest_str_x(addr, patterns[1]);
	GUEST_ASSERT_EQ(READ_ONCE(nr_aborts), 2 * aborts);
	GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)memory), OLD);
	GUEST_DONE();
}

/* VMM side */

FIXTURE(pkvm_mmio) {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct kvm_run *run;
};

FIXTURE_VARIANT(pkvm_mmio) {
	bool protected;
};

FIXTURE_VARIANT_ADD(pkvm_mmio, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(pkvm_mmio, non_protected) {
	.protected = false,
};

FIXTURE_SETUP(pkvm_mmio)
{
	struct vm_shape shape = variant->protected ? VM_SHAPE_PROTECTED : VM_SHAPE_DEFAULT;

	if (variant->protected)
		TEST_REQUIRE_PKVM();

	self->vm = vm_create_shape_with_one_vcpu(shape, &self->vcpu, NULL);
	self->run = self->vcpu->run;
	virt_map(self->vm, MMIO_GPA, MMIO_GPA, 1);
	vm_init_descriptor_tables(self->vm);
	vcpu_init_descriptor_tables(self->vcpu);
}

FIXTURE_TEARDOWN(pkvm_mmio)
{
	kvm_vm_free(self->vm);
}

static void run_to_mmio(struct kvm_vcpu *vcpu, u64 addr, u32 len, bool is_write)
{
	struct kvm_run *run = vcpu->run;
	struct ucall uc;

	vcpu_run(vcpu);
	if (get_ucall(vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
	TEST_ASSERT_EQ(run->mmio.phys_addr, addr);
	TEST_ASSERT_EQ(run->mmio.len, len);
	TEST_ASSERT_EQ(run->mmio.is_write, is_write);
}

TEST_F(pkvm_mmio, load_takes_the_bytes_of_its_width)
{
	struct kvm_run *run = self->run;
	struct ucall uc;
	u64 val;
	int i, j;

	vcpu_arch_set_entry_point(self->vcpu, guest_loads);
	for (i = 0; i < ARRAY_SIZE(loads); i++) {
		for (j = 0; j < ARRAY_SIZE(patterns); j++) {
			run_to_mmio(self->vcpu, MMIO_GPA + 8 * i, loads[i].len, false);

			/* The VMM gives all it has, garbage behind, and lies about the access. */
			val = ~patterns[j];
			memcpy(run->mmio.data, &val, sizeof(val));
			memcpy(run->mmio.data, &patterns[j], loads[i].len);
			run->mmio.len = loads[i].len == 8 ? 1 : 8;
			run->mmio.phys_addr = GARBAGE;
			run->mmio.is_write = j % 2;
		}
	}
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

TEST_F(pkvm_mmio, store_shows_the_bytes_of_its_width)
{
	struct kvm_run *run = self->run;
	struct ucall uc;
	int i, j, k;
	u8 *data;

	vcpu_arch_set_entry_point(self->vcpu, guest_stores);
	for (i = 0; i < ARRAY_SIZE(stores); i++) {
		for (j = 0; j < ARRAY_SIZE(patterns); j++) {
			/* There is nothing to give to a store, but something to overwrite. */
			data = run->mmio.data;
			memset(data, GARBAGE, sizeof(run->mmio.data));
			run->mmio.is_write = false;

			run_to_mmio(self->vcpu, MMIO_GPA + 8 * i, stores[i].len, true);
			TEST_ASSERT(!memcmp(data, &patterns[j], stores[i].len),
				    "%s of 0x%lx writes 0x%lx", stores[i].name, patterns[j],
				    *(u64 *)data);
			for (k = stores[i].len; k < sizeof(run->mmio.data); k++)
				TEST_ASSERT(data[k] == GARBAGE, "%s of 0x%lx shows 0x%lx",
					    stores[i].name, patterns[j], *(u64 *)data);
		}
	}
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

TEST_F(pkvm_mmio, zero_register_is_zero)
{
	static const u32 lens[] = { 8, 4, 1 };
	struct kvm_run *run = self->run;
	static const u64 zero;
	struct ucall uc;
	int i;

	vcpu_arch_set_entry_point(self->vcpu, guest_zero_register);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		run_to_mmio(self->vcpu, MMIO_GPA, lens[i], false);
		memcpy(run->mmio.data, &patterns[0], sizeof(patterns[0]));
	}
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		run_to_mmio(self->vcpu, MMIO_GPA, lens[i], true);
		TEST_ASSERT_EQ(memcmp(run->mmio.data, &zero, lens[i]), 0);
	}
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

TEST_F(pkvm_mmio, access_without_syndrome_is_an_abort_of_the_guest)
{
	struct ucall uc;

	vm_install_sync_handler(self->vm, VECTOR_SYNC_CURRENT, ESR_ELx_EC_DABT_CUR,
				guest_abort_handler);
	vm_install_sync_handler(self->vm, VECTOR_SYNC_CURRENT, ESR_ELx_EC_IABT_CUR,
				guest_abort_handler);
	vcpu_arch_set_entry_point(self->vcpu, guest_no_syndrome);
	if (!variant->protected) {
		/* The VMM's, unless it asks for KVM_EXIT_ARM_NISV. */
		TEST_ASSERT_EQ(__vcpu_run(self->vcpu), -1);
		TEST_ASSERT_EQ(errno, ENOSYS);
		return;
	}
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

/* Whoever has no say in its own memory anyway gets what KVM makes of it. */
TEST_F(pkvm_mmio, access_that_ends_in_memory_is_an_abort_of_a_protected_guest)
{
	u64 page = self->vm->page_size, addr = MMIO_GPA + page - 4;
	gva_t memory = vm_alloc_page(self->vm);
	struct ucall uc;

	virt_map(self->vm, MMIO_GPA + page, addr_gva2gpa(self->vm, memory), 1);
	vm_install_sync_handler(self->vm, VECTOR_SYNC_CURRENT, ESR_ELx_EC_DABT_CUR,
				guest_abort_handler);
	vcpu_arch_set_entry_point(self->vcpu, guest_ends_in_memory);
	vcpu_args_set(self->vcpu, 3, addr, memory, (u64)variant->protected);
	if (!variant->protected) {
		run_to_mmio(self->vcpu, addr, 8, false);
		memcpy(self->run->mmio.data, &patterns[0], sizeof(patterns[0]));
		run_to_mmio(self->vcpu, addr, 8, true);
	}
	vcpu_run_until(self->vcpu, UCALL_DONE, &uc);
}

TEST_HARNESS_MAIN
