// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_el3_ffa - The host gives memory to the secure world, through EL2's proxy
 * of FF-A (hyp/nvhe/ffa.c, DEN0077A).
 *
 * What the host owns alone it may share and lend, and gets back.  Memory of EL2,
 * of a protected guest, or that somebody has already is not to get to the secure
 * world, however the descriptor is made that asks for it: then the partition
 * manager does not even hear of the call, which its firmware's log shows, and the
 * host has of its memory what it had before.  Malformed calls end with an error,
 * and EL2 lives.
 *
 * Needs an EL3 monitor with a log and a partition that borrows memory.
 */
#include <linux/sizes.h>

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

#define FFA(nr)				(0x84000000u | (nr))
#define FFA64(nr)			(0xc4000000u | (nr))
#define FFA_ERROR			FFA(0x60)
#define FFA_SUCCESS			FFA(0x61)
#define FFA_VERSION			FFA(0x63)
#define FFA_FEATURES			FFA(0x64)
#define FFA_RX_RELEASE			FFA(0x65)
#define FFA_RXTX_MAP			FFA(0x66)
#define FFA64_RXTX_MAP			FFA64(0x66)
#define FFA_RXTX_UNMAP			FFA(0x67)
#define FFA_PARTITION_INFO_GET		FFA(0x68)
#define FFA_ID_GET			FFA(0x69)
#define FFA_MSG_SEND_DIRECT_REQ		FFA(0x6f)
#define FFA64_MSG_SEND_DIRECT_REQ	FFA64(0x6f)
#define FFA_MEM_LEND			FFA(0x72)
#define FFA64_MEM_LEND			FFA64(0x72)
#define FFA_MEM_SHARE			FFA(0x73)
#define FFA64_MEM_SHARE			FFA64(0x73)
#define FFA64_MEM_RETRIEVE_REQ		FFA64(0x74)
#define FFA_MEM_RECLAIM			FFA(0x77)
#define FFA_MEM_FRAG_RX			FFA(0x7a)
#define FFA_MEM_FRAG_TX			FFA(0x7b)

#define FFA_RET_NOT_SUPPORTED		(-1)
#define FFA_RET_INVALID_PARAMETERS	(-2)
#define FFA_RET_NO_MEMORY		(-3)
#define FFA_RET_BUSY			(-4)
#define FFA_RET_DENIED			(-6)
#define FFA_RET_ABORTED			(-8)

#define FFA_VERSION_1_0			0x10000
#define FFA_VERSION_1_1			0x10001
#define FFA_VERSION_1_2			0x10002
#define FFA_PAGE_SIZE			SZ_4K

/* The partition of the monitor */
#define PARTITION			0x8001
/* A transaction with this tag it takes, and says FFA_MEM_OP_PAUSE. */
#define TAG_PAUSE			0x6573756170ul

struct ffa_range {
	u64 address;
	u32 nr_pages;
	u32 reserved;
};

#define MAX_RANGES	8

/*
 * A transaction as drivers make it: one receiver, everything back to back, with
 * the fields that FF-A 1.2 has.  Earlier versions lack some, see desc_at().
 */
struct ffa_desc {
	u16 sender;
	u16 attributes;
	u32 flags;
	u64 handle;
	u64 tag;
	u32 access_size;
	u32 access_count;
	u32 access_offset;
	u32 reserved[3];
	struct {
		u16 receiver;
		u8 permissions;
		u8 flags;
		u32 composite_offset;
		u8 impdef[16];
		u64 reserved;
	} access;
	struct {
		u32 nr_pages;
		u32 nr_ranges;
		u64 reserved;
	} composite;
	struct ffa_range ranges[MAX_RANGES];
};

kvm_static_assert(offsetof(struct ffa_desc, access) == 48);
kvm_static_assert(offsetof(struct ffa_desc, composite) == 80);
kvm_static_assert(offsetof(struct ffa_desc, ranges) == 96);

/* That of the machine */
static u32 ffa_version;

/* In the version's descriptor */
#define ACCESS_OFFSET		(ffa_version >= FFA_VERSION_1_1 ? 48u : 32u)
#define ACCESS_SIZE		(ffa_version >= FFA_VERSION_1_2 ? 32u : 16u)
#define COMPOSITE_OFFSET	(ACCESS_OFFSET + ACCESS_SIZE)
#define DESC_SIZE(nr)		(COMPOSITE_OFFSET + 16 + (u32)sizeof(struct ffa_range) * (nr))

/* Where the version has what is at @offset of struct ffa_desc */
static size_t desc_at(size_t offset)
{
	if (offset >= offsetof(struct ffa_desc, composite))
		return offset - offsetof(struct ffa_desc, composite) + COMPOSITE_OFFSET;
	if (offset >= offsetof(struct ffa_desc, access))
		return offset - offsetof(struct ffa_desc, access) + ACCESS_OFFSET;
	return offset;
}

/* Does the version have that part of the header? */
static bool desc_has(size_t offset)
{
	return ffa_version >= FFA_VERSION_1_1 ||
	       (offset != offsetof(struct ffa_desc, access_offset) &&
		offset != offsetof(struct ffa_desc, access_size));
}

/* What was called last, and what came back */
static u64 regs[ADV_NR_XREGS];

/* FF-A status of a call */
static s32 __ffa(int cpu, const u64 *args, int nr)
{
	memset(regs, 0, sizeof(regs));
	memcpy(regs, args, nr * sizeof(u64));
	TEST_ASSERT(!__adv_call(ADV_SMC, 0, cpu, regs), "SMC faults");

	return (u32)regs[0] == FFA_ERROR ? (s32)regs[2] : 0;
}

#define ffa(...)								\
({										\
	const u64 __args[] = { __VA_ARGS__ };					\
										\
	__ffa(0, __args, ARRAY_SIZE(__args));					\
})

static u64 last_handle(void)
{
	return (u32)regs[2] | regs[3] << 32;
}

/* Of FFA_MEM_FRAG_RX, which asks for more */
static u64 last_frag_handle(void)
{
	return (u32)regs[1] | regs[2] << 32;
}

static s32 ffa_reclaim(u64 handle)
{
	return ffa(FFA_MEM_RECLAIM, (u32)handle, handle >> 32, 0);
}

static s64 hvc_pfn(u64 hypercall, u64 pa)
{
	return adv_hvc(ADV_CPU_ANY, hypercall, pa / getpagesize());
}

/* Is it the host's, and nobody else has a part in it? */
static bool is_the_hosts_alone(u64 pa)
{
	if (hvc_pfn(HOST_HVC(__pkvm_host_share_hyp), pa))
		return false;
	TEST_ASSERT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_unshare_hyp), pa), 0);

	return true;
}

#define EXPECT_ALONE(_pa)							\
do {										\
	u64 __pa = (_pa);							\
										\
	EXPECT_TRUE(is_the_hosts_alone(__pa)) TH_LOG("page 0x%lx", __pa);	\
} while (0)

/* Calls that give memory, since entry @mark of the log */
static u32 nr_gifts(u64 mark)
{
	return el3_log_count(mark, FFA64_MEM_SHARE) + el3_log_count(mark, FFA64_MEM_LEND) +
	       el3_log_count(mark, FFA_MEM_SHARE) + el3_log_count(mark, FFA_MEM_LEND) +
	       el3_log_count(mark, FFA(0x71)) + el3_log_count(mark, FFA64(0x71)) +
	       el3_log_count(mark, FFA_MEM_FRAG_TX);
}

#define NR_PAGES	4

FIXTURE(el3_ffa) {
	struct remote_guest guest;
	u64 guest_pa[TEST_PAGES];
	u64 el2_pa[3];
	u64 tx;
	u64 rx;
	/* The host's: some of them one after the other */
	u64 pages;
	u64 page;
	u64 mark;
	bool mapped;
};

