// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_sweep - every host hypercall with arguments of all sorts, from all CPUs at once.
 *
 * Threads, one for each CPU, make random hypercalls out of all that there are and
 * some that there are not.  Arguments are chosen by their nature: addresses of
 * pages in each state, handles of VMs in each state, and values at limits.  What
 * EL2 reads from memory of the host's changes meanwhile.  In turns, KVM's own VMs
 *
 *  - stand still, and are loaded, run and mapped to by the hypercalls (ATTACK_IDLE),
 *  - run on a CPU while the others are at it (ATTACK_RUNNING),
 *  - are created, run and destroyed (ATTACK_NEW).
 *
 * EL2 must not panic, which ends the boot; a guest must see its memory as it left
 * it, no page of a protected guest's secret may be readable, and all that was
 * given to EL2 and guests must come back in the end.
 *
 * The host may be hurt by its own kernel as much as it likes, and would not live
 * to tell.  So what hypercalls may take away or write to is memory of the test's:
 *
 *  - Pages that EL2 takes (donate_guest, init_vm, init_vcpu, tracing_load, page
 *    caches) and those that it lends to guests (share_guest) are the test's, or ones
 *    that EL2 must not take: its own, a protected guest's, registers of devices.
 *    A range stays within an allocation, or exceeds all RAM.  EL2 drops the upper
 *    bits of a kernel address, so that almost all of them are addresses of RAM.
 *  - Pages for page tables are used for nothing else: what EL2 reads in them is the
 *    address of the next one.
 *  - What EL2 writes to (a VM's and a vCPU's structures, trace pages) are copies in
 *    the test's memory.  KVM's own are arguments where EL2 compares or refuses them.
 *    What changes while EL2 reads it are those copies.  created_vcpus is small, or
 *    more than there is memory for.
 *  - start_teardown of KVM's VMs is left out, as KVM would give back pages that it has
 *    not got, and unshare_guest of pages that KVM has lent.  They are loaded only
 *    while KVM does not run them.
 *  - While KVM creates and destroys VMs, handles do not change hands.
 *  - Pages of the protected guest are reclaimed by force in some turns only: it does not
 *    survive that.  They may be the host's from then on, and what is around them is
 *    the kernel's, so that they are given to nobody any more.
 *  - A block that is lent is one of the test's: EL2 takes any 512 pages of the host's.
 *  - __kvm_timer_set_cntvoff() sets 0: user space reads the time by it.
 *  - A VM is finalised only after its pages were reclaimed or unshared, because what
 *    it has then is lost for good; apart from protected ones, some of which are not,
 *    up to a number of pages.
 *
 * The calls that each thread makes depend on the seed (-r), what comes of them on the
 * others, too.  -s is for how long; each minute, and at the end, there are numbers.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <linux/sizes.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "kselftest.h"
#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_secret.h"
#include "processor.h"
#include "test_util.h"

#define DEFAULT_SECONDS		10
#define TURN_MS			300
/*
 * Under emulation a run takes a fraction of a second.  Those of guests that are not
 * protected are given up sooner: one that was derailed is nothing of interest.
 */
#define GUEST_SECONDS		20
#define DERAILED_SECONDS	5
#define MAX_FUZZERS		8
#define BATCH			48
#define MAX_BATCH		256

#define MAX_HYPERCALLS		128
/* Statistics of what is no function */
#define NO_FUNCTION		MAX_HYPERCALLS
#define MAX_ERRNO		134

#define NR_VMS			4
#define NR_VCPUS		2
#define NR_CHUNKS		16
/* Of these, for pages; the others are for VMs and vCPUs, mostly */
#define NR_PAGE_CHUNKS		4
#define CHUNK_ORDER		5
#define CHUNK_PAGES		BIT(CHUNK_ORDER)
#define BLOCK_ORDER		9
#define TABLES_ORDER		6
#define TRACE_ORDER		3
#define JUNK_ORDER		3
#define PROBE_ORDER		4
/* Pages that VMs which were finalised early may take with them */
#define MAX_LOST		48

/* Above all that KVM's guests have */
#define GFN			0x40000ul
#define NR_GFNS			16
#define NR_BLOCK_GFNS		2
#define MAX_GFNS		64
#define MAX_PAS			128

#define FIRST_HANDLE		0x1000
#define LAST_HANDLE		0x10fe

/* enum kvm_pgtable_prot */
#define PROT_DEVICE		BIT(4)

#define MIN_TRACE_PAGES		3
#define MAX_TRACE_PAGES		20

enum attack {
	ATTACK_IDLE,
	ATTACK_RUNNING,
	ATTACK_IDLE_AGAIN,
	ATTACK_NEW,
	NR_ATTACKS,
};

/* Nature of an argument */
enum arg {
	ARG_ANY,
	ARG_ZERO,
	ARG_PFN,		/* to give away */
	ARG_PFN_SHARED,		/* to share with EL2 */
	ARG_PFN_LENT,		/* to lend to a non-protected guest */
	ARG_PHYS,
	ARG_GFN,
	ARG_NR_PAGES,
	ARG_PROT,
	ARG_BOOL,
	ARG_HANDLE,
	ARG_HANDLE_LOAD,
	ARG_HANDLE_KILL,
	ARG_HANDLE_FINALIZE,
	ARG_HANDLE_RESERVED,
	ARG_VCPU_IDX,
	ARG_KVM,
	ARG_KVM_MEM,
	ARG_PGD_MEM,
	ARG_VCPU,
	ARG_NEW_VCPU,
	ARG_VCPU_MEM,
	ARG_CPU_IF,
	ARG_CPU,
	ARG_EVENT,
	ARG_DESC,
	ARG_DESC_SIZE,
};

enum result {
	RESULT_ERRNO,		/* 0 or positive: success */
	RESULT_NONE,
	RESULT_BOOT,		/* not supported any more */
};

struct hypercall {
	const char *name;
	int weight;
	enum result result;
	u8 args[4];
};

static const struct hypercall hypercalls[] = {
	{ "__kvm_hyp_init", 1, RESULT_BOOT },
	{ "__pkvm_init", 1, RESULT_BOOT },
	{ "__pkvm_create_private_mapping", 1, RESULT_BOOT },
	{ "__pkvm_cpu_set_vector", 1, RESULT_BOOT },
	{ "__kvm_enable_ssbs", 1, RESULT_BOOT },
	{ "__vgic_v3_init_lrs", 1, RESULT_BOOT },
	{ "__vgic_v3_get_gic_config", 1, RESULT_BOOT },
	{ "__kvm_tlb_flush_vmid_ipa", 1, RESULT_BOOT },
	{ "__kvm_tlb_flush_vmid_ipa_nsh", 1, RESULT_BOOT },
	{ "__kvm_tlb_flush_vmid", 1, RESULT_BOOT },
	{ "__kvm_tlb_flush_vmid_range", 1, RESULT_BOOT },
	{ "__kvm_flush_cpu_context", 1, RESULT_BOOT },
	{ "__vgic_v5_save_apr", 1, RESULT_BOOT },
	{ "__vgic_v5_restore_vmcr_apr", 1, RESULT_BOOT },
	{ "__pkvm_prot_finalize", 1, RESULT_ERRNO },
	{ "__kvm_adjust_pc", 4, RESULT_NONE, { ARG_VCPU } },
	{ "__kvm_vcpu_run", 12, RESULT_ERRNO, { ARG_VCPU } },
	{ "__kvm_flush_vm_context", 1, RESULT_NONE },
	{ "__kvm_timer_set_cntvoff", 1, RESULT_NONE, { ARG_ZERO } },
	{ "__tracing_load", 3, RESULT_ERRNO, { ARG_DESC, ARG_DESC_SIZE } },
	{ "__tracing_unload", 1, RESULT_NONE },
	{ "__tracing_enable", 3, RESULT_ERRNO, { ARG_BOOL } },
	{ "__tracing_swap_reader", 3, RESULT_ERRNO, { ARG_CPU } },
	{ "__tracing_update_clock", 2, RESULT_NONE },
	{ "__tracing_reset", 2, RESULT_ERRNO, { ARG_CPU } },
	{ "__tracing_enable_event", 3, RESULT_ERRNO, { ARG_EVENT, ARG_BOOL } },
	{ "__tracing_write_event", 2, RESULT_NONE },
	{ "__vgic_v3_save_aprs", 3, RESULT_NONE, { ARG_CPU_IF } },
	{ "__vgic_v3_restore_vmcr_aprs", 3, RESULT_NONE, { ARG_CPU_IF } },
	{ "__pkvm_host_share_hyp", 6, RESULT_ERRNO, { ARG_PFN_SHARED } },
	{ "__pkvm_host_unshare_hyp", 6, RESULT_ERRNO, { ARG_PFN_SHARED } },
	{ "__pkvm_host_donate_guest", 16, RESULT_ERRNO, { ARG_PFN, ARG_GFN } },
	{ "__pkvm_host_share_guest", 16, RESULT_ERRNO,
	  { ARG_PFN_LENT, ARG_GFN, ARG_NR_PAGES, ARG_PROT } },
	{ "__pkvm_host_unshare_guest", 8, RESULT_ERRNO, { ARG_HANDLE, ARG_GFN, ARG_NR_PAGES } },
	{ "__pkvm_host_relax_perms_guest", 6, RESULT_ERRNO, { ARG_GFN, ARG_PROT } },
	{ "__pkvm_host_wrprotect_guest", 6, RESULT_ERRNO, { ARG_HANDLE, ARG_GFN, ARG_NR_PAGES } },
	{ "__pkvm_host_test_clear_young_guest", 6, RESULT_ERRNO,
	  { ARG_HANDLE, ARG_GFN, ARG_NR_PAGES, ARG_BOOL } },
	{ "__pkvm_host_mkyoung_guest", 6, RESULT_ERRNO, { ARG_GFN } },
	{ "__pkvm_reserve_vm", 2, RESULT_ERRNO },
	{ "__pkvm_unreserve_vm", 2, RESULT_NONE, { ARG_HANDLE_RESERVED } },
	{ "__pkvm_init_vm", 6, RESULT_ERRNO, { ARG_KVM, ARG_KVM_MEM, ARG_PGD_MEM } },
	{ "__pkvm_init_vcpu", 8, RESULT_ERRNO, { ARG_HANDLE, ARG_NEW_VCPU, ARG_VCPU_MEM } },
	{ "__pkvm_vcpu_in_poison_fault", 2, RESULT_ERRNO },
	{ "__pkvm_force_reclaim_guest_page", 8, RESULT_ERRNO, { ARG_PHYS } },
	{ "__pkvm_reclaim_dying_guest_page", 4, RESULT_ERRNO, { ARG_HANDLE, ARG_GFN } },
	{ "__pkvm_start_teardown_vm", 2, RESULT_ERRNO, { ARG_HANDLE_KILL } },
	{ "__pkvm_finalize_teardown_vm", 2, RESULT_ERRNO, { ARG_HANDLE_FINALIZE } },
	{ "__pkvm_vcpu_load", 8, RESULT_NONE, { ARG_HANDLE_LOAD, ARG_VCPU_IDX } },
	{ "__pkvm_vcpu_put", 2, RESULT_NONE },
	{ "__pkvm_vcpu_sync_state", 2, RESULT_NONE },
	{ "__pkvm_tlb_flush_vmid", 2, RESULT_NONE, { ARG_HANDLE } },
	{ "__pkvm_read_stats", 3, RESULT_ERRNO, { ARG_PFN } },
};

