// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary - The tool with which other tests attack EL2 does what it says:
 * an access that nothing forbids works, one that something forbids is reported
 * with what forbade it, and the kernel survives it.
 *
 * A tool that reports each access as a fault would make every promise of EL2
 * look kept.  So each operation that is denied here on memory of EL2 or of a
 * protected guest is done to the host's own memory as well, and works.
 */
#include <linux/psci.h>
#include <linux/sizes.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_secret.h"
#include "processor.h"
#include "test_util.h"

#include "kselftest_harness.h"

#define PATTERN		0x1122334455667788ul
#define OTHER		0x99aabbccddeeff00ul
#define INSN_RET	0xd65f03c0u

/* For harness tests: a part that needs protected mode */
#define REQUIRE_PROTECTED()							\
do {										\
	if (!adv_info()->protected)						\
		SKIP(return, "the host is not in protected mode");		\
} while (0)

#define EXPECT_FAULT(_ret, _expected)						\
do {										\
	int __ret = (_ret), __wanted = (_expected);				\
										\
	EXPECT_EQ(__ret, __wanted)						\
		TH_LOG("%s instead of %s: ESR 0x%llx, FAR 0x%llx, ELR 0x%llx",	\
		       adv_fault_name(__ret), adv_fault_name(__wanted),		\
		       adv_last_fault()->esr, adv_last_fault()->far,		\
		       adv_last_fault()->elr);					\
} while (0)

static bool is_in(const struct adv_pages *pages, u32 nr, u64 pa)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		if (pa >= pages[i].pa && pa - pages[i].pa < pages[i].nr_pages * getpagesize())
			return true;
	}

	return false;
}

/* Operations that access memory, as opposed to translations and the like */
static const struct {
	enum adv_op op;
	bool write;
	u64 reads;		/* of PATTERN, OTHER */
	u64 leaves;		/* in the place of PATTERN, operand OTHER */
} accesses[] = {
	{ ADV_READ8,		false,	0x88,			PATTERN },
	{ ADV_READ16,		false,	0x7788,			PATTERN },
	{ ADV_READ32,		false,	0x55667788,		PATTERN },
	{ ADV_READ64,		false,	PATTERN,		PATTERN },
	{ ADV_LDP,		false,	PATTERN,		PATTERN },
	{ ADV_WRITE8,		true,	0,			0x1122334455667700ul },
	{ ADV_WRITE16,		true,	0,			0x112233445566ff00ul },
	{ ADV_WRITE32,		true,	0,			0x11223344ddeeff00ul },
	{ ADV_WRITE64,		true,	0,			OTHER },
	{ ADV_STP,		true,	0,			OTHER },
	{ ADV_LDADD,		true,	PATTERN,		PATTERN + OTHER },
	{ ADV_LDXR_STXR,	true,	PATTERN,		PATTERN + OTHER },
	/* Compares with OTHER, which is not there. */
	{ ADV_CAS,		true,	PATTERN,		PATTERN },
	{ ADV_DC_ZVA,		true,	0,			0 },
};

FIXTURE(host) {
	u64 page;
	u64 va;
};

FIXTURE_SETUP(host)
{
	self->page = adv_page_alloc(0, &self->va);
	ASSERT_EQ(adv_write64(self->page, PATTERN), 0);
	ASSERT_EQ(adv_write64(self->page + 8, OTHER), 0);
}

FIXTURE_TEARDOWN(host)
{
	EXPECT_EQ(adv_page_free(self->page), 0);
}

TEST_F(host, every_access_to_the_hosts_memory_works)
{
	u64 out[2], val;
	int i, cpu;

	for (cpu = ADV_CPU_ANY; cpu < (int)adv_info()->nr_cpus; cpu++) {
		for (i = 0; i < ARRAY_SIZE(accesses); i++) {
			ASSERT_EQ(adv_write64(self->page, PATTERN), 0);
			memset(out, 0, sizeof(out));
			EXPECT_FAULT(adv_mem(accesses[i].op, self->page, ADV_NORMAL, cpu,
					     OTHER, PATTERN, out), ADV_OK);
			EXPECT_EQ(out[0], accesses[i].reads) TH_LOG("operation %d", accesses[i].op);
			ASSERT_EQ(adv_read64(self->page, &val), 0);
			EXPECT_EQ(val, accesses[i].leaves) TH_LOG("operation %d", accesses[i].op);
		}
	}
}

TEST_F(host, pair_accesses_and_compare_and_swap_use_both_operands)
{
	u64 out[2];

	EXPECT_FAULT(adv_mem(ADV_LDP, self->page, ADV_NORMAL, 0, 0, 0, out), ADV_OK);
	EXPECT_EQ(out[0], PATTERN);
	EXPECT_EQ(out[1], OTHER);
	EXPECT_FAULT(adv_mem(ADV_STP, self->page, ADV_NORMAL, 0, OTHER, PATTERN, NULL), ADV_OK);
	EXPECT_FAULT(adv_mem(ADV_CAS, self->page, ADV_NORMAL, 0, OTHER, 7, out), ADV_OK);
	EXPECT_EQ(out[0], OTHER);
	EXPECT_FAULT(adv_mem(ADV_LDP, self->page, ADV_NORMAL, 0, 0, 0, out), ADV_OK);
	EXPECT_EQ(out[0], 7);
	EXPECT_EQ(out[1], PATTERN);
}

