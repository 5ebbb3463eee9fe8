// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host kernel as an attacker of EL2, see pkvm_adversary.h.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/bitfield.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "kvm_util.h"
#include "pkvm_adversary.h"
#include "processor.h"
#include "test_util.h"

#define ADV_PATH		"/dev/" ADV_DEVICE_NAME
#define ADV_MODULE		ADV_DEVICE_NAME ".ko"

#define ESR_EC(esr)		FIELD_GET(GENMASK(31, 26), esr)
#define ESR_FSC(esr)		FIELD_GET(GENMASK(5, 0), esr)
#define ESR_S1PTW		BIT(7)

#define EC_UNKNOWN		0x00
#define EC_IABT_CUR		0x21
#define EC_DABT_CUR		0x25

static int adv_fd = -1;
static __thread struct adv_fault last_fault;

static int load_module(const char *dir)
{
	char path[PATH_MAX];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/" ADV_MODULE, dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? errno : 0;
	close(fd);

	/* Somebody else was faster */
	return ret == EEXIST ? 0 : ret;
}

/* Where the build and the installation put it, as seen from the test */
static int find_module(void)
{
	static const char * const dirs[] = { "/test_modules", "/../test_modules", "" };
	char exe[PATH_MAX / 2], dir[PATH_MAX], *slash;
	struct utsname uts;
	int i, ret = ENOENT;
	ssize_t len;

	if (getenv("PKVM_ADVERSARY_DIR"))
		return load_module(getenv("PKVM_ADVERSARY_DIR"));

	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (len > 0) {
		exe[len] = '\0';
		slash = strrchr(exe, '/');
		*slash = '\0';
		for (i = 0; i < ARRAY_SIZE(dirs) && ret == ENOENT; i++) {
			snprintf(dir, sizeof(dir), "%s%s", exe, dirs[i]);
			ret = load_module(dir);
		}
	}

	if (ret == ENOENT && !uname(&uts)) {
		snprintf(dir, sizeof(dir), "/lib/modules/%s/updates", uts.release);
		ret = load_module(dir);
	}

	return ret;
}

const char *__adv_open(void)
{
	static char why[128];
	int ret;

	if (adv_fd >= 0)
		return NULL;

	adv_fd = open(ADV_PATH, O_RDWR | O_CLOEXEC);
	if (adv_fd < 0 && (errno == ENOENT || errno == ENXIO)) {
		ret = find_module();
		if (ret) {
			snprintf(why, sizeof(why), ADV_MODULE " can't be loaded: %s%s",
				 strerror(ret), ret == ENOENT ? " (was it built?)" : "");
			return why;
		}
		adv_fd = open(ADV_PATH, O_RDWR | O_CLOEXEC);
	}
	if (adv_fd < 0) {
		snprintf(why, sizeof(why), ADV_PATH ": %s", strerror(errno));
		return why;
	}

	return NULL;
}

int __adv_ioctl(unsigned long cmd, void *arg)
{
	TEST_ASSERT(adv_fd >= 0, "Call __adv_open() first");

	return ioctl(adv_fd, cmd, arg) ? errno : 0;
}

const struct adv_info *adv_info(void)
{
	static struct adv_info info;

	if (!info.page_size)
		adv_ioctl(ADV_IOC_INFO, &info);

	return &info;
}

enum adv_fault_type adv_fault_type(const struct adv_fault *fault)
{
	switch (fault->vector) {
	case ADV_NO_FAULT:
		return ADV_OK;
	case ADV_SYNC:
		break;
	case ADV_SERROR:
		return ADV_FAULT_SERROR;
	case ADV_IRQ:
	case ADV_FIQ:
		return ADV_FAULT_INTERRUPT;
	default:
		return ADV_FAULT_OTHER;
	}

	switch (ESR_EC(fault->esr)) {
	case EC_UNKNOWN:
		return ADV_FAULT_UNDEF;
	case EC_IABT_CUR:
	case EC_DABT_CUR:
		break;
	default:
		return ADV_FAULT_OTHER;
	}

	/* EL2's mark on what it injects, see host_inject_mem_abort() */
	if (fault->esr & ESR_S1PTW)
		return ADV_FAULT_DENIED;