/* By number */
static const struct hypercall *by_nr[MAX_HYPERCALLS];
static u64 first_id;
static u32 nr_hypercalls;
static int total_weight;

/* Numbers of those that the test itself needs to know */
static struct {
	u32 share_hyp, unshare_hyp, unshare_guest, reserve, unreserve, init_vm, init_vcpu;
	u32 force_reclaim, reclaim, kill, finalize, load, put, run, share_guest;
} nr;

/* Memory of the test's, and what of it is lost */
struct mem {
	u64 pa;
	u64 va;
	u32 order;
	bool lost[1 << BLOCK_ORDER];
};

static struct mem mems[NR_CHUNKS + NR_VMS * (NR_VCPUS + 1) + 5];
static int nr_mems;
/* For anything */
static struct mem *chunks[NR_CHUNKS];
/* Lent to guests as a block; for page tables; trace pages; a vCPU full of junk; ours */
static struct mem *block, *tables, *trace, *junk, *probe;

/* What EL2 is told of a VM: copies of KVM's structures */
struct el2_vm {
	struct adv_object kvm;
	struct adv_object vcpu[NR_VCPUS];
	bool protected;
	bool alive;
	u64 handle;
};

static struct el2_vm vms[NR_VMS];

/* KVM's VMs: a protected and a non-protected one, and what they are like */
static struct secret_vm *guests[2];
static struct adv_object guest_kvm[2], guest_vcpu[2];
static void *template_kvm[2], *template_vcpu[2];
static u64 secret_pa[NR_SECRET_PAGES];

/* Not to be given to anyone: EL2's pages, the protected guest's, registers of devices */
static u64 foreign[MAX_PAS];
static u32 nr_foreign, nr_foreign_fixed;
static u64 guest_pa[MAX_PAS];
static u32 nr_guest_pas;
/* Until the end of the round. It changes between turns, when nobody has calls to make. */
static bool guest_may_be_robbed;
/* It does not run. That it was robbed is known when all threads have ended. */
static bool guest_has_stopped;
static u64 gfns[MAX_GFNS];
static u32 nr_gfns, nr_real_gfns;

static u64 ram_size, linear_offset;
static enum attack attack;
static atomic_bool stop;
static atomic_uint lost_pages;
static atomic_bool guest_was_robbed, finalized_early;

struct count {
	u64 calls;
	u64 ok;
	u64 not_supported;
	u64 faults;
	u64 other;
	u64 error[MAX_ERRNO];
};

struct fuzzer {
	pthread_t thread;
	int cpu;
	u64 rng;
	u64 reserved;
	u64 kill;
	bool finalizing;
	u64 loaded;
	struct adv_call calls[MAX_BATCH];
	u32 nrs[MAX_BATCH];
	u32 nr;
	struct count counts[MAX_HYPERCALLS + 1];
	u64 vms_created;
	u64 vms_destroyed;
	u64 runs;
};

/* Not static: guests are made of the test's image. */
static struct fuzzer *fuzzers;
/* The main thread's: its calls are part of no statistics. */
static struct fuzzer *helper;

static u64 nr_flips, flips_faulted, nr_rounds;
static u64 guests_created, guests_destroyed, guest_runs, guests_robbed;
static u64 guests_on_track, guests_derailed, ms_given_up;
/* The one of this round */
static bool guest_is_derailed;
static u64 wrong_canaries, secrets_read, pages_missing;

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* -- random values ---------------------------------------------------------------------------- */

static u64 rnd(struct fuzzer *f)
{
	f->rng ^= f->rng >> 12;
	f->rng ^= f->rng << 25;
	f->rng ^= f->rng >> 27;
	return f->rng * 0x2545f4914f6cdd1dul;
}

static u64 below(struct fuzzer *f, u64 limit)
{
	return (rnd(f) >> 16) % limit;
}

static bool percent(struct fuzzer *f, unsigned int chance)
{
	return below(f, 100) < chance;
}

static u64 page_size(void)
{
	return adv_info()->page_size;
}

static u64 linear(u64 pa)
{
	return pa + linear_offset;
}

static const u64 limits[] = {
	0, 1, 2, 7, 511, 513, 4095, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0xffffffff,
	BIT_ULL(31) - 4096, BIT_ULL(33), BIT_ULL(45), BIT_ULL(52) - 1, BIT_ULL(52), BIT_ULL(62),
	BIT_ULL(63) - 1, BIT_ULL(63), ~0ul - 4095, ~0ul - 1, ~0ul,
};

/* Not among those of KVM's guests */
static const u64 limit_gfns[] = {
	0, 1, 2, 0x7fff, 0xfffff, BIT_ULL(20), BIT_ULL(24) - 1, BIT_ULL(28) - 1, BIT_ULL(28),
	BIT_ULL(36) - 1, BIT_ULL(36), BIT_ULL(40) - 1, BIT_ULL(40), BIT_ULL(45), BIT_ULL(52) - 1,
	BIT_ULL(63), ~0ul,
};

static u64 any(struct fuzzer *f)
{
	return percent(f, 50) ? limits[below(f, ARRAY_SIZE(limits))] : rnd(f);
}

/* Beyond all memory, whether it is taken for an address or a frame number */
static u64 nowhere(struct fuzzer *f)
{
	static const u64 pages[] = {
		0, 0x1000, GENMASK_ULL(47, 32), BIT_ULL(47), GENMASK_ULL(51, 12), BIT_ULL(51),
	};

	return pages[below(f, ARRAY_SIZE(pages))];
}

/* A page of the test's with @span pages to the end of its allocation */
static u64 own_page(struct fuzzer *f, u32 span)
{
	u32 c, i, tries = 0;

	do {
		if (percent(f, 5))
			c = below(f, NR_CHUNKS);
		else if (span > 2)
			c = NR_PAGE_CHUNKS + below(f, NR_CHUNKS - NR_PAGE_CHUNKS);
		else
			c = below(f, NR_PAGE_CHUNKS);
		i = below(f, CHUNK_PAGES - span + 1);
	} while (chunks[c]->lost[i] && ++tries < 64);

	return chunks[c]->pa + i * page_size();
}

static u64 page_in(struct fuzzer *f, const struct mem *mem)
{
	return mem->pa + below(f, 1ul << mem->order) * page_size();
}