TEST_F(host, access_may_cross_into_the_next_page)
{
	u64 pages = adv_page_alloc(1, NULL), last = pages + adv_info()->page_size - 4;
	u64 val;

	EXPECT_FAULT(adv_write64(last, PATTERN), ADV_OK);
	EXPECT_FAULT(adv_read64(last, &val), ADV_OK);
	EXPECT_EQ(val, PATTERN);
	EXPECT_FAULT(adv_read64(last + 4, &val), ADV_OK);
	EXPECT_EQ(val, PATTERN >> 32);
	EXPECT_EQ(adv_page_free(pages), 0);
}

TEST_F(host, all_views_of_a_page_are_the_same)
{
	u64 val = 0, *user;
	char buf[64];

	EXPECT_FAULT(adv_mem(ADV_READ64, self->va, ADV_VA, 0, 0, 0, &val), ADV_OK);
	EXPECT_EQ(val, PATTERN);

	EXPECT_FAULT(adv_read(self->page + 1, ADV_NORMAL, buf, sizeof(buf)), ADV_OK);
	EXPECT_EQ(buf[0], 0x77);
	buf[0] = 1;
	EXPECT_FAULT(adv_write(self->va, ADV_VA, buf, 1), ADV_OK);
	user = adv_mmap(self->page, getpagesize(), PROT_READ | PROT_WRITE, ADV_NORMAL);
	EXPECT_EQ(*user, (PATTERN & ~0xfful) | 1);
	*user = OTHER;
	EXPECT_EQ(adv_virt_to_phys(user), self->page);
	munmap(user, getpagesize());
	EXPECT_FAULT(adv_read64(self->page, &val), ADV_OK);
	EXPECT_EQ(val, OTHER);

	/* Unprivileged accesses are to memory that is user space's. */
	user = kvm_mmap(getpagesize(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	*user = PATTERN;
	EXPECT_FAULT(adv_mem(ADV_LDTR, (u64)user, ADV_VA, ADV_CPU_ANY, 0, 0, &val), ADV_OK);
	EXPECT_EQ(val, PATTERN);
	EXPECT_FAULT(adv_mem(ADV_STTR, (u64)user, ADV_VA, ADV_CPU_ANY, OTHER, 0, NULL), ADV_OK);
	EXPECT_EQ(*user, OTHER);
	EXPECT_EQ(adv_pin(user), adv_virt_to_phys(user));
	EXPECT_FAULT(adv_read64(adv_virt_to_phys(user), &val), ADV_OK);
	EXPECT_EQ(val, OTHER);
}

TEST_F(host, memory_types_and_permissions_are_the_ones_asked_for)
{
	static const u32 types[] = { ADV_NORMAL, ADV_NORMAL_NC, ADV_DEVICE };
	u64 val, par, attr[ARRAY_SIZE(types)];
	int i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		EXPECT_FAULT(adv_mem(ADV_WRITE64, self->page, types[i], 0, i, 0, NULL), ADV_OK);
		EXPECT_FAULT(adv_mem(ADV_READ64, self->page, types[i], 0, 0, 0, &val), ADV_OK);
		EXPECT_EQ(val, i);
		EXPECT_FAULT(adv_mem(ADV_AT_S1E1R, self->page, types[i], 0, 0, 0, &par), ADV_OK);
		EXPECT_EQ(par & 1, 0);
		EXPECT_EQ(par & GENMASK(51, 12), self->page);
		attr[i] = par >> 56;
	}
	EXPECT_EQ(attr[0], 0xff);
	EXPECT_EQ(attr[1], 0x44);
	EXPECT_EQ(attr[2], 0x00);

	EXPECT_FAULT(adv_mem(ADV_READ64, self->page, ADV_READ_ONLY, 0, 0, 0, &val), ADV_OK);
	EXPECT_FAULT(adv_mem(ADV_WRITE64, self->page, ADV_READ_ONLY, 0, 0, 0, NULL),
		     ADV_FAULT_PERMISSION);
	EXPECT_FAULT(adv_mem(ADV_AT_S1E1W, self->page, ADV_READ_ONLY, 0, 0, 0, &par), ADV_OK);
	EXPECT_EQ(par & 1, 1);
	/* Alignment matters to devices only. */
	EXPECT_FAULT(adv_mem(ADV_READ64, self->page + 1, ADV_NORMAL, 0, 0, 0, &val), ADV_OK);
	EXPECT_FAULT(adv_mem(ADV_READ64, self->page + 1, ADV_DEVICE, 0, 0, 0, &val),
		     ADV_FAULT_ALIGNMENT);
}

TEST_F(host, executes_what_is_in_a_page)
{
	u64 val;

	ASSERT_EQ(adv_write32(self->page, INSN_RET), 0);
	ASSERT_EQ(adv_mem(ADV_DC_CVAU, self->page, ADV_NORMAL, 0, 0, 0, NULL), 0);
	ASSERT_EQ(adv_mem(ADV_IC_IVAU, self->page, ADV_NORMAL, 0, 0, 0, NULL), 0);
	EXPECT_FAULT(adv_exec(self->page), ADV_OK);
	EXPECT_FAULT(adv_mem(ADV_EXEC, self->page, ADV_NORMAL, 0, 0, 0, NULL),
		     ADV_FAULT_PERMISSION);

	/* UDF #0 */
	ASSERT_EQ(adv_write32(self->page, 0), 0);
	ASSERT_EQ(adv_mem(ADV_DC_CVAU, self->page, ADV_NORMAL, 0, 0, 0, NULL), 0);
	ASSERT_EQ(adv_mem(ADV_IC_IVAU, self->page, ADV_NORMAL, 0, 0, 0, NULL), 0);
	EXPECT_FAULT(adv_exec(self->page), ADV_FAULT_UNDEF);
	EXPECT_EQ(adv_read64(self->page, &val), 0);
}

TEST_F(host, other_instructions_do_what_they_do)
{
	u64 out;

	EXPECT_FAULT(adv_mem(ADV_DC_CIVAC, self->page, ADV_NORMAL, 0, 0, 0, NULL), ADV_OK);
	EXPECT_FAULT(adv_mem(ADV_DC_CVAC, self->page, ADV_NORMAL, 0, 0, 0, NULL), ADV_OK);
	EXPECT_FAULT(adv_mem(ADV_DC_IVAC, self->page, ADV_NORMAL, 0, 0, 0, NULL), ADV_OK);
	EXPECT_FAULT(adv_mem(ADV_PRFM, self->page, ADV_NORMAL, 0, 0, 0, NULL), ADV_OK);
	/* EL2's */
	EXPECT_FAULT(adv_mem(ADV_AT_S12E1R, self->page, ADV_NORMAL, 0, 0, 0, &out),
		     ADV_FAULT_UNDEF);
}

TEST_F(host, faults_are_reported_and_not_fatal)
{
	u32 bits = min(adv_info()->pa_range, adv_info()->pa_bits);
	u64 hole = BIT(bits) - adv_info()->page_size, val = PATTERN;
	struct adv_range range = {
		.addr		= hole,
		.nr_pages	= 1,
		.cpu		= ADV_CPU_ANY,
	};

	/* A stage-1 fault, where the vmalloc area ends */
	EXPECT_FAULT(adv_mem(ADV_READ64, -4096ul, ADV_VA, 0, 0, 0, &val), ADV_FAULT_TRANSLATION);
	EXPECT_EQ(val, 0);
	EXPECT_EQ(adv_last_fault()->far, -4096ul);
	EXPECT_FAULT(adv_mem(ADV_EXEC, -4096ul, ADV_VA, 0, 0, 0, NULL), ADV_FAULT_TRANSLATION);
	EXPECT_EQ(adv_last_fault()->elr, -4096ul);
	/* Privileged accesses to user space's memory */
	EXPECT_FAULT(adv_mem(ADV_EXEC, (u64)is_in, ADV_VA, ADV_CPU_ANY, 0, 0, NULL),
		     ADV_FAULT_PERMISSION);

	/* No memory and no device */
	EXPECT_FAULT(adv_read64(hole, &val), ADV_FAULT_EXTERNAL);
	EXPECT_FAULT(adv_write64(hole, 0), ADV_FAULT_EXTERNAL);
	if (bits < adv_info()->pa_bits)
		EXPECT_FAULT(adv_read64(BIT(bits), &val), ADV_FAULT_ADDRESS_SIZE);

	EXPECT_EQ(adv_probe(&range), 0);
	EXPECT_EQ(range.nr_other, 1);
	EXPECT_EQ(range.first_other, hole);
	EXPECT_EQ(adv_fault_type(&range.fault), ADV_FAULT_EXTERNAL);

	/* and after all this: */
	EXPECT_FAULT(adv_read64(self->page, &val), ADV_OK);
	EXPECT_EQ(val, PATTERN);
}

TEST_F(host, probe_counts_and_changes_nothing)
{
	u64 pages = adv_page_alloc(3, NULL), size = 8 * adv_info()->page_size, bitmap = 0, val;
	struct adv_range range = {
		.addr		= pages,
		.nr_pages	= 8,
		.bitmap		= (u64)&bitmap,
		.write		= 1,
		.cpu		= 0,
	};

	ASSERT_EQ(adv_write64(pages, PATTERN), 0);
	EXPECT_EQ(adv_probe_read(pages, size), 8);
	EXPECT_EQ(adv_probe(&range), 8);
	EXPECT_EQ(bitmap, 0xff);
	EXPECT_EQ(range.first_ok, pages);
	EXPECT_EQ(range.nr_denied + range.nr_other, 0);
	ASSERT_EQ(adv_read64(pages, &val), 0);
	EXPECT_EQ(val, PATTERN);

	EXPECT_EQ(adv_is_filled_with(pages + adv_info()->page_size,
				     size - adv_info()->page_size, 0), true);
	EXPECT_EQ(adv_is_filled_with(pages, size, 0), false);
	EXPECT_EQ(adv_page_free(pages), 0);
}

TEST_F(host, bad_arguments_are_refused)
{
	struct adv_mem mem = { .addr = self->page, .op = ADV_NR_OPS };
	struct adv_call call = { .imm = 0x10000 };
	struct adv_object object = { .fd = 0 };
	struct adv_field field = { .kind = ADV_VCPU, .name = "x31" };
	struct adv_scan scan = { .max = 0 };
	struct adv_page page = { .order = 10 };
	struct adv_copy copy = { .len = ~0ul };
	struct adv_range range = { .nr_pages = ADV_RANGE_MAX_PAGES + 1 };

	EXPECT_EQ(__adv_ioctl(ADV_IOC_MEM, &mem), EINVAL);
	mem.op = ADV_READ8;
	mem.attr = 3;
	EXPECT_EQ(__adv_ioctl(ADV_IOC_MEM, &mem), EINVAL);
	mem.attr = ADV_NORMAL;
	mem.cpu = adv_info()->nr_cpus;
	EXPECT_EQ(__adv_ioctl(ADV_IOC_MEM, &mem), ENODEV);
	mem.cpu = 0;
	mem.addr = BIT(adv_info()->pa_bits);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_MEM, &mem), EINVAL);
	/* Whose user space would that be? */
	mem.addr = (u64)&mem;
	mem.attr = ADV_VA;
	EXPECT_EQ(__adv_ioctl(ADV_IOC_MEM, &mem), EINVAL);

	EXPECT_EQ(__adv_ioctl(ADV_IOC_CALL, &call), EINVAL);
	call.imm = 0;
	call.conduit = 2;
	EXPECT_EQ(__adv_ioctl(ADV_IOC_CALL, &call), EINVAL);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_OBJECT, &object), EBADF);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_FIELD, &field), ENOENT);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_SCAN, &scan), EINVAL);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_PAGE_ALLOC, &page), EINVAL);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_PAGE_FREE, &page), EINVAL);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_COPY, &copy), EINVAL);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_RANGE, &range), EINVAL);
	EXPECT_EQ(__adv_ioctl(_IO('P', 0xff), NULL), ENOTTY);
}

