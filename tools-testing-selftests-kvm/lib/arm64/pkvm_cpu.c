// SPDX-License-Identifier: GPL-2.0-only
/*
 * The power of the host over CPUs, see pkvm_cpu.h.
 */
#include <fcntl.h>
#include <linux/arm-smccc.h>
#include <linux/psci.h>
#include <linux/sizes.h>

#include "kvm_util.h"
#include "pkvm_cpu.h"
#include "test_util.h"

#define MAX_MESSAGES	4

int write_file(const char *path, const char *val)
{
	int fd, ret = 0;

	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	if (write(fd, val, strlen(val)) < 0)
		ret = errno;
	close(fd);

	return ret;
}

int cpu_set_online(int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return write_file(path, online ? "1" : "0");
}

bool cpu_can_be_offline(int cpu)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return !access(path, W_OK);
}

u64 cpu_mpidr(int cpu)
{
	u64 mpidr;
	int ret;

	ret = adv_read(adv_sym_va("__cpu_logical_map") + cpu * sizeof(u64), ADV_VA, &mpidr,
		       sizeof(mpidr));
	TEST_ASSERT(!ret, "Can't read __cpu_logical_map: %s", adv_fault_name(ret));
	return mpidr;
}

s64 cpu_affinity_info(int cpu)
{
	return adv_smc(ADV_CPU_ANY, PSCI_0_2_FN64_AFFINITY_INFO, cpu_mpidr(cpu), 0);
}

void wait_until_cpu_is_off(int cpu)
{
	int us;

	for (us = 0; cpu_affinity_info(cpu) != PSCI_0_2_AFFINITY_LEVEL_OFF; us += 1000) {
		TEST_ASSERT(us < PATIENCE_US, "CPU %d does not go off", cpu);
		usleep(1000);
	}
}

/* Calls that only the boot of the kernel is trusted with */
static const char * const boot_calls[] = {
	"__kvm_hyp_init",
	"__pkvm_init",
	"__pkvm_create_private_mapping",
	"__pkvm_cpu_set_vector",
	"__kvm_enable_ssbs",
	"__vgic_v3_init_lrs",
	"__vgic_v3_get_gic_config",
};

static u32 is_not_refused(int cpu, u64 id, u64 arg, u32 nr_before)
{
	s64 ret = adv_hvc_status(cpu, id, arg);

	if (ret == SMCCC_RET_NOT_SUPPORTED)
		return 0;
	if (nr_before < MAX_MESSAGES)
		ksft_print_msg("call 0x%lx of CPU %d returns %ld\n", id, cpu, ret);
	return 1;
}

u32 attack_boot(int cpu)
{
	u64 text = adv_sym_pa("_text"), nr;
	u32 surprises = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(boot_calls); i++)
		surprises += is_not_refused(cpu, adv_hypercall_id(boot_calls[i]), 0, surprises);
	/* All of them, also those that are not known here */
	for (nr = 0; nr < __adv_hypercall_nr("MIN_PKVM"); nr++)
		surprises += is_not_refused(cpu, 0xc6000000u | nr, 0, surprises);
	/* The hyp stub's: set and reset EL2's vectors, restart at EL2, turn VHE on */
	for (nr = 0; nr < HVC_STUB_HCALL_NR; nr++)
		surprises += is_not_refused(cpu, nr, text, surprises);

	if (adv_hvc(cpu, HOST_HVC(__pkvm_prot_finalize)) != -EPERM) {
		ksft_print_msg("CPU %d finalises again\n", cpu);
		surprises++;
	}

	return surprises;
}

/* What is in the memory of a CPU that pkvm_stub runs on */
#define STUB_VECTORS_OFFSET	PKVM_STUB_VECTORS
#define STUB_DATA_OFFSET	SZ_8K
#define STUB_EXEC_OFFSET	(SZ_8K + SZ_4K)
#define STUB_SIZE		SZ_16K

static const u32 insn_ret = 0xd65f03c0;

/* That CPU has no caches on: neither have we. */
static void stub_write(u64 pa, const void *buf, size_t len)
{
	int ret = adv_write(pa, ADV_NORMAL_NC, buf, len);

	TEST_ASSERT(!ret, "Can't write 0x%lx: %s", pa, adv_fault_name(ret));
}

static u64 stub_alloc(void)
{
	u64 pa = adv_page_alloc(ilog2(max(1, STUB_SIZE / getpagesize())), NULL), off;

	/* Lines that were written when the page was allocated */
	for (off = 0; off < STUB_SIZE; off += 32)
		adv_mem(ADV_DC_CIVAC, pa + off, ADV_NORMAL, ADV_CPU_ANY, 0, 0, NULL);

	stub_write(pa, pkvm_stub, pkvm_stub_end - pkvm_stub);
	for (off = 0; off < SZ_2K; off += 128)
		stub_write(pa + STUB_VECTORS_OFFSET + off, pkvm_stub_vector,
			   pkvm_stub_vector_end - pkvm_stub_vector);
	stub_write(pa + STUB_EXEC_OFFSET, &insn_ret, sizeof(insn_ret));

	return pa;
}