static struct adv_object *any_copy(struct fuzzer *f)
{
	struct el2_vm *vm = &vms[below(f, NR_VMS)];
	u64 i = below(f, NR_VCPUS + 1);

	return i < NR_VCPUS ? &vm->vcpu[i] : &vm->kvm;
}

/* Not the host's, or no memory: nothing happens to it, unless EL2 has a hole */
static u64 foreign_page(struct fuzzer *f)
{
	if (percent(f, 15))
		return nowhere(f);
	if (nr_guest_pas && !guest_may_be_robbed && percent(f, 40))
		return guest_pa[below(f, nr_guest_pas)];
	return foreign[below(f, nr_foreign)];
}

static u64 page_to_give(struct fuzzer *f)
{
	switch (below(f, 16)) {
	case 0 ... 9:
		return own_page(f, 1);
	case 10:
		return page_in(f, block);
	case 11:
		return page_in(f, tables);
	default:
		return foreign_page(f);
	}
}

static u64 page_to_share(struct fuzzer *f)
{
	/* What is of use only while it is shared stays so for a while. */
	switch (below(f, 32)) {
	case 0:
		return page_in(f, trace);
	case 1:
		return any_copy(f)->pa;
	case 2:
		return page_in(f, junk);
	default:
		return page_to_give(f);
	}
}

static u64 page_to_lend(struct fuzzer *f)
{
	switch (below(f, 10)) {
	case 0 ... 5:
		return own_page(f, 1);
	case 6:
		return page_in(f, block);
	case 7:
		return block->pa;
	default:
		return foreign_page(f);
	}
}

static u64 page_to_reclaim(struct fuzzer *f)
{
	u64 pa = page_to_give(f) + below(f, 8) * 8;
	u32 i;

	if (guest_may_be_robbed && nr_guest_pas && percent(f, 5))
		return guest_pa[below(f, nr_guest_pas)];

	for (i = 0; i < nr_guest_pas; i++) {
		if (pa / page_size() == guest_pa[i] / page_size())
			return own_page(f, 1);
	}

	return pa;
}

/* Bits that EL2 does not look at */
static u64 alias(struct fuzzer *f, u64 va)
{
	return percent(f, 3) ? va ^ BIT_ULL(62) : va;
}

static u64 donation(struct fuzzer *f, u32 span, u32 align)
{
	u64 pa;

	switch (below(f, 40)) {
	case 0:
		return linear(foreign[below(f, nr_foreign_fixed)]);
	case 1:
		if (guest_may_be_robbed)
			break;
		return linear(guest_pa[below(f, nr_guest_pas)]);
	case 2:
		return linear(own_page(f, span)) + 8;
	case 3:
		return guest_kvm[below(f, 2)].va & ~(page_size() - 1);
	}

	pa = own_page(f, span);
	if (percent(f, 95))
		pa &= ~(align * page_size() - 1);
	return alias(f, linear(pa));
}

static u32 span_of(u64 size)
{
	return (size + page_size() - 1) / page_size();
}

static u64 garbage_handle(struct fuzzer *f)
{
	static const u64 handles[] = {
		0, 1, 0xfff, 0x10f0, 0x10fe, 0x10ff, 0x1100, 0x7fff, 0xffff, BIT_ULL(63), ~0ul,
	};

	return handles[below(f, ARRAY_SIZE(handles))];
}

static u64 own_handle(struct fuzzer *f)
{
	return vms[below(f, NR_VMS)].handle;
}

static u64 guest_handle(struct fuzzer *f)
{
	return guest_kvm[below(f, 2)].handle;
}

static bool is_guest_handle(u64 handle)
{
	return (u16)handle == guest_kvm[0].handle || (u16)handle == guest_kvm[1].handle;
}

static bool guests_are_idle(void)
{
	return attack == ATTACK_IDLE || attack == ATTACK_IDLE_AGAIN;
}

static u64 any_handle(struct fuzzer *f)
{
	switch (below(f, 10)) {
	case 0 ... 5:
		return own_handle(f);
	case 6 ... 7:
		return guest_handle(f);
	case 8:
		return attack != ATTACK_NEW ? f->reserved : own_handle(f);
	default:
		return garbage_handle(f);
	}
}

static u64 any_vcpu(struct fuzzer *f, bool new)
{
	struct el2_vm *vm = &vms[below(f, NR_VMS)];

	if (!new && f->loaded && percent(f, 60))
		return f->loaded;

	switch (below(f, 16)) {
	case 0:
		return linear(foreign_page(f));
	case 1:
		return any(f);
	case 2:
		return junk->va;
	case 3 ... 4:
		if (!new && guests_are_idle())
			return guest_vcpu[below(f, 2)].va;
		fallthrough;
	default:
		return alias(f, vm->vcpu[below(f, NR_VCPUS)].va);
	}
}

static u64 any_kvm(struct fuzzer *f)
{
	switch (below(f, 16)) {
	case 0:
		return linear(foreign_page(f));
	case 1:
		return any(f);
	case 2:
		return guest_kvm[below(f, 2)].va;
	default:
		return vms[below(f, NR_VMS)].kvm.va;
	}
}

static bool is_copy_of_kvm(u64 va)
{
	int i;

	for (i = 0; i < NR_VMS; i++) {
		if (vms[i].kvm.va == va)
			return true;
	}
	return false;
}

static u64 any_gfn(struct fuzzer *f)
{
	u64 gfn = percent(f, 60) ? GFN + below(f, NR_GFNS) : gfns[below(f, nr_gfns)];

	/* EL2 makes an address of it, and these bits are gone. */
	return percent(f, 2) ? gfn | BIT_ULL(52) | BIT_ULL(63) : gfn;
}

static u64 any_nr_pages(struct fuzzer *f)
{
	if (percent(f, 60))
		return 1;
	return percent(f, 50) ? 512 : any(f);
}

static u64 any_prot(struct fuzzer *f)
{
	static const u64 bad[] = { PROT_DEVICE | 8, BIT_ULL(55), BIT_ULL(56) | 0xf, ~0ul, 0x1f };

	if (percent(f, 50))
		return 0xf;
	return percent(f, 70) ? below(f, 16) : bad[below(f, ARRAY_SIZE(bad))];
}

static u64 desc_size(struct fuzzer *f)
{
	const u64 bad[] = { 0, 8, ram_size, ~0ul - page_size() + 1, BIT_ULL(63), 2 * ram_size };

	return percent(f, 80) ? page_size() : bad[below(f, ARRAY_SIZE(bad))];
}

/* The start of struct hyp_trace_desc, with one struct ring_buffer_desc */
struct trace_desc {
	u64 backing_start;
	u64 backing_size;
	s32 nr_cpus;
	u64 struct_len;
	s32 cpu;
	u32 nr_page_va;
	u64 meta_va;
	u64 page_va[MAX_TRACE_PAGES];
};

/* A page with a description of a trace buffer, which is right more or less */
static u64 new_desc(struct fuzzer *f)
{
	struct trace_desc desc = {
		.backing_start	= linear(own_page(f, 2)),
		.backing_size	= page_size(),
		.nr_cpus	= 1,
		.nr_page_va	= MIN_TRACE_PAGES + below(f, MAX_TRACE_PAGES - MIN_TRACE_PAGES),
		.meta_va	= linear(page_in(f, trace)),
	};
	u64 pa, i;

	for (i = 0; i < MAX_TRACE_PAGES; i++)
		desc.page_va[i] = linear(page_in(f, trace));

	switch (below(f, 24)) {
	case 0:
		desc.backing_start = linear(foreign[below(f, nr_foreign_fixed)]);
		break;
	case 1:
		desc.backing_size = percent(f, 50) ? 0 : 2 * ram_size;
		break;
	case 2:
		desc.backing_size += 8;
		break;
	case 3:
		desc.nr_cpus = any(f);
		break;
	case 4:
		desc.cpu = any(f);
		break;
	case 5:
		desc.nr_page_va = any(f);
		break;
	case 6:
		desc.meta_va = linear(foreign_page(f));
		break;
	case 7:
		desc.page_va[below(f, MAX_TRACE_PAGES)] = linear(foreign_page(f));
		break;
	case 8:
		desc.page_va[below(f, MAX_TRACE_PAGES)] += 8;
		break;
	case 9:
		desc.backing_start += 8;
		break;
	}

	pa = own_page(f, 1);
	adv_write(linear(pa), ADV_VA, &desc, sizeof(desc));

	return linear(pa);
}

