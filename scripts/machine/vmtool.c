// SPDX-License-Identifier: GPL-2.0-only
/*
 * What busybox lacks, or is slow at under emulation, in a Linux guest and for its
 * host: device mapper, vsock, kexec, sums, a secret to hide, and the search for
 * it. scripts/guest builds it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/dm-ioctl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <linux/vm_sockets.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ul << 20)

static void die(const char *what)
{
	fprintf(stderr, "vmtool: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);

	if (!*text || *end) {
		fprintf(stderr, "vmtool: '%s' is no number\n", text);
		exit(2);
	}
	return n;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* A word that no one has who doesn't compute it: the same seed, the same words. */
static uint64_t word(uint64_t seed, uint64_t i)
{
	uint64_t x = seed + (i + 1) * 0x9e3779b97f4a7c15ul;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ul;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebul;
	return x ^ (x >> 31);
}

/* -- a secret ------------------------------------------------------------- */

enum { IN_PROCESS, IN_PAGE_CACHE, IN_KERNEL, IN_REGISTERS, NR_PLACES };
static const char * const places[] = { "process", "page cache", "kernel memory", "registers" };
#define SECRET_WORDS 4
#define CHUNK (2 * MIB)

/* All have their lowest bits in common, so that a search can be quick. */
#define TAG 0x5ec7ul
#define TAG_MASK 0xfffful

static uint64_t secret_word(uint64_t seed, int place, int i)
{
	return (word(seed, place * SECRET_WORDS + i) & ~TAG_MASK) | TAG;
}

static void look_at(volatile uint64_t *page, uint64_t pa, uint64_t seed, uint64_t *found)
{
	int n, i, place;
	uint64_t w;

	for (n = 0; n < 512; n++) {
		w = page[n];
		if ((w & TAG_MASK) != TAG)
			continue;
		for (place = 0; place < NR_PLACES; place++) {
			for (i = 0; i < SECRET_WORDS; i++) {
				if (w == secret_word(seed, place, i) && ++found[place] <= 2)
					printf("in 0x%" PRIx64 ": word %d of the secret in %s\n",
					       pa + n * 8, i, places[place]);
			}
		}
	}
}

/*
 * Keeps a secret in each place until it is killed. The one in registers is in
 * no memory but where the kernel saves them: x20 to x23, computed there.
 */
static int keep_secret(uint64_t seed, const char *file)
{
	uint64_t *mem, buf[SECRET_WORDS];
	int fd, fds[2], i;

	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	for (i = 0; i < SECRET_WORDS; i++)
		mem[64 + i] = secret_word(seed, IN_PROCESS, i);

	for (i = 0; i < SECRET_WORDS; i++)
		buf[i] = secret_word(seed, IN_PAGE_CACHE, i);
	fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, buf, sizeof(buf)) != sizeof(buf))
		die(file);

	for (i = 0; i < SECRET_WORDS; i++)
		buf[i] = secret_word(seed, IN_KERNEL, i);
	if (pipe(fds) || write(fds[1], buf, sizeof(buf)) != sizeof(buf))
		die("pipe");
	explicit_bzero(buf, sizeof(buf));

	printf("guest: secret kept\n");
	fflush(stdout);
	{
		uint64_t a = secret_word(seed, IN_REGISTERS, 0), b = secret_word(seed, IN_REGISTERS, 1);
		uint64_t c = secret_word(seed, IN_REGISTERS, 2), d = secret_word(seed, IN_REGISTERS, 3);

#ifdef __aarch64__
		asm volatile("mov x20, %0; mov x21, %1; mov x22, %2; mov x23, %3\n"
			     "1: yield; b 1b\n"
			     :: "r"(a), "r"(b), "r"(c), "r"(d)
			     : "x20", "x21", "x22", "x23");
#endif
		return a + b + c + d;
	}
}

static sigjmp_buf fault;
static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(fault, 1);
}

/* All of the host's RAM, as its kernel can map it (test_modules/ of the KVM kselftests). */
static int scan(uint64_t seed, const char *device)
{
	static uint64_t pages, denied, found[NR_PLACES];	/* survive siglongjmp() */
	static uint64_t pa, at, size;
	static char *chunk;
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	unsigned long long start, end;
	char line[200];
	FILE *iomem;
	int fd, place;

	fd = open(device, O_RDWR);
	if (fd < 0)
		die(device);
	iomem = fopen("/proc/iomem", "r");
	if (!iomem)
		die("/proc/iomem");
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);

	while (fgets(line, sizeof(line), iomem)) {
		if (line[0] == ' ' || sscanf(line, "%llx-%llx : System RAM", &start, &end) != 2 ||
		    !strstr(line, "System RAM"))
			continue;
		for (pa = start; pa < end; pa += CHUNK) {
			/* The range ends with a page, and so with a chunk or before it. */
			size = end + 1 - pa < CHUNK ? end + 1 - pa : CHUNK;
			chunk = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, pa);
			if (chunk == MAP_FAILED)
				die("mmap of physical memory");
			for (at = 0; at < size; at += 4096) {
				pages++;
				if (sigsetjmp(fault, 0))
					denied++;
				else
					look_at((uint64_t *)(chunk + at), pa + at, seed, found);
			}
			munmap(chunk, size);
		}
	}
	printf("searched %" PRIu64 " pages, %" PRIu64 " of them refused; found", pages, denied);
	for (place = 0; place < NR_PLACES; place++)
		printf(" %s %" PRIu64 "%s", places[place], found[place], place + 1 < NR_PLACES ? "," : "\n");
	if (!pages)
		return 2;
	for (place = 0; place < NR_PLACES; place++)
		if (found[place])
			return 1;
	return 0;
}