FIXTURE_SETUP(el3_ffa)
{
	static const char * const names[] = { "data", "memory", "text" };
	struct adv_target target;
	struct kvm_vm *vm;
	int i;

	remote_guest_create(&self->guest, VM_SHAPE_PROTECTED);
	vm = self->guest.vm;
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, TEST_GPA, TEST_SLOT,
				    vm_calc_num_guest_pages(vm->mode, TEST_PAGES * getpagesize()),
				    0);
	virt_map(vm, TEST_GPA, TEST_GPA, TEST_PAGES * getpagesize() / vm->page_size);
	for (i = 0; i < TEST_PAGES; i++)
		self->guest_pa[i] = adv_pin(addr_gpa2hva(vm, TEST_GPA) + i * getpagesize());
	remote_guest_do(&self->guest, REMOTE_WRITE, TEST_GPA, TEST_PAGES);

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		adv_find_target(names[i], ADV_CPU_ANY, &target);
		self->el2_pa[i] = target.pa;
	}

	self->tx = adv_page_alloc(0, NULL);
	self->rx = adv_page_alloc(0, NULL);
	self->page = adv_page_alloc(0, NULL);
	self->pages = adv_page_alloc(2, NULL);
	ASSERT_EQ(ffa(FFA64_RXTX_MAP, self->tx, self->rx, 1), 0);
	self->mapped = true;
	self->mark = el3_log_mark();
}

FIXTURE_TEARDOWN(el3_ffa)
{
	int i;

	if (self->mapped)
		EXPECT_EQ(ffa(FFA_RXTX_UNMAP, 0), 0);
	EXPECT_ALONE(self->tx);
	EXPECT_ALONE(self->rx);
	EXPECT_ALONE(self->page);
	for (i = 0; i < NR_PAGES; i++)
		EXPECT_ALONE(self->pages + i * getpagesize());
	EXPECT_EQ(adv_page_free(self->tx), 0);
	EXPECT_EQ(adv_page_free(self->rx), 0);
	EXPECT_EQ(adv_page_free(self->page), 0);
	EXPECT_EQ(adv_page_free(self->pages), 0);

	EXPECT_EQ(attack_el2(ADV_CPU_ANY), 0);
	for (i = 0; i < TEST_PAGES; i++) {
		EXPECT_FAULT(adv_mem(ADV_READ64, self->guest_pa[i], ADV_NORMAL, ADV_CPU_ANY, 0, 0,
				     NULL), ADV_FAULT_DENIED);
	}
	remote_guest_do(&self->guest, REMOTE_CHECK, TEST_GPA, TEST_PAGES);
	kvm_vm_free(self->guest.vm);
}

static void desc_init(struct ffa_desc *desc, const struct ffa_range *ranges, u32 nr)
{
	u32 i;

	*desc = (struct ffa_desc) {
		.attributes	= 0x2f,		/* normal, write-back, inner shareable */
		.access_size	= ffa_version >= FFA_VERSION_1_1 ? ACCESS_SIZE : 0,
		.access_count	= 1,
		.access_offset	= ACCESS_OFFSET,
		.access = {
			.receiver		= PARTITION,
			.permissions		= 0x6,	/* read and write, not execute */
			.composite_offset	= COMPOSITE_OFFSET,
		},
		.composite.nr_ranges	= nr,
	};
	for (i = 0; i < nr; i++) {
		desc->ranges[i] = ranges[i];
		desc->composite.nr_pages += ranges[i].nr_pages;
	}
}

static void tx_write(u64 tx, const void *buf, size_t len)
{
	TEST_ASSERT_EQ(adv_write(tx, ADV_NORMAL, buf, len), 0);
}

/* All of it, in the version's layout */
static void desc_write(u64 tx, const struct ffa_desc *desc)
{
	const size_t rest = sizeof(*desc) - offsetof(struct ffa_desc, composite);
	u8 buf[sizeof(*desc)];

	memcpy(buf, desc, ACCESS_OFFSET);
	memcpy(buf + ACCESS_OFFSET, &desc->access, ACCESS_SIZE);
	memcpy(buf + COMPOSITE_OFFSET, &desc->composite, rest);
	tx_write(tx, buf, COMPOSITE_OFFSET + rest);
}

/* All of it at once */
static s32 ffa_give(u64 tx, u32 fid, const struct ffa_range *ranges, u32 nr)
{
	struct ffa_desc desc;

	desc_init(&desc, ranges, nr);
	desc_write(tx, &desc);

	return ffa(fid, DESC_SIZE(nr), DESC_SIZE(nr), 0, 0);
}

TEST_F(el3_ffa, memory_of_the_hosts_is_given_and_comes_back)
{
	static const u32 fids[] = { FFA_MEM_SHARE, FFA64_MEM_SHARE, FFA_MEM_LEND, FFA64_MEM_LEND };
	const u64 size = getpagesize();
	const struct ffa_range ranges[] = {
		{ self->pages + 2 * size, 2 * size / FFA_PAGE_SIZE },
		{ self->page, size / FFA_PAGE_SIZE },
	};
	struct el3_log_entry e;
	u64 handle, mark;
	int i;

	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		mark = el3_log_mark();
		ASSERT_EQ(ffa_give(self->tx, fids[i], ranges, 2), 0);
		EXPECT_EQ(regs[0], FFA_SUCCESS);
		handle = last_handle();
		EXPECT_EQ(nr_gifts(mark), 1);
		EXPECT_TRUE(el3_log_find(mark, fids[i] | BIT(30), &e));
		EXPECT_EQ(e.x[1], DESC_SIZE(2));
		EXPECT_EQ(EL3_LOG_EL(e.flags), 2);

		EXPECT_FALSE(is_the_hosts_alone(self->page));
		EXPECT_FALSE(is_the_hosts_alone(self->pages + 2 * size));
		EXPECT_FALSE(is_the_hosts_alone(self->pages + 3 * size));
		EXPECT_ALONE(self->pages + size);

		EXPECT_EQ(ffa_reclaim(handle), 0);
		EXPECT_TRUE(el3_log_find(mark, FFA64_MEM_RETRIEVE_REQ, &e));
		EXPECT_EQ(e.x[1], ACCESS_OFFSET);
		EXPECT_EQ(el3_log_count(mark, FFA_MEM_RECLAIM), 1);
		EXPECT_ALONE(self->page);
		EXPECT_ALONE(self->pages + 2 * size);
		EXPECT_ALONE(self->pages + 3 * size);

		/* Only once */
		EXPECT_EQ(ffa_reclaim(handle), FFA_RET_INVALID_PARAMETERS);
		EXPECT_EQ(el3_log_count(mark, FFA_MEM_RECLAIM), 1);
	}
}

TEST_F(el3_ffa, memory_is_given_in_fragments)
{
	const u64 size = getpagesize();
	const u32 n = size / FFA_PAGE_SIZE;
	const struct ffa_range ranges[] = {
		{ self->page, n }, { self->pages, n }, { self->pages + 2 * size, 2 * n },
	};
	struct ffa_desc desc;
	u64 handle, mark;

	desc_init(&desc, ranges, 3);
	desc_write(self->tx, &desc);
	ASSERT_EQ(ffa(FFA64_MEM_SHARE, DESC_SIZE(3), DESC_SIZE(1), 0, 0), 0);
	ASSERT_EQ(regs[0], FFA_MEM_FRAG_RX);
	EXPECT_EQ(regs[3], DESC_SIZE(1));
	handle = last_frag_handle();
	EXPECT_FALSE(is_the_hosts_alone(self->page));
	EXPECT_ALONE(self->pages);

	/* It is not complete: there is nothing to take back. */
	EXPECT_EQ(ffa_reclaim(handle), FFA_RET_INVALID_PARAMETERS);

	tx_write(self->tx, &ranges[1], sizeof(ranges[0]));
	EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, (u32)handle, handle >> 32, sizeof(ranges[0]), 0), 0);
	EXPECT_EQ(regs[0], FFA_MEM_FRAG_RX);
	tx_write(self->tx, &ranges[2], sizeof(ranges[0]));
	EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, (u32)handle, handle >> 32, sizeof(ranges[0]), 0), 0);
	EXPECT_EQ(regs[0], FFA_SUCCESS);
	EXPECT_EQ(last_handle(), handle);
	EXPECT_FALSE(is_the_hosts_alone(self->pages));
	EXPECT_FALSE(is_the_hosts_alone(self->pages + 3 * size));

	/* It was the last one: no other undoes it. */
	mark = el3_log_mark();
	tx_write(self->tx, &(struct ffa_range) { self->guest_pa[0], n }, sizeof(ranges[0]));
	EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, (u32)handle, handle >> 32, sizeof(ranges[0]), 0),
		  FFA_RET_INVALID_PARAMETERS);
	EXPECT_EQ(el3_log_count(mark, FFA_MEM_FRAG_TX), 0);
	EXPECT_EQ(el3_log_count(mark, FFA_MEM_RECLAIM), 0);

	EXPECT_EQ(ffa_reclaim(handle), 0);
}

