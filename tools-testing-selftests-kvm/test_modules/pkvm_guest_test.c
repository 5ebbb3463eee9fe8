// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_guest_test - What a Linux guest that is protected shares with its host.
 *
 * For the guest, not the host: it says in the guest's log, a line each, what
 * holds of the kernel's ways to share memory, and can be removed again.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/arm-smccc.h>
#include <linux/dma-mapping.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/set_memory.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/vmalloc.h>

#define PATTERN		0x5a
/* Of no device that there is */
#define VIRTIO_ID	0xfff0

static bool page_is(const u8 *page, u8 val)
{
	return !memchr_inv(page, val, PAGE_SIZE);
}

/* For the hypervisor, pages may be smaller. */
static long memory_call(u32 func, void *page)
{
	struct arm_smccc_res res;
	size_t granule, done;

	arm_smccc_1_1_invoke(ARM_SMCCC_VENDOR_HYP_KVM_HYP_MEMINFO_FUNC_ID, 0, 0, 0, &res);
	granule = res.a0;
	for (done = 0; done < PAGE_SIZE; done += granule) {
		arm_smccc_1_1_invoke(func, virt_to_phys(page) + done, 0, 0, &res);
		if (res.a0)
			break;
	}

	return res.a0;
}

/*
 * Each test has a page, filled with PATTERN, and is to leave it private.
 *
 * Secrets that were in there are not for the host.  (When it happens can't be seen
 * from here.)
 */
static bool shared_page_is_cleared(u8 *page)
{
	bool ok;

	if (set_memory_decrypted((unsigned long)page, 1))
		return false;
	ok = page_is(page, 0);
	memset(page, PATTERN, PAGE_SIZE);
	ok = ok && page_is(page, PATTERN);

	return !set_memory_encrypted((unsigned long)page, 1) && ok;
}

/* It warns of that, too. */
static bool part_of_a_page_is_not_shared(u8 *page)
{
	return set_memory_decrypted((unsigned long)page + 64, 1) < 0 &&
	       set_memory_encrypted((unsigned long)page + 64, 1) < 0 &&
	       page_is(page, PATTERN) &&
	       memory_call(ARM_SMCCC_VENDOR_HYP_KVM_MEM_UNSHARE_FUNC_ID, page);
}

/* Its pages are anywhere in memory. */
static bool memory_out_of_the_linear_map_is_not_shared(u8 *page)
{
	struct page *pages[] = { virt_to_page(page) };
	void *mem = vmap(pages, 1, VM_MAP, PAGE_KERNEL);
	bool ok;

	if (!mem)
		return false;

	ok = set_memory_decrypted((unsigned long)mem, 1) < 0 && page_is(page, PATTERN);
	vunmap(mem);

	return ok;
}

static bool page_that_cannot_be_shared_is_an_error(u8 *page)
{
	/* It is shared already: the hypervisor refuses to share it once more. */
	return !memory_call(ARM_SMCCC_VENDOR_HYP_KVM_MEM_SHARE_FUNC_ID, page) &&
	       set_memory_decrypted((unsigned long)page, 1) < 0 &&
	       !set_memory_encrypted((unsigned long)page, 1) &&
	       set_memory_encrypted((unsigned long)page, 1) < 0;
}

/* Of this test's, set_memory_decrypted() returns at once, with an error. */
static struct task_struct *refused;

static int refuse(struct kprobe *p, struct pt_regs *regs)
{
	if (current != refused)
		return 0;

	regs->regs[0] = -EPERM;
	instruction_pointer_set(regs, regs->regs[30]);

	return 1;
}
NOKPROBE_SYMBOL(refuse);

static struct kprobe refusal = {
	.symbol_name = "set_memory_decrypted",
	.pre_handler = refuse,
};

static bool dma_of_memory_that_cannot_be_shared_fails(u8 *page)
{
	struct platform_device *pdev;
	dma_addr_t dma;
	bool ok = false;
	void *mem;

	pdev = platform_device_register_simple(KBUILD_MODNAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(pdev))
		return false;
	if (dma_coerce_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64)))
		goto out;

	refused = current;
	if (register_kprobe(&refusal))
		goto out;
	mem = dma_alloc_coherent(&pdev->dev, PAGE_SIZE, &dma, GFP_KERNEL);
	unregister_kprobe(&refusal);
	ok = !mem;
	if (mem)
		dma_free_coherent(&pdev->dev, PAGE_SIZE, mem, dma);

	/* The device is none the worse for it. */
	mem = dma_alloc_coherent(&pdev->dev, PAGE_SIZE, &dma, GFP_KERNEL);
	ok = ok && mem;
	if (mem)
		dma_free_coherent(&pdev->dev, PAGE_SIZE, mem, dma);
