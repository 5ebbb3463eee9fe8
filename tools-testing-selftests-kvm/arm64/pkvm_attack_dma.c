// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of protected guests and of EL2 under attack by what accesses memory
 * without a CPU's stage-2: a device that does DMA, the tables and command queue
 * of a GICv3 ITS, and a table of its redistributors, whose addresses the host sets.
 *
 * Nothing stops either of them today, so these are expected failures until
 * there is DMA isolation.
 */
#include <linux/sizes.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "pkvm_adversary.h"
#include "pkvm_attack.h"
#include "pkvm_secret.h"

#include "kselftest_harness.h"

#define GUESS		0x1122334455667788ULL
#define UNFILTERED	"nothing filters DMA until topic 80-dma-isolation"
#define NO_EDU		"no device (QEMU's -device edu,dma_mask=0xffffffffffffffff)"

FIXTURE(dma)
{
	struct secret_vm *svm;
	u64 secret;
	u64 pa;
};

FIXTURE_SETUP(dma)
{
	if (!adv_info()->protected)
		SKIP(return, "the host is not in protected mode");

	self->svm = secret_vm_create(true, SECRET_ANON);
	secret_vm_start(self->svm);
	self->secret = secret_vm_secret(self->svm);
	self->pa = adv_virt_to_phys(secret_vm_page(self->svm, SECRET_PAGE));
}

FIXTURE_TEARDOWN(dma)
{
	if (self->svm)
		secret_vm_free(self->svm);
}

TEST_F(dma, device_does_not_read_guest_memory)
{
	u64 data[2] = {};

	if (!adv_info()->edu)
		SKIP(return, NO_EDU);

	adv_dma_read(self->pa, data, sizeof(data));
	if (data[0] == self->secret && data[1] == self->secret)
		XFAIL(return, UNFILTERED);
	EXPECT_NE(data[0], self->secret);
	EXPECT_NE(data[1], self->secret);
}

TEST_F(dma, device_does_not_write_guest_memory)
{
	u64 data[2] = { GUESS, GUESS };

	if (!adv_info()->edu)
		SKIP(return, NO_EDU);

	adv_dma_write(self->pa, data, sizeof(data));
	EXPECT_EQ(secret_vm_check(self->svm), 0);
	if (self->svm->guest_sees[SECRET_PAGE] == GUESS)
		XFAIL(return, UNFILTERED);
	EXPECT_EQ(self->svm->guest_sees[SECRET_PAGE], self->secret);
}

TEST_F(dma, device_does_not_read_el2s_memory)
{
	struct adv_target target;
	u64 data[64] = {}, any = 0;
	int i;

	if (!adv_info()->edu)
		SKIP(return, NO_EDU);

	adv_find_target("rodata", ADV_CPU_ANY, &target);
	adv_dma_read(target.pa, data, sizeof(data));
	for (i = 0; i < ARRAY_SIZE(data); i++)
		any |= data[i];
	if (any)
		XFAIL(return, UNFILTERED);
}

/* The table of devices is where the ITS puts what the command MAPD says. */
TEST_F(dma, its_does_not_write_guest_memory)
{
	u64 cmd[4], itt;

	if (!adv_info()->its)
		SKIP(return, "no ITS");

	itt = adv_page_alloc(0, NULL);
	adv_its_mapd(cmd, 1, itt);
	adv_its(self->pa, 0, cmd, 1, NULL);
	EXPECT_EQ(adv_page_free(itt), 0);
	EXPECT_EQ(secret_vm_check(self->svm), 0);
	if (self->svm->guest_sees[SECRET_PAGE] != self->secret)
		XFAIL(return, UNFILTERED);
}

/*
 * A redistributor keeps a bit for each LPI that is pending, in a table of 64K
 * alignment whose address the host programs.  The bits of what is not pending
 * it reads.
 */
TEST_F(dma, redistributor_does_not_write_guest_memory)
{
	struct secret_vm *svm;
	u64 pa, secret;

	if (!adv_info()->its)
		SKIP(return, "no ITS");

	svm = secret_vm_create(true, SECRET_THP);
	secret_vm_start(svm);
	secret = secret_vm_secret(svm);
	pa = adv_virt_to_phys(secret_vm_page(svm, SECRET_PAGE));
	if (pa % SZ_64K) {
		secret_vm_free(svm);
		SKIP(return, "no huge page");
	}

	/* LPIs begin at 8192, which is a word of the secret: a bit of it that is not set */
	ASSERT_NE(~secret, 0);
	adv_gicr_pend(pa, 8192 + __builtin_ctzll(~secret));
	EXPECT_EQ(secret_vm_check(svm), 0);
	if (svm->guest_sees[SECRET_PAGE] != secret) {
		EXPECT_EQ(svm->guest_sees[SECRET_PAGE], secret | (~secret & -~secret));
		secret_vm_free(svm);
		XFAIL(return, UNFILTERED);
	}
	secret_vm_free(svm);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE_ADVERSARY();

	return test_harness_run(argc, argv);
}