TEST_F(host, flips_change_memory_until_they_are_stopped)
{
	u64 last_cpu = adv_info()->nr_cpus - 1, val, count;
	u32 id[ADV_MAX_FLIPS], i, j, seen = 0;
	struct adv_flip flip = { .addr = self->page, .size = 1, .cpu = ADV_CPU_ANY };

	ASSERT_EQ(adv_mem(ADV_STP, self->page, ADV_NORMAL, 0, 0, 0, NULL), 0);
	for (i = 0; i < ADV_MAX_FLIPS; i++)
		id[i] = adv_flip_start((i & 1 ? self->va : self->page) + i * 8,
				       i & 1 ? ADV_VA : ADV_NORMAL, 1 << (i / 2),
				       i < 4 ? last_cpu : ADV_CPU_ANY, ~0ul, 0);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_FLIP_START, &flip), EBUSY);

	/* Each takes both values, of the right size. */
	for (j = 0; j < 1000 && seen != (1 << 2 * ADV_MAX_FLIPS) - 1; j++) {
		for (i = 0; i < ADV_MAX_FLIPS; i++) {
			u64 mask = ~0ul >> (64 - (8 << (i / 2)));

			ASSERT_EQ(adv_read64(self->page + i * 8, &val), 0);
			val &= mask;
			if (val == mask)
				seen |= 1 << 2 * i;
			else if (!val)
				seen |= 2 << 2 * i;
			else
				EXPECT_EQ(val, 0) TH_LOG("flip %u", i);
		}
	}
	EXPECT_EQ(seen, (1 << 2 * ADV_MAX_FLIPS) - 1) TH_LOG("seen 0x%x, %d rounds", seen, j);

	for (i = 0; i < ADV_MAX_FLIPS; i++) {
		count = adv_flip_stop(id[i]);
		EXPECT_GT(count, 1000);
		EXPECT_FAULT(adv_fault_type(adv_last_fault()), ADV_OK);
	}
	flip.id = id[0];
	EXPECT_EQ(__adv_ioctl(ADV_IOC_FLIP_STOP, &flip), EINVAL);
	flip.size = 3;
	EXPECT_EQ(__adv_ioctl(ADV_IOC_FLIP_START, &flip), EINVAL);
	flip.size = 8;
	flip.addr++;
	EXPECT_EQ(__adv_ioctl(ADV_IOC_FLIP_START, &flip), EINVAL);
	flip.cpu = adv_info()->nr_cpus;
	flip.addr--;
	EXPECT_EQ(__adv_ioctl(ADV_IOC_FLIP_START, &flip), ENODEV);
}

