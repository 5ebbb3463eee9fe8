// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: what is where
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <asm/kvm_asm.h>
#include <asm/memory.h>

#include "adv.h"

#define ADV_SCAN_MAX		65536

static struct adv_target *adv_targets;
static unsigned int adv_nr_targets;
static bool adv_percpu_done;
static DEFINE_MUTEX(adv_target_lock);
static int (*adv_walk_ram)(unsigned long pfn, unsigned long nr, void *data,
			   int (*func)(unsigned long pfn, unsigned long nr, void *data));

int adv_sym(struct adv_sym *sym)
{
	sym->name[sizeof(sym->name) - 1] = '\0';
	sym->va = (u64)adv_symbol(sym->name);
	if (!sym->va)
		return -ENOENT;
	sym->pa = adv_va_to_pa((void *)sym->va);

	return 0;
}

static void adv_add_target(const char *name, int cpu, phys_addr_t start, phys_addr_t end, u32 host)
{
	struct adv_target *target = &adv_targets[adv_nr_targets];

	if (start >= end)
		return;

	target->cpu = cpu;
	strscpy_pad(target->name, name);
	target->pa = ALIGN_DOWN(start, PAGE_SIZE);
	target->size = PAGE_ALIGN(end) - target->pa;
	target->host = host;
	target->index = adv_nr_targets++;
}

static int adv_add_section(const char *name, const char *start_name, const char *end_name, u32 host)
{
	void *start = adv_symbol(start_name), *end = adv_symbol(end_name);

	if (!start || !end) {
		pr_err("no symbols %s, %s\n", start_name, end_name);
		return -ENOENT;
	}
	adv_add_target(name, ADV_CPU_ANY, adv_va_to_pa(start),
		       adv_va_to_pa(end - 1) + 1, host);

	return 0;
}

static int adv_add_sections(void)
{
	phys_addr_t *mem_base = adv_symbol("hyp_mem_base"), *mem_size = adv_symbol("hyp_mem_size");
	unsigned long __percpu *stack = adv_symbol("kvm_arm_hyp_stack_base");
	int cpu, ret;

	ret = adv_add_section("text", "__hyp_text_start", "__hyp_text_end", ADV_HOST_READ) ?:
	      adv_add_section("idmap", "__hyp_idmap_text_start", "__hyp_idmap_text_end",
			      ADV_HOST_READ) ?:
	      adv_add_section("rodata", "__hyp_rodata_start", "__hyp_rodata_end", ADV_HOST_NONE) ?:
	      adv_add_section("data", "__hyp_data_start", "__hyp_data_end", ADV_HOST_NONE) ?:
	      adv_add_section("bss", "__hyp_bss_start", "__hyp_bss_end", ADV_HOST_NONE);
	if (ret)
		return ret;

	if (!mem_base || !mem_size || !stack) {
		pr_err("no symbols hyp_mem_base, hyp_mem_size, kvm_arm_hyp_stack_base\n");
		return -ENOENT;
	}
	adv_add_target("memory", ADV_CPU_ANY, *mem_base, *mem_base + *mem_size, ADV_HOST_NONE);
	for_each_possible_cpu(cpu) {
		unsigned long base = *per_cpu_ptr(stack, cpu);

		if (base)
			adv_add_target("stack", cpu, __pa(base), __pa(base) + NVHE_STACK_SIZE,
				       ADV_HOST_NONE);
	}

	return 0;
}

/*
 * Through the linear map, which takes far less time than a mapping of our own.
 * That is for what the linear map does not have.
 */
static bool adv_pfn_is_denied(unsigned long pfn)
{
	struct adv_mem mem = {
		.addr	= (u64)pfn_to_kaddr(pfn),
		.op	= ADV_READ8,
		.attr	= ADV_VA,
		.cpu	= ADV_CPU_ANY,
	};

	if (!adv_mem(&mem) && mem.fault.vector && !adv_denied(&mem.fault)) {
		mem.addr = PFN_PHYS(pfn);
		mem.attr = ADV_NORMAL;
		adv_mem(&mem);
	}

	return adv_denied(&mem.fault);
}

struct adv_scan_state {
	struct adv_pages *pages;
	u32 max;
	u32 nr;
	u64 total;
	u64 next;
};

static int adv_scan_ram(unsigned long pfn, unsigned long nr, void *data)
{
	struct adv_scan_state *s = data;

	for (; nr; pfn++, nr--) {
		cond_resched();
		if (!adv_pfn_is_denied(pfn))
			continue;

		s->total++;
		if (s->nr && s->next == pfn)
			s->pages[s->nr - 1].nr_pages++;
		else if (s->nr < s->max)
			s->pages[s->nr++] = (struct adv_pages){ PFN_PHYS(pfn), 1 };
		else
			continue;
		s->next = pfn + 1;
	}

	return 0;
}

