/* SPDX-License-Identifier: GPL-2.0-only */
/* What the EL3 test monitor's files share; read main.c first. */
#ifndef EL3_H
#define EL3_H

/* QEMU's virt machine with secure=on. Where boot-qemu places the kernel: see main.c. */
#define FLASH_BASE		0x00000000
#define SRAM_BASE		0x0e000000	/* secure RAM */
#define SRAM_SIZE		0x01000000
#define DEVICES_BASE		0x08000000
#define DEVICES_END		0x0a000000
#define GICD_BASE		0x08000000
#define GICR_BASE		0x080a0000
#define GICR_STRIDE		0x20000
#define UART_BASE		0x09000000
#define SECURE_UART_BASE	0x09040000
#define SECURE_GPIO_BASE	0x090b0000	/* pin 0: power off, pin 1: reset */
#define DTB_BASE		0x40000000
#define KERNEL_BASE		0x40200000

#define MAX_CPUS		16
#define STACK_SIZE		4096
#define FRAME_SIZE		272		/* sizeof(struct regs) */
#define READY_MAGIC		0x79646165724c4533

#ifndef __ASSEMBLER__

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef _Bool bool;
#define true	1
#define false	0
#define NULL	((void *)0)

#define BIT(n)			(1ULL << (n))
#define offsetof(type, member)	__builtin_offsetof(type, member)
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define read_sysreg(r)		({ u64 _v; asm volatile("mrs %0, " #r : "=r" (_v)); _v; })
#define write_sysreg(v, r)	asm volatile("msr " #r ", %0" : : "r" ((u64)(v)))
#define isb()			asm volatile("isb" : : : "memory")
#define dsb()			asm volatile("dsb sy" : : : "memory")
#define wfi()			asm volatile("dsb sy; wfi" : : : "memory")

static inline u32 read32(u64 a) { return *(volatile u32 *)a; }
static inline void write32(u32 v, u64 a) { *(volatile u32 *)a = v; }

/* The caller's registers, as entry.S stores and restores them. */
struct regs {
	u64 x[31];
	u64 elr, spsr;
	u64 pad;
};
_Static_assert(sizeof(struct regs) == FRAME_SIZE, "FRAME_SIZE");

/* A ticket lock: the MMU and the caches are on, exclusives work, nothing interrupts EL3. */
struct lock {
	u32 next, owner;
};
static inline void lock(struct lock *l)
{
	u32 ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) != ticket)
		;
}
static inline void unlock(struct lock *l)
{
	__atomic_store_n(&l->owner, l->owner + 1, __ATOMIC_RELEASE);
}

enum cpu_state { CPU_ABSENT, CPU_OFF, CPU_ON_PENDING, CPU_ON };
struct cpu {
	enum cpu_state state;	/* with psci_lock held; ON_PENDING -> ON by the CPU itself */
	u64 entry, context;	/* where it goes once ON_PENDING */
	u64 gicr;
};
extern struct cpu cpus[MAX_CPUS];
static inline u32 this_cpu(void) { return read_sysreg(tpidr_el3); }

#define SMCCC_NOT_SUPPORTED	-1
#define SMCCC_HINT		BIT(16)
#define FN64			0x40000000
#define GIC_SGI			15		/* group 0: wakes a CPU that is off */

/* main.c */
bool in_ram(u64 base, u64 size);
void clean_to_poc(const void *p, u64 size);
void panic(const char *why, const struct regs *r) __attribute__((noreturn));
void print(const char *s);
void memcpy_ns(void *to, const void *from, u64 size);
void *memset(void *to, int c, u64 size);

/* Argument n of a call, cut to 32 bits if the call is of the SMC32 convention. */
static inline u64 arg(const struct regs *r, int n)
{
	return r->x[0] & FN64 ? r->x[n] : (u32)r->x[n];
}

/* log.c */
void log_init(u64 base, u64 size, u32 ncpus);
u64 log_call(const struct regs *r, u32 esr);
u64 log_take_registers(void);
void log_return(u64 n, const struct regs *r);

/*
 * The services. Each takes the caller's registers and changes its results in place. psci() says
 * whether the call returns to its caller: false if the registers are those of another start.
 */
bool psci(struct regs *r, u32 fn);
void psci_wait_off(struct regs *r);
void psci_enter(struct regs *r, u64 entry, u64 context);
extern bool mem_protect, no_reset;
void system_off(void) __attribute__((noreturn));
void arch(struct regs *r, u32 fn);
void trng(struct regs *r, u32 fn);
void sdei(struct regs *r, u32 fn);
void ffa(struct regs *r, u32 fn);
void test(struct regs *r);

#endif /* __ASSEMBLER__ */
#endif /* EL3_H */