/* Fills memory, and looks at all of it again and again. */
static int pattern(uint64_t mib, uint64_t seconds)
{
	uint64_t n = mib * MIB / 8, i, rounds = 0;
	uint64_t *mem = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double until = now() + seconds;

	if (mem == MAP_FAILED)
		die("mmap");
	for (i = 0; i < n; i++)
		mem[i] = word(mib, i);
	printf("guest: pattern of %" PRIu64 " MiB stored\n", mib);
	fflush(stdout);
	do {
		for (i = 0; i < n; i++) {
			if (mem[i] != word(mib, i)) {
				printf("guest: pattern: word %" PRIu64 " changed\n", i);
				return 1;
			}
		}
		rounds++;
	} while (now() < until);
	printf("guest: pattern intact in %" PRIu64 " rounds\n", rounds);
	return 0;
}

/* -- what a guest costs ----------------------------------------------------- */

/*
 * Runs a VMM; each "guest: mark NAME" of its output becomes "mark NAME NS", its CPU time since the
 * last one, the guest's included. Where the clock counts instructions (boot-qemu ICOUNT=1), that is
 * what they are, and idle time has no part in it.
 */
static int marks(char **argv)
{
	static char line[4096], name[64];
	uint64_t last = 0, at;
	struct timespec t;
	clockid_t clock;
	int fds[2], status;
	FILE *in;
	pid_t pid;

	if (pipe(fds))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		execv(argv[0], argv);
		die(argv[0]);
	}
	close(fds[1]);
	if (clock_getcpuclockid(pid, &clock))
		die("clock_getcpuclockid");
	in = fdopen(fds[0], "r");
	while (in && fgets(line, sizeof(line), in)) {
		if (sscanf(line, "guest: mark %63s", name) != 1) {
			printf("  %s", line);
			continue;
		}
		if (clock_gettime(clock, &t))
			die("clock_gettime");
		at = t.tv_sec * 1000000000ul + t.tv_nsec;
		printf("mark %s %" PRIu64 "\n", name, at - last);
		last = at;
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* -- device mapper -------------------------------------------------------- */

/* dm NAME SECTORS TARGET PARAMETERS [ro]: makes /dev/NAME */
static int dm(const char *name, uint64_t sectors, const char *target, const char *parameters, int ro)
{
	static char buf[16384];
	struct dm_ioctl *d = (void *)buf;
	struct dm_target_spec *spec = (void *)(d + 1);
	int fd = open("/dev/mapper/control", O_RDWR);
	char path[100];

	if (fd < 0)
		die("/dev/mapper/control");
#define DM(_cmd) do {						\
	d->version[0] = 4;					\
	d->data_size = sizeof(buf);				\
	d->data_start = sizeof(*d);				\
	snprintf(d->name, sizeof(d->name), "%s", name);		\
	if (ioctl(fd, _cmd, d))					\
		die(#_cmd);					\
} while (0)
	DM(DM_DEV_CREATE);
	memset(buf, 0, sizeof(buf));
	d->target_count = 1;
	d->flags = ro ? DM_READONLY_FLAG : 0;
	spec->length = sectors;
	snprintf(spec->target_type, sizeof(spec->target_type), "%s", target);
	snprintf((char *)(spec + 1), 4096, "%s", parameters);
	spec->next = sizeof(*spec) + 4096;
	DM(DM_TABLE_LOAD);
	memset(buf, 0, sizeof(buf));
	DM(DM_DEV_SUSPEND);
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (mknod(path, S_IFBLK | 0600, makedev(major(d->dev), minor(d->dev))) && errno != EEXIST)
		die(path);
	return 0;
}

/* -- vsock ---------------------------------------------------------------- */

static void all(int fd, void *buf, size_t size, int out)
{
	ssize_t n;

	for (; size; size -= n, buf += n) {
		n = out ? write(fd, buf, size) : read(fd, buf, size);
		if (n <= 0)
			die(out ? "write" : "read");
	}
}

/* Answers one connection with what it says. */
static int vsock_echo(unsigned int port)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_ANY };
	int s = socket(AF_VSOCK, SOCK_STREAM, 0), c;
	static char buf[65536];
	ssize_t n;

	if (s < 0 || bind(s, (void *)&a, sizeof(a)) || listen(s, 1))
		die("vsock: listen");
	printf("vsock port %u listens\n", port);
	fflush(stdout);
	c = accept(s, NULL, NULL);
	if (c < 0)
		die("vsock: accept");
	while ((n = read(c, buf, sizeof(buf))) > 0)
		all(c, buf, n, 1);
	return 0;
}