int adv_scan(struct adv_scan *scan)
{
	struct adv_scan_state s = { .max = scan->max };
	int ret = 0;

	if (!scan->max || scan->max > ADV_SCAN_MAX)
		return -EINVAL;

	s.pages = kvcalloc(scan->max, sizeof(*s.pages), GFP_KERNEL);
	if (!s.pages)
		return -ENOMEM;

	adv_walk_ram(0, PHYS_PFN(PHYS_MASK), &s, adv_scan_ram);
	scan->nr = s.nr;
	scan->total = s.total;
	if (copy_to_user(u64_to_user_ptr(scan->pages), s.pages, s.nr * sizeof(*s.pages)))
		ret = -EFAULT;

	kvfree(s.pages);
	return ret;
}

static bool adv_is_known(phys_addr_t pa)
{
	unsigned int i;

	for (i = 0; i < adv_nr_targets; i++) {
		if (pa >= adv_targets[i].pa && pa - adv_targets[i].pa < adv_targets[i].size)
			return true;
	}

	return false;
}

struct adv_percpu_search {
	unsigned int nr_pages;	/* of the data of a CPU */
	unsigned int order;	/* of its allocation */
	unsigned int nr;
	unsigned long pfns[NR_CPUS];
};

/* All of the data is denied and, as EL2 was given no more, nothing of the rest is. */
static bool adv_pfn_is_percpu(struct adv_percpu_search *s, unsigned long pfn)
{
	unsigned int i;

	if (adv_is_known(PFN_PHYS(pfn)))
		return false;
	for (i = 0; i < 1u << s->order; i++) {
		bool data = i < s->nr_pages;

		if (adv_pfn_is_denied(pfn + i) != data)
			return false;
	}

	return true;
}

static int adv_search_ram(unsigned long start, unsigned long nr, void *data)
{
	struct adv_percpu_search *s = data;
	unsigned long pfn;

	for (pfn = ALIGN(start, 1ul << s->order); pfn + (1ul << s->order) <= start + nr;
	     pfn += 1ul << s->order) {
		cond_resched();
		if (!adv_pfn_is_percpu(s, pfn))
			continue;
		if (s->nr == num_possible_cpus())
			return -E2BIG;
		s->pfns[s->nr++] = pfn;
	}

	return 0;
}

/*
 * The host has handed over the addresses of EL2's per-CPU data together with the
 * data, and does not know them any more.
 */
static int adv_add_percpu(void)
{
	unsigned long size = (char *)adv_symbol("__kvm_nvhe___per_cpu_end") -
			     (char *)adv_symbol("__kvm_nvhe___per_cpu_start");
	struct adv_percpu_search *s;
	int i, ret;

	if (!size)
		return 0;
	s = kvzalloc_obj(*s);
	if (!s)
		return -ENOMEM;
	s->nr_pages = DIV_ROUND_UP(size, PAGE_SIZE);
	s->order = get_order(size);

	ret = adv_walk_ram(0, PHYS_PFN(PHYS_MASK), s, adv_search_ram);
	if (ret || s->nr != num_possible_cpus()) {
		pr_warn("can't tell EL2's per-CPU data from other memory that EL2 or VMs have\n");
		ret = -EAGAIN;
	} else {
		for (i = 0; i < s->nr; i++)
			adv_add_target("percpu", i, PFN_PHYS(s->pfns[i]),
				       PFN_PHYS(s->pfns[i] + s->nr_pages), ADV_HOST_NONE);
	}

	kvfree(s);
	return ret;
}

int adv_target(struct adv_target *target)
{
	int ret = 0;

	mutex_lock(&adv_target_lock);
	if (adv_protected() && !adv_percpu_done) {
		ret = adv_add_percpu();
		adv_percpu_done = !ret;
	}
	/* If it failed: next time, with less around, it may be possible. */
	if (!ret && target->index < adv_nr_targets)
		*target = adv_targets[target->index];
	else if (!ret)
		ret = -ENOENT;
	mutex_unlock(&adv_target_lock);

	return ret;
}

int adv_target_init(void)
{
	int ret;

	adv_walk_ram = adv_symbol("walk_system_ram_range");
	if (!adv_walk_ram) {
		pr_err("no symbol walk_system_ram_range\n");
		return -ENOENT;
	}

	adv_targets = kvcalloc(6 + 2 * num_possible_cpus(), sizeof(*adv_targets), GFP_KERNEL);
	if (!adv_targets)
		return -ENOMEM;
	ret = adv_protected() ? adv_add_sections() : 0;
	if (ret)
		kvfree(adv_targets);

	return ret;
}

void adv_target_exit(void)
{
	kvfree(adv_targets);
}