static u64 new_arg(struct fuzzer *f, enum arg arg)
{
	u64 i;

	switch (arg) {
	case ARG_ANY:
		return any(f);
	case ARG_ZERO:
		return 0;
	case ARG_PFN:
		return page_to_give(f) / page_size() | (percent(f, 2) ? BIT_ULL(60) : 0);
	case ARG_PFN_SHARED:
		return page_to_share(f) / page_size();
	case ARG_PFN_LENT:
		return page_to_lend(f) / page_size();
	case ARG_PHYS:
		return page_to_reclaim(f);
	case ARG_GFN:
		return any_gfn(f);
	case ARG_NR_PAGES:
		return any_nr_pages(f);
	case ARG_PROT:
		return any_prot(f);
	case ARG_BOOL:
		return percent(f, 90) ? below(f, 2) : any(f);
	case ARG_HANDLE:
		return any_handle(f);
	case ARG_HANDLE_LOAD:
		if (guests_are_idle() && percent(f, 20))
			return guest_handle(f);
		return percent(f, 90) ? own_handle(f) : garbage_handle(f);
	case ARG_HANDLE_KILL:
		if (attack == ATTACK_NEW)
			return garbage_handle(f);
		return percent(f, 80) ? own_handle(f) : garbage_handle(f);
	case ARG_HANDLE_FINALIZE:
		i = below(f, NR_VMS);
		if (attack != ATTACK_NEW && vms[i].protected && READ_ONCE(vms[i].alive) &&
		    atomic_load(&lost_pages) < MAX_LOST && percent(f, 20))
			return vms[i].handle;
		return percent(f, 50) ? guest_handle(f) : garbage_handle(f);
	case ARG_HANDLE_RESERVED:
		if (attack == ATTACK_NEW)
			return guest_handle(f);
		return percent(f, 70) ? f->reserved : any_handle(f);
	case ARG_VCPU_IDX:
		return percent(f, 90) ? below(f, NR_VCPUS) : any(f);
	case ARG_KVM:
		return any_kvm(f);
	case ARG_KVM_MEM:
		return donation(f, span_of(vms[0].kvm.size + SZ_8K), 1);
	case ARG_PGD_MEM:
		return donation(f, 16, 16);
	case ARG_VCPU:
		return any_vcpu(f, false);
	case ARG_NEW_VCPU:
		return any_vcpu(f, true);
	case ARG_VCPU_MEM:
		return donation(f, span_of(vms[0].vcpu[0].size + SZ_8K), 1);
	case ARG_CPU_IF:
		return any_vcpu(f, false) + adv_field(&guest_vcpu[0], "vgic.hcr", NULL) -
		       guest_vcpu[0].va;
	case ARG_CPU:
		return percent(f, 80) ? below(f, adv_info()->nr_cpus) : any(f);
	case ARG_EVENT:
		return percent(f, 90) ? below(f, 32) : any(f);
	case ARG_DESC:
		if (percent(f, 5))
			return linear(foreign[below(f, nr_foreign_fixed)]);
		return new_desc(f) + (percent(f, 5) ? 8 : 0);
	case ARG_DESC_SIZE:
		return desc_size(f);
	}

	return 0;
}

/* -- calls ------------------------------------------------------------------------------------ */

static struct adv_call *add_id(struct fuzzer *f, u64 id, u32 number)
{
	struct adv_call *call = &f->calls[f->nr];

	TEST_ASSERT(f->nr < ARRAY_SIZE(f->calls), "Too many calls at once");
	memset(call, 0, sizeof(*call));
	call->conduit = ADV_HVC;
	call->cpu = ADV_CPU_ANY;
	call->x[0] = id;
	f->nrs[f->nr++] = number;

	return call;
}

static void add(struct fuzzer *f, u32 number, u64 x1, u64 x2, u64 x3, u64 x4)
{
	struct adv_call *call = add_id(f, first_id + number, number);

	call->x[1] = x1;
	call->x[2] = x2;
	call->x[3] = x3;
	call->x[4] = x4;
}

static u32 any_number(struct fuzzer *f)
{
	s64 weight = below(f, total_weight);
	u32 i;

	for (i = 0; i < nr_hypercalls; i++) {
		weight -= by_nr[i] ? by_nr[i]->weight : 0;
		if (weight < 0)
			return i;
	}

	return 0;
}

static bool is_left_out(u32 number)
{
	return attack == ATTACK_NEW && (number == nr.reserve || number == nr.init_vm);
}

/* Arguments that are one by one harmless, but not together */
static void restrict_args(struct fuzzer *f, u32 number, struct adv_call *call)
{
	int i;

	if (number == nr.init_vm && !is_copy_of_kvm(call->x[1]))
		call->x[2] = linear(foreign[below(f, nr_foreign_fixed)]);
	if (number == nr.unshare_guest && is_guest_handle(call->x[1]))
		call->x[2] = GFN + below(f, NR_GFNS);
	if (number == nr.share_guest && call->x[3] == 512) {
		for (i = 0; i < NR_CHUNKS; i++) {
			if (call->x[1] - chunks[i]->pa / page_size() < CHUNK_PAGES)
				call->x[3] = 1;
		}
	}
}

/* What makes sense only together: blocks */
static void relate_args(struct fuzzer *f, u32 number, struct adv_call *call)
{
	if (number == nr.share_guest && call->x[3] == 512 && percent(f, 50)) {
		call->x[1] = block->pa / page_size();
		call->x[2] = GFN + 512 * (1 + below(f, NR_BLOCK_GFNS));
	}
}

static void add_any(struct fuzzer *f)
{
	struct adv_call *call;
	u32 number, i;

	if (percent(f, 2)) {
		static const u64 offsets[] = { 0, 1, 0x100, 0xff00, BIT_ULL(16), BIT_ULL(32) };

		add_id(f, first_id + nr_hypercalls + offsets[below(f, ARRAY_SIZE(offsets))],
		       NO_FUNCTION);
		return;
	}

	do {
		number = any_number(f);
	} while (is_left_out(number));

	call = add_id(f, first_id + number, number);
	if (percent(f, 2))
		call->imm = below(f, 0x10000);
	/* A hint that changes nothing */
	if (percent(f, 2))
		call->x[0] |= BIT(16);
	for (i = 0; i < ARRAY_SIZE(by_nr[number]->args); i++)
		call->x[1 + i] = new_arg(f, by_nr[number]->args[i]);
	for (; i + 1 < ADV_NR_XREGS; i++)
		call->x[1 + i] = any(f);
	relate_args(f, number, call);
	restrict_args(f, number, call);
}

static void count_result(struct fuzzer *f, const struct adv_call *call, u32 number, u64 x1)
{
	struct count *count = &f->counts[number];
	s64 status = call->x[0], ret = call->x[1];
	u32 i;

	count->calls++;
	if (call->fault.vector) {
		count->faults++;
		return;
	}
	if (status) {
		count->not_supported++;
		return;
	}
	if (number < nr_hypercalls && by_nr[number]->result == RESULT_ERRNO && ret < 0) {
		if (ret > -MAX_ERRNO)
			count->error[-ret]++;
		else
			count->other++;
		return;
	}
	count->ok++;

	if (number == nr.reserve) {
		f->reserved = ret;
	} else if (number == nr.kill) {
		f->kill = (u16)x1;
	} else if (number == nr.init_vm) {
		f->vms_created++;
		for (i = 0; i < NR_VMS; i++) {
			if (vms[i].kvm.va == x1)
				WRITE_ONCE(vms[i].alive, true);
		}
	} else if (number == nr.finalize) {
		f->vms_destroyed++;
		if (!f->finalizing)
			atomic_store(&finalized_early, true);
		for (i = 0; i < NR_VMS; i++) {
			if (vms[i].handle == (u16)x1)
				WRITE_ONCE(vms[i].alive, false);
		}
	} else if (number == nr.run) {
		f->runs++;
	} else if (number == nr.force_reclaim) {
		for (i = 0; i < nr_guest_pas; i++) {
			if (x1 / page_size() == guest_pa[i] / page_size())
				atomic_store(&guest_was_robbed, true);
		}
	}
}

/* Make the calls, from this thread's CPU. */
static void flush(struct fuzzer *f)
{
	u64 x1[ARRAY_SIZE(f->calls)];
	u32 i;

	for (i = 0; i < f->nr; i++)
		x1[i] = f->calls[i].x[1];
	adv_batch(f->calls, f->nr);
	for (i = 0; i < f->nr; i++)
		count_result(f, &f->calls[i], f->nrs[i], x1[i]);
	f->nr = 0;
}

static s64 call_one(u32 number, u64 x1, u64 x2, u64 x3)
{
	return adv_hvc(ADV_CPU_ANY, first_id + number, x1, x2, x3);
}

/* All that a dying VM has comes back, and then it goes. */
static void finalize(struct fuzzer *f, u64 handle)
{
	u32 i;

	for (i = 0; i < nr_gfns; i++) {
		add(f, nr.reclaim, handle, gfns[i], 0, 0);
		add(f, nr.unshare_guest, handle, gfns[i], 1, 0);
		if (!(gfns[i] % 512))
			add(f, nr.unshare_guest, handle, gfns[i], 512, 0);
	}
	add(f, nr.finalize, handle, 0, 0, 0);
	f->finalizing = true;
	flush(f);
	f->finalizing = false;
}