#define NR_LONG		512u

/* More ranges than a buffer holds: EL2 gets them in parts, for the reclaim as well. */
TEST_F(el3_ffa, memory_of_many_ranges_is_given_and_comes_back)
{
	const u64 size = getpagesize();
	const u32 total = DESC_SIZE(0) + NR_LONG * sizeof(struct ffa_range);
	const u32 n = size / FFA_PAGE_SIZE;
	u32 sent = DESC_SIZE(0), len, i, nr_parts = 0;
	struct ffa_range *ranges;
	struct ffa_desc desc;
	u64 handle, mark;

	ranges = calloc(NR_LONG, sizeof(*ranges));
	TEST_ASSERT(ranges, "calloc()");
	for (i = 0; i < NR_LONG; i++)
		ranges[i] = (struct ffa_range) { adv_page_alloc(0, NULL), n };

	desc_init(&desc, NULL, 0);
	desc.composite.nr_ranges = NR_LONG;
	desc.composite.nr_pages = NR_LONG * n;
	desc_write(self->tx, &desc);
	ASSERT_EQ(ffa(FFA64_MEM_SHARE, total, DESC_SIZE(0), 0, 0), 0);
	ASSERT_EQ(regs[0], FFA_MEM_FRAG_RX);
	handle = last_frag_handle();
	while (sent < total) {
		len = min(total - sent, (u32)size);
		tx_write(self->tx, (void *)ranges + sent - DESC_SIZE(0), len);
		ASSERT_EQ(ffa(FFA_MEM_FRAG_TX, (u32)handle, handle >> 32, len, 0), 0);
		sent += len;
		ASSERT_EQ(regs[0], sent < total ? FFA_MEM_FRAG_RX : FFA_SUCCESS);
		nr_parts++;
	}
	EXPECT_GT(nr_parts, 1);
	for (i = 0; i < NR_LONG; i += NR_LONG / 16 - 1)
		EXPECT_FALSE(is_the_hosts_alone(ranges[i].address));

	mark = el3_log_mark();
	EXPECT_EQ(ffa_reclaim(handle), 0);
	EXPECT_GE(el3_log_count(mark, FFA_MEM_FRAG_RX), 1);
	for (i = 0; i < NR_LONG; i++) {
		EXPECT_ALONE(ranges[i].address);
		EXPECT_EQ(adv_page_free(ranges[i].address), 0);
	}
	free(ranges);
}

/* Not the host's, or not the host's alone */
TEST_F(el3_ffa, memory_of_others_is_not_given)
{
	const u64 size = getpagesize();
	const u32 n = size / FFA_PAGE_SIZE;
	const struct ffa_range bad[] = {
		{ self->guest_pa[0], n },
		{ self->guest_pa[1], n },
		{ self->el2_pa[0], n },
		{ self->el2_pa[1], n },
		{ self->el2_pa[2], n },
		/* Ranges with pages of the host's in front */
		{ self->guest_pa[0] - size, 2 * n },
		{ self->el2_pa[1] - size, 2 * n },
		{ self->guest_pa[0] & ~(SZ_2M - 1ul), SZ_2M / FFA_PAGE_SIZE },
		{ self->page, ~0u & ~(n - 1) },
		/* Lent to EL2: the buffers */
		{ self->tx, n },
		{ self->rx, n },
		/* No memory, or none of the host's: the log, a device, beyond the machine */
		{ el3_log_pa(), n },
		{ 0x09000000, n },
		{ 0, n },
		{ BIT(40) - size, n },
		{ BIT(47), n },
		{ BIT(52), n },
		{ ~0ul & ~(size - 1), n },
		{ ~0ul & ~(size - 1), 2 * n },
		{ self->guest_pa[0] | BIT(52), n },
		{ self->guest_pa[0] | BIT(63), n },
		/* Unaligned */
		{ self->page + 8, n },
		{ self->page + 1, n },
		{ self->page + size - 1, n },
		{ self->page | BIT(2), n },
	};
	static const u32 fids[] = { FFA64_MEM_SHARE, FFA64_MEM_LEND };
	struct ffa_range ranges[2];
	int i, j;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (j = 0; j < ARRAY_SIZE(fids); j++) {
			EXPECT_EQ(ffa_give(self->tx, fids[j], &bad[i], 1), FFA_RET_DENIED)
				TH_LOG("0x%lx, %u pages", bad[i].address, bad[i].nr_pages);
			/* Behind and before what may be given */
			ranges[0] = (struct ffa_range) { self->pages, 2 * n };
			ranges[1] = bad[i];
			EXPECT_EQ(ffa_give(self->tx, fids[j], ranges, 2), FFA_RET_DENIED);
			EXPECT_ALONE(self->pages);
			EXPECT_ALONE(self->pages + size);
			ranges[0] = bad[i];
			ranges[1] = (struct ffa_range) { self->pages, 2 * n };
			EXPECT_EQ(ffa_give(self->tx, fids[j], ranges, 2), FFA_RET_DENIED);
			EXPECT_ALONE(self->pages);
		}
	}
	EXPECT_EQ(nr_gifts(self->mark), 0);
}

TEST_F(el3_ffa, page_is_not_given_twice)
{
	const u64 size = getpagesize();
	const u32 n = size / FFA_PAGE_SIZE;
	const struct ffa_range page = { self->page, n };
	const struct ffa_range overlaps[][2] = {
		{ { self->page, n }, { self->page, n } },
		{ { self->pages, 2 * n }, { self->pages + size, 2 * n } },
		{ { self->pages, 4 * n }, { self->pages + 2 * size, n } },
		{ { self->pages + size, n }, { self->pages, 4 * n } },
	};
	u64 handle;
	int i;

	for (i = 0; i < ARRAY_SIZE(overlaps); i++) {
		EXPECT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, overlaps[i], 2), FFA_RET_DENIED)
			TH_LOG("case %d", i);
		EXPECT_ALONE(overlaps[i][0].address);
		EXPECT_ALONE(overlaps[i][1].address);
	}

	/* Lent to EL2 */
	ASSERT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_share_hyp), self->page), 0);
	EXPECT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &page, 1), FFA_RET_DENIED);
	ASSERT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_unshare_hyp), self->page), 0);
	EXPECT_EQ(nr_gifts(self->mark), 0);

	/* Given already, to another transaction */
	ASSERT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &page, 1), 0);
	handle = last_handle();
	EXPECT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &page, 1), FFA_RET_DENIED);
	EXPECT_EQ(ffa_give(self->tx, FFA64_MEM_LEND, &page, 1), FFA_RET_DENIED);
	EXPECT_EQ(nr_gifts(self->mark), 1);
	/* Nor is it EL2's to borrow or have, or the host's to take back as if it were. */
	EXPECT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_share_hyp), self->page), -EPERM);
	EXPECT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_unshare_hyp), self->page), -EPERM);
	EXPECT_EQ(ffa(FFA_RXTX_UNMAP, 0), 0);
	self->mapped = false;
	EXPECT_EQ(ffa(FFA64_RXTX_MAP, self->page, self->rx, 1), FFA_RET_INVALID_PARAMETERS);
	EXPECT_EQ(ffa(FFA64_RXTX_MAP, self->tx, self->rx, 1), 0);
	self->mapped = true;

	EXPECT_EQ(ffa_reclaim(handle), 0);
}