TEST_F(host, flips_report_faults)
{
	struct adv_target target;
	u32 id;

	id = adv_flip_start(self->page, ADV_READ_ONLY, 8, 0, 1, 2);
	EXPECT_EQ(adv_flip_stop(id), 0);
	EXPECT_FAULT(adv_fault_type(adv_last_fault()), ADV_FAULT_PERMISSION);

	REQUIRE_PROTECTED();
	adv_find_target("data", ADV_CPU_ANY, &target);
	id = adv_flip_start(target.pa, ADV_NORMAL, 8, 0, 1, 2);
	EXPECT_EQ(adv_flip_stop(id), 0);
	EXPECT_FAULT(adv_fault_type(adv_last_fault()), ADV_FAULT_DENIED);
}

TEST_F(host, device_reads_and_writes_memory)
{
	u64 data[2] = {}, val, size = adv_info()->page_size;
	struct adv_dma dma = { .pa = self->page, .buf = (u64)data, .len = 4097 };

	if (!adv_info()->edu) {
		EXPECT_EQ(__adv_ioctl(ADV_IOC_DMA, &dma), ENODEV);
		SKIP(return, "no device (QEMU's -device edu,dma_mask=0xffffffffffffffff)");
	}

	adv_dma_read(self->page, data, sizeof(data));
	EXPECT_EQ(data[0], PATTERN);
	EXPECT_EQ(data[1], OTHER);
	data[0] = 1;
	data[1] = 2;
	adv_dma_write(self->page + size - sizeof(data), data, sizeof(data));
	EXPECT_FAULT(adv_read64(self->page + size - 16, &val), ADV_OK);
	EXPECT_EQ(val, 1);
	EXPECT_FAULT(adv_read64(self->page + size - 8, &val), ADV_OK);
	EXPECT_EQ(val, 2);
	EXPECT_FAULT(adv_read64(self->page + size - 24, &val), ADV_OK);
	EXPECT_EQ(val, 0);
	EXPECT_EQ(__adv_ioctl(ADV_IOC_DMA, &dma), EINVAL);
}