	switch (ESR_FSC(fault->esr)) {
	case 0x00 ... 0x03:
	case 0x29:
		return ADV_FAULT_ADDRESS_SIZE;
	case 0x04 ... 0x07:
		return ADV_FAULT_TRANSLATION;
	case 0x0c ... 0x0f:
		return ADV_FAULT_PERMISSION;
	case 0x10:
	case 0x14 ... 0x17:
		return ADV_FAULT_EXTERNAL;
	case 0x21:
		return ADV_FAULT_ALIGNMENT;
	default:
		return ADV_FAULT_ABORT;
	}
}

const char *adv_fault_name(int type)
{
	static const char * const names[] = {
		[ADV_OK]			= "no fault",
		[ADV_FAULT_DENIED]		= "denied by EL2",
		[ADV_FAULT_TRANSLATION]		= "translation fault",
		[ADV_FAULT_PERMISSION]		= "permission fault",
		[ADV_FAULT_ADDRESS_SIZE]	= "address size fault",
		[ADV_FAULT_EXTERNAL]		= "external abort",
		[ADV_FAULT_ALIGNMENT]		= "alignment fault",
		[ADV_FAULT_ABORT]		= "other abort",
		[ADV_FAULT_UNDEF]		= "undefined instruction",
		[ADV_FAULT_SERROR]		= "SError",
		[ADV_FAULT_INTERRUPT]		= "interrupt",
		[ADV_FAULT_OTHER]		= "other exception",
	};

	return type >= 0 && type < ARRAY_SIZE(names) ? names[type] : "?";
}

const struct adv_fault *adv_last_fault(void)
{
	return &last_fault;
}

static int set_fault(const struct adv_fault *fault)
{
	last_fault = *fault;
	return adv_fault_type(fault);
}

int adv_mem(enum adv_op op, u64 addr, u32 attr, int cpu, u64 in0, u64 in1, u64 *out)
{
	struct adv_mem mem = {
		.addr	= addr,
		.op	= op,
		.attr	= attr,
		.cpu	= cpu,
		.in	= { in0, in1 },
	};

	adv_ioctl(ADV_IOC_MEM, &mem);
	if (out) {
		out[0] = mem.out[0];
		if (op == ADV_LDP || op == ADV_EXEC ||
		    op == ADV_CAS || op == ADV_LDADD || op == ADV_LDXR_STXR)
			out[1] = mem.out[1];
	}

	return set_fault(&mem.fault);
}

static int adv_copy(u64 addr, u32 attr, const void *buf, size_t len, bool write)
{
	struct adv_copy copy = {
		.addr	= addr,
		.buf	= (u64)buf,
		.len	= len,
		.write	= write,
		.attr	= attr,
		.cpu	= ADV_CPU_ANY,
	};

	adv_ioctl(ADV_IOC_COPY, &copy);
	return set_fault(&copy.fault);
}

int adv_read(u64 addr, u32 attr, void *buf, size_t len)
{
	return adv_copy(addr, attr, buf, len, false);
}

int adv_write(u64 addr, u32 attr, const void *buf, size_t len)
{
	return adv_copy(addr, attr, buf, len, true);
}

u64 adv_probe(struct adv_range *range)
{
	adv_ioctl(ADV_IOC_RANGE, range);
	last_fault = range->fault;

	return range->nr_ok;
}

u64 adv_probe_read(u64 pa, u64 size)
{
	struct adv_range range = {
		.addr		= pa,
		.nr_pages	= size / adv_info()->page_size,
		.cpu		= ADV_CPU_ANY,
	};

	return adv_probe(&range);
}

u64 adv_probe_write(u64 pa, u64 size)
{
	struct adv_range range = {
		.addr		= pa,
		.nr_pages	= size / adv_info()->page_size,
		.write		= 1,
		.cpu		= ADV_CPU_ANY,
	};

	return adv_probe(&range);
}

bool adv_is_filled_with(u64 pa, u64 size, u64 pattern)
{
	u64 *buf = malloc(size);
	bool same = true;
	size_t i;
	int ret;

	TEST_ASSERT(buf, "malloc() failed");
	ret = adv_read(pa, ADV_NORMAL, buf, size);
	TEST_ASSERT(!ret, "Can't read 0x%lx: %s", pa, adv_fault_name(ret));
	for (i = 0; same && i < size / sizeof(u64); i++)
		same = buf[i] == pattern;
	free(buf);

	return same;
}