/* Fields of a descriptor that are as they should be but for one */
struct malformed {
	size_t offset;
	size_t size;
	u64 val;
	bool el2;		/* it is EL2 that has to refuse it */
};

#define FIELD(field, val, el2)							\
	{ offsetof(struct ffa_desc, field), sizeof(((struct ffa_desc *)0)->field), val, el2 }

TEST_F(el3_ffa, malformed_descriptor_is_refused)
{
	const struct malformed cases[] = {
		FIELD(access_offset, 0xffffffff, true),
		FIELD(access_offset, 0xfffffff0, true),
		FIELD(access_offset, 0xffffffe0, true),
		FIELD(access_offset, 0x80000000, true),
		FIELD(access_offset, DESC_SIZE(2) - ACCESS_SIZE + 1, true),
		FIELD(access_offset, DESC_SIZE(2), true),
		FIELD(access_offset, SZ_4K, true),
		FIELD(access.composite_offset, 0, true),
		FIELD(access.composite_offset, 0xffffffff, true),
		FIELD(access.composite_offset, 0xfffffff0, true),
		FIELD(access.composite_offset, 0xfffffff1, true),
		FIELD(access.composite_offset, 0x80000000, true),
		FIELD(access.composite_offset, DESC_SIZE(2) - 15, true),
		FIELD(access.composite_offset, DESC_SIZE(2), true),
		/* Ranges that are no multiple of their size */
		FIELD(access.composite_offset, COMPOSITE_OFFSET + 1, true),
		FIELD(access.composite_offset, COMPOSITE_OFFSET + 8, true),
		FIELD(access_count, 0, true),
		FIELD(access_count, 2, true),
		FIELD(access_count, 0xffffffff, true),
		FIELD(sender, 1, true),
		FIELD(sender, PARTITION, true),
		FIELD(sender, 0xffff, true),
		/* In time slices */
		FIELD(flags, 2, true),
		FIELD(composite.nr_ranges, 0, true),
		FIELD(composite.nr_ranges, 1, true),
		FIELD(composite.nr_ranges, 3, true),
		FIELD(composite.nr_ranges, 0xffffffff, true),
		FIELD(composite.nr_ranges, 0x10000000, true),
		/* What EL2 leaves to the partition manager */
		FIELD(access_size, 0, false),
		FIELD(access_size, 0xffffffff, false),
		FIELD(access.receiver, 0, false),
		FIELD(access.receiver, 0xffff, false),
		FIELD(composite.nr_pages, 0, false),
		FIELD(composite.nr_pages, 0xffffffff, false),
	};
	const u64 size = getpagesize();
	const u32 n = size / FFA_PAGE_SIZE;
	const struct ffa_range ranges[] = { { self->page, n }, { self->pages, 4 * n } };
	static const u32 fids[] = { FFA64_MEM_SHARE, FFA64_MEM_LEND };
	struct ffa_desc desc;
	u64 mark;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		for (j = 0; j < ARRAY_SIZE(fids) && desc_has(cases[i].offset); j++) {
			desc_init(&desc, ranges, 2);
			memcpy((void *)&desc + cases[i].offset, &cases[i].val, cases[i].size);
			desc_write(self->tx, &desc);
			mark = el3_log_mark();
			EXPECT_LT(ffa(fids[j], DESC_SIZE(2), DESC_SIZE(2), 0, 0), 0)
				TH_LOG("0x%lx at %zu", cases[i].val, cases[i].offset);
			EXPECT_EQ(nr_gifts(mark), !cases[i].el2)
				TH_LOG("0x%lx at %zu", cases[i].val, cases[i].offset);
			EXPECT_ALONE(self->page);
			EXPECT_ALONE(self->pages);
		}
	}
}

/* EL2 and the partition manager have to agree on where the ranges are. */
TEST_F(el3_ffa, descriptor_that_overlaps_itself_is_refused)
{
	const u32 n = getpagesize() / FFA_PAGE_SIZE;
	/* Of 16 bytes each, so that the ranges are multiples of that */
	const u32 offsets[] = { 4, 16, 32, 48, 64 };
	struct ffa_desc desc;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		const struct ffa_range range = { self->page, n };

		if (offsets[i] >= COMPOSITE_OFFSET)
			continue;
		desc_init(&desc, &range, 1);
		/* The composite is the header, or the descriptor of the access. */
		desc.access.composite_offset = offsets[i];
		desc_write(self->tx, &desc);
		EXPECT_LT(ffa(FFA64_MEM_SHARE, DESC_SIZE(1), DESC_SIZE(1), 0, 0), 0);
		EXPECT_ALONE(self->page);

		if (!desc_has(offsetof(struct ffa_desc, access_offset)))
			continue;
		desc_init(&desc, &range, 1);
		desc.access_offset = offsets[i] == 48 ? 0 : offsets[i];
		desc_write(self->tx, &desc);
		EXPECT_LT(ffa(FFA64_MEM_SHARE, DESC_SIZE(1), DESC_SIZE(1), 0, 0), 0);
		EXPECT_ALONE(self->page);
	}
}

