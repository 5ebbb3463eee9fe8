// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TCG plugin for QEMU: counts the instructions between two functions of a program in the
 * machine, by exception level. Built and loaded by scripts/bench and scripts/bench-profile.
 *
 * Arguments: out=FILE, begin=ADDRESS and end=ADDRESS (of the functions), hyp=START-END (of EL2's
 * text: the lowest 30 bits of its addresses), vectors=START-END (the host kernel's), profile=on.
 * What runs from begin to end is a section, at whatever level begin was called. It writes
 *	stay INSTRUCTIONS TIMES			of the stays at EL2 in the section that follows, longest first
 *	section N TOTAL EL2 ENTRIES LONGEST	ENTRIES of EL2, LONGEST of its stays
 *	pc N INSTRUCTIONS LEVEL PC CALLER...	with profile=on, callers from the outermost, as addresses
 *						of functions; LEVEL: el2, kernel, low (user space and guests)
 * A block of instructions that an exception ends early counts in full.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of qemu-plugin.h, which distributions don't package, that is used here. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = API;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t idx);
#if API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t len);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#endif
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
		void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
		void (*cb)(unsigned int cpu, void *data), int flags, void *data);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id,
		void (*cb)(qemu_plugin_id_t id, void *data), void *data);

enum level { LOW, KERNEL, EL2, NR_LEVELS };
static const char *const level_names[] = { "low", "kernel", "el2" };
enum last { OTHER, CALL, RETURN, ERET };

struct block {
	uint64_t pc;
	uint64_t next;		/* address after it */
	uint32_t nr;
	uint8_t level, last, vector, begin, end;
};

static uint64_t begin_pc, end_pc, hyp_start, hyp_end, vectors_start, vectors_end;
static int profile, active;
static FILE *out;
static uint64_t sections, total, el2, entries, longest, stay;
#define MAX_STAY (1 << 20)	/* longer ones are counted as this */
static uint32_t stays[MAX_STAY + 1];
static const struct block *previous;

/* -- the profile: counts by call chain and block */

#define MAX_DEPTH 64
#define EXCEPTION (~0ull)	/* the return address of what an exception interrupted */

struct frame { uint64_t func, ret; uint32_t node; };
static struct stack { struct frame frames[MAX_DEPTH]; int depth; } stacks[NR_LEVELS];

struct node { uint64_t func; uint32_t parent; };
static struct node *nodes;
static uint32_t nr_nodes = 1, max_nodes;	/* 0 is the root */

struct count { const struct block *block; uint32_t node; uint64_t insns; };
static struct count *counts;
static size_t max_counts = 1 << 20, nr_counts;
static uint32_t *node_table;
static size_t max_table = 1 << 20;

static size_t hash(uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ b * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;

	return h ^ h >> 32;
}

static uint32_t get_node(uint32_t parent, uint64_t func)
{
	size_t i = hash(func, parent) & (max_table - 1);

	for (; node_table[i]; i = (i + 1) & (max_table - 1))
		if (nodes[node_table[i]].func == func && nodes[node_table[i]].parent == parent)
			return node_table[i];
	if (nr_nodes > max_table / 2)
		return parent;
	if (nr_nodes >= max_nodes) {
		max_nodes = max_nodes ? max_nodes * 2 : 4096;
		nodes = realloc(nodes, max_nodes * sizeof(*nodes));
	}
	nodes[nr_nodes] = (struct node){ func, parent };
	node_table[i] = nr_nodes;
	return nr_nodes++;
}

static void push(struct stack *s, uint64_t func, uint64_t ret)
{
	uint32_t parent = s->depth ? s->frames[s->depth - 1].node : 0;

	if (s->depth < MAX_DEPTH)
		s->frames[s->depth++] = (struct frame){ func, ret, get_node(parent, func) };
}

static void follow(const struct block *b)
{
	struct stack *s = &stacks[b->level];
	int i;

	if (!previous)
		return;
	if (b->level != previous->level) {
		/* Each stay at EL2 starts anew, and so does the kernel when user space enters it. */
		if (b->level == EL2 || (b->level == KERNEL && previous->level == LOW)) {
			s->depth = 0;
			push(s, b->pc, EXCEPTION);
		}
		return;
	}
	if (b->vector) {
		push(s, b->pc, EXCEPTION);
	} else if (previous->last == CALL && b->pc != previous->next) {
		push(s, b->pc, previous->next);
	} else if (previous->last == ERET) {
		for (i = s->depth - 1; i >= 0 && s->frames[i].ret != EXCEPTION; i--)
			;
		s->depth = i < 0 ? 0 : i;
	} else if (previous->last == RETURN) {
		for (i = s->depth - 1; i >= 0; i--)
			if (s->frames[i].ret == b->pc)
				break;
		s->depth = i < 0 ? 0 : i;	/* not there: another task's stack */
	}
}