void *adv_mmap(u64 pa, size_t size, int prot, u32 type)
{
	void *mem = mmap(NULL, size, prot, MAP_SHARED, adv_fd,
			 pa | (u64)type << ADV_MMAP_TYPE_SHIFT);

	TEST_ASSERT(mem != MAP_FAILED, "mmap() of 0x%lx: %s", pa, strerror(errno));
	return mem;
}

int __adv_call(enum adv_conduit conduit, u16 imm, int cpu, u64 *x)
{
	struct adv_call call = {
		.conduit	= conduit,
		.imm		= imm,
		.cpu		= cpu,
	};

	memcpy(call.x, x, sizeof(call.x));
	adv_ioctl(ADV_IOC_CALL, &call);
	memcpy(x, call.x, sizeof(call.x));

	return set_fault(&call.fault);
}

static bool find_hypercall(const char *name, struct adv_hypercall *hypercall)
{
	memset(hypercall, 0, sizeof(*hypercall));
	strncpy(hypercall->name, name, sizeof(hypercall->name) - 1);

	return !__adv_ioctl(ADV_IOC_HYPERCALL, hypercall);
}

u64 adv_hypercall_id(const char *name)
{
	struct adv_hypercall hypercall;

	TEST_ASSERT(find_hypercall(name, &hypercall), "No hypercall %s", name);
	return hypercall.id;
}

u32 __adv_hypercall_nr(const char *name)
{
	struct adv_hypercall hypercall;

	return find_hypercall(name, &hypercall) ? hypercall.nr : ~0u;
}

const char *adv_hypercall_name(u32 nr)
{
	static struct adv_hypercall hypercall;

	memset(&hypercall, 0, sizeof(hypercall));
	hypercall.nr = nr;

	return __adv_ioctl(ADV_IOC_HYPERCALL, &hypercall) ? NULL : hypercall.name;
}

s64 __adv_hvc(int cpu, u64 id, const u64 *args, int nr_args)
{
	u64 x[ADV_NR_XREGS] = { id };
	int ret;

	memcpy(x + 1, args, nr_args * sizeof(u64));
	ret = __adv_call(ADV_HVC, 0, cpu, x);
	TEST_ASSERT(!ret, "Hypercall 0x%lx faults: %s, ESR 0x%llx, ELR 0x%llx", id,
		    adv_fault_name(ret), last_fault.esr, last_fault.elr);
	TEST_ASSERT(!x[0], "Hypercall 0x%lx is not for us: %ld", id, (s64)x[0]);

	return x[1];
}

s64 __adv_hvc_status(int cpu, u64 id, const u64 *args, int nr_args)
{
	u64 x[ADV_NR_XREGS] = { id };

	memcpy(x + 1, args, nr_args * sizeof(u64));
	return __adv_call(ADV_HVC, 0, cpu, x) ? ADV_CALL_FAULT : (s64)x[0];
}

s64 __adv_smc(int cpu, const u64 *args, int nr_args)
{
	u64 x[ADV_NR_XREGS] = {};

	memcpy(x, args, nr_args * sizeof(u64));
	return __adv_call(ADV_SMC, 0, cpu, x) ? ADV_CALL_FAULT : (s64)x[0];
}

bool adv_suspend(int cpu, u64 *x)
{
	struct adv_suspend suspend = {
		.call	= {
			.conduit	= ADV_SMC,
			.cpu		= cpu,
		},
	};

	memcpy(suspend.call.x, x, sizeof(suspend.call.x));
	adv_ioctl(ADV_IOC_SUSPEND, &suspend);
	if (!suspend.resumed) {
		memcpy(x, suspend.call.x, sizeof(suspend.call.x));
		set_fault(&suspend.call.fault);
	}

	return suspend.resumed;
}

void adv_loop(struct adv_loop_thread *threads, u32 nr, u64 iterations)
{
	struct adv_loop loop = {
		.threads	= (u64)threads,
		.nr		= nr,
	};
	u32 i;

	for (i = 0; i < nr; i++)
		threads[i].iterations = iterations;
	adv_ioctl(ADV_IOC_LOOP, &loop);
}

u64 adv_loop_count(const struct adv_loop_thread *thread, u64 value)
{
	u32 i;

	for (i = 0; i < thread->nr_values; i++) {
		if (thread->values[i].value == value)
			return thread->values[i].count;
	}
	TEST_ASSERT(!thread->nr_unlisted, "Too many different results to count");

	return 0;
}