TEST_F(el3_ffa, length_that_is_wrong_is_refused)
{
	const u32 n = getpagesize() / FFA_PAGE_SIZE, good = DESC_SIZE(1);
	const struct ffa_range range = { self->page, n };
	const struct {
		u64 x[4];
		s32 ret;
	} cases[] = {
		/* The fragment is longer than all */
		{ { good, good + 1, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, ~0u, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { 0, good, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { BIT(32) | (good - 1), good, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		/* Longer than the buffer */
		{ { getpagesize() + 16, getpagesize() + 16, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { ~0u, ~0u, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { ~0u, 0x80000000, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		/* Too short for the parts that have to be there */
		{ { 0, 0, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, 0, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, ACCESS_OFFSET - 1, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, COMPOSITE_OFFSET - 1, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, COMPOSITE_OFFSET + 15, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, good - 8, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, good - 1, 0, 0 }, FFA_RET_INVALID_PARAMETERS },
		/* More than EL2 could take back later */
		{ { ~0u, good, 0, 0 }, FFA_RET_NO_MEMORY },
		{ { 0x80000000, good, 0, 0 }, FFA_RET_NO_MEMORY },
		/* Buffers of the caller's own */
		{ { good, good, self->page, 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, good, self->guest_pa[0], 1 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, good, BIT(63), 0 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, good, 0, 1 }, FFA_RET_INVALID_PARAMETERS },
		{ { good, good, 0, ~0u }, FFA_RET_INVALID_PARAMETERS },
	};
	static const u32 fids[] = { FFA_MEM_SHARE, FFA64_MEM_SHARE, FFA_MEM_LEND, FFA64_MEM_LEND };
	struct ffa_desc desc;
	int i, j;

	desc_init(&desc, &range, 1);
	desc_write(self->tx, &desc);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const u64 *x = cases[i].x;

		for (j = 0; j < ARRAY_SIZE(fids); j++) {
			EXPECT_EQ(ffa(fids[j], x[0], x[1], x[2], x[3]), cases[i].ret)
				TH_LOG("case %d", i);
			EXPECT_ALONE(self->page);
		}
	}
	EXPECT_EQ(nr_gifts(self->mark), 0);
}

/*
 * The partition manager may have the pages after an answer that is neither success nor
 * a refusal. They are not the host's to give to others, until it is asked to give them back.
 */
TEST_F(el3_ffa, pages_stay_given_if_the_answer_is_not_a_refusal)
{
	const struct ffa_range range = { self->page, getpagesize() / FFA_PAGE_SIZE };
	static const u32 fids[] = { FFA64_MEM_SHARE, FFA64_MEM_LEND };
	struct ffa_desc desc;
	u64 handle;
	int i;

	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		ASSERT_EQ(ffa_give(self->tx, fids[i], &range, 1), 0);
		handle = last_handle();
		ASSERT_EQ(ffa_reclaim(handle), 0);

		desc_init(&desc, &range, 1);
		desc.tag = TAG_PAUSE;
		desc_write(self->tx, &desc);
		EXPECT_EQ(ffa(fids[i], DESC_SIZE(1), DESC_SIZE(1), 0, 0), FFA_RET_ABORTED);
		EXPECT_FALSE(is_the_hosts_alone(self->page));
		/* Handles follow each other. */
		EXPECT_EQ(ffa_reclaim(handle + 1), 0);
		EXPECT_ALONE(self->page);
	}
}

/* Of a range without pages nobody is the owner, whosever address it has. */
TEST_F(el3_ffa, transaction_without_pages_is_refused)
{
	const u32 n = getpagesize() / FFA_PAGE_SIZE;
	const struct ffa_range ranges[] = {
		{ self->page, 0 },
		{ self->guest_pa[0], 0 },
		{ self->el2_pa[1], 0 },
		{ 0, 0 },
		{ ~0ul & ~(getpagesize() - 1ul), 0 },
	};
	struct ffa_range pair[2] = { { self->page, n } };
	int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		EXPECT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &ranges[i], 1), FFA_RET_DENIED);
		pair[1] = ranges[i];
		EXPECT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, pair, 2), FFA_RET_DENIED);
		EXPECT_ALONE(self->page);
	}
	EXPECT_EQ(nr_gifts(self->mark), 0);
	/* Without ranges there is nothing that EL2 could check: the partition manager does. */
	EXPECT_LT(ffa_give(self->tx, FFA64_MEM_SHARE, NULL, 0), 0);
}

TEST_F(el3_ffa, fragment_of_no_transaction_is_refused)
{
	const u64 size = getpagesize();
	const u32 n = size / FFA_PAGE_SIZE;
	const struct ffa_range good = { self->pages, n }, given = { self->page, n };
	const struct ffa_range bad[] = {
		{ self->guest_pa[0], n }, { self->el2_pa[0], n }, { self->tx, n },
		{ self->page + 8, n },
	};
	const u64 handles[] = { 0, 1, ~0ul, BIT(63), 0x0e3e3e3e00000000 + 1000 };
	u64 handle, mark;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(handles); i++) {
		const u32 lo = handles[i], hi = handles[i] >> 32;

		mark = el3_log_mark();
		tx_write(self->tx, &good, sizeof(good));
		EXPECT_LT(ffa(FFA_MEM_FRAG_TX, lo, hi, sizeof(good), 0), 0);
		EXPECT_ALONE(self->pages);
		for (j = 0; j < ARRAY_SIZE(bad); j++) {
			tx_write(self->tx, &bad[j], sizeof(bad[j]));
			EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, lo, hi, sizeof(bad[j]), 0),
				  FFA_RET_INVALID_PARAMETERS);
		}
		EXPECT_EQ(nr_gifts(mark), 0);
		EXPECT_EQ(el3_log_count(mark, FFA_MEM_RECLAIM), 0);
		EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, lo, hi, 8, 0), FFA_RET_INVALID_PARAMETERS);
		EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, lo, hi, size + 16, 0), FFA_RET_INVALID_PARAMETERS);
		EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, lo, hi, ~0u, 0), FFA_RET_INVALID_PARAMETERS);
		EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, lo, hi, ~15u, 0), FFA_RET_INVALID_PARAMETERS);
		EXPECT_LT(ffa(FFA_MEM_FRAG_TX, lo, hi, 0, 0), 0);
		EXPECT_EQ(nr_gifts(mark), 0);
	}

	/* A transaction that is complete takes nothing more. */
	ASSERT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &given, 1), 0);
	handle = last_handle();
	mark = el3_log_mark();
	tx_write(self->tx, &good, sizeof(good));
	EXPECT_LT(ffa(FFA_MEM_FRAG_TX, (u32)handle, handle >> 32, sizeof(good), 0), 0);
	EXPECT_EQ(nr_gifts(mark), 0);
	EXPECT_ALONE(self->pages);
	/* Nor is it undone by one. */
	for (j = 0; j < ARRAY_SIZE(bad); j++) {
		tx_write(self->tx, &bad[j], sizeof(bad[j]));
		EXPECT_LT(ffa(FFA_MEM_FRAG_TX, (u32)handle, handle >> 32, sizeof(bad[j]), 0), 0);
	}
	EXPECT_EQ(el3_log_count(mark, FFA_MEM_RECLAIM), 0);
	EXPECT_FALSE(is_the_hosts_alone(self->page));
	EXPECT_EQ(ffa_reclaim(handle), 0);
	EXPECT_ALONE(self->page);
}

/* The first fragment gives nothing yet, so nothing is lost with the transaction. */
TEST_F(el3_ffa, fragment_with_memory_of_others_ends_the_transaction)
{
	const u64 size = getpagesize();
	const u32 n = size / FFA_PAGE_SIZE;
	const struct ffa_range good = { self->page, n };
	const struct ffa_range fragments[][2] = {
		{ { self->guest_pa[0], n }, { self->pages, n } },
		{ { self->pages, n }, { self->guest_pa[1], n } },
		{ { self->pages, n }, { self->el2_pa[0], n } },
		{ { self->pages, n }, { self->pages, n } },
		{ { self->pages, n }, { BIT(47), n } },
	};
	struct ffa_desc desc;
	u64 handle, mark;
	u32 lo, hi;
	int i;

	for (i = 0; i < ARRAY_SIZE(fragments); i++) {
		desc_init(&desc, fragments[i], 2);
		desc_write(self->tx, &desc);
		ASSERT_EQ(ffa(FFA64_MEM_SHARE, DESC_SIZE(2), DESC_SIZE(0), 0, 0), 0);
		ASSERT_EQ(regs[0], FFA_MEM_FRAG_RX);
		handle = last_frag_handle();
		lo = handle;
		hi = handle >> 32;

		/* Another sender's */
		mark = el3_log_mark();
		tx_write(self->tx, &good, sizeof(good));
		EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, lo, hi, sizeof(good), 1),
			  FFA_RET_INVALID_PARAMETERS);
		EXPECT_EQ(el3_log_count(mark, FFA_MEM_FRAG_TX), 0);

		/* More than was announced: the partition manager's to refuse */
		tx_write(self->tx, (struct ffa_range []) { good, fragments[0][1],
			 { self->pages + size, n } }, 3 * sizeof(good));
		EXPECT_LT(ffa(FFA_MEM_FRAG_TX, lo, hi, 3 * sizeof(good), 0), 0);
		EXPECT_ALONE(self->page);
		EXPECT_ALONE(self->pages);

		mark = el3_log_mark();
		tx_write(self->tx, fragments[i], sizeof(fragments[i]));
		EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, lo, hi, sizeof(fragments[i]), 0), FFA_RET_DENIED);
		EXPECT_EQ(el3_log_count(mark, FFA_MEM_FRAG_TX), 0);
		EXPECT_EQ(el3_log_count(mark, FFA_MEM_RECLAIM), 1);
		EXPECT_ALONE(self->pages);

		/* That was its end. */
		tx_write(self->tx, &good, sizeof(good));
		EXPECT_LT(ffa(FFA_MEM_FRAG_TX, lo, hi, sizeof(good), 0), 0);
		EXPECT_EQ(el3_log_count(mark, FFA_MEM_FRAG_TX), 0);
		EXPECT_LT(ffa_reclaim(handle), 0);
		EXPECT_ALONE(self->page);
	}
}