TEST_F(host, its_writes_its_table_and_reads_its_commands)
{
	u64 cmds[2][4], table[ADV_ITS_TABLE_ENTRIES], val, itt = adv_page_alloc(0, NULL);
	int i;

	if (!adv_info()->its)
		SKIP(return, "no ITS");

	/* Write: an entry in a page that was never a table */
	adv_its_mapd(cmds[0], 2, itt);
	adv_its_mapd(cmds[1], 5, itt);
	EXPECT_EQ(adv_its(self->page, 0, cmds[0], 2, NULL), 2);
	for (i = 0; i < 8; i++) {
		EXPECT_FAULT(adv_read64(self->page + i * 8, &val), ADV_OK);
		EXPECT_EQ(!!val, i <= 2 || i == 5) TH_LOG("entry %d", i);
	}
	EXPECT_FAULT(adv_read64(self->page, &val), ADV_OK);
	EXPECT_EQ(val, PATTERN);

	/* Read: the commands in such a page take effect. */
	EXPECT_FAULT(adv_write(self->page, ADV_NORMAL, cmds, sizeof(cmds)), ADV_OK);
	EXPECT_EQ(adv_its(0, self->page, NULL, 2, table), 2);
	EXPECT_EQ(table[0], 0);
	EXPECT_NE(table[2], 0);
	EXPECT_NE(table[5], 0);
	EXPECT_EQ(adv_page_free(itt), 0);
}

/* Where LPI 8192 has its bit, the first one that there is */
#define LPI_OFFSET	(8192 / 8)

TEST_F(host, redistributor_sets_a_bit_for_a_pending_lpi)
{
	u64 val, pa = adv_page_alloc(ilog2(SZ_64K / adv_info()->page_size), NULL);
	struct adv_its its = { .nr = 1, .pending = self->page | SZ_4K };

	if (!adv_info()->its)
		SKIP(return, "no ITS");

	ASSERT_EQ(pa % SZ_64K, 0);
	EXPECT_FAULT(adv_write64(pa + LPI_OFFSET, PATTERN), ADV_OK);
	adv_gicr_pend(pa, 8192 + 64 + 5);
	EXPECT_FAULT(adv_read64(pa + LPI_OFFSET, &val), ADV_OK);
	EXPECT_EQ(val, PATTERN);
	EXPECT_FAULT(adv_read64(pa + LPI_OFFSET + 8, &val), ADV_OK);
	EXPECT_EQ(val, BIT(5));
	EXPECT_EQ(adv_page_free(pa), 0);

	EXPECT_EQ(__adv_ioctl(ADV_IOC_ITS, &its), EINVAL);
}

TEST(symbols_are_found)
{
	struct adv_sym sym;
	u32 val;

	EXPECT_EQ(__adv_sym("no_such_symbol", &sym), false);
	EXPECT_NE(adv_sym_va("_text"), 0);
	/* The address is that of the kernel, which is readable by both addresses. */
	EXPECT_FAULT(adv_read32(adv_sym_pa("_text"), &val), ADV_OK);
	EXPECT_FAULT(adv_mem(ADV_READ32, adv_sym_va("_text"), ADV_VA, 0, 0, 0, NULL), ADV_OK);
	EXPECT_EQ(adv_sym_va("_etext") - adv_sym_va("_text"),
		  adv_sym_pa("_etext") - adv_sym_pa("_text"));
}

