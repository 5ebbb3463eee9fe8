// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of an EL3 test monitor, see pkvm_el3.h.
 */
#include <endian.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/mman.h>

#include "kvm_util.h"
#include "pkvm_adversary.h"
#include "pkvm_el3.h"
#include "test_util.h"

#define RESERVED_MEMORY		"/sys/firmware/devicetree/base/reserved-memory"

static const struct el3_log *el3_log;
static u64 el3_pa;

static bool read_property(const char *path, void *buf, size_t len)
{
	int fd = open(path, O_RDONLY);
	bool ret;

	if (fd < 0)
		return false;
	ret = read(fd, buf, len) == (ssize_t)len;
	close(fd);

	return ret;
}

/* With two cells for each of address and size, as the monitor's device tree has it */
static bool find_log(u64 *pa, u64 *size)
{
	char compatible[sizeof(EL3_LOG_COMPATIBLE)] = "", path[256];
	bool found = false;
	glob_t nodes;
	u64 reg[2];
	size_t i;

	if (glob(RESERVED_MEMORY "/*/compatible", 0, NULL, &nodes))
		return false;
	for (i = 0; !found && i < nodes.gl_pathc; i++) {
		if (!read_property(nodes.gl_pathv[i], compatible, sizeof(compatible)) ||
		    memcmp(compatible, EL3_LOG_COMPATIBLE, sizeof(compatible)))
			continue;
		snprintf(path, sizeof(path), "%.*sreg",
			 (int)(strlen(nodes.gl_pathv[i]) - strlen("compatible")),
			 nodes.gl_pathv[i]);
		found = read_property(path, reg, sizeof(reg));
	}
	globfree(&nodes);
	if (found) {
		*pa = be64toh(reg[0]);
		*size = be64toh(reg[1]);
	}

	return found;
}

const char *__el3_open(void)
{
	const struct el3_log *log;
	u64 size;

	if (el3_log)
		return NULL;
	if (!find_log(&el3_pa, &size))
		return "the firmware is no test monitor";

	log = adv_mmap(el3_pa, size, PROT_READ, ADV_NORMAL);
	if (log->magic != EL3_LOG_MAGIC || log->version != EL3_LOG_VERSION ||
	    log->entry_size != sizeof(log->entries[0]) || log->size > size)
		return "it has another layout";
	el3_log = log;

	return NULL;
}

u64 el3_log_pa(void)
{
	return el3_pa;
}

u64 el3_log_mark(void)
{
	return __atomic_load_n(&el3_log->next, __ATOMIC_ACQUIRE);
}

bool el3_log_get(u64 n, struct el3_log_entry *entry)
{
	const struct el3_log_entry *e = &el3_log->entries[n % el3_log->count];

	if (n >= el3_log_mark())
		return false;

	memcpy(entry, e, sizeof(*entry));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	TEST_ASSERT(entry->seq == n + 1 && READ_ONCE(e->seq) == n + 1,
		    "Entry %lu of EL3's log is lost", n);

	return true;
}

u32 el3_log_count(u64 from, u32 fid)
{
	struct el3_log_entry entry;
	u32 count = 0;
	u64 n;

	el3_log_for_each(n, from, &entry)
		count += EL3_LOG_FID(&entry) == fid;

	return count;
}

bool el3_log_find(u64 from, u32 fid, struct el3_log_entry *entry)
{
	u64 n;

	for (n = el3_log_mark(); n > from; n--) {
		if (el3_log_get(n - 1, entry) && EL3_LOG_FID(entry) == fid)
			return true;
	}

	return false;
}