TEST_F(el3_ffa, handle_that_was_never_given_is_not_reclaimed)
{
	const struct ffa_range range = { self->page, getpagesize() / FFA_PAGE_SIZE };
	u64 handle, mark;
	int i;

	ASSERT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &range, 1), 0);
	handle = last_handle();
	mark = el3_log_mark();
	{
		const u64 handles[] = {
			0, 1, ~0ul, BIT(63), self->guest_pa[0], handle + 1, handle - 1,
			(u32)handle, handle & ~0xfffffffful, handle << 32 | handle >> 32,
			handle | BIT(63),
		};

		for (i = 0; i < ARRAY_SIZE(handles); i++) {
			EXPECT_EQ(ffa_reclaim(handles[i]), FFA_RET_INVALID_PARAMETERS)
				TH_LOG("handle 0x%lx", handles[i]);
		}
	}
	EXPECT_EQ(el3_log_count(mark, FFA_MEM_RECLAIM), 0);
	EXPECT_FALSE(is_the_hosts_alone(self->page));
	EXPECT_EQ(ffa_reclaim(handle), 0);
}

/* EL3 has EL2's buffers, and EL2 has the host's. */
TEST_F(el3_ffa, buffers_are_of_the_hosts_memory_only)
{
	const u64 size = getpagesize(), page = self->page;
	const u64 nr = size / FFA_PAGE_SIZE;
	const struct {
		u64 tx, rx, nr;
		s32 ret;
	} cases[] = {
		{ page + 8, self->rx, nr, FFA_RET_INVALID_PARAMETERS },
		{ page, self->rx + 1, nr, FFA_RET_INVALID_PARAMETERS },
		{ page, self->rx, 0, FFA_RET_INVALID_PARAMETERS },
		{ page, self->rx, nr + 1, FFA_RET_INVALID_PARAMETERS },
		{ page, self->rx, ~0u, FFA_RET_INVALID_PARAMETERS },
		{ page, page, nr, FFA_RET_INVALID_PARAMETERS },
		{ self->guest_pa[0], self->rx, nr, FFA_RET_INVALID_PARAMETERS },
		{ page, self->guest_pa[0], nr, FFA_RET_INVALID_PARAMETERS },
		{ self->el2_pa[0], self->rx, nr, FFA_RET_INVALID_PARAMETERS },
		{ page, self->el2_pa[1], nr, FFA_RET_INVALID_PARAMETERS },
		{ page, self->el2_pa[2], nr, FFA_RET_INVALID_PARAMETERS },
		{ 0x09000000, self->rx, nr, FFA_RET_INVALID_PARAMETERS },
		{ page, 0, nr, FFA_RET_INVALID_PARAMETERS },
		{ el3_log_pa(), self->rx, nr, FFA_RET_INVALID_PARAMETERS },
		{ page, BIT(47), nr, FFA_RET_INVALID_PARAMETERS },
		{ BIT(52), self->rx, nr, FFA_RET_INVALID_PARAMETERS },
		{ page, ~0ul & ~(size - 1), nr, FFA_RET_INVALID_PARAMETERS },
	};
	struct el3_log_entry e;
	u64 n;
	int i;

	/* They are mapped; and EL2 does not let go of them. */
	EXPECT_EQ(ffa(FFA64_RXTX_MAP, page, self->pages, nr), FFA_RET_DENIED);
	EXPECT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_unshare_hyp), self->tx), -EBUSY);
	EXPECT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_unshare_hyp), self->rx), -EBUSY);
	EXPECT_EQ(ffa(FFA_RXTX_UNMAP, 1u << 16), FFA_RET_INVALID_PARAMETERS);
	EXPECT_EQ(ffa(FFA_RXTX_UNMAP, PARTITION << 16), FFA_RET_INVALID_PARAMETERS);
	EXPECT_EQ(ffa(FFA_RXTX_MAP, page, self->pages, nr), FFA_RET_NOT_SUPPORTED);
	EXPECT_EQ(el3_log_count(self->mark, FFA64_RXTX_MAP), 0);

	EXPECT_EQ(ffa(FFA_RXTX_UNMAP, 0), 0);
	self->mapped = false;
	EXPECT_EQ(ffa(FFA_RXTX_UNMAP, 0), FFA_RET_INVALID_PARAMETERS);

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(ffa(FFA64_RXTX_MAP, cases[i].tx, cases[i].rx, cases[i].nr), cases[i].ret)
			TH_LOG("case %d", i);
		EXPECT_ALONE(page);
		EXPECT_ALONE(self->rx);
	}
	/* Without buffers nothing is given. */
	EXPECT_EQ(ffa(FFA64_MEM_SHARE, DESC_SIZE(1), DESC_SIZE(1), 0, 0),
		  FFA_RET_INVALID_PARAMETERS);
	EXPECT_EQ(ffa(FFA_MEM_FRAG_TX, 0, 0, 16, 0), FFA_RET_INVALID_PARAMETERS);
	EXPECT_EQ(nr_gifts(self->mark), 0);

	ASSERT_EQ(ffa(FFA64_RXTX_MAP, self->tx, self->rx, nr), 0);
	self->mapped = true;

	el3_log_for_each(n, self->mark, &e) {
		if (EL3_LOG_FID(&e) != FFA64_RXTX_MAP)
			continue;
		EXPECT_EQ(EL3_LOG_EL(e.flags), 2);
		for (i = 1; i < 3; i++) {
			EXPECT_FAULT(adv_mem(ADV_READ64, e.x[i], ADV_NORMAL, ADV_CPU_ANY, 0, 0,
					     NULL), ADV_FAULT_DENIED);
		}
	}
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
	u64 page_va[3];
};

/* Buffers of FF-A that serve the host and EL2 otherwise, too */
TEST_F(el3_ffa, buffers_that_el2_uses_otherwise_are_unmapped)
{
	u64 desc_pa, desc_va, tx_va, backing, backing_va;
	struct trace_desc desc = {
		.backing_size	= getpagesize(),
		.nr_cpus	= 1,
		.nr_page_va	= 3,
	};
	int i;

	if (__adv_hypercall_nr("__tracing_load") == ~0u)
		SKIP(return, "EL2 has no tracing");
	EXPECT_EQ(ffa(FFA_RXTX_UNMAP, 0), 0);
	EXPECT_EQ(adv_page_free(self->tx), 0);
	self->tx = adv_page_alloc(0, &tx_va);
	ASSERT_EQ(ffa(FFA64_RXTX_MAP, self->tx, self->rx, 1), 0);

	adv_hvc(0, HOST_HVC(__tracing_unload));
	desc_pa = adv_page_alloc(0, &desc_va);
	backing = adv_page_alloc(0, &backing_va);
	desc.backing_start = backing_va;
	desc.meta_va = tx_va;
	for (i = 0; i < ARRAY_SIZE(desc.page_va); i++)
		desc.page_va[i] = tx_va;
	ASSERT_EQ(adv_write(desc_pa, ADV_NORMAL, &desc, sizeof(desc)), 0);
	ASSERT_EQ(adv_hvc(0, HOST_HVC(__tracing_load), desc_va, getpagesize()), 0);

	/* The trace still has it, so it stays lent. */
	EXPECT_EQ(ffa(FFA_RXTX_UNMAP, 0), 0);
	self->mapped = false;
	EXPECT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_unshare_hyp), self->tx), -EBUSY);
	EXPECT_ALONE(self->rx);

	adv_hvc(0, HOST_HVC(__tracing_unload));
	EXPECT_EQ(hvc_pfn(HOST_HVC(__pkvm_host_unshare_hyp), self->tx), 0);
	EXPECT_EQ(adv_page_free(desc_pa), 0);
	EXPECT_EQ(adv_page_free(backing), 0);
}

