// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of SMCs; el3-log.h says how it is read. It lies in memory that the host can write: all
 * that the monitor needs of it is kept here, and the ring is only ever written.
 */
#include "el3.h"
#include "el3-log.h"

static struct el3_log *ring;
static u64 count, next;
static u32 flags[MAX_CPUS];	/* of the call that each CPU is in */
static struct lock log_lock;

void log_init(u64 base, u64 size, u32 ncpus)
{
	struct el3_log *log = (void *)base;
	u32 boots = 0;

	if (base & 63 || size < sizeof(*log) + sizeof(log->entries[0]))
		return;
	count = (size - sizeof(*log)) / sizeof(log->entries[0]);
	/* After a warm reset what was logged before it is of interest. */
	if (log->magic == EL3_LOG_MAGIC && log->version == EL3_LOG_VERSION && log->size == size) {
		next = log->next;
		boots = log->boots;
	}
	*log = (struct el3_log) {
		.version = EL3_LOG_VERSION,
		.entry_size = sizeof(log->entries[0]),
		.size = size,
		.count = count,
		.next = next,
		.cpus = ncpus,
		.boots = boots + 1,
	};
	__atomic_store_n(&log->magic, EL3_LOG_MAGIC, __ATOMIC_RELEASE);
	clean_to_poc(log, sizeof(*log));
	ring = log;
}

/* Of x18 to x30 of all calls; EL3_TEST_REGISTERS takes it. */
static u64 registers;

u64 log_take_registers(void)
{
	return __atomic_exchange_n(&registers, 0, __ATOMIC_RELAXED);
}

u64 log_call(const struct regs *r, u32 esr)
{
	struct el3_log_entry *e;
	u64 n;

	if (!ring)
		return 0;
	lock(&log_lock);
	for (int i = 18; i < 31; i++)
		registers |= r->x[i];
	n = next++;
	e = &ring->entries[n % count];
	__atomic_store_n(&e->seq, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	flags[this_cpu()] = (r->spsr >> 2 & 3) | (read_sysreg(scr_el3) & 1 ? EL3_LOG_NS : 0) |
			    (mem_protect ? EL3_LOG_MEM_PROTECT : 0) | (esr & 0xffff) << 16;
	e->cpu = this_cpu();
	e->flags = flags[this_cpu()];
	for (int i = 0; i < 8; i++)
		e->x[i] = r->x[i];
	for (int i = 0; i < 4; i++)
		e->out[i] = 0;
	e->cntpct = read_sysreg(cntpct_el0);
	e->pc = r->elr;
	__atomic_store_n(&e->seq, n + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&ring->next, next, __ATOMIC_RELEASE);
	clean_to_poc(e, sizeof(*e));
	clean_to_poc(&ring->next, sizeof(ring->next));
	unlock(&log_lock);
	return n;
}

void log_return(u64 n, const struct regs *r)
{
	struct el3_log_entry *e;

	if (!ring)
		return;
	lock(&log_lock);
	if (next - n <= count) {		/* not overwritten meanwhile */
		e = &ring->entries[n % count];
		for (int i = 0; i < 4; i++)
			e->out[i] = r->x[i];
		__atomic_store_n(&e->flags, flags[this_cpu()] | EL3_LOG_RETURNED, __ATOMIC_RELEASE);
		clean_to_poc(e, sizeof(*e));
	}
	unlock(&log_lock);
}