out:
	platform_device_unregister(pdev);

	return ok;
}

/* A device that says no more than that it is one */
static u64 features;
static bool probed;

static u64 fake_get_features(struct virtio_device *vdev)
{
	return features;
}

static int fake_finalize_features(struct virtio_device *vdev)
{
	return 0;
}

static u8 fake_status;

static u8 fake_get_status(struct virtio_device *vdev)
{
	return fake_status;
}

static void fake_set_status(struct virtio_device *vdev, u8 status)
{
	fake_status = status;
}

static void fake_reset(struct virtio_device *vdev)
{
	fake_status = 0;
}

static void fake_del_vqs(struct virtio_device *vdev)
{
}

static const struct virtio_config_ops fake_config = {
	.get_features		= fake_get_features,
	.finalize_features	= fake_finalize_features,
	.get_status		= fake_get_status,
	.set_status		= fake_set_status,
	.reset			= fake_reset,
	.del_vqs		= fake_del_vqs,
};

static void fake_release(struct device *dev)
{
	kfree(dev_to_virtio(dev));
}

static int fake_probe(struct virtio_device *vdev)
{
	probed = true;

	return 0;
}

static void fake_remove(struct virtio_device *vdev)
{
	virtio_reset_device(vdev);
}

static const struct virtio_device_id fake_ids[] = {
	{ VIRTIO_ID, VIRTIO_DEV_ANY_ID },
	{},
};

static struct virtio_driver fake_driver = {
	.driver.name	= KBUILD_MODNAME,
	.id_table	= fake_ids,
	.probe		= fake_probe,
	.remove		= fake_remove,
};

/* Or an error, where it can't be told */
static int device_is_probed(u64 with_features)
{
	struct virtio_device *vdev = kzalloc(sizeof(*vdev), GFP_KERNEL);

	if (!vdev)
		return -ENOMEM;
	features = with_features;
	probed = false;
	vdev->id.device = VIRTIO_ID;
	vdev->config = &fake_config;
	vdev->dev.release = fake_release;
	if (register_virtio_device(vdev)) {
		put_device(&vdev->dev);
		return -ENODEV;
	}
	unregister_virtio_device(vdev);

	return probed;
}

/* It would look for private memory where the guest has it. */
static bool virtio_device_that_bypasses_dma_is_refused(u8 *page)
{
	const u64 version = BIT_ULL(VIRTIO_F_VERSION_1);
	bool ok;

	if (register_virtio_driver(&fake_driver))
		return false;
	ok = device_is_probed(version | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM)) == 1;
	ok = ok && device_is_probed(version) == 0;
	ok = ok && device_is_probed(BIT_ULL(VIRTIO_F_ACCESS_PLATFORM)) == 0;
	ok = ok && device_is_probed(0) == 0;
	unregister_virtio_driver(&fake_driver);

	return ok;
}

#define TEST(fn)	{ #fn, fn }

static const struct {
	const char *name;
	bool (*fn)(u8 *page);
} tests[] = {
	TEST(shared_page_is_cleared),
	TEST(part_of_a_page_is_not_shared),
	TEST(memory_out_of_the_linear_map_is_not_shared),
	TEST(page_that_cannot_be_shared_is_an_error),
	TEST(dma_of_memory_that_cannot_be_shared_fails),
	TEST(virtio_device_that_bypasses_dma_is_refused),
};

static int __init pkvm_guest_test_init(void)
{
	int i, passed = 0;
	u8 *page;
	bool ok;

	if (!kvm_arm_hyp_service_available(ARM_SMCCC_KVM_FUNC_MEM_SHARE)) {
		pr_err("this is no protected guest\n");
		return -ENODEV;
	}

	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		page = (u8 *)__get_free_page(GFP_KERNEL);
		if (!page)
			return -ENOMEM;
		memset(page, PATTERN, PAGE_SIZE);
		ok = tests[i].fn(page);
		/* After a failure it may be shared, and nobody else's any more. */
		if (ok)
			free_page((unsigned long)page);
		passed += ok;
		pr_info("%sok %d %s\n", ok ? "" : "not ", i + 1, tests[i].name);
	}
	pr_info("%d of %zu passed\n", passed, ARRAY_SIZE(tests));

	return 0;
}
module_init(pkvm_guest_test_init);

static void __exit pkvm_guest_test_exit(void)
{
}
module_exit(pkvm_guest_test_exit);

MODULE_DESCRIPTION("Test of what a protected guest shares");
MODULE_LICENSE("GPL");