static void write_field(const struct adv_object *object, const char *name, u64 val)
{
	u32 size;
	u64 va = adv_field(object, name, &size);

	/* It may be the guest's by now. */
	adv_write(va, ADV_VA, &val, size);
}

/* A list of pages for page tables in a vCPU, sometimes of what is none */
static void top_up(struct fuzzer *f, const struct adv_object *vcpu)
{
	u64 n = percent(f, 80) ? 6 : below(f, 6), head = 0, pa, i;

	for (i = 0; i < n; i++) {
		pa = page_in(f, tables);
		if (adv_mem(ADV_WRITE64, linear(pa), ADV_VA, ADV_CPU_ANY, head, 0, NULL))
			continue;
		head = pa;
	}
	if (percent(f, 5))
		head = foreign_page(f);
	if (percent(f, 5))
		head |= below(f, page_size());
	if (percent(f, 5))
		n = any(f);
	write_field(vcpu, "memcache.head", head);
	write_field(vcpu, "memcache.nr_pages", n);
}

static void copy_template(const struct adv_object *to, const void *template)
{
	adv_write(to->va, ADV_VA, template, to->size);
}

/* Make it anew, from memory that may be in use already */
static void prepare_vm(struct fuzzer *f, struct el2_vm *vm, u64 handle)
{
	int i;

	copy_template(&vm->kvm, template_kvm[!vm->protected]);
	write_field(&vm->kvm, "handle", handle);
	write_field(&vm->kvm, "created_vcpus", NR_VCPUS);
	for (i = 0; i < NR_VCPUS; i++) {
		copy_template(&vm->vcpu[i], template_vcpu[!vm->protected]);
		write_field(&vm->vcpu[i], "vcpu_idx", i);
		write_field(&vm->vcpu[i], "vcpu_id", i);
		if (i)
			write_field(&vm->vcpu[i], "mp_state", KVM_MP_STATE_STOPPED);
	}
	vm->handle = handle;
}

static void add_share(struct fuzzer *f, const struct adv_object *copy)
{
	u64 pfn = copy->pa / page_size(), i;

	for (i = 0; i < span_of(copy->size); i++)
		add(f, nr.share_hyp, pfn + i, 0, 0, 0);
}

static void add_create(struct fuzzer *f, struct el2_vm *vm)
{
	int i;

	add_share(f, &vm->kvm);
	add(f, nr.init_vm, vm->kvm.va, new_arg(f, ARG_KVM_MEM), new_arg(f, ARG_PGD_MEM), 0);
	for (i = 0; i < NR_VCPUS; i++) {
		add_share(f, &vm->vcpu[i]);
		add(f, nr.init_vcpu, vm->handle, vm->vcpu[i].va, new_arg(f, ARG_VCPU_MEM), 0);
	}
}

static void create(struct fuzzer *f, struct el2_vm *vm)
{
	s64 handle;

	call_one(nr.unreserve, vm->handle, 0, 0);
	handle = call_one(nr.reserve, 0, 0, 0);
	if (handle > 0) {
		prepare_vm(f, vm, handle);
		add_create(f, vm);
	}
}

static void fuzz(struct fuzzer *f)
{
	struct el2_vm *vm = &vms[below(f, NR_VMS)];
	u64 i = below(f, NR_VCPUS), j;

	if (f->kill) {
		finalize(f, f->kill);
		f->kill = 0;
	}

	if (attack != ATTACK_NEW && !READ_ONCE(vm->alive))
		create(f, vm);

	if (percent(f, 80)) {
		if (percent(f, 80))
			add(f, nr.put, 0, 0, 0, 0);
		if (guests_are_idle() && percent(f, 10)) {
			add(f, nr.load, guest_handle(f), 0, 0, 0);
		} else {
			top_up(f, &vm->vcpu[i]);
			add(f, nr.load, vm->handle, i, 0, 0);
			/* The only one that runs */
			f->loaded = vm->vcpu[i].va;
		}
	}
	for (j = 0; j < BATCH; j++)
		add_any(f);
	flush(f);
}

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	kvm_sched_setaffinity(0, sizeof(set), &set);
}

static void *fuzz_thread(void *arg)
{
	struct fuzzer *f = arg;
	sigset_t alarms;

	/* They are for the thread that runs guests. */
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);

	pin_to(f->cpu);
	while (!atomic_load(&stop))
		fuzz(f);
	/* What it took upon itself */
	if (f->kill) {
		finalize(f, f->kill);
		f->kill = 0;
	}
	add(f, nr.put, 0, 0, 0, 0);
	flush(f);

	return NULL;
}

/* -- memory that changes ---------------------------------------------------------------------- */

#define MAX_FLIPS_AT_ONCE	2

struct flips {
	u32 id[MAX_FLIPS_AT_ONCE];
	int nr;
};

static u64 field_value(struct fuzzer *f, const char *name)
{
	const u64 vcpus[] = { 0, 1, 2, 3, max_t(u64, ram_size / 8, 0x20000000), 0xffffffff };
	size_t len = strlen(name);

	if (!strcmp(name, "created_vcpus"))
		return vcpus[below(f, ARRAY_SIZE(vcpus))];
	if (!strcmp(name, "handle"))
		return percent(f, 80) ? own_handle(f) : garbage_handle(f);
	if (!strcmp(name, "vcpu_idx"))
		return percent(f, 80) ? below(f, NR_VCPUS + 1) : any(f);
	if (!strcmp(name, "is_protected"))
		return below(f, 2);
	if (len > 5 && !strcmp(name + len - 5, ".head"))
		return percent(f, 60) ? page_in(f, tables) : foreign_page(f);
	if (!strcmp(name, "sve_state"))
		return percent(f, 50) ? trace->va : any_vcpu(f, true);
	if (!strcmp(name, "kvm"))
		return percent(f, 50) ? any_kvm(f) : junk->va;

	return any(f);
}

/* Those that EL2 acts on, and any other */
static const char *any_field(struct fuzzer *f, enum adv_kind kind, struct adv_field *field)
{
	static const char * const vm_fields[] = {
		"created_vcpus", "handle", "is_protected", "teardown_mc.head",
		"teardown_mc.nr_pages", "stage2_teardown_mc.head", "flags", "vcpu_features",
		"vgic_model",
	};
	static const char * const vcpu_fields[] = {
		"vcpu_idx", "vcpu_id", "iflags", "cflags", "sflags", "hcr_el2", "memcache.head",
		"memcache.nr_pages", "vgic.used_lrs", "vgic.hcr", "mp_state", "pstate", "pc",
		"debug_owner", "mdcr_el2", "sve_max_vl", "kvm",
	};
	const char *name;

	if (percent(f, 70)) {
		name = kind == ADV_VM ? vm_fields[below(f, ARRAY_SIZE(vm_fields))] :
					vcpu_fields[below(f, ARRAY_SIZE(vcpu_fields))];
		TEST_ASSERT(__adv_field(kind, name, field), "No field %s", name);
		return name;
	}

	for (;;) {
		memset(field, 0, sizeof(*field));
		field->kind = kind;
		field->index = below(f, 128);
		if (!__adv_ioctl(ADV_IOC_FIELD, field) && field->kind == kind)
			break;
	}
	field->offset += below(f, field->count) * field->size;

	return field->name;
}

static void start_flip(struct fuzzer *f, struct flips *flips, int cpu)
{
	struct adv_object *object = any_copy(f);
	struct adv_field field;
	const char *name;

	/* The list itself */
	if (percent(f, 15)) {
		flips->id[flips->nr++] = adv_flip_start(linear(page_in(f, tables)), ADV_VA, 8, cpu,
							page_in(f, tables), foreign_page(f));
		return;
	}

	do {
		name = any_field(f, object->kind, &field);
	} while (field.size > 8 || (field.size & (field.size - 1)));

	flips->id[flips->nr++] = adv_flip_start(object->va + field.offset, ADV_VA, field.size, cpu,
						field_value(f, name), field_value(f, name));
}

static void stop_flips(struct flips *flips)
{
	while (flips->nr) {
		nr_flips += adv_flip_stop(flips->id[--flips->nr]);
		if (adv_last_fault()->vector)
			flips_faulted++;
	}
}

/* -- KVM's VMs -------------------------------------------------------------------------------- */

static void set_in_template(void *template, enum adv_kind kind, const char *name, u64 val)
{
	struct adv_field field;

	TEST_ASSERT(__adv_field(kind, name, &field), "No field %s", name);
	memcpy(template + field.offset, &val, field.size);
}