TEST(hypercalls_have_names_and_numbers)
{
	u32 nr, max = __adv_hypercall_nr("MAX");

	ASSERT_NE(max, ~0u);
	EXPECT_EQ(__adv_hypercall_nr("no_such_hypercall"), ~0u);
	EXPECT_STREQ(adv_hypercall_name(0), "__kvm_hyp_init");
	EXPECT_LT(__adv_hypercall_nr("MIN_PKVM"), __adv_hypercall_nr("PKVM_ONLY"));
	EXPECT_LT(__adv_hypercall_nr("PKVM_ONLY"), max);
	for (nr = 0; nr < max; nr++) {
		ASSERT_NE(adv_hypercall_name(nr), NULL)
			TH_LOG("number %u", nr);
	}
	EXPECT_EQ(adv_hypercall_name(max), NULL);
	EXPECT_EQ(HOST_HVC(__pkvm_host_share_hyp),
		  0xc6000000u | __adv_hypercall_nr("__pkvm_host_share_hyp"));
}

TEST(calls_reach_el2)
{
	u64 x[ADV_NR_XREGS], unknown = 0xc6000000u | __adv_hypercall_nr("MAX");
	int i, cpu;

	for (cpu = ADV_CPU_ANY; cpu < (int)adv_info()->nr_cpus; cpu++) {
		EXPECT_EQ(adv_hvc_status(cpu, unknown), SMCCC_RET_NOT_SUPPORTED);

		for (i = 0; i < ARRAY_SIZE(x); i++)
			x[i] = PATTERN + i;
		x[0] = unknown;
		EXPECT_FAULT(__adv_call(ADV_HVC, 0, cpu, x), ADV_OK);
		EXPECT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED);
		for (i = 1; i < ARRAY_SIZE(x); i++)
			EXPECT_EQ(x[i], PATTERN + i);

		EXPECT_EQ(adv_smc(cpu, PSCI_0_2_FN_PSCI_VERSION) >> 16, 1);
	}
	/* The immediate makes it to EL2, which has no use for SMCs with one. */
	REQUIRE_PROTECTED();
	memset(x, 0, sizeof(x));
	x[0] = PSCI_0_2_FN_PSCI_VERSION;
	EXPECT_FAULT(__adv_call(ADV_SMC, 0xffff, 0, x), ADV_OK);
	EXPECT_EQ((s64)x[0], SMCCC_RET_NOT_SUPPORTED);
}

TEST(call_that_does_not_suspend_returns)
{
	u64 x[ADV_NR_XREGS] = { PSCI_0_2_FN_PSCI_VERSION };
	struct adv_suspend suspend = { .pad = 1 };
	int cpu;

	for (cpu = 0; cpu < adv_info()->nr_cpus; cpu++) {
		x[0] = PSCI_0_2_FN_PSCI_VERSION;
		EXPECT_FALSE(adv_suspend(cpu, x));
		EXPECT_GE(x[0], PSCI_VERSION(0, 2));
	}
	EXPECT_EQ(__adv_ioctl(ADV_IOC_SUSPEND, &suspend), EINVAL);
}

TEST_F(host, hypercalls_are_carried_out)
{
	u64 pfn = self->page / adv_info()->page_size;
	int cpu = adv_info()->nr_cpus - 1;

	REQUIRE_PROTECTED();
	EXPECT_EQ(adv_hvc(cpu, HOST_HVC(__pkvm_host_share_hyp), pfn), 0);
	EXPECT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_share_hyp), pfn), -EPERM);
	EXPECT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_unshare_hyp), pfn), 0);
	EXPECT_EQ(adv_hvc(cpu, HOST_HVC(__pkvm_host_unshare_hyp), pfn), -EPERM);
	/* It is too late for this one. */
	EXPECT_EQ(adv_hvc_status(0, HOST_HVC(__pkvm_init)), SMCCC_RET_NOT_SUPPORTED);
}

TEST_F(host, batches_have_a_result_each)
{
	struct adv_call calls[3] = {
		{ .conduit = ADV_SMC, .x = { PSCI_0_2_FN_PSCI_VERSION } },
		{ .conduit = ADV_HVC, .cpu = ADV_CPU_ANY },
		{ .conduit = ADV_SMC, .x = { PSCI_0_2_FN_PSCI_VERSION } },
	};

	calls[1].x[0] = 0xc6000000u | __adv_hypercall_nr("MAX");
	calls[2].cpu = adv_info()->nr_cpus - 1;
	adv_batch(calls, ARRAY_SIZE(calls));
	EXPECT_EQ(calls[0].x[0] >> 16, 1);
	EXPECT_EQ((s64)calls[1].x[0], SMCCC_RET_NOT_SUPPORTED);
	EXPECT_EQ(calls[2].x[0], calls[0].x[0]);
}

TEST_F(host, calls_race)
{
	u64 pfn = self->page / adv_info()->page_size, iterations = 20000;
	struct adv_loop_thread threads[2] = {
		{ .reg = 1, .call = { .x = { 0, pfn } } },
		{ .reg = 1, .call = { .x = { 0, pfn } } },
	};
	u64 shared, unshared;

	REQUIRE_PROTECTED();
	threads[0].call.x[0] = HOST_HVC(__pkvm_host_share_hyp);
	threads[1].call.x[0] = HOST_HVC(__pkvm_host_unshare_hyp);
	threads[1].call.cpu = adv_info()->nr_cpus - 1;
	adv_loop(threads, 2, iterations);

	shared = adv_loop_count(&threads[0], 0);
	unshared = adv_loop_count(&threads[1], 0);
	ksft_print_msg("shared %lu times, unshared %lu times\n", shared, unshared);
	EXPECT_EQ(shared + adv_loop_count(&threads[0], -EPERM), iterations);
	EXPECT_EQ(unshared + adv_loop_count(&threads[1], -EPERM), iterations);
	EXPECT_EQ(threads[0].nr_faults + threads[1].nr_faults, 0);
	EXPECT_GT(shared, 0);
	EXPECT_LE(shared - unshared, 1);
	if (shared > unshared)
		EXPECT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_unshare_hyp), pfn), 0);
}

