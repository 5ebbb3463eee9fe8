// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything that the host can do to a page, see pkvm_attack.h.
 */
#include <setjmp.h>
#include <signal.h>

#include "kvm_util.h"
#include "pkvm_attack.h"
#include "test_util.h"

/* An access that was interrupted that often has no end. */
#define MAX_INTERRUPTS		20
#define MAX_MESSAGES		4

static const struct {
	enum adv_op op;
	const char *name;
	u32 kind;
	u32 attr;
} attacks[] = {
	/* The first one of each kind changes nothing if it works. */
	{ ADV_READ64,		"64-bit load",		ATTACK_READ },
	{ ADV_LDADD,		"LDADD",		ATTACK_WRITE },
	{ ADV_EXEC,		"branch",		ATTACK_EXEC,
	  ADV_READ_ONLY | ADV_EXECUTABLE },

	{ ADV_READ8,		"8-bit load",		ATTACK_READ },
	{ ADV_READ16,		"16-bit load",		ATTACK_READ },
	{ ADV_READ32,		"32-bit load",		ATTACK_READ },
	{ ADV_LDP,		"LDP",			ATTACK_READ },
	{ ADV_READ64,		"read-only load",	ATTACK_READ,	ADV_READ_ONLY },
	{ ADV_READ64,		"non-cacheable load",	ATTACK_READ,	ADV_NORMAL_NC },
	{ ADV_READ64,		"device load",		ATTACK_READ,	ADV_DEVICE },
	{ ADV_WRITE8,		"8-bit store",		ATTACK_WRITE },
	{ ADV_WRITE16,		"16-bit store",		ATTACK_WRITE },
	{ ADV_WRITE32,		"32-bit store",		ATTACK_WRITE },
	{ ADV_WRITE64,		"64-bit store",		ATTACK_WRITE },
	{ ADV_STP,		"STP",			ATTACK_WRITE },
	{ ADV_CAS,		"CAS",			ATTACK_WRITE },
	{ ADV_LDXR_STXR,	"LDXR/STXR",		ATTACK_WRITE },
	{ ADV_DC_ZVA,		"DC ZVA",		ATTACK_WRITE },
	{ ADV_WRITE64,		"non-cacheable store",	ATTACK_WRITE,	ADV_NORMAL_NC },
	{ ADV_WRITE64,		"device store",		ATTACK_WRITE,	ADV_DEVICE },
	{ ADV_WRITE64,		"executable store",	ATTACK_WRITE,	ADV_EXECUTABLE },
	{ ADV_EXEC,		"non-cacheable branch",	ATTACK_EXEC,
	  ADV_NORMAL_NC | ADV_READ_ONLY | ADV_EXECUTABLE },
};

int attack_mem(enum adv_op op, u64 pa, u32 attr, int cpu)
{
	u64 val = 0;
	int i, ret;

	/* If the comparison fails, there may be no store. */
	if (op == ADV_CAS)
		adv_read64(pa, &val);

	for (i = 0; i < MAX_INTERRUPTS; i++) {
		ret = adv_mem(op, pa, attr | ADV_INTERRUPTIBLE, cpu, val, val, NULL);
		if (ret != ADV_FAULT_INTERRUPT)
			break;
	}

	return ret;
}

static bool cpu_is_online(int cpu)
{
	struct adv_mem mem = {
		.op	= ADV_PRFM,
		.cpu	= cpu,
	};

	return __adv_ioctl(ADV_IOC_MEM, &mem) != ENODEV;
}

u32 attack_page(u64 pa, u32 kinds, enum adv_fault_type expected)
{
	int i, cpu, last_cpu, ret;
	u32 surprises = 0;

	for (i = 0; i < ARRAY_SIZE(attacks); i++) {
		if (!(attacks[i].kind & kinds))
			continue;
		last_cpu = i < 3 ? adv_info()->nr_cpus : 0;
		for (cpu = ADV_CPU_ANY; cpu < last_cpu; cpu++) {
			if (!cpu_is_online(cpu))
				continue;
			ret = attack_mem(attacks[i].op, pa, attacks[i].attr, cpu);
			if (ret == expected)
				continue;
			if (surprises++ < MAX_MESSAGES)
				ksft_print_msg("%s of 0x%lx, CPU %d: %s instead of %s\n",
					       attacks[i].name, pa, cpu, adv_fault_name(ret),
					       adv_fault_name(expected));
		}
		/* Where EL2 is open to this, the others would destroy it. */
		if (i < 3 && surprises)
			break;
	}

	return surprises;
}

u64 attack_range(u64 pa, u64 size, u32 kind, enum adv_fault_type expected)
{
	struct adv_range range = {
		.addr		= pa,
		.nr_pages	= size / adv_info()->page_size,
		.write		= kind == ATTACK_WRITE,
		.cpu		= ADV_CPU_ANY,
	};
	u64 nr;

	adv_probe(&range);
	nr = range.nr_pages - (expected == ADV_OK ? range.nr_ok : range.nr_denied);
	if (nr)
		ksft_print_msg("%s of 0x%lx-0x%lx: %llu ok, %llu denied, %llu stuck, %llu other\n",
			       range.write ? "writes" : "reads", pa, pa + size,
			       range.nr_ok, range.nr_denied, range.nr_stuck, range.nr_other);

	return nr;
}

static bool is_denied(enum adv_op op, const struct adv_target *target, int cpu)
{
	u64 last = target->pa + target->size - adv_info()->page_size;

	return attack_mem(op, target->pa, ADV_NORMAL, cpu) == ADV_FAULT_DENIED &&
	       attack_mem(op, last, ADV_NORMAL, cpu) == ADV_FAULT_DENIED;
}

u32 attack_el2(int cpu)
{
	struct adv_target target;
	u32 i, nr = 0;

	for (i = 0; adv_target(i, &target); i++) {
		if (is_denied(ADV_LDADD, &target, cpu) &&
		    (target.host == ADV_HOST_READ || is_denied(ADV_READ64, &target, cpu)))
			continue;
		nr++;
		ksft_print_msg("%s of CPU %d is open to CPU %d\n", target.name, target.cpu, cpu);
	}

	return nr;
}

static sigjmp_buf exec_jmp;

static void exec_signal(int sig)
{
	siglongjmp(exec_jmp, sig);
}

int attack_exec_user(const void *page)
{
	struct sigaction sa = { .sa_handler = exec_signal }, old_sa[3];
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL };
	void (*func)(void) = (void *)page;
	int i, sig;

	for (i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaction(sigs[i], &sa, &old_sa[i]);
	sig = sigsetjmp(exec_jmp, 1);
	if (!sig)
		func();
	for (i = 0; i < ARRAY_SIZE(sigs); i++)
		sigaction(sigs[i], &old_sa[i], NULL);

	return sig;
}