/* What the host has of a VM, without memory that is KVM's to give */
static void make_templates(int i)
{
	free(template_kvm[i]);
	free(template_vcpu[i]);
	template_kvm[i] = malloc(guest_kvm[i].size);
	template_vcpu[i] = malloc(guest_vcpu[i].size);
	TEST_ASSERT(template_kvm[i] && template_vcpu[i], "malloc() failed");
	TEST_ASSERT_EQ(adv_read(guest_kvm[i].va, ADV_VA, template_kvm[i], guest_kvm[i].size), 0);
	TEST_ASSERT_EQ(adv_read(guest_vcpu[i].va, ADV_VA, template_vcpu[i], guest_vcpu[i].size), 0);

	set_in_template(template_kvm[i], ADV_VM, "teardown_mc.head", 0);
	set_in_template(template_kvm[i], ADV_VM, "teardown_mc.nr_pages", 0);
	set_in_template(template_kvm[i], ADV_VM, "stage2_teardown_mc.head", 0);
	set_in_template(template_kvm[i], ADV_VM, "stage2_teardown_mc.nr_pages", 0);
	set_in_template(template_vcpu[i], ADV_VCPU, "memcache.head", 0);
	set_in_template(template_vcpu[i], ADV_VCPU, "memcache.nr_pages", 0);
	set_in_template(template_vcpu[i], ADV_VCPU, "sve_state", 0);
}

static void list_guest_pages(void)
{
	struct adv_vm_page pages[MAX_PAS];
	u32 i, n;
	u64 pa;

	nr_guest_pas = 0;
	nr_gfns = 0;
	for (i = 0; i < NR_SECRET_PAGES; i++) {
		secret_pa[i] = adv_virt_to_phys(secret_vm_page(guests[0], i));
		guest_pa[nr_guest_pas++] = secret_pa[i];
	}
	n = adv_vm_pages(guests[0]->vm->fd, ADV_GUEST_PAGES, pages, 32);
	for (i = 0; i < n; i++)
		guest_pa[nr_guest_pas++] = pages[i].pa;
	/* Where both have something, so that neither gets anything else; the secret, too */
	n = adv_vm_pages(guests[1]->vm->fd, ADV_GUEST_PAGES, pages, MAX_PAS);
	for (i = n - min(n, 16u); i < n; i++) {
		if (adv_gpa_to_pa(guests[0]->vm, pages[i].gfn * page_size(), &pa))
			gfns[nr_gfns++] = pages[i].gfn;
	}
	nr_real_gfns = nr_gfns;
	for (i = 0; i < NR_GFNS; i++)
		gfns[nr_gfns++] = GFN + i;
	for (i = 0; i < NR_BLOCK_GFNS; i++)
		gfns[nr_gfns++] = GFN + (i + 1) * 512;
	for (i = 0; i < ARRAY_SIZE(limit_gfns); i++)
		gfns[nr_gfns++] = limit_gfns[i];
	TEST_ASSERT(nr_gfns <= MAX_GFNS, "%u GFNs are too many", nr_gfns);
}

static void create_guests(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		guests[i] = secret_vm_create(!i, SECRET_ANON);
		secret_vm_start(guests[i]);
		adv_vm(guests[i]->vm, &guest_kvm[i]);
		adv_vcpu(guests[i]->vcpu, &guest_vcpu[i]);
		make_templates(i);
		guests_created++;
		guest_runs++;
	}
	list_guest_pages();
	atomic_store(&guest_was_robbed, false);
	guest_is_derailed = false;
	guest_may_be_robbed = false;
}

static void on_alarm(int signal)
{
}

/* -EINTR: it does not come to its end. */
static int run_guest(struct secret_vm *guest, unsigned int seconds)
{
	int ret;

	alarm(seconds);
	ret = secret_vm_check_interruptible(guest);
	alarm(0);
	guest_runs++;

	return ret;
}

static bool sees_secret(struct secret_vm *guest)
{
	int page;

	for (page = 0; page < NR_SECRET_PAGES; page++) {
		if (guest->guest_sees[page] != secret_vm_secret(guest))
			return false;
	}

	return true;
}

/*
 * Returns false if the guest does not run any more: it lost a page to the host, or
 * is not protected, so that its registers are the host's. If a hypercall ran it
 * behind KVM's back, KVM may hear of something twice, or not at all, but not again
 * and again.
 */
static bool check_guest(int i)
{
	struct secret_vm *guest = guests[i];
	int ret, page, tries = 0;
	u64 start = now_ms();
	bool wrong = false;

	if (i && guest_is_derailed)
		return false;
	do {
		ret = run_guest(guest, i ? DERAILED_SECONDS : GUEST_SECONDS);
	} while (!ret && !sees_secret(guest) && ++tries < 3);

	for (page = 0; page < NR_SECRET_PAGES; page++) {
		if (guest->guest_sees[page] == secret_vm_secret(guest) ||
		    (ret && !guest->guest_sees[page]))
			continue;
		wrong = true;
		ksft_print_msg("guest %d sees 0x%lx on page %d instead of 0x%lx\n", i,
			       guest->guest_sees[page], page, secret_vm_secret(guest));
	}
	if (ret && i == 0 && guest_may_be_robbed && !atomic_load(&guest_was_robbed)) {
		guest_has_stopped = true;
	} else if (ret && !(i == 0 && atomic_load(&guest_was_robbed))) {
		wrong = true;
		ksft_print_msg("guest %d does not run: %d\n", i, ret);
	}
	if (i == 0) {
		wrong_canaries += wrong;
	} else if (wrong) {
		guest_is_derailed = true;
		guests_derailed++;
		ms_given_up += now_ms() - start;
	} else {
		guests_on_track++;
	}

	return !ret;
}

/* The secret is nowhere in memory that the host can read. */
static void check_secret(void)
{
	u64 pa, size;
	char *buf;
	int i;

	buf = malloc(page_size());
	TEST_ASSERT(buf, "malloc() failed");

	for (i = 0; i < NR_SECRET_PAGES; i++) {
		if (adv_read(linear(secret_pa[i]), ADV_VA, buf, page_size()))
			continue;
		if (!atomic_load(&guest_was_robbed) || has_secret(guests[0], buf, page_size())) {
			secrets_read++;
			ksft_print_msg("page %d of the secret is readable: 0x%lx\n", i,
				       *(u64 *)buf);
		}
	}
	for (i = 0; i < nr_mems; i++) {
		size = page_size() << mems[i].order;
		for (pa = mems[i].pa; pa < mems[i].pa + size; pa += page_size()) {
			if (!adv_read(linear(pa), ADV_VA, buf, page_size()) &&
			    has_secret(guests[0], buf, page_size())) {
				secrets_read++;
				ksft_print_msg("the secret is in 0x%lx\n", pa);
			}
		}
	}
	free(buf);
}

/* With its memory, of which there will be a lot by the end */
static void destroy_guest(struct secret_vm *guest)
{
	void *mem = guest->mem;

	secret_vm_free(guest);
	TEST_ASSERT(!munmap(mem, thp_configured() ? get_trans_hugepagesz() : SZ_2M),
		    "munmap() failed");
	guests_destroyed++;
}

static void destroy_guests(void)
{
	int i;

	for (i = 0; i < 2; i++)
		destroy_guest(guests[i]);
}

/* Taken by force, the secret is gone, and the guest does not see anything else instead. */
static void rob_guest(void)
{
	int i;

	atomic_store(&guest_was_robbed, true);
	for (i = 0; i < NR_SECRET_PAGES; i++)
		call_one(nr.force_reclaim, secret_pa[i], 0, 0);
	check_secret();
	check_guest(0);
}

/* -- turns and rounds ------------------------------------------------------------------------- */

static void run_guests(u64 until)
{
	bool runs[2] = { true, true };
	int i;

	while (now_ms() < until && (runs[0] || runs[1])) {
		for (i = 0; i < 2; i++) {
			if (runs[i])
				runs[i] = check_guest(i);
		}
	}
	if (now_ms() < until)
		usleep((until - now_ms()) * 1000);
}

static void churn_guests(u64 until)
{
	struct secret_vm *guest;
	int i = 0;

	do {
		guest = secret_vm_create(!(i++ & 1), SECRET_ANON);
		secret_vm_start(guest);
		if (run_guest(guest, GUEST_SECONDS) || !sees_secret(guest)) {
			wrong_canaries++;
			ksft_print_msg("a new guest sees 0x%lx\n", guest->guest_sees[0]);
		}
		destroy_guest(guest);
		guests_created++;
		guest_runs++;
	} while (now_ms() < until);
}

static bool exists(u64 handle)
{
	return call_one(nr.init_vcpu, handle, 0, probe->va) != -ENOENT;
}