TEST_F(host, loops_step_through_arguments)
{
	u64 pages = adv_page_alloc(2, NULL), pfn = pages / adv_info()->page_size;
	struct adv_loop_thread thread = {
		.call		= { .cpu = ADV_CPU_ANY, .x = { 0, pfn } },
		.reg		= 1,
		.step_reg	= 1,
		.step		= 1,
		.step_count	= 4,
	};
	int i;

	REQUIRE_PROTECTED();
	/* The fifth time it is the first page again. */
	thread.call.x[0] = HOST_HVC(__pkvm_host_share_hyp);
	adv_loop(&thread, 1, 5);
	EXPECT_EQ(thread.done, 5);
	EXPECT_EQ(thread.nr_values, 2);
	EXPECT_EQ(adv_loop_count(&thread, 0), 4);
	EXPECT_EQ(adv_loop_count(&thread, -EPERM), 1);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(adv_hvc(0, HOST_HVC(__pkvm_host_unshare_hyp), pfn + i), 0);
	EXPECT_EQ(adv_page_free(pages), 0);
}

TEST(el2s_memory_is_denied)
{
	static const u32 types[] = { ADV_NORMAL, ADV_NORMAL_NC, ADV_DEVICE,
				     ADV_READ_ONLY, ADV_EXECUTABLE };
	static struct adv_pages denied[256];
	struct adv_target target;
	u32 i, j, nr_denied, per_cpu = 0;
	u64 out[2], nr_pages;

	REQUIRE_PROTECTED();
	nr_denied = adv_scan(denied, ARRAY_SIZE(denied), NULL);
	for (i = 0; adv_target(i, &target); i++) {
		struct adv_range range = {
			.addr		= target.pa,
			.nr_pages	= target.size / getpagesize(),
			.cpu		= ADV_CPU_ANY,
		};

		ksft_print_msg("%s, CPU %d: 0x%llx, %llu pages\n", target.name, target.cpu,
			       target.pa, range.nr_pages);
		nr_pages = range.nr_pages;
		per_cpu += target.cpu != ADV_CPU_ANY;

		adv_probe(&range);
		EXPECT_EQ(range.nr_other, 0);
		EXPECT_EQ(range.nr_ok, target.host == ADV_HOST_READ ? nr_pages : 0);
		EXPECT_EQ(is_in(denied, nr_denied, target.pa), target.host == ADV_HOST_NONE);
		range.write = 1;
		adv_probe(&range);
		EXPECT_EQ(range.nr_ok, 0);
		EXPECT_EQ(range.nr_denied, nr_pages);

		if (target.host == ADV_HOST_READ)
			continue;
		for (j = 0; j < ARRAY_SIZE(accesses); j++)
			EXPECT_FAULT(adv_mem(accesses[j].op, target.pa, ADV_NORMAL, 0, 0, 0, out),
				     ADV_FAULT_DENIED);
		for (j = 0; j < ARRAY_SIZE(types); j++)
			EXPECT_FAULT(adv_mem(ADV_READ64, target.pa, types[j], 0, 0, 0, out),
				     ADV_FAULT_DENIED);
		EXPECT_FAULT(adv_exec(target.pa), ADV_FAULT_DENIED);
	}
	EXPECT_EQ(per_cpu, 2 * adv_info()->nr_cpus);
}

TEST(el2s_memory_is_denied_to_el0)
{
	struct adv_target target;
	u64 val, *user;

	REQUIRE_PROTECTED();
	adv_find_target("data", ADV_CPU_ANY, &target);
	user = adv_mmap(target.pa, getpagesize(), PROT_READ | PROT_WRITE, ADV_NORMAL);
	EXPECT_EQ(host_try_read(user, &val), SIGSEGV);
	EXPECT_EQ(host_try_write(user, 0), SIGSEGV);
	munmap(user, getpagesize());
	adv_find_target("text", ADV_CPU_ANY, &target);
	user = adv_mmap(target.pa, getpagesize(), PROT_READ | PROT_WRITE, ADV_NORMAL);
	EXPECT_EQ(host_try_read(user, &val), 0);
	munmap(user, getpagesize());
}

FIXTURE(guest) {
	struct secret_vm *svm;
	u64 pa;
};

FIXTURE_VARIANT(guest) {
	bool protected;
};

FIXTURE_VARIANT_ADD(guest, protected) {
	.protected = true,
};

FIXTURE_VARIANT_ADD(guest, non_protected) {
	.protected = false,
};

