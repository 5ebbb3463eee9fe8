// SPDX-License-Identifier: GPL-2.0-only
/*
 * What fits in a few lines each: SMCCC's own functions, TRNG (DEN0098), SDEI (DEN0054), and
 * calls for tests.
 */
#include "el3.h"
#include "el3-log.h"

#define SMCCC_VERSION		0x0000
#define SMCCC_ARCH_FEATURES	0x0001
#define WORKAROUND_1		0x8000
#define WORKAROUND_2		0x7fff
#define WORKAROUND_3		0x3fff

void arch(struct regs *r, u32 fn)
{
	s64 ret = SMCCC_NOT_SUPPORTED;

	if (r->x[0] & FN64)
		fn = ~0;
	switch (fn) {
	case SMCCC_VERSION:
		ret = 0x10003;
		break;
	case SMCCC_ARCH_FEATURES:
		switch ((u32)r->x[1]) {
		case 0x80000000 + SMCCC_VERSION:
		case 0x80000000 + SMCCC_ARCH_FEATURES:
			ret = 0;
			break;
		case 0x80000000 + WORKAROUND_1:
		case 0x80000000 + WORKAROUND_2:
		case 0x80000000 + WORKAROUND_3:
			ret = 1;		/* may be called; no CPU here needs it */
		}
		break;
	case WORKAROUND_1:
	case WORKAROUND_2:
	case WORKAROUND_3:
		return;				/* void, and nothing to do */
	}
	r->x[0] = ret;
}

/* -- TRNG: no random numbers, but el3-log.h's recognisable ones ------------------------- */

static struct {
	u64 bits, status, fill;		/* of EL3_TEST_TRNG */
} trng_fault;

enum { TRNG_VERSION = 0x50, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND };

void trng(struct regs *r, u32 fn)
{
	static const u32 uuid[4] = EL3_TRNG_UUID;
	static u64 words;
	const bool wide = r->x[0] & FN64;
	const u32 width = wide ? 64 : 32, bits = r->x[1], asked = r->x[1];
	s64 ret = SMCCC_NOT_SUPPORTED;

	if (wide && fn != TRNG_RND)
		fn = ~0;
	switch (fn) {
	case TRNG_VERSION:
		ret = 0x10000;
		break;
	case TRNG_FEATURES:
		if ((asked >= 0x84000050 && asked <= 0x84000053) || asked == 0xc4000053)
			ret = 0;
		break;
	case TRNG_GET_UUID:
		for (int i = 0; i < 4; i++)
			r->x[i] = uuid[i];
		return;
	case TRNG_RND:
		r->x[1] = r->x[2] = r->x[3] = 0;
		if (!bits || bits > 3 * width) {
			ret = -2;		/* INVALID_PARAMETERS */
			break;
		}
		if (bits == trng_fault.bits) {
			ret = trng_fault.status;
			r->x[1] = r->x[2] = r->x[3] = trng_fault.fill;
			break;
		}
		/* The lowest bits go to x3, the highest to x1. */
		for (u32 done = 0, i = 3; done < bits; done += width, i--) {
			u64 n = __atomic_fetch_add(&words, 1, __ATOMIC_RELAXED);

			r->x[i] = wide ? el3_trng_word(n) : el3_trng_word(n) >> 32;
			if (bits - done < width)
				r->x[i] &= BIT(bits - done) - 1;
		}
		ret = 0;
	}
	r->x[0] = ret;
}

/* -- what tests ask for --------------------------------------------------------------------- */

void test(struct regs *r)
{
	u64 set = 0;

	switch ((u32)r->x[0]) {
	case EL3_TEST_REGISTERS:
		for (int i = 18; i < 31; i++)
			set |= r->x[i];
		r->x[1] = set;
		r->x[2] = log_take_registers();
		break;
	case EL3_TEST_RESET:
		no_reset = r->x[1];
		break;
	case EL3_TEST_TRNG:
		trng_fault.bits = r->x[1];
		trng_fault.status = r->x[2];
		trng_fault.fill = r->x[3];
		break;
	default:
		r->x[0] = SMCCC_NOT_SUPPORTED;
		return;
	}
	r->x[0] = 0;
}

/* -- SDEI: events can be registered and looked at; none is ever delivered ------------------- */

#define SDEI_EVENTS		8		/* all of them shared */
#define SDEI_INVALID_PARAMETERS	-2
#define SDEI_DENIED		-3
#define SDEI_REGISTERED		BIT(0)		/* as EVENT_STATUS has it */
#define SDEI_ENABLED		BIT(1)

enum {
	SDEI_VERSION = 0x20, SDEI_REGISTER, SDEI_ENABLE, SDEI_DISABLE, SDEI_UNREGISTER = 0x27,
	SDEI_STATUS, SDEI_PE_MASK = 0x2b, SDEI_PE_UNMASK, SDEI_PRIVATE_RESET = 0x31,
	SDEI_SHARED_RESET,
};

/* The log has the handler's address: that the registration arrived is what a test looks at. */
void sdei(struct regs *r, u32 fn)
{
	static u8 events[SDEI_EVENTS];
	static struct lock sdei_lock;
	const bool about_event = fn >= SDEI_REGISTER && fn <= SDEI_STATUS;
	u8 *e = r->x[1] < SDEI_EVENTS ? &events[r->x[1]] : NULL;
	s64 ret = 0;

	lock(&sdei_lock);
	if (!(r->x[0] & FN64) || (fn > SDEI_DISABLE && fn < SDEI_UNREGISTER)) {
		ret = SMCCC_NOT_SUPPORTED;
	} else if (about_event && !e) {
		ret = SDEI_INVALID_PARAMETERS;
	} else if (about_event && fn != SDEI_STATUS && !*e == (fn != SDEI_REGISTER)) {
		ret = SDEI_DENIED;			/* registered already, or not yet */
	} else {
		switch (fn) {
		case SDEI_VERSION:
			ret = 1ULL << 48;		/* 1.0 */
			break;
		case SDEI_REGISTER:			/* event, entry point, argument, ... */
		case SDEI_DISABLE:
			*e = SDEI_REGISTERED;
			break;
		case SDEI_ENABLE:
			*e = SDEI_REGISTERED | SDEI_ENABLED;
			break;
		case SDEI_UNREGISTER:
			*e = 0;
			break;
		case SDEI_STATUS:
			ret = *e;
			break;
		case SDEI_SHARED_RESET:
			memset(events, 0, sizeof(events));
			break;
		case SDEI_PE_MASK:
		case SDEI_PE_UNMASK:
		case SDEI_PRIVATE_RESET:
			break;
		default:
			ret = SMCCC_NOT_SUPPORTED;
		}
	}
	unlock(&sdei_lock);
	r->x[0] = ret;
}
