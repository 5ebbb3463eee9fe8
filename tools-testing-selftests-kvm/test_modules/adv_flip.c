// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: memory that changes while EL2 reads it
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/sched.h>

#include "adv.h"

/* Pairs of stores between two looks at whether to stop */
#define ADV_FLIP_BATCH		1000

struct adv_flipper {
	struct task_struct *task;
	struct completion started;
	const struct adv_file *owner;
	void *va;
	u64 val[2];
	const void *code;
	bool mapped;
	u64 count;
	u64 nr_faults;
	struct adv_fault fault;
};

static struct adv_flipper adv_flippers[ADV_MAX_FLIPS];
static DEFINE_MUTEX(adv_flip_lock);

static const void *adv_flip_code(u32 size)
{
	switch (size) {
	case 1:
		return adv_op_flip8;
	case 2:
		return adv_op_flip16;
	case 4:
		return adv_op_flip32;
	case 8:
		return adv_op_flip64;
	default:
		return NULL;
	}
}

static int adv_flip_thread(void *data)
{
	struct adv_flipper *flipper = data;

	while (!kthread_should_stop()) {
		struct adv_regs regs = {
			.x = {
				(u64)flipper->va, flipper->val[0], flipper->val[1], ADV_FLIP_BATCH,
			},
		};
		unsigned long flags;

		/* An interrupt may end it earlier, which is fine. */
		local_irq_save(flags);
		adv_guard(&regs, flipper->code, true);
		local_irq_restore(flags);

		flipper->count += 2 * (ADV_FLIP_BATCH - regs.x[3]);
		if (regs.fault.vector && regs.fault.vector != ADV_IRQ && !flipper->nr_faults++)
			flipper->fault = regs.fault;
		complete_all(&flipper->started);
		cond_resched();
	}

	return 0;
}

static int __adv_flip_start(struct adv_file *file, struct adv_flip *flip, u32 id)
{
	struct adv_flipper *flipper = &adv_flippers[id];
	struct task_struct *task;

	*flipper = (struct adv_flipper) {
		.owner	= file,
		.val	= { flip->val[0], flip->val[1] },
		.code	= adv_flip_code(flip->size),
		.mapped	= !(flip->attr & ADV_VA),
	};
	flipper->va = flipper->mapped ? adv_slot_map(id, flip->addr, flip->attr) :
					(void *)flip->addr;

	if (flip->cpu == ADV_CPU_ANY)
		task = kthread_create(adv_flip_thread, flipper, "adv_flip");
	else
		task = kthread_create_on_cpu(adv_flip_thread, flipper, flip->cpu, "adv_flip/%u");
	if (IS_ERR(task)) {
		if (flipper->mapped)
			adv_slot_unmap(id);
		return PTR_ERR(task);
	}
	flipper->task = task;
	init_completion(&flipper->started);
	wake_up_process(task);
	wait_for_completion(&flipper->started);
	flip->id = id;

	return 0;
}

int adv_flip_start(struct adv_file *file, struct adv_flip *flip)
{
	int id, ret;

	if (!adv_flip_code(flip->size) || flip->addr % flip->size)
		return -EINVAL;
	/* There is no user space in a kernel thread. */
	if ((flip->attr & ADV_VA) && !(flip->addr >> 63))
		return -EINVAL;
	ret = adv_check_addr(flip->addr, flip->size, flip->attr, flip->cpu);
	if (ret)
		return ret;
	if (flip->cpu != ADV_CPU_ANY &&
	    (flip->cpu < 0 || flip->cpu >= nr_cpu_ids || !cpu_online(flip->cpu)))
		return -ENODEV;

	mutex_lock(&adv_flip_lock);
	ret = -EBUSY;
	for (id = 0; id < ADV_MAX_FLIPS; id++) {
		if (!adv_flippers[id].task) {
			ret = __adv_flip_start(file, flip, id);
			break;
		}
	}
	mutex_unlock(&adv_flip_lock);

	return ret;
}

static void __adv_flip_stop(u32 id)
{
	struct adv_flipper *flipper = &adv_flippers[id];

	kthread_stop(flipper->task);
	flipper->task = NULL;
	if (flipper->mapped)
		adv_slot_unmap(id);
}

int adv_flip_stop(struct adv_file *file, struct adv_flip *flip)
{
	struct adv_flipper *flipper;
	int ret = -EINVAL;

	if (flip->id >= ADV_MAX_FLIPS)
		return -EINVAL;

	mutex_lock(&adv_flip_lock);
	flipper = &adv_flippers[flip->id];
	if (flipper->task && flipper->owner == file) {
		__adv_flip_stop(flip->id);
		flip->count = flipper->count;
		flip->nr_faults = flipper->nr_faults;
		flip->fault = flipper->fault;
		ret = 0;
	}
	mutex_unlock(&adv_flip_lock);

	return ret;
}

void adv_flip_release(struct adv_file *file)
{
	u32 id;

	mutex_lock(&adv_flip_lock);
	for (id = 0; id < ADV_MAX_FLIPS; id++) {
		if (adv_flippers[id].task && adv_flippers[id].owner == file)
			__adv_flip_stop(id);
	}
	mutex_unlock(&adv_flip_lock);
}