static int vsock_send(unsigned int cid, unsigned int port, uint64_t kib)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK, .svm_port = port, .svm_cid = cid };
	static uint64_t out[128], in[128];
	double start, until = now() + 20;
	uint64_t n, i;
	int s;

	for (;;) {
		s = socket(AF_VSOCK, SOCK_STREAM, 0);
		if (s < 0)
			die("vsock: socket");
		if (!connect(s, (void *)&a, sizeof(a)))
			break;
		if (now() > until)
			die("vsock: connect");
		close(s);
		usleep(100000);
	}
	start = now();
	for (n = 0; n < kib; n++) {
		for (i = 0; i < 128; i++)
			out[i] = word(n, i);
		all(s, out, sizeof(out), 1);
		all(s, in, sizeof(in), 0);
		if (memcmp(in, out, sizeof(in))) {
			printf("vsock: KiB %" PRIu64 " came back changed\n", n);
			return 1;
		}
	}
	printf("vsock: %" PRIu64 " KiB there and back in %.0f ms\n", kib, (now() - start) * 1000);
	return 0;
}

/* -- a checksum that is quick to compute under emulation, and TCP ---------- */

static int checksum(void)
{
	static uint64_t buf[8192];
	uint64_t sum = 0, bytes = 0;
	ssize_t n, i;

	while ((n = read(0, buf, sizeof(buf))) > 0) {
		bytes += n;
		memset((char *)buf + n, 0, -n & 7);
		for (i = 0; i < (n + 7) / 8; i++)
			sum = (sum ^ buf[i]) * 0x9e3779b97f4a7c15ul + (sum >> 29);
	}
	if (n < 0)
		die("sum: read");
	printf("%016" PRIx64 "-%" PRIu64 "\n", sum, bytes);
	return 0;
}

/* Sends what is on standard input to the first who connects. */
static int tcp_serve(unsigned int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int s = socket(AF_INET, SOCK_STREAM, 0), one = 1, c;
	static char buf[65536];
	ssize_t n;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s < 0 || bind(s, (void *)&a, sizeof(a)) || listen(s, 1))
		die("tcp: listen");
	c = accept(s, NULL, NULL);
	if (c < 0)
		die("tcp: accept");
	while ((n = read(0, buf, sizeof(buf))) > 0)
		all(c, buf, n, 1);
	return 0;
}

/* Writes what a server sends to standard output. */
static int tcp_get(const char *address, unsigned int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int s = socket(AF_INET, SOCK_STREAM, 0);
	static char buf[65536];
	ssize_t n;

	if (s < 0 || inet_pton(AF_INET, address, &a.sin_addr) != 1 || connect(s, (void *)&a, sizeof(a)))
		die("tcp: connect");
	while ((n = read(s, buf, sizeof(buf))) > 0)
		all(1, buf, n, 1);
	return n ? 1 : 0;
}

static int do_kexec(const char *kernel, const char *initrd, const char *cmdline)
{
	int k = open(kernel, O_RDONLY), i = open(initrd, O_RDONLY);

	if (k < 0 || i < 0)
		die("kexec: files");
	if (syscall(__NR_kexec_file_load, k, i, strlen(cmdline) + 1, cmdline, 0))
		die("kexec_file_load");
	sync();
	syscall(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	die("kexec");
	return 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int n = argc - 2;

	argv += 2;
#define IS(_name, _n) (!strcmp(what, _name) && n == (_n))
	if (IS("secret", 2))
		return keep_secret(number(argv[0]), argv[1]);
	if (IS("scan", 2))
		return scan(number(argv[0]), argv[1]);
	if (IS("pattern", 2))
		return pattern(number(argv[0]), number(argv[1]));
	if (!strcmp(what, "marks") && n > 0)
		return marks(argv);
	if (IS("dm", 4) || IS("dm", 5))
		return dm(argv[0], number(argv[1]), argv[2], argv[3], n == 5);
	if (IS("vsock-echo", 1))
		return vsock_echo(number(argv[0]));
	if (IS("vsock-send", 3))
		return vsock_send(number(argv[0]), number(argv[1]), number(argv[2]));
	if (IS("sum", 0))
		return checksum();
	if (IS("tcp-serve", 1))
		return tcp_serve(number(argv[0]));
	if (IS("tcp-get", 2))
		return tcp_get(argv[0], number(argv[1]));
	if (IS("kexec", 3))
		return do_kexec(argv[0], argv[1], argv[2]);
	fprintf(stderr, "Usage: vmtool secret SEED FILE | scan SEED DEVICE | pattern MIB SECONDS |\n"
		"       marks VMM ARGUMENT... |\n"
		"       dm NAME SECTORS TARGET PARAMETERS [ro] | vsock-echo PORT |\n"
		"       vsock-send CID PORT KIB | sum | tcp-serve PORT | tcp-get ADDRESS PORT |\n"
		"       kexec KERNEL INITRD CMDLINE\n");
	return 2;
}