static void run_turn(u32 nr_cpus, u64 seed)
{
	u32 nr_fuzzers = guests_are_idle() ? nr_cpus : nr_cpus - 1, i;
	u64 until = now_ms() + TURN_MS;
	struct flips flips = {};

	for (i = FIRST_HANDLE; i <= LAST_HANDLE; i++) {
		if (!is_guest_handle(i))
			add(helper, nr.unreserve, i, 0, 0, 0);
	}
	flush(helper);
	if (attack == ATTACK_NEW) {
		/* A handle that is free may be KVM's next one. */
		for (i = 0; i < NR_VMS; i++) {
			if (!exists(vms[i].handle))
				vms[i].handle = 0;
		}
	}

	guest_may_be_robbed |= percent(helper, 5);

	nr_fuzzers = min_t(u32, nr_fuzzers, MAX_FUZZERS);
	atomic_store(&stop, false);
	while (flips.nr < MAX_FLIPS_AT_ONCE && percent(helper, 60))
		start_flip(helper, &flips, below(helper, nr_fuzzers));
	for (i = 0; i < nr_fuzzers; i++) {
		fuzzers[i].cpu = i;
		fuzzers[i].rng = (seed + i + 1) * 0x9e3779b97f4a7c15ul | 1;
		TEST_ASSERT(!pthread_create(&fuzzers[i].thread, NULL, fuzz_thread, &fuzzers[i]),
			    "pthread_create() failed");
	}

	pin_to(nr_cpus - 1);
	switch (attack) {
	case ATTACK_RUNNING:
		run_guests(until);
		break;
	case ATTACK_NEW:
		churn_guests(until);
		break;
	default:
		usleep(TURN_MS * 1000);
	}

	atomic_store(&stop, true);
	for (i = 0; i < nr_fuzzers; i++)
		pthread_join(fuzzers[i].thread, NULL);
	stop_flips(&flips);

	if (guest_has_stopped && !atomic_load(&guest_was_robbed)) {
		wrong_canaries++;
		ksft_print_msg("guest 0 does not run, and nobody took anything from it\n");
	}
	guest_has_stopped = false;
}

/* Pages that are the host's, and nobody else's: they can be shared with EL2. */
static u64 count_lost(struct mem *mem)
{
	u64 nr_pages = 1ul << mem->order, start, pfn, lost = 0;
	u32 i;

	for (start = 0; start < nr_pages; start += 64) {
		for (i = 0; i < 64 && start + i < nr_pages; i++) {
			pfn = mem->pa / page_size() + start + i;
			add(helper, nr.unshare_hyp, pfn, 0, 0, 0);
			add(helper, nr.share_hyp, pfn, 0, 0, 0);
			add(helper, nr.unshare_hyp, pfn, 0, 0, 0);
		}
		flush(helper);
		while (i--) {
			if (mem->lost[start + i] || (!helper->calls[i * 3 + 1].x[1] &&
						     !helper->calls[i * 3 + 2].x[1]))
				continue;
			mem->lost[start + i] = true;
			lost++;
		}
	}

	return lost;
}

static void reclaim_by_force(const struct mem *mem)
{
	u64 i;

	for (i = 0; i < 1ul << mem->order; i++) {
		add(helper, nr.force_reclaim, mem->pa + i * page_size(), 0, 0, 0);
		if (helper->nr == MAX_BATCH)
			flush(helper);
	}
	flush(helper);
}

static void share_object(u64 pa, u64 size)
{
	u64 i;

	for (i = 0; i < (size + page_size() - 1) / page_size(); i++)
		call_one(nr.share_hyp, pa / page_size() + i, 0, 0);
}

/* Take everything back; the threads have ended, and KVM's VMs stand still. */
static void recover(void)
{
	u64 handle, i, lost = 0;

	adv_hvc(ADV_CPU_ANY, HOST_HVC(__tracing_enable), 0);
	adv_hvc(ADV_CPU_ANY, HOST_HVC(__tracing_unload));

	for (i = 0; i < nr_gfns; i++) {
		if (i < nr_real_gfns)
			continue;
		call_one(nr.unshare_guest, guest_kvm[1].handle, gfns[i], 1);
		if (!(gfns[i] % 512))
			call_one(nr.unshare_guest, guest_kvm[1].handle, gfns[i], 512);
	}
	for (i = 0; i < nr_mems; i++)
		reclaim_by_force(&mems[i]);

	for (handle = FIRST_HANDLE; handle <= LAST_HANDLE; handle++) {
		if (is_guest_handle(handle))
			continue;
		call_one(nr.kill, handle, 0, 0);
		/* -ERANGE if it is there: beyond any IPA */
		if (call_one(nr.reclaim, handle, BIT_ULL(45), 0) != -EINVAL)
			finalize(helper, handle);
		call_one(nr.unreserve, handle, 0, 0);
	}

	for (i = 0; i < nr_mems; i++)
		lost += count_lost(&mems[i]);
	atomic_fetch_add(&lost_pages, lost);
	if (lost && !atomic_exchange(&finalized_early, false)) {
		pages_missing += lost;
		ksft_print_msg("%lu pages did not come back\n", lost);
	}
}

static void reset_vms(void)
{
	int i, j;

	for (i = 0; i < NR_VMS; i++) {
		vms[i].alive = false;
		vms[i].handle = 0;
		share_object(vms[i].kvm.pa, vms[i].kvm.size);
		for (j = 0; j < NR_VCPUS; j++)
			share_object(vms[i].vcpu[j].pa, vms[i].vcpu[j].size);
	}
	share_object(trace->pa, page_size() << TRACE_ORDER);
	share_object(junk->pa, page_size() << JUNK_ORDER);
}

/* No word is the address of RAM. */
static void fill_with_junk(void)
{
	struct adv_object vcpu = guest_vcpu[1];
	u64 size = page_size() << JUNK_ORDER, i, *buf;

	buf = malloc(size);
	TEST_ASSERT(buf, "malloc() failed");
	for (i = 0; i < size / sizeof(u64); i++)
		buf[i] = rnd(helper) | GENMASK_ULL(63, 52);
	TEST_ASSERT_EQ(adv_write(junk->va, ADV_VA, buf, size), 0);
	free(buf);

	TEST_ASSERT(vcpu.size <= size, "struct kvm_vcpu has %llu bytes", vcpu.size);
	vcpu.va = junk->va;
	write_field(&vcpu, "vcpu_idx", below(helper, NR_VCPUS));
	write_field(&vcpu, "mp_state", KVM_MP_STATE_STOPPED);
}

static void run_round(u32 nr_cpus, u64 seed)
{
	int i, cpu;

	helper->rng = seed | 1;
	create_guests();
	reset_vms();
	fill_with_junk();

	for (attack = 0; attack < NR_ATTACKS; attack++)
		run_turn(nr_cpus, seed + attack * MAX_FUZZERS);
	attack = ATTACK_IDLE;

	for (cpu = 0; cpu < nr_cpus; cpu++)
		adv_hvc(cpu, first_id + nr.put);
	check_secret();
	recover();
	check_secret();
	for (i = 0; i < 2; i++)
		check_guest(i);
	guests_robbed += atomic_load(&guest_was_robbed);
	rob_guest();
	destroy_guests();
	nr_rounds++;
}

/* -- before and after ------------------------------------------------------------------------- */

static void find_number(u32 *number, const char *name)
{
	*number = __adv_hypercall_nr(name);
	TEST_ASSERT(*number < nr_hypercalls, "No hypercall %s", name);
}

static void find_hypercalls(void)
{
	const char *name;
	u32 i, j;

	first_id = HOST_HVC(__kvm_hyp_init);
	nr_hypercalls = __adv_hypercall_nr("MAX");
	TEST_ASSERT(nr_hypercalls <= MAX_HYPERCALLS, "%u hypercalls are too many", nr_hypercalls);

	for (i = 0; i < nr_hypercalls; i++) {
		name = adv_hypercall_name(i);
		for (j = 0; name && j < ARRAY_SIZE(hypercalls); j++) {
			if (!strcmp(hypercalls[j].name, name))
				by_nr[i] = &hypercalls[j];
		}
		TEST_ASSERT(!name || by_nr[i], "%s is new: what are its arguments?", name);
		total_weight += by_nr[i] ? by_nr[i]->weight : 0;
	}

	find_number(&nr.share_hyp, "__pkvm_host_share_hyp");
	find_number(&nr.unshare_hyp, "__pkvm_host_unshare_hyp");
	find_number(&nr.share_guest, "__pkvm_host_share_guest");
	find_number(&nr.unshare_guest, "__pkvm_host_unshare_guest");
	find_number(&nr.reserve, "__pkvm_reserve_vm");
	find_number(&nr.unreserve, "__pkvm_unreserve_vm");
	find_number(&nr.init_vm, "__pkvm_init_vm");
	find_number(&nr.init_vcpu, "__pkvm_init_vcpu");
	find_number(&nr.force_reclaim, "__pkvm_force_reclaim_guest_page");
	find_number(&nr.reclaim, "__pkvm_reclaim_dying_guest_page");
	find_number(&nr.kill, "__pkvm_start_teardown_vm");
	find_number(&nr.finalize, "__pkvm_finalize_teardown_vm");
	find_number(&nr.load, "__pkvm_vcpu_load");
	find_number(&nr.put, "__pkvm_vcpu_put");
	find_number(&nr.run, "__kvm_vcpu_run");
}

static struct mem *alloc_mem(u32 order)
{
	struct mem *mem = &mems[nr_mems++];

