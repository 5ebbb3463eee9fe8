// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: many calls, one after the other or at once
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "adv.h"

int adv_batch(struct adv_batch *batch)
{
	struct adv_call __user *ucalls = u64_to_user_ptr(batch->calls);
	struct adv_call call;
	int ret;

	if (batch->nr > ADV_MAX_BATCH)
		return -EINVAL;

	for (batch->done = 0; batch->done < batch->nr; batch->done++) {
		if (copy_from_user(&call, &ucalls[batch->done], sizeof(call)))
			return -EFAULT;
		ret = adv_call(&call);
		if (ret)
			return ret;
		if (copy_to_user(&ucalls[batch->done], &call, sizeof(call)))
			return -EFAULT;
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	}

	return 0;
}

/* The threads start their calls together, and the last one to end says so. */
struct adv_race {
	atomic_t nr_waiting;
	atomic_t nr_running;
	struct completion done;
	bool stop;
};

struct adv_racer {
	struct adv_race *race;
	struct adv_loop_thread *arg;
};

static void adv_histogram_add(struct adv_loop_thread *arg, u64 value)
{
	u32 i;

	for (i = 0; i < arg->nr_values; i++) {
		if (arg->values[i].value == value) {
			arg->values[i].count++;
			return;
		}
	}

	if (arg->nr_values == ARRAY_SIZE(arg->values)) {
		arg->nr_unlisted++;
		return;
	}
	arg->values[arg->nr_values++] = (struct adv_value){ value, 1 };
}

static void adv_loop(struct adv_racer *racer)
{
	struct adv_loop_thread *arg = racer->arg;
	struct adv_call call;
	u64 i;

	for (i = 0; i < arg->iterations && !READ_ONCE(racer->race->stop); i++) {
		call = arg->call;
		call.cpu = ADV_CPU_ANY;
		if (arg->step_count)
			call.x[arg->step_reg] += (i % arg->step_count) * arg->step;
		adv_call(&call);

		arg->done++;
		if (call.fault.vector) {
			if (!arg->nr_faults++)
				arg->call.fault = call.fault;
		} else {
			adv_histogram_add(arg, call.x[arg->reg]);
		}
		cond_resched();
	}
}

static int adv_loop_thread(void *data)
{
	struct adv_racer *racer = data;
	struct adv_race *race = racer->race;

	atomic_dec(&race->nr_waiting);
	while (atomic_read(&race->nr_waiting) && !READ_ONCE(race->stop))
		cond_resched();

	adv_loop(racer);
	if (atomic_dec_and_test(&race->nr_running))
		complete(&race->done);

	return 0;
}

static int adv_check_loop_thread(struct adv_loop_thread *arg)
{
	struct adv_call *call = &arg->call;

	if (arg->reg >= ADV_NR_XREGS || arg->step_reg >= ADV_NR_XREGS ||
	    arg->iterations > ADV_MAX_ITERATIONS)
		return -EINVAL;
	if (call->cpu != ADV_CPU_ANY &&
	    (call->cpu < 0 || call->cpu >= nr_cpu_ids || !cpu_online(call->cpu)))
		return -ENODEV;

	arg->done = 0;
	arg->nr_faults = 0;
	arg->nr_unlisted = 0;
	arg->nr_values = 0;
	memset(arg->values, 0, sizeof(arg->values));
	memset(&call->fault, 0, sizeof(call->fault));

	return adv_check_call(call);
}

static struct task_struct *adv_create_racer(struct adv_racer *racer)
{
	int cpu = racer->arg->call.cpu;

	if (cpu == ADV_CPU_ANY)
		return kthread_create(adv_loop_thread, racer, "adv_loop");

	return kthread_create_on_cpu(adv_loop_thread, racer, cpu, "adv_loop/%u");
}

static int adv_run_race(struct adv_loop_thread *args, u32 nr)
{
	struct task_struct *tasks[ADV_MAX_THREADS];
	struct adv_racer racers[ADV_MAX_THREADS];
	struct adv_race race = {
		.nr_waiting	= ATOMIC_INIT(nr),
		.nr_running	= ATOMIC_INIT(nr),
		.done		= COMPLETION_INITIALIZER_ONSTACK(race.done),
	};
	u32 i;
	int ret;

	for (i = 0; i < nr; i++) {
		racers[i] = (struct adv_racer){ &race, &args[i] };
		tasks[i] = adv_create_racer(&racers[i]);
		if (IS_ERR(tasks[i])) {
			ret = PTR_ERR(tasks[i]);
			while (i--)
				kthread_stop(tasks[i]);
			return ret;
		}
		get_task_struct(tasks[i]);
	}
	for (i = 0; i < nr; i++)
		wake_up_process(tasks[i]);

	ret = wait_for_completion_killable(&race.done);
	WRITE_ONCE(race.stop, true);
	for (i = 0; i < nr; i++) {
		kthread_stop(tasks[i]);
		put_task_struct(tasks[i]);
	}

	return ret;
}

int adv_race(struct adv_loop *loop)
{
	struct adv_loop_thread *args;
	u32 i;
	int ret = 0;

	if (!loop->nr || loop->nr > ADV_MAX_THREADS)
		return -EINVAL;

	args = memdup_array_user(u64_to_user_ptr(loop->threads), loop->nr, sizeof(*args));
	if (IS_ERR(args))
		return PTR_ERR(args);

	for (i = 0; !ret && i < loop->nr; i++)
		ret = adv_check_loop_thread(&args[i]);
	if (!ret)
		ret = adv_run_race(args, loop->nr);
	if (!ret && copy_to_user(u64_to_user_ptr(loop->threads), args, loop->nr * sizeof(*args)))
		ret = -EFAULT;

	kfree(args);
	return ret;
}