FIXTURE_SETUP(guest)
{
	REQUIRE_PROTECTED();
	self->svm = secret_vm_create(variant->protected, SECRET_ANON);
	secret_vm_start(self->svm);
	self->pa = adv_virt_to_phys(secret_vm_page(self->svm, SECRET_PAGE));
	ASSERT_NE(self->pa, ~0ul);
}

FIXTURE_TEARDOWN(guest)
{
}

TEST_F(guest, page_is_denied_while_the_vm_lives_and_wiped_after)
{
	u64 secret = secret_vm_secret(self->svm), out[2];
	int expected = variant->protected ? ADV_FAULT_DENIED : ADV_OK;
	size_t size = self->svm->page_size;
	int i;

	EXPECT_EQ(adv_pin(secret_vm_page(self->svm, SECRET_PAGE)), self->pa);
	for (i = 0; i < ARRAY_SIZE(accesses); i++) {
		if (!variant->protected && accesses[i].write)
			continue;
		EXPECT_FAULT(adv_mem(accesses[i].op, self->pa, ADV_NORMAL, 0, 0, 0, out), expected);
	}
	EXPECT_EQ(adv_probe_write(self->pa, size), variant->protected ? 0 : 1);
	if (variant->protected)
		EXPECT_FAULT(adv_exec(self->pa), ADV_FAULT_DENIED);
	else
		EXPECT_EQ(adv_is_filled_with(self->pa, size, secret), true);

	EXPECT_EQ(secret_vm_check(self->svm), 0);
	EXPECT_EQ(self->svm->guest_sees[SECRET_PAGE], secret);
	secret_vm_free(self->svm);

	EXPECT_EQ(adv_is_filled_with(self->pa, size, variant->protected ? 0 : secret), true);
	EXPECT_EQ(adv_probe_write(self->pa, size), 1);
}

TEST_F(guest, pages_are_listed)
{
	static struct adv_vm_page pages[4096];
	u32 nr, i, found = 0;
	u64 pa;

	nr = adv_vm_pages(self->svm->vm->fd, ADV_GUEST_PAGES, pages, ARRAY_SIZE(pages));
	ASSERT_GT(nr, NR_SECRET_PAGES);
	for (i = 0; i < nr; i++) {
		found += pages[i].pa == self->pa;
		EXPECT_EQ(adv_gpa_to_pa(self->svm->vm, pages[i].gfn * getpagesize(), &pa), true);
		EXPECT_EQ(pa, pages[i].pa);
	}
	EXPECT_EQ(found, 1);
	EXPECT_EQ(adv_gpa_to_pa(self->svm->vm, 1ul << 39, &pa), false);

	nr = adv_vm_pages(self->svm->vcpu->fd, ADV_VCPU_MEMCACHE, pages, ARRAY_SIZE(pages));
	for (i = 0; i < nr; i++)
		EXPECT_EQ(adv_probe_read(pages[i].pa, getpagesize()), 1);
	secret_vm_free(self->svm);
}

TEST_F(guest, fields_of_vm_and_vcpu_are_found)
{
	struct adv_object vm, vcpu;
	struct adv_field field = {};
	u32 size, last = 0;

	adv_vm(self->svm->vm, &vm);
	adv_vcpu(self->svm->vcpu, &vcpu);
	EXPECT_EQ(vm.kind, ADV_VM);
	EXPECT_EQ(vcpu.kind, ADV_VCPU);
	EXPECT_EQ(vcpu.vm_va, vm.va);
	EXPECT_EQ(vm.protected, variant->protected);
	EXPECT_EQ(vm.created, 1);
	EXPECT_NE(vm.handle, 0);

	EXPECT_EQ(adv_field_read(&vm, "handle"), vm.handle);
	EXPECT_EQ(adv_field_read(&vm, "is_protected"), variant->protected);
	EXPECT_EQ(adv_field_read(&vcpu, "kvm"), vm.va);
	EXPECT_EQ(adv_field_read(&vcpu, "vcpu_id"), 0);
	EXPECT_EQ(adv_field(&vcpu, "x3", &size), adv_field(&vcpu, "x0", NULL) + 3 * 8);
	EXPECT_EQ(size, 8);
	EXPECT_EQ(__adv_field(ADV_VCPU, "x31", &field), false);
	EXPECT_EQ(__adv_field(ADV_VM, "x3", &field), false);
	EXPECT_EQ(__adv_field(ADV_VCPU, "vgic.lr0", &field), true);
	EXPECT_EQ(__adv_field(ADV_VCPU, "far_el2", &field), true);

	/* The guest has written its secret to memory, so it was in a fault. */
	EXPECT_NE(adv_field_read(&vcpu, "esr_el2"), 0);
	adv_field_write(&vcpu, "x7", PATTERN);
	EXPECT_EQ(adv_field_read(&vcpu, "x7"), PATTERN);

	for (;; last++) {
		memset(&field, 0, sizeof(field));
		field.index = last;
		if (__adv_ioctl(ADV_IOC_FIELD, &field))
			break;
		EXPECT_LE(field.offset + (u64)field.size * field.count,
			  field.kind == ADV_VM ? vm.size : vcpu.size) TH_LOG("%s", field.name);
	}
	EXPECT_GT(last, 80);
	secret_vm_free(self->svm);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE_ADVERSARY();

	return test_harness_run(argc, argv);
}
