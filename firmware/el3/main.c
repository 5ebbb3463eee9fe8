// SPDX-License-Identifier: GPL-2.0-only
/*
 * An EL3 monitor for tests of protected KVM, on QEMU's virt machine with secure=on.
 *
 * It is the firmware that EL2's proxies talk to: PSCI (psci.c), SMCCC, TRNG and SDEI (services.c),
 * and a partition manager of FF-A (ffa.c), each just as far as EL2 and its attackers can tell a
 * real one. What it is for: every SMC that reaches EL3 is written to a log (log.c) that a test can
 * read, so that a test sees what EL2 let through, and with which arguments.
 *
 * As scripts/boot-qemu starts it, flash holds this program, the first that each CPU runs, and RAM
 * the device tree (DTB_BASE), the kernel (KERNEL_BASE) and the initramfs. The device tree says
 * where RAM and the log are. The boot CPU enters the kernel at EL2, the others wait for CPU_ON.
 *
 * Memory: EL3 runs with an identity map and caches on. What it shares with EL2 and the host (the
 * log, FF-A's buffers) is mapped write-back, inner shareable, non-secure, as they map it, so that
 * the hardware keeps it coherent; only the log needs maintenance: a reader may bypass the caches.
 */
#include "el3.h"
#include "el3-log.h"

struct cpu cpus[MAX_CPUS];
u64 ready;		/* READY_MAGIC once the boot CPU is done; see entry.S */
u64 page_table[512] __attribute__((aligned(4096)));
static u64 page_table_low[512] __attribute__((aligned(4096)));
static struct {
	u64 base, size;
} ram[4], log_region;
static u32 nr_ram;

/* -- the device tree ---------------------------------------------------------------------- */

static u32 be32(const void *p)
{
	const u8 *b = p;

	return (u32)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}
static u64 be64(const void *p) { return (u64)be32(p) << 32 | be32((const u8 *)p + 4); }