#define NR_RACES	400

/*
 * Share again and again while another CPU changes 8 bytes of the descriptor at
 * @offset from @good to @bad.  What EL2 did not check does not get to EL3: the
 * page that was shared is the one that comes back.
 */
static void race(struct __test_metadata *_metadata, u64 tx, u64 page, size_t offset, u64 good,
		 u64 bad)
{
	const struct ffa_range range = { page, getpagesize() / FFA_PAGE_SIZE };
	u32 id, i, nr_shared = 0, nr_refused = 0;
	struct ffa_desc desc;
	u64 handle;

	desc_init(&desc, &range, 1);
	desc_write(tx, &desc);
	id = adv_flip_start(tx + offset, ADV_NORMAL, 8, 1, good, bad);
	for (i = 0; i < NR_RACES; i++) {
		if (ffa(FFA64_MEM_SHARE, DESC_SIZE(1), DESC_SIZE(1), 0, 0)) {
			nr_refused++;
			continue;
		}
		handle = last_handle();
		nr_shared++;
		EXPECT_FALSE(is_the_hosts_alone(page));
		EXPECT_EQ(ffa_reclaim(handle), 0);
	}
	EXPECT_GT(adv_flip_stop(id), 0);
	EXPECT_ALONE(page);
	/* Else it was no race. */
	EXPECT_GT(nr_shared, 0);
	EXPECT_GT(nr_refused, 0);
}

TEST_F(el3_ffa, descriptor_that_changes_meanwhile_gives_what_was_checked)
{
	const struct ffa_range range = { self->page, getpagesize() / FFA_PAGE_SIZE };
	struct ffa_desc desc;
	u64 access, mask = 0xffffffff00000000ul;

	if (adv_info()->nr_cpus == 1)
		SKIP(return, "nobody else to change it");

	race(_metadata, self->tx, self->page, desc_at(offsetof(struct ffa_desc, ranges[0].address)),
	     self->page, self->guest_pa[0]);
	race(_metadata, self->tx, self->page, desc_at(offsetof(struct ffa_desc, ranges[0].address)),
	     self->page, self->el2_pa[0]);
	/* The number of pages */
	race(_metadata, self->tx, self->page,
	     desc_at(offsetof(struct ffa_desc, ranges[0].nr_pages)), range.nr_pages, 0xffffffff);
	/* Where the ranges are, in the second half: nowhere, and not where they should */
	desc_init(&desc, &range, 1);
	memcpy(&access, &desc.access, sizeof(access));
	race(_metadata, self->tx, self->page, desc_at(offsetof(struct ffa_desc, access)), access,
	     access | mask);
	race(_metadata, self->tx, self->page, desc_at(offsetof(struct ffa_desc, access)), access,
	     (access & ~mask) | (u64)(DESC_SIZE(1) - 8) << 32);
}

#define NR_BUFFER_ROUNDS	10
#define NR_BUFFER_RACES		1000

/* Two CPUs give a page, ask for partitions, and take the buffers of both away. */
TEST_F(el3_ffa, buffers_that_go_meanwhile_are_not_used)
{
	const struct ffa_range range = { self->page, getpagesize() / FFA_PAGE_SIZE };
	u64 hi = 0, nr_mapped = 0, nr_unmapped = 0, nr_shared = 0, nr_found = 0;
	struct adv_loop_thread threads[] = {
		{ .call.x = { FFA64_MEM_SHARE, DESC_SIZE(1), DESC_SIZE(1) }, .reg = 2 },
		{ .call.x = { FFA_RXTX_UNMAP }, .reg = 0 },
		{ .call.x = { FFA64_RXTX_MAP, self->tx, self->rx, 1 }, .reg = 0 },
		{ .call.x = { FFA_PARTITION_INFO_GET }, .reg = 0 },
	}, now[ARRAY_SIZE(threads)];
	u32 round, i, lo;

	if (adv_info()->nr_cpus == 1)
		SKIP(return, "nobody else to take them away");

	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		threads[i].call.conduit = ADV_SMC;
		threads[i].call.cpu = i % 2;
	}
	for (round = 0; round < NR_BUFFER_ROUNDS; round++) {
		/* What it is given with also says what a handle is. */
		ASSERT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &range, 1), 0);
		hi = last_handle() >> 32;
		ASSERT_EQ(ffa_reclaim(last_handle()), 0);

		memcpy(now, threads, sizeof(now));
		adv_loop(now, ARRAY_SIZE(now), NR_BUFFER_RACES);
		for (i = 0; i < ARRAY_SIZE(now); i++)
			EXPECT_EQ(now[i].nr_faults, 0);
		nr_unmapped += adv_loop_count(&now[1], FFA_SUCCESS);
		nr_mapped += adv_loop_count(&now[2], FFA_SUCCESS);
		nr_found += adv_loop_count(&now[3], FFA_SUCCESS);

		/* It can have been given once, and is there to be taken back. */
		ffa(FFA64_RXTX_MAP, self->tx, self->rx, 1);
		for (i = 0; i < now[0].nr_values; i++) {
			lo = now[0].values[i].value;
			if ((s32)lo < 0 && (s32)lo > -16)
				continue;
			nr_shared++;
			EXPECT_EQ(now[0].values[i].count, 1);
			EXPECT_EQ(ffa_reclaim(hi << 32 | lo), 0) TH_LOG("handle 0x%x", lo);
		}
		EXPECT_ALONE(self->page);
	}
	/* Else it was no race. */
	EXPECT_GT(nr_unmapped, NR_BUFFER_ROUNDS);
	EXPECT_GT(nr_mapped, NR_BUFFER_ROUNDS);
	EXPECT_GT(nr_shared, 0);
	EXPECT_GT(nr_found, 0);
}

TEST_F(el3_ffa, calls_that_the_host_has_no_use_for_are_not_supported)
{
	static const u32 fids[] = {
		FFA(0x6a), FFA(0x6b), FFA(0x6e), FFA(0x70), FFA(0x71), FFA64(0x71), FFA(0x74),
		FFA64(0x74), FFA(0x75), FFA(0x76), FFA(0x78), FFA(0x79), FFA(0x7a), FFA(0x7d),
		FFA(0x7e), FFA(0x7f), FFA(0x80), FFA(0x81), FFA(0x82), FFA(0x83), FFA(0x8a),
		FFA64(0x8b), FFA64(0x8d), FFA64(0x8e),
		/* with an address, or of another caller's */
		FFA(0x84), FFA(0x86), FFA(0x87), FFA64(0x87), FFA(0x88), FFA64(0x88), FFA(0x89),
		FFA64(0x89), FFA(0x8c), FFA64(0x70), FFA64(0x83),
		/* with the width of another function's */
		FFA64(0x63), FFA64(0x64), FFA64(0x65), FFA(0x66), FFA64(0x67), FFA64(0x68),
		FFA64(0x69), FFA64(0x77), FFA64(0x7b),
		/* that there are not yet */
		FFA(0x8f), FFA64(0x8f), FFA(0xef), FFA64(0xef),
	};
	const struct ffa_range range = { self->page, getpagesize() / FFA_PAGE_SIZE };
	struct ffa_desc desc;
	u64 mark;
	int i;

	desc_init(&desc, &range, 1);
	desc_write(self->tx, &desc);
	for (i = 0; i < ARRAY_SIZE(fids); i++) {
		EXPECT_EQ(ffa(fids[i], DESC_SIZE(1), DESC_SIZE(1), 0, 0), FFA_RET_NOT_SUPPORTED)
			TH_LOG("0x%x", fids[i]);
		EXPECT_EQ(ffa(fids[i] | BIT(16), DESC_SIZE(1), DESC_SIZE(1), 0, 0),
			  FFA_RET_NOT_SUPPORTED) TH_LOG("0x%x with the hint", fids[i]);
		EXPECT_EQ(ffa(FFA_FEATURES, fids[i]), FFA_RET_NOT_SUPPORTED)
			TH_LOG("0x%x", fids[i]);
		EXPECT_EQ(el3_log_count(self->mark, fids[i]), 0) TH_LOG("0x%x", fids[i]);
	}
	EXPECT_EQ(ffa(FFA_FEATURES, FFA64_MEM_SHARE), 0);
	EXPECT_EQ(ffa(FFA_FEATURES, FFA_MEM_LEND), 0);
	/* Interrupts for notifications */
	mark = el3_log_mark();
	for (i = 1; i <= 3; i++)
		EXPECT_EQ(ffa(FFA_FEATURES, i), FFA_RET_NOT_SUPPORTED);
	EXPECT_EQ(el3_log_count(mark, FFA_FEATURES), 0);
}