	TEST_ASSERT(nr_mems <= ARRAY_SIZE(mems), "Too many allocations");
	mem->order = order;
	mem->pa = adv_page_alloc(order, &mem->va);

	return mem;
}

static u32 order_of(u64 size)
{
	u32 order = 0;

	while (page_size() << order < size)
		order++;

	return order;
}

static void alloc_copy(struct adv_object *copy, const struct adv_object *of)
{
	struct mem *mem = alloc_mem(order_of(of->size));

	*copy = *of;
	copy->pa = mem->pa;
	copy->va = mem->va;
}

static void alloc_all(void)
{
	int i, j;

	for (i = 0; i < NR_CHUNKS; i++)
		chunks[i] = alloc_mem(CHUNK_ORDER);
	block = alloc_mem(BLOCK_ORDER);
	tables = alloc_mem(TABLES_ORDER);
	trace = alloc_mem(TRACE_ORDER);
	junk = alloc_mem(JUNK_ORDER);
	probe = alloc_mem(PROBE_ORDER);
	linear_offset = probe->va - probe->pa;

	create_guests();
	for (i = 0; i < NR_VMS; i++) {
		vms[i].protected = i < NR_VMS / 2;
		alloc_copy(&vms[i].kvm, &guest_kvm[0]);
		for (j = 0; j < NR_VCPUS; j++)
			alloc_copy(&vms[i].vcpu[j], &guest_vcpu[0]);
	}
	destroy_guests();
}

/* RAM, and registers of a device that is not */
static u64 read_iomem(void)
{
	u64 start, end, mmio = 0;
	char line[256];
	FILE *f;

	f = fopen("/proc/iomem", "r");
	TEST_ASSERT(f, "Can't open /proc/iomem");
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == ' ' || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (strstr(line, "System RAM"))
			ram_size = max(ram_size, end);
		else if (!mmio && !strstr(line, "reserved"))
			mmio = start & ~(page_size() - 1);
	}
	fclose(f);
	TEST_ASSERT(ram_size && mmio, "No RAM or no device in /proc/iomem");
	ram_size = align_up(ram_size, page_size());

	return mmio;
}

static void find_foreign_pages(void)
{
	struct adv_target target;
	u64 mmio = read_iomem();
	u32 i, j;

	for (i = 0; adv_target(i, &target); i++) {
		for (j = 0; j < 4 && nr_foreign < MAX_PAS - 1; j++) {
			foreign[nr_foreign++] = target.pa +
				below(helper, target.size / page_size()) * page_size();
		}
	}
	nr_foreign_fixed = nr_foreign;
	foreign[nr_foreign++] = mmio;
}

static void sum(struct count *total, u32 number)
{
	u32 i, j;

	memset(total, 0, sizeof(*total));
	for (i = 0; i < MAX_FUZZERS; i++) {
		struct count *count = &fuzzers[i].counts[number];

		total->calls += count->calls;
		total->ok += count->ok;
		total->not_supported += count->not_supported;
		total->faults += count->faults;
		total->other += count->other;
		for (j = 0; j < MAX_ERRNO; j++)
			total->error[j] += count->error[j];
	}
}

static const char *errno_name(int error)
{
	static const char * const names[MAX_ERRNO] = {
		[EPERM] = "EPERM", [ENOENT] = "ENOENT", [E2BIG] = "E2BIG", [EAGAIN] = "EAGAIN",
		[ENOMEM] = "ENOMEM", [EFAULT] = "EFAULT", [EBUSY] = "EBUSY", [EEXIST] = "EEXIST",
		[ENODEV] = "ENODEV", [EINVAL] = "EINVAL", [ERANGE] = "ERANGE",
		[EHWPOISON] = "EHWPOISON",
	};
	static char number[16];

	if (names[error])
		return names[error];
	snprintf(number, sizeof(number), "errno %d", error);
	return number;
}

/* Returns false if it was never called, or answered as a function that is not there. */
static bool print_count(u32 number, const char *name, enum result result)
{
	struct count count;
	char line[512];
	int len, i;

	sum(&count, number);
	len = snprintf(line, sizeof(line), "%-36s %8lu calls: %lu ok", name, count.calls, count.ok);
	for (i = 1; i < MAX_ERRNO; i++) {
		if (count.error[i])
			len += snprintf(line + len, sizeof(line) - len, ", %lu %s", count.error[i],
					errno_name(i));
	}
	if (count.not_supported)
		len += snprintf(line + len, sizeof(line) - len, ", %lu NOT_SUPPORTED",
				count.not_supported);
	if (count.other)
		len += snprintf(line + len, sizeof(line) - len, ", %lu other", count.other);
	if (count.faults)
		snprintf(line + len, sizeof(line) - len, ", %lu faults", count.faults);
	ksft_print_msg("%s\n", line);

	if (result == RESULT_BOOT)
		return count.calls && count.calls == count.not_supported;
	return count.calls && !count.not_supported && !count.faults;
}

static u64 total_calls(void)
{
	struct count count;
	u64 calls = 0;
	u32 i;

	for (i = 0; i <= MAX_HYPERCALLS; i++) {
		sum(&count, i);
		calls += count.calls;
	}

	return calls;
}

static void print_progress(u64 ms)
{
	u64 created = 0, destroyed = 0, runs = 0;
	u32 i;

	for (i = 0; i < MAX_FUZZERS; i++) {
		created += fuzzers[i].vms_created;
		destroyed += fuzzers[i].vms_destroyed;
		runs += fuzzers[i].runs;
	}
	ksft_print_msg("%lu s: %lu rounds, %lu calls, %lu stores that race (%lu flips faulted)\n",
		       ms / 1000, nr_rounds, total_calls(), nr_flips, flips_faulted);
	ksft_print_msg("  VMs of the test: %lu created, %lu destroyed, %lu runs; %u pages lost\n",
		       created, destroyed, runs, atomic_load(&lost_pages));
	ksft_print_msg("  KVM's VMs: %lu created, %lu destroyed, %lu runs, %lu robbed by chance\n",
		       guests_created, guests_destroyed, guest_runs, guests_robbed);
	ksft_print_msg("  not protected: %lu were derailed, %lu times one was not\n",
		       guests_derailed, guests_on_track);
}

int main(int argc, char **argv)
{
	u64 seconds = DEFAULT_SECONDS, seed = 0, start, end, now, said;
	/* KVM_RUN is not to go on after it. */
	struct sigaction action = { .sa_handler = on_alarm };
	bool reached = true;
	u32 nr_cpus, i;
	int opt;

	while ((opt = getopt(argc, argv, "hr:s:")) != -1) {
		switch (opt) {
		case 'r':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seconds = atoi_positive("seconds", optarg);
			break;
		default:
			printf("usage: %s [-s seconds] [-r seed]\n", argv[0]);
			exit(opt == 'h' ? 0 : KSFT_FAIL);
		}
	}

	TEST_REQUIRE_PKVM();
	TEST_REQUIRE_ADVERSARY();
	TEST_ASSERT(!sigaction(SIGALRM, &action, NULL), "sigaction() failed");
	nr_cpus = min_t(u32, sysconf(_SC_NPROCESSORS_ONLN), MAX_FUZZERS + 1);
	__TEST_REQUIRE(nr_cpus > 1, "a race takes two CPUs");

	setlinebuf(stdout);
	ksft_print_header();
	ksft_set_plan(4);
	while (!seed) {
		TEST_ASSERT(getrandom(&seed, sizeof(seed), 0) == sizeof(seed),
			    "getrandom() failed");
	}
	ksft_print_msg("%lu s, seed 0x%lx\n", seconds, seed);

	fuzzers = calloc(MAX_FUZZERS + 1, sizeof(*fuzzers));
	TEST_ASSERT(fuzzers, "calloc() failed");
	helper = &fuzzers[MAX_FUZZERS];
	helper->rng = seed | 1;
	find_hypercalls();
	find_foreign_pages();
	alloc_all();

	start = now_ms();
	end = start + seconds * 1000;
	said = start;
	/* What was waited for in vain is no time of the sweep's. */
	for (now = start; now < end + ms_given_up; now = now_ms()) {
		run_round(nr_cpus, seed + nr_rounds * 1000);
		if (now - said >= 60000) {
			print_progress(now - start);
			said = now;
		}
	}
	for (i = 0; i < nr_hypercalls; i++) {
		if (by_nr[i])
			reached &= print_count(i, by_nr[i]->name, by_nr[i]->result);
	}
	reached &= print_count(NO_FUNCTION, "no function", RESULT_BOOT);
	print_progress(now - start);

	ksft_test_result(reached, "sweep.every_hypercall_is_made_and_answered\n");
	ksft_test_result(!wrong_canaries && guests_on_track, "sweep.guests_see_what_they_wrote\n");
	ksft_test_result(!secrets_read, "sweep.secret_is_nowhere_to_be_read\n");
	ksft_test_result(!pages_missing, "sweep.memory_of_the_host_comes_back\n");
	ksft_finished();
}