void adv_batch(struct adv_call *calls, u32 nr)
{
	struct adv_batch batch = {
		.calls	= (u64)calls,
		.nr	= nr,
	};

	adv_ioctl(ADV_IOC_BATCH, &batch);
}

void adv_dma_read(u64 pa, void *buf, u32 len)
{
	struct adv_dma dma = {
		.pa	= pa,
		.buf	= (u64)buf,
		.len	= len,
	};

	adv_ioctl(ADV_IOC_DMA, &dma);
}

void adv_dma_write(u64 pa, const void *buf, u32 len)
{
	struct adv_dma dma = {
		.pa	= pa,
		.buf	= (u64)buf,
		.len	= len,
		.write	= 1,
	};

	adv_ioctl(ADV_IOC_DMA, &dma);
}

u64 adv_its(u64 table, u64 queue, const u64 *cmds, u32 nr, u64 *own_table)
{
	struct adv_its its = {
		.table	= table,
		.queue	= queue,
		.nr	= nr,
	};

	TEST_ASSERT(nr <= ADV_ITS_MAX_CMDS, "%u commands are too many", nr);
	if (cmds)
		memcpy(its.cmd, cmds, nr * sizeof(its.cmd[0]));
	adv_ioctl(ADV_IOC_ITS, &its);
	if (own_table)
		memcpy(own_table, its.own_table, sizeof(its.own_table));

	return its.done;
}

void adv_its_mapd(u64 *cmd, u32 device, u64 itt)
{
	cmd[0] = 0x08 | (u64)device << 32;
	cmd[1] = 0;
	cmd[2] = BIT(63) | itt;
	cmd[3] = 0;
}

void adv_gicr_pend(u64 pending, u32 lpi)
{
	const u32 device = 1;
	u64 cmds[][4] = {
		{},
		{ 0x0a | (u64)device << 32, (u64)lpi << 32 },	/* MAPTI: event 0 */
		{ 0x03 | (u64)device << 32 },			/* INT */
	};
	struct adv_its its = {
		.nr		= ARRAY_SIZE(cmds),
		.pending	= pending,
	};
	u64 itt = adv_page_alloc(0, NULL);

	adv_its_mapd(cmds[0], device, itt);
	memcpy(its.cmd, cmds, sizeof(cmds));
	adv_ioctl(ADV_IOC_ITS, &its);
	TEST_ASSERT(its.done == its.nr, "The ITS stopped at command %llu", its.done);
	TEST_ASSERT(!adv_page_free(itt), "The table of the ITS is lost");
}

bool __adv_sym(const char *name, struct adv_sym *sym)
{
	memset(sym, 0, sizeof(*sym));
	strncpy(sym->name, name, sizeof(sym->name) - 1);

	return !__adv_ioctl(ADV_IOC_SYM, sym);
}

static void find_sym(const char *name, struct adv_sym *sym)
{
	TEST_ASSERT(__adv_sym(name, sym), "No symbol %s", name);
}

u64 adv_sym_va(const char *name)
{
	struct adv_sym sym;

	find_sym(name, &sym);
	return sym.va;
}

u64 adv_sym_pa(const char *name)
{
	struct adv_sym sym;

	find_sym(name, &sym);
	return sym.pa;
}

bool adv_target(u32 index, struct adv_target *target)
{
	int ret;

	memset(target, 0, sizeof(*target));
	target->index = index;
	ret = __adv_ioctl(ADV_IOC_TARGET, target);
	TEST_ASSERT(!ret || ret == ENOENT, "ADV_IOC_TARGET: errno %d (%s)", ret, strerror(ret));

	return !ret;
}

void adv_find_target(const char *name, int cpu, struct adv_target *target)
{
	u32 i;

	for (i = 0; adv_target(i, target); i++) {
		if (!strcmp(target->name, name) && target->cpu == cpu)
			return;
	}
	TEST_FAIL("No target %s of CPU %d", name, cpu);
}

u32 adv_scan(struct adv_pages *pages, u32 max, u64 *total)
{
	struct adv_scan scan = {
		.pages	= (u64)pages,
		.max	= max,
	};

	adv_ioctl(ADV_IOC_SCAN, &scan);
	if (total)
		*total = scan.total;

	return scan.nr;
}