/* The layout of descriptors depends on it. */
TEST_F(el3_ffa, version_is_not_changed_any_more)
{
	static const u32 versions[] = {
		0, 1, 0x10000, 0x10001, 0x20000, 0x20002, 0x7fff0002, 0x80010000, 0x80010001,
		0xffff0000,
	};
	const struct ffa_range range = { self->page, getpagesize() / FFA_PAGE_SIZE };
	int i;

	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		if (versions[i] >> 16 == 1 && versions[i] >= ffa_version)
			continue;
		EXPECT_EQ((s32)adv_smc(ADV_CPU_ANY, FFA_VERSION, versions[i]),
			  FFA_RET_NOT_SUPPORTED) TH_LOG("0x%x", versions[i]);
	}
	EXPECT_EQ(adv_smc(ADV_CPU_ANY, FFA_VERSION, FFA_VERSION_1_2), ffa_version);
	EXPECT_EQ(adv_smc(ADV_CPU_ANY, FFA_VERSION, 0x1ffff), ffa_version);
	EXPECT_EQ(el3_log_count(self->mark, FFA_VERSION), 0);

	ASSERT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &range, 1), 0);
	EXPECT_EQ(ffa_reclaim(last_handle()), 0);
}

TEST_F(el3_ffa, partitions_are_found_and_answer)
{
	const struct ffa_range range = { self->page, getpagesize() / FFA_PAGE_SIZE };
	u64 x[ADV_NR_XREGS] = { FFA64_MSG_SEND_DIRECT_REQ, PARTITION }, mark;
	u32 info[8];
	int i;

	EXPECT_EQ(ffa(FFA_RX_RELEASE), FFA_RET_DENIED);
	/* Only to be counted, which version 1.0 does not know */
	if (ffa_version >= FFA_VERSION_1_1) {
		ASSERT_EQ(ffa(FFA_PARTITION_INFO_GET, 0, 0, 0, 0, 1), 0);
		EXPECT_EQ(regs[2], 1);
	} else {
		EXPECT_EQ(ffa(FFA_PARTITION_INFO_GET, 0, 0, 0, 0, 1), FFA_RET_INVALID_PARAMETERS);
		EXPECT_EQ(el3_log_count(self->mark, FFA_PARTITION_INFO_GET), 0);
	}
	EXPECT_EQ(ffa(FFA_RX_RELEASE), FFA_RET_DENIED);
	ASSERT_EQ(ffa(FFA_PARTITION_INFO_GET, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(regs[2], 1);
	EXPECT_EQ(adv_read(self->rx, ADV_NORMAL, info, sizeof(info)), 0);
	EXPECT_EQ((u16)info[0], PARTITION);
	/* As much as an entry has in this version, and no more */
	EXPECT_EQ(regs[3], ffa_version >= FFA_VERSION_1_1 ? 24 : 0);
	EXPECT_EQ(!info[2], ffa_version < FFA_VERSION_1_1);
	EXPECT_EQ(info[6], 0);

	/* It is the host's until it says so, which is no reason for others to wait. */
	EXPECT_EQ(ffa(FFA_PARTITION_INFO_GET, 0, 0, 0, 0, 0), FFA_RET_BUSY);
	ASSERT_EQ(ffa_give(self->tx, FFA64_MEM_SHARE, &range, 1), 0);
	EXPECT_EQ(ffa_reclaim(last_handle()), 0);
	mark = el3_log_mark();
	EXPECT_EQ(ffa(FFA_RX_RELEASE), 0);
	EXPECT_EQ(el3_log_count(mark, FFA_RX_RELEASE), 0);
	EXPECT_EQ(ffa(FFA_RX_RELEASE), FFA_RET_DENIED);
	ASSERT_EQ(ffa(FFA_PARTITION_INFO_GET, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(ffa(FFA_RX_RELEASE), 0);

	for (i = 3; i < 8; i++)
		x[i] = 0x1111111111111111ul * i;
	EXPECT_FAULT(__adv_call(ADV_SMC, 0, 0, x), ADV_OK);
	EXPECT_EQ(x[0], FFA64_MSG_SEND_DIRECT_REQ + 1);
	for (i = 3; i < 8; i++)
		EXPECT_EQ(x[i], ~(0x1111111111111111ul * i));

	/* In the name of others, of the hypervisor, and to nobody */
	mark = el3_log_mark();
	EXPECT_LT(ffa(FFA64_MSG_SEND_DIRECT_REQ, (u64)PARTITION << 16 | PARTITION), 0);
	EXPECT_LT(ffa(FFA_MSG_SEND_DIRECT_REQ, 1u << 16 | PARTITION), 0);
	EXPECT_LT(ffa(FFA_MSG_SEND_DIRECT_REQ, PARTITION, BIT(31)), 0);
	EXPECT_EQ(el3_log_count(mark, FFA_MSG_SEND_DIRECT_REQ), 0);
	EXPECT_EQ(el3_log_count(mark, FFA64_MSG_SEND_DIRECT_REQ), 0);
	EXPECT_LT(ffa(FFA_MSG_SEND_DIRECT_REQ, 0), 0);
}

#define FFA_DRIVER	"/sys/bus/platform/drivers/arm-ffa/"

/*
 * The first who asks decides.  That is the kernel's driver, unless there is none;
 * for older versions pkvm_el3_ffa.version= is looked for on its command line.
 */
static u32 version_to_ask_for(void)
{
	char line[4096], *arg;
	u32 version = FFA_VERSION_1_2;
	FILE *f = fopen("/proc/cmdline", "r");

	if (!f)
		return version;
	if (fgets(line, sizeof(line), f)) {
		arg = strstr(line, "pkvm_el3_ffa.version=");
		if (arg)
			version = strtoul(strchr(arg, '=') + 1, NULL, 0);
	}
	fclose(f);

	return version;
}

int main(int argc, char **argv)
{
	struct adv_target target;
	bool bound;
	int ret;

	TEST_REQUIRE_ADVERSARY();
	__TEST_REQUIRE(adv_info()->protected, "the host is not in protected mode");
	TEST_REQUIRE_EL3();
	/* EL2's per-CPU data is found as long as there is no VM. */
	adv_target(0, &target);

	/* The kernel's driver has buffers of its own. */
	bound = !write_file(FFA_DRIVER "unbind", "arm-ffa");
	ffa_version = adv_smc(ADV_CPU_ANY, FFA_VERSION, version_to_ask_for());
	__TEST_REQUIRE(ffa_version >= FFA_VERSION_1_0 && ffa_version <= FFA_VERSION_1_2,
		       "the firmware has no FF-A");
	ksft_print_msg("FF-A 1.%u\n", ffa_version & 0xffff);
	ret = test_harness_run(argc, argv);
	if (bound && write_file(FFA_DRIVER "bind", "arm-ffa"))
		ksft_print_msg("the kernel's FF-A driver is lost\n");

	return ret;
}
