// SPDX-License-Identifier: GPL-2.0-only
/*
 * pkvm_debug - EL2 can be watched at work: its events are traced into a buffer
 * that the host reads, those of protected guests too, and of a protected guest
 * nothing but that and when it was entered and left.
 *
 * Needs CONFIG_NVHE_EL2_TRACING and a tracefs.
 */
#include <fcntl.h>
#include <unistd.h>

#include "kvm_util.h"
#include "pkvm.h"
#include "processor.h"
#include "ucall_common.h"

#include "kselftest_harness.h"

#define REMOTE		"/sys/kernel/tracing/remotes/hypervisor/"
#define NR_EVENTS	20
#define NR_EXITS	100

static void put(const char *file, const char *val)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), REMOTE "%s", file);
	fd = open(path, O_WRONLY | O_TRUNC);
	TEST_ASSERT(fd >= 0, "open(%s)", path);
	TEST_ASSERT(write(fd, val, strlen(val)) == (ssize_t)strlen(val), "write(%s) to %s", val,
		    path);
	close(fd);
}

/* Calls @line for each line of the trace, which stays where it is; returns their number. */
static int trace_for_each(void (*line)(const char *line, void *arg), void *arg)
{
	char buf[512];
	FILE *f;
	int nr = 0;

	f = fopen(REMOTE "trace", "r");
	TEST_ASSERT(f, "fopen(trace)");
	while (fgets(buf, sizeof(buf), f)) {
		line(buf, arg);
		nr++;
	}
	fclose(f);

	return nr;
}

FIXTURE(pkvm_debug) {
};

FIXTURE_SETUP(pkvm_debug)
{
	TEST_REQUIRE_PKVM();
	if (access(REMOTE "write_event", W_OK))
		SKIP(return, "no events of EL2 (CONFIG_NVHE_EL2_TRACING, tracefs)");

	put("tracing_on", "0");
	put("trace", "0");
	put("events/enable", "0");
	/* What it is by default.  In a larger one the file "trace" shows too little. */
	put("buffer_size_kb", "7");
}

FIXTURE_TEARDOWN(pkvm_debug)
{
	put("tracing_on", "0");
	put("trace", "0");
	put("events/enable", "0");
}

static void check_id(const char *line, void *arg)
{
	const char *id = strstr(line, "selftest id=");
	int *next = arg;

	TEST_ASSERT(id, "Not asked for: %s", line);
	TEST_ASSERT_EQ(atoi(id + strlen("selftest id=")), (*next)++);
}

static void ignore(const char *line, void *arg)
{
}

TEST_F(pkvm_debug, events_of_el2_are_traced_in_their_order)
{
	char buf[16];
	int i, next = 1;

	put("events/hypervisor/selftest/enable", "1");
	put("tracing_on", "1");
	for (i = 1; i <= NR_EVENTS; i++) {
		snprintf(buf, sizeof(buf), "%d", i);
		put("write_event", buf);
	}
	EXPECT_EQ(trace_for_each(check_id, &next), NR_EVENTS);

	/* What is not enabled, or not on, is not traced. */
	put("trace", "0");
	put("events/hypervisor/selftest/enable", "0");
	put("write_event", "1");
	EXPECT_EQ(trace_for_each(ignore, NULL), 0);
	put("events/hypervisor/selftest/enable", "1");
	put("tracing_on", "0");
	put("write_event", "1");
	EXPECT_EQ(trace_for_each(ignore, NULL), 0);
}

static void guest_exits(void)
{
	int i;

	for (i = 0; i < NR_EXITS; i++)
		GUEST_MMIO_SYNC2(i, i);
	GUEST_MMIO_DONE();
}

struct guest_lines {
	int pid;
	int exits;
	int entries;
	int others;
};

static void check_guest_line(const char *line, void *arg)
{
	struct guest_lines *lines = arg;
	char event[16], reason[16];
	int vcpu, end = 0;

	/* Nothing else is in an event: no address, no register. */
	if (sscanf(line, " [%*d] %*d.%*d: hyp_%15[a-z] reason=%15[a-z_] vcpu=%d%n",
		   event, reason, &vcpu, &end) != 3 || line[end] != '\n') {
		lines->others++;
		return;
	}
	if (vcpu != lines->pid)
		return;
	lines->exits += !strcmp(event, "enter") && !strcmp(reason, "guest_exit");
	lines->entries += !strcmp(event, "exit") && !strcmp(reason, "eret_guest");
}

static void trace_guest(struct __test_metadata *_metadata, struct vm_shape shape)
{
	struct guest_lines lines = { .pid = getpid() };
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	int nr = 0;

	vm = vm_create_shape_with_one_vcpu(shape, &vcpu, guest_exits);
	put("events/hypervisor/hyp_enter/enable", "1");
	put("events/hypervisor/hyp_exit/enable", "1");
	put("tracing_on", "1");
	while (vcpu_run_mmio_ucall(vcpu, &uc) == UCALL_SYNC)
		nr++;
	EXPECT_EQ(nr, NR_EXITS);
	put("tracing_on", "0");

	trace_for_each(check_guest_line, &lines);
	/* The buffer holds the last ones only. */
	EXPECT_GE(lines.exits, 5);
	EXPECT_GE(lines.entries, 5);
	EXPECT_EQ(lines.others, 0);

	kvm_vm_free(vm);
}

TEST_F(pkvm_debug, entries_and_exits_of_a_protected_guest_are_traced)
{
	trace_guest(_metadata, VM_SHAPE_PROTECTED);
}

TEST_F(pkvm_debug, entries_and_exits_of_a_non_protected_guest_are_traced)
{
	trace_guest(_metadata, VM_SHAPE_DEFAULT);
}

TEST_HARNESS_MAIN