void adv_object(int fd, struct adv_object *object)
{
	memset(object, 0, sizeof(*object));
	object->fd = fd;
	adv_ioctl(ADV_IOC_OBJECT, object);
}

bool __adv_field(enum adv_kind kind, const char *name, struct adv_field *field)
{
	memset(field, 0, sizeof(*field));
	field->kind = kind;
	strncpy(field->name, name, sizeof(field->name) - 1);

	return !__adv_ioctl(ADV_IOC_FIELD, field);
}

u64 adv_field(const struct adv_object *object, const char *name, u32 *size)
{
	struct adv_field field;

	TEST_ASSERT(__adv_field(object->kind, name, &field), "No field %s", name);
	if (size)
		*size = field.size;

	return object->va + field.offset;
}

u64 adv_field_read(const struct adv_object *object, const char *name)
{
	u64 va, val = 0;
	u32 size;
	int ret;

	va = adv_field(object, name, &size);
	TEST_ASSERT(size <= sizeof(val), "%s has %u bytes", name, size);
	ret = adv_read(va, ADV_VA, &val, size);
	TEST_ASSERT(!ret, "Can't read %s: %s", name, adv_fault_name(ret));

	return val;
}

void adv_field_write(const struct adv_object *object, const char *name, u64 val)
{
	u64 va;
	u32 size;
	int ret;

	va = adv_field(object, name, &size);
	TEST_ASSERT(size <= sizeof(val), "%s has %u bytes", name, size);
	ret = adv_write(va, ADV_VA, &val, size);
	TEST_ASSERT(!ret, "Can't write %s: %s", name, adv_fault_name(ret));
}

u32 adv_vm_pages(int fd, enum adv_page_list list, struct adv_vm_page *pages, u32 max)
{
	struct adv_vm_pages arg = {
		.fd	= fd,
		.list	= list,
		.pages	= (u64)pages,
		.max	= max,
	};

	adv_ioctl(ADV_IOC_VM_PAGES, &arg);
	return arg.nr;
}

bool adv_gpa_to_pa(struct kvm_vm *vm, gpa_t gpa, u64 *pa)
{
	u64 page_size = adv_info()->page_size;
	struct adv_vm_page page;
	struct adv_vm_pages arg = {
		.fd		= vm->fd,
		.list		= ADV_GUEST_PAGES,
		.start_gfn	= gpa / page_size,
		.pages		= (u64)&page,
		.max		= 1,
	};

	adv_ioctl(ADV_IOC_VM_PAGES, &arg);
	if (!arg.nr || page.gfn > gpa / page_size)
		return false;
	*pa = page.pa + gpa - page.gfn * page_size;

	return true;
}

u32 adv_flip_start(u64 addr, u32 attr, u32 size, int cpu, u64 a, u64 b)
{
	struct adv_flip flip = {
		.addr	= addr,
		.val	= { a, b },
		.size	= size,
		.attr	= attr,
		.cpu	= cpu,
	};

	adv_ioctl(ADV_IOC_FLIP_START, &flip);
	return flip.id;
}

u64 adv_flip_stop(u32 id)
{
	struct adv_flip flip = { .id = id };

	adv_ioctl(ADV_IOC_FLIP_STOP, &flip);
	set_fault(&flip.fault);

	return flip.count;
}

u64 adv_page_alloc(u32 order, u64 *va)
{
	struct adv_page page = { .order = order };

	adv_ioctl(ADV_IOC_PAGE_ALLOC, &page);
	if (va)
		*va = page.va;

	return page.pa;
}

int adv_page_free(u64 pa)
{
	struct adv_page page = { .pa = pa };

	return __adv_ioctl(ADV_IOC_PAGE_FREE, &page);
}

u64 adv_virt_to_phys(const void *addr)
{
	u64 par;
	int ret;

	ret = adv_mem(ADV_AT_S1E0R, (u64)addr, ADV_VA, ADV_CPU_ANY, 0, 0, &par);
	TEST_ASSERT(!ret, "AT S1E0R: %s", adv_fault_name(ret));
	if (par & 1)
		return ~0ul;

	return (par & GENMASK(51, 12)) | ((u64)addr & GENMASK(11, 0));
}

u64 adv_pin(void *addr)
{
	struct adv_pin pin = { .addr = (u64)addr };

	adv_ioctl(ADV_IOC_PIN, &pin);
	return pin.pa;
}
