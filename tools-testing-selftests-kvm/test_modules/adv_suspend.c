// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_adversary: calls from which a CPU comes back at another place
 *
 * A firmware call that suspends names the address where the CPU goes on, with
 * all of its registers lost.  The kernel has what survives that: cpu_suspend()
 * saves the state, cpu_resume() is where it is restored.
 */
#include <linux/errno.h>
#include <linux/irqflags.h>

#include "adv.h"

static int (*adv_cpu_suspend)(unsigned long arg, int (*fn)(unsigned long));

static int adv_suspend_finish(unsigned long arg)
{
	adv_call_on_cpu((struct adv_call *)arg);

	/* It came back as other calls do. */
	return 1;
}

static void adv_suspend_on_cpu(void *data)
{
	struct adv_suspend *suspend = data;

	suspend->resumed = !adv_cpu_suspend((unsigned long)&suspend->call, adv_suspend_finish);
}

int adv_suspend(struct adv_suspend *suspend)
{
	int ret = adv_check_call(&suspend->call);

	if (ret)
		return ret;
	if (suspend->pad)
		return -EINVAL;
	adv_cpu_suspend = adv_symbol("cpu_suspend");
	if (!adv_cpu_suspend)
		return -EOPNOTSUPP;

	return adv_on_cpu(suspend->call.cpu, adv_suspend_on_cpu, suspend);
}