static void count(const struct block *b)
{
	const struct stack *s = &stacks[b->level];
	uint32_t node = s->depth ? s->frames[s->depth - 1].node : 0;
	size_t i = hash((uintptr_t)b, node) & (max_counts - 1);

	for (; counts[i].block; i = (i + 1) & (max_counts - 1))
		if (counts[i].block == b && counts[i].node == node)
			break;
	if (!counts[i].block) {
		if (nr_counts > max_counts / 2)
			return;
		nr_counts++;
		counts[i] = (struct count){ b, node, 0 };
	}
	counts[i].insns += b->nr;
}

/* -- sections */

static void print_chain(uint32_t node)
{
	if (!node)
		return;
	print_chain(nodes[node].parent);
	fprintf(out, " %" PRIx64, nodes[node].func);
}

static void print_profile(void)
{
	size_t i;

	for (i = 0; i < max_counts; i++) {
		if (!counts[i].block)
			continue;
		fprintf(out, "pc %" PRIu64 " %" PRIu64 " %s %" PRIx64, sections, counts[i].insns,
			level_names[counts[i].block->level], counts[i].block->pc);
		print_chain(counts[i].node);
		fputc('\n', out);
	}
	memset(counts, 0, max_counts * sizeof(*counts));
	nr_counts = 0;
}

static void leave_el2(void)
{
	if (!stay)
		return;
	if (stay > longest)
		longest = stay;
	stays[stay < MAX_STAY ? stay : MAX_STAY]++;
	stay = 0;
}

static void print_stays(void)
{
	int i;

	for (i = MAX_STAY; i; i--)
		if (stays[i])
			fprintf(out, "stay %d %" PRIu32 "\n", i, stays[i]);
	memset(stays, 0, sizeof(stays));
}

static void on_exec(unsigned int cpu, void *data)
{
	const struct block *b = data;

	if (!active) {
		if (b->begin) {
			active = 1;
			total = el2 = entries = longest = stay = 0;
			memset(stacks, 0, sizeof(stacks));
			previous = NULL;
		}
		return;
	}
	if (b->end) {
		leave_el2();
		if (profile)
			print_profile();
		print_stays();
		fprintf(out, "section %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			sections++, total, el2, entries, longest);
		active = 0;
		return;
	}
	total += b->nr;
	if (b->level == EL2) {
		if (!stay)
			entries++;
		stay += b->nr;
		el2 += b->nr;
	} else if (stay) {
		leave_el2();
	}
	if (profile) {
		follow(b);
		count(b);
	}
	previous = b;
}

static uint32_t last_insn(const struct qemu_plugin_tb *tb, size_t nr)
{
	struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, nr - 1);
	uint32_t op = 0;

#if API >= 3
	qemu_plugin_insn_data(insn, &op, sizeof(op));
#else
	memcpy(&op, qemu_plugin_insn_data(insn), sizeof(op));
#endif
	return op;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct block *b = calloc(1, sizeof(*b));
	uint64_t low;
	uint32_t op;

	b->pc = qemu_plugin_tb_vaddr(tb);
	b->nr = qemu_plugin_tb_n_insns(tb);
	b->next = b->pc + 4 * b->nr;
	b->begin = b->pc == begin_pc;
	b->end = b->pc == end_pc;
	low = b->pc & 0x3fffffff;
	if (b->pc >> 63)
		b->level = KERNEL;
	else if (b->pc >> 31 && low >= hyp_start && low < hyp_end)
		b->level = EL2;
	b->vector = b->level == KERNEL && b->pc >= vectors_start && b->pc < vectors_end && !(b->pc & 0x7f);
	op = last_insn(tb, b->nr);
	if ((op & 0xfc000000) == 0x94000000 || (op & 0xfefff800) == 0xd63f0000)
		b->last = CALL;		/* BL, BLR, BLRAA and the like */
	else if ((op & 0xfffff800) == 0xd65f0000)
		b->last = RETURN;
	else if ((op & 0xfffff000) == 0xd69f0000)
		b->last = ERET;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_exec, 0, b);
}

static void on_exit_(qemu_plugin_id_t id, void *data)
{
	fclose(out);
}

static void range(const char *arg, uint64_t *start, uint64_t *end)
{
	char *rest;

	*start = strtoull(arg, &rest, 16);
	*end = strtoull(rest + 1, NULL, 16);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return -1;
		*value++ = '\0';
		if (!strcmp(argv[i], "out"))
			out = fopen(value, "w");
		else if (!strcmp(argv[i], "begin"))
			begin_pc = strtoull(value, NULL, 16);
		else if (!strcmp(argv[i], "end"))
			end_pc = strtoull(value, NULL, 16);
		else if (!strcmp(argv[i], "hyp"))
			range(value, &hyp_start, &hyp_end);
		else if (!strcmp(argv[i], "vectors"))
			range(value, &vectors_start, &vectors_end);
		else if (!strcmp(argv[i], "profile"))
			profile = 1;
		else
			return -1;
	}
	if (!out || !begin_pc || !end_pc)
		return -1;
	counts = calloc(max_counts, sizeof(*counts));
	node_table = calloc(max_table, sizeof(*node_table));
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
	return 0;
}