static bool streq(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/*
 * Finds RAM (nodes with device_type "memory" that are not disabled, as the secure one is) and the
 * log. A node's properties come before its children, so one node's worth of state will do.
 * #address-cells and #size-cells are 2 in all that we look at.
 */
void scan_device_tree(void)
{
	const u8 *dt = (void *)DTB_BASE, *p = dt + be32(dt + 8), *reg = NULL;
	const char *strings = (const char *)dt + be32(dt + 12);
	bool is_memory = false, is_log = false, disabled = false;

	if (be32(dt) != 0xd00dfeed)
		return;			/* boot() says so, it has a stack for panic() */
	for (;;) {
		u32 token = be32(p), len;
		const char *name;

		p += 4;
		if (token == 1 || token == 2 || token == 9) {	/* node begins, ends; end of all */
			if (reg && is_memory && !disabled && nr_ram < ARRAY_SIZE(ram)) {
				ram[nr_ram].base = be64(reg);
				ram[nr_ram++].size = be64(reg + 8);
			} else if (reg && is_log) {
				log_region.base = be64(reg);
				log_region.size = be64(reg + 8);
			}
			reg = NULL;
			is_memory = is_log = disabled = false;
			if (token == 9)
				return;
			if (token == 1) {
				while (*p++)
					;
				p = (const u8 *)(((u64)p + 3) & ~3ULL);
			}
		} else if (token == 3) {			/* a property */
			len = be32(p);
			name = strings + be32(p + 4);
			p += 8;
			if (streq(name, "reg") && len >= 16)
				reg = p;
			else if (streq(name, "device_type"))
				is_memory = streq((const char *)p, "memory");
			else if (streq(name, "status"))
				disabled = streq((const char *)p, "disabled");
			else if (streq(name, "compatible"))
				is_log = streq((const char *)p, EL3_LOG_COMPATIBLE);
			p += (len + 3) & ~3U;
		}
	}
}

/* Is all of it non-secure RAM? Nobody's address is followed before this was asked. */
bool in_ram(u64 base, u64 size)
{
	for (u32 i = 0; i < nr_ram; i++)
		if (base >= ram[i].base && size <= ram[i].size &&
		    base - ram[i].base <= ram[i].size - size)
			return true;
	return false;
}

/* -- memory --------------------------------------------------------------------------------- */

#define PT_BLOCK	(1 | BIT(10))			/* valid, accessed */
#define PT_TABLE	3
#define PT_NORMAL	(1 << 2 | 3 << 8)		/* MAIR's index 1, inner shareable */
#define PT_NS		BIT(5)
#define PT_RW		BIT(6)
#define PT_RO		(BIT(6) | BIT(7))
#define PT_XN		BIT(54)
#define SZ_2M		0x200000ULL
#define SZ_1G		0x40000000ULL

static void map_low(u64 from, u64 to, u64 attr)
{
	for (; from < to; from += SZ_2M)
		page_table_low[from / SZ_2M] = from | PT_BLOCK | attr;
}

/* Code in flash, data in secure RAM, devices; RAM as non-secure: nothing of EL3 gets there. */
void make_page_tables(void)
{
	map_low(FLASH_BASE, FLASH_BASE + SZ_2M, PT_NORMAL | PT_RO);
	map_low(DEVICES_BASE, DEVICES_END, PT_RW | PT_XN);
	map_low(SRAM_BASE, SRAM_BASE + SRAM_SIZE, PT_NORMAL | PT_RW | PT_XN);
	page_table[0] = (u64)page_table_low | PT_TABLE;
	for (u32 i = 0; i < nr_ram; i++) {
		u64 n = ram[i].base / SZ_1G, last = (ram[i].base + ram[i].size - 1) / SZ_1G;

		for (; n && n <= last && n < ARRAY_SIZE(page_table); n++)
			page_table[n] = n * SZ_1G | PT_BLOCK | PT_NORMAL | PT_NS | PT_RW | PT_XN;
	}
	dsb();
}

/* The log's region is `no-map`: who reads it may well do so uncached. */
void clean_to_poc(const void *p, u64 size)
{
	u64 line = 4UL << (read_sysreg(ctr_el0) >> 16 & 15), a = (u64)p & ~(line - 1);

	for (; a < (u64)p + size; a += line)
		asm volatile("dc cvac, %0" : : "r" (a) : "memory");
	dsb();
}

/* The compiler calls these two on its own. */
void *memcpy(void *to, const void *from, u64 size)
{
	memcpy_ns(to, from, size);
	return to;
}
void *memset(void *to, int c, u64 size)
{
	for (u8 *p = to; size; size--)
		*p++ = c;
	return to;
}
/* Reads each byte once: someone else may be writing there. */
void memcpy_ns(void *to, const void *from, u64 size)
{
	volatile u8 *t = to;
	const volatile u8 *f = from;

	for (; size && ((u64)t | (u64)f) & 7; size--)
		*t++ = *f++;
	for (; size >= 8; size -= 8, t += 8, f += 8)
		*(volatile u64 *)t = *(const volatile u64 *)f;
	for (; size; size--)
		*t++ = *f++;
}

/* -- words ---------------------------------------------------------------------------------- */

static void print_to(u64 uart, const char *s)
{
	for (; *s; s++) {
		while (read32(uart + 0x18) & BIT(5))	/* the transmit FIFO is full */
			;
		write32(*s, uart);
	}
}

/* On the secure UART, which every machine with secure=on has: QEMU's second -serial, or nowhere. */
void print(const char *s) { print_to(SECURE_UART_BASE, s); }

static void print_hex(u64 uart, u64 v)
{
	char s[18] = { [16] = ' ' };

	for (int i = 0; i < 16; i++)
		s[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
	print_to(uart, s);
}

/*
 * Not to be survived: EL3 is what everybody trusts. The words go to the host's console, too, where
 * whoever reads the log of a test finds them.
 */
void panic(const char *why, const struct regs *r)
{
	static const u64 uarts[] = { SECURE_UART_BASE, UART_BASE };

	for (u32 u = 0; u < ARRAY_SIZE(uarts); u++) {
		print_to(uarts[u], "\r\nel3: panic: ");
		print_to(uarts[u], why);
		print_to(uarts[u], "\r\nel3: cpu, esr, far, scr: ");
		print_hex(uarts[u], this_cpu());
		print_hex(uarts[u], read_sysreg(esr_el3));
		print_hex(uarts[u], read_sysreg(far_el3));
		print_hex(uarts[u], read_sysreg(scr_el3));
		print_to(uarts[u], "\r\nel3: x0 to x30, elr, spsr:");
		for (int i = 0; r && i < 33; i++) {
			if (i % 4 == 0)
				print_to(uarts[u], "\r\nel3: ");
			print_hex(uarts[u], (&r->x[0])[i]);
		}
		print_to(uarts[u], "\r\n");
	}
	system_off();
}

/* -- what the CPU and the GIC need before EL2 runs ------------------------------------------ */

/* What EL3 would trap, by the feature that brought it. What Linux does not use stays trapped. */
static u64 scr_el3(void)
{
	const u64 pfr0 = read_sysreg(id_aa64pfr0_el1), pfr1 = read_sysreg(id_aa64pfr1_el1);
	const u64 pfr2 = read_sysreg(s3_0_c0_c4_2), mmfr0 = read_sysreg(id_aa64mmfr0_el1);
	const u64 mmfr1 = read_sysreg(id_aa64mmfr1_el1), mmfr3 = read_sysreg(s3_0_c0_c7_3);
	const u64 isar1 = read_sysreg(id_aa64isar1_el1), isar2 = read_sysreg(s3_0_c0_c6_2);
	const struct {
		u64 id;
		u8 field, min;
		u64 scr;
	} features[] = {
		{ isar1, 4, 1, BIT(17) | BIT(16) },	/* APA: API, APK */
		{ isar1, 8, 1, BIT(17) | BIT(16) },	/* API */
		{ isar2, 12, 1, BIT(17) | BIT(16) },	/* APA3 */
		{ pfr0, 56, 2, BIT(25) },		/* CSV2: EnSCXT */
		{ pfr1, 8, 2, BIT(26) },		/* MTE: ATA */
		{ mmfr0, 56, 1, BIT(27) },		/* FGT: FGTEn */
		{ mmfr0, 56, 2, BIT(59) },		/* FGT2: FGTEn2 */
		{ mmfr0, 60, 2, BIT(28) },		/* ECV: ECVEn */
		{ pfr0, 44, 2, BIT(35) },		/* AMU: AMVOFFEN */
		{ mmfr1, 40, 1, BIT(38) },		/* HCX: HXEn */
		{ pfr1, 44, 1, BIT(39) },		/* GCS: GCSEn */
		{ pfr1, 24, 1, BIT(41) },		/* SME: EnTP2 */
		{ pfr1, 48, 1, BIT(42) },		/* THE: RCWMASKEn */
		{ mmfr3, 0, 1, BIT(43) },		/* TCRX: TCR2En */
		{ mmfr3, 4, 1, BIT(44) },		/* SCTLRX: SCTLR2En */
		{ mmfr3, 8, 1, BIT(45) },		/* S1PIE: PIEn */
		{ mmfr3, 16, 1, BIT(45) },		/* S1POE */
		{ mmfr3, 24, 1, BIT(46) },		/* AIE: AIEn */
		{ mmfr3, 32, 1, BIT(47) },		/* D128: D128En */
		{ pfr2, 32, 1, BIT(50) },		/* FPMR: EnFPM */
		{ pfr1, 60, 1, BIT(53) },		/* PFAR: PFAREn */
	};
	/* RW, SIF, HCE, RES1, FIQ (group 0 is EL3's), NS */
	u64 scr = BIT(10) | BIT(9) | BIT(8) | BIT(5) | BIT(4) | BIT(2) | BIT(0);

	for (u32 i = 0; i < ARRAY_SIZE(features); i++)
		if ((features[i].id >> features[i].field & 15) >= features[i].min)
			scr |= features[i].scr;
	return scr;
}

static void cpu_init(void)
{
	const u64 pfr0 = read_sysreg(id_aa64pfr0_el1), pfr1 = read_sysreg(id_aa64pfr1_el1);
	const u64 dfr0 = read_sysreg(id_aa64dfr0_el1);
	u64 cptr = 0, mdcr = 0;

	/* CNTFRQ_EL0 is right out of QEMU's reset; on a board it would be written here. */
	if (pfr0 >> 32 & 15)				/* SVE: EZ */
		cptr |= BIT(8);
	if (pfr1 >> 24 & 15)				/* SME: ESM */
		cptr |= BIT(12);
	if (dfr0 >> 32 & 15)				/* SPE: non-secure buffer, no traps */
		mdcr |= 3 << 12;
	if (dfr0 >> 44 & 15)				/* the trace buffer likewise */
		mdcr |= 3 << 24;
	if (dfr0 >> 52 & 15)				/* BRBE: no traps */
		mdcr |= 3ULL << 32;
	write_sysreg(scr_el3(), scr_el3);
	write_sysreg(cptr, cptr_el3);
	write_sysreg(mdcr, mdcr_el3);
	isb();
	if (cptr & BIT(8))
		write_sysreg(0xf, s3_6_c1_c2_0);	/* ZCR_EL3: every length there is */
	if (cptr & BIT(12)) {
		u64 smfr0 = read_sysreg(s3_0_c0_c4_5);

		/* SMCR_EL3: every length; FA64 and ZT0 if there */
		write_sysreg(0xf | (smfr0 >> 63 ? BIT(31) : 0) | (smfr0 >> 56 & 15 ? BIT(30) : 0),
			     s3_6_c1_c2_6);
	}

	/* System registers for every EL; of NS = 1, as SCR_EL3 has it now. */
	write_sysreg(0xf, icc_sre_el3);
	isb();
	write_sysreg(0xf, icc_sre_el2);
	write_sysreg(0x7, icc_sre_el1);
	write_sysreg(0xff, icc_pmr_el1);
	write_sysreg(1, icc_igrpen0_el1);
	isb();
}

/* All interrupts belong to the non-secure world, but for the SGI that wakes a CPU that is off. */
static u32 gic_init(void)
{
	u32 n = 0;
	u64 gicr = GICR_BASE, typer;

	write32(BIT(5) | BIT(4), GICD_BASE);		/* ARE_NS, ARE_S */
	for (u32 i = 1; i <= (read32(GICD_BASE + 4) & 31); i++) {
		write32(~0, GICD_BASE + 0x80 + 4 * i);	/* IGROUPR */
		write32(0, GICD_BASE + 0xd00 + 4 * i);	/* IGRPMODR */
	}
	write32(BIT(5) | BIT(4) | BIT(0), GICD_BASE);	/* group 0 on; Linux does group 1 */

	do {
		const u64 sgi = gicr + 0x10000;

		typer = *(volatile u64 *)(gicr + 8);
		write32(read32(gicr + 0x14) & ~2U, gicr + 0x14);	/* WAKER: ProcessorSleep */
		while (read32(gicr + 0x14) & 4)			/* ChildrenAsleep */
			;
		write32(~(u32)BIT(GIC_SGI), sgi + 0x80);	/* IGROUPR0 */
		write32(0, sgi + 0xd00);			/* IGRPMODR0 */
		*(volatile u8 *)(sgi + 0x400 + GIC_SGI) = 0;	/* its priority */
		write32(BIT(GIC_SGI), sgi + 0x100);		/* ISENABLER0 */
		if (typer >> 32 < MAX_CPUS) {
			cpus[typer >> 32].gicr = gicr;
			cpus[typer >> 32].state = CPU_OFF;
			n++;
		}
		gicr += GICR_STRIDE;
	} while (!(typer & BIT(4)));			/* the last one */
	return n;
}

void boot(struct regs *r)
{
	char message[] = "el3: monitor, 00 CPUs\r\n";
	u32 n;

	write32(BIT(9) | BIT(8) | BIT(0), SECURE_UART_BASE + 0x30);	/* enabled; transmits */
	if (!nr_ram)
		panic("no device tree, or no memory in it", NULL);
	n = gic_init();
	cpu_init();
	message[14] += n / 10;
	message[15] += n % 10;
	print(message);
	if (in_ram(log_region.base, log_region.size))
		log_init(log_region.base, log_region.size, n);
	cpus[this_cpu()].state = CPU_ON;
	psci_enter(r, KERNEL_BASE, DTB_BASE);
}

void boot_secondary(struct regs *r)
{
	cpu_init();
	psci_wait_off(r);
}

/* -- exceptions ----------------------------------------------------------------------------- */

static bool smc(struct regs *r, u32 esr)
{
	const u32 fid = r->x[0] & ~SMCCC_HINT, owner = fid >> 24 & 0x3f, fn = fid & 0xffff;

	/* Fast calls with an immediate of 0, of the architecture's service, the standard or the tests'. */
	if (fid >> 31 && !(esr & 0xffff) && !(fid & 0xff0000)) {
		r->x[0] = fid;
		if (owner == 0)
			return arch(r, fn), true;
		if (owner == 4 && fn < 0x20)
			return psci(r, fn);
		if (owner == 4 && fn < 0x40)
			return sdei(r, fn), true;
		if (owner == 4 && fn >= 0x50 && fn < 0x60)
			return trng(r, fn), true;
		if (owner == 4 && fn >= 0x60 && fn < 0xf0)
			return ffa(r, fn), true;
		if (owner == 3)
			return test(r), true;
	}
	r->x[0] = SMCCC_NOT_SUPPORTED;
	return true;
}

void handle_sync(struct regs *r)
{
	const u32 esr = read_sysreg(esr_el3), ec = esr >> 26;
	u64 n;

	if (ec != 0x17 && ec != 0x13)			/* an SMC of AArch64, of AArch32 */
		panic("an exception from a lower EL that is no SMC", r);
	n = log_call(r, esr);
	if (smc(r, esr))
		log_return(n, r);
}

/* The SGI for a CPU that was already on its way out of psci_wait_off(). */
void handle_fiq(struct regs *r)
{
	u64 intid = read_sysreg(icc_iar0_el1);

	if (intid == GIC_SGI)
		write_sysreg(intid, icc_eoir0_el1);
	else if (intid < 1020)
		panic("a secure interrupt that nobody asked for", r);
}

void unexpected(struct regs *r)
{
	panic("an exception at EL3, or one that is not routed there", r);
}