u64 stub_create(const struct pkvm_stub *stub)
{
	u64 pa = stub_alloc();

	stub_write(stub_data(pa), stub, sizeof(*stub));
	return pa;
}

u64 stub_data(u64 pa)
{
	return pa + STUB_DATA_OFFSET;
}

void stub_read(u64 pa, struct pkvm_stub *stub)
{
	int ret = adv_read(stub_data(pa), ADV_NORMAL_NC, stub, sizeof(*stub));

	TEST_ASSERT(!ret, "Can't read 0x%lx: %s", stub_data(pa), adv_fault_name(ret));
}

void stub_wait(u64 pa)
{
	struct pkvm_stub stub;
	int us;

	for (us = 0; stub_read(pa, &stub), !stub.done; us += 1000) {
		TEST_ASSERT(us < PATIENCE_US, "The CPU does not arrive at its entry point");
		usleep(1000);
	}
}

void stub_free(u64 pa)
{
	TEST_ASSERT(!adv_page_free(pa), "The page of the stub is lost");
}

void stub_release(u64 pa, int cpu)
{
	u64 one = 1;

	stub_write(stub_data(pa) + offsetof(struct pkvm_stub, release), &one, sizeof(one));
	wait_until_cpu_is_off(cpu);
	stub_free(pa);
}

/* EL2's mark on what it injects, see host_inject_mem_abort() */
static bool esr_is_denied(u64 esr)
{
	return esr & BIT(7);
}

static const char * const attacked[] = { "data", "memory", "stack", "percpu", "text" };

u64 stub_create_attack(int cpu, u64 guest_pa, u64 resume)
{
	struct pkvm_stub stub = { .resume = resume };
	struct adv_target target;
	u64 pa = stub_alloc();
	int i;

	for (i = 0; i < ARRAY_SIZE(attacked); i++) {
		bool per_cpu = !strcmp(attacked[i], "stack") || !strcmp(attacked[i], "percpu");

		adv_find_target(attacked[i], per_cpu ? cpu : ADV_CPU_ANY, &target);
		stub.tries[stub.nr_tries++].pa = target.pa;
	}
	stub.tries[stub.nr_tries++].pa = guest_pa;
	/* The host's own memory is the control. */
	stub.tries[stub.nr_tries++].pa = pa + STUB_EXEC_OFFSET;

	for (i = 0; i < HVC_STUB_HCALL_NR; i++)
		stub.calls[stub.nr_calls++].id = i;
	for (i = 0; i < ARRAY_SIZE(boot_calls); i++)
		stub.calls[stub.nr_calls++].id = adv_hypercall_id(boot_calls[i]);
	stub.calls[stub.nr_calls++].id = HOST_HVC(__pkvm_prot_finalize);

	stub_write(stub_data(pa), &stub, sizeof(stub));
	return pa;
}

#define SURPRISE_IF(cond, fmt, ...)						\
do {										\
	if ((cond) && surprises++ < MAX_MESSAGES)				\
		ksft_print_msg(fmt "\n", ##__VA_ARGS__);			\
} while (0)

u32 stub_check_attack(u64 pa)
{
	struct pkvm_stub_try *try;
	struct pkvm_stub stub;
	u32 surprises = 0;
	bool readable;
	u64 i;

	stub_read(pa, &stub);
	SURPRISE_IF(!stub.done, "the CPU did not arrive at its entry point");
	SURPRISE_IF(stub.current_el >> 2 != 1, "it arrived at EL%lu", stub.current_el >> 2);
	SURPRISE_IF(stub.x0 != stub_data(pa), "with x0 0x%lx", stub.x0);

	for (i = 0; i < stub.nr_tries - 1; i++) {
		try = &stub.tries[i];
		/* As everywhere, until topic 60-host-stage2 */
		readable = i < ARRAY_SIZE(attacked) && !strcmp(attacked[i], "text") && !try->read;
		SURPRISE_IF(!(readable || esr_is_denied(try->read)) ||
			    !esr_is_denied(try->write) || !esr_is_denied(try->exec),
			    "0x%lx: ESR 0x%lx, 0x%lx, 0x%lx", try->pa, try->read, try->write,
			    try->exec);
	}
	try = &stub.tries[i];
	SURPRISE_IF(try->read | try->write | try->exec, "its own memory is denied");

	for (i = 0; i < stub.nr_calls - 1; i++) {
		SURPRISE_IF((s64)stub.calls[i].x0 != SMCCC_RET_NOT_SUPPORTED,
			    "hypercall 0x%lx returns 0x%lx", stub.calls[i].id, stub.calls[i].x0);
	}
	SURPRISE_IF(stub.calls[i].x0 || (s64)stub.calls[i].x1 != -EPERM, "it finalises again");

	return surprises;
}
