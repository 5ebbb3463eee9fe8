// SPDX-License-Identifier: GPL-2.0-only
/* What fits in a few lines each: SMCCC's own functions, TRNG (DEN0098), SDEI (DEN0054). */
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

/* -- TRNG: no random numbers, but el3-log.h's recognisable ones --------------------------------- */

enum { TRNG_VERSION = 0x50, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND };

void trng(struct regs *r, u32 fn)
{
	static const u32 uuid[4] = EL3_TRNG_UUID;
	static u64 words;
	const bool wide = r->x[0] & FN64;
	const u32 width = wide ? 64 : 32, bits = r->x[1];
	s64 ret = SMCCC_NOT_SUPPORTED;

	if (wide && fn != TRNG_RND)
		fn = ~0;
	switch (fn) {
	case TRNG_VERSION:
		ret = 0x10000;
		break;
	case TRNG_FEATURES:
		if (r->x[1] >= 0x84000050 && r->x[1] <= 0x84000053)
			ret = 0;
		else if (r->x[1] == 0xc4000053)
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
		/* The last bits asked for are the lowest of x3, the first ones the highest of x1. */
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

/* -- SDEI: events can be registered and looked at; none is ever delivered ------------------- */

#define SDEI_EVENTS		8		/* 0, which can be signalled, and seven vendor's */
#define SDEI_INVALID_PARAMETERS	-2
#define SDEI_DENIED		-3
#define SDEI_REGISTERED		BIT(0)
#define SDEI_ENABLED		BIT(1)

enum {
	SDEI_VERSION = 0x20, SDEI_REGISTER, SDEI_ENABLE, SDEI_DISABLE, SDEI_CONTEXT, SDEI_COMPLETE,
	SDEI_COMPLETE_AND_RESUME, SDEI_UNREGISTER, SDEI_STATUS, SDEI_GET_INFO, SDEI_ROUTING_SET,
	SDEI_PE_MASK, SDEI_PE_UNMASK, SDEI_BIND, SDEI_RELEASE, SDEI_SIGNAL, SDEI_FEATURES,
	SDEI_PRIVATE_RESET, SDEI_SHARED_RESET,
};

void sdei(struct regs *r, u32 fn)
{
	static u8 events[SDEI_EVENTS];		/* shared ones, all of them */
	static u64 masked = ~0ULL;		/* a bit a CPU */
	static struct lock sdei_lock;
	const u64 event = r->x[1], me = BIT(this_cpu());
	u8 *e = event < SDEI_EVENTS ? &events[event] : NULL;
	s64 ret = 0;

	if (!(r->x[0] & FN64)) {
		r->x[0] = SMCCC_NOT_SUPPORTED;
		return;
	}
	lock(&sdei_lock);
	switch (fn) {
	case SDEI_VERSION:
		ret = 1ULL << 48;		/* 1.0 */
		break;
	case SDEI_REGISTER:			/* event, entry point, argument, flags, affinity */
		if (!e || r->x[2] & 3)
			ret = SDEI_INVALID_PARAMETERS;
		else if (*e)
			ret = SDEI_DENIED;
		else
			*e = SDEI_REGISTERED;
		break;
	case SDEI_ENABLE:
	case SDEI_DISABLE:
		if (!e)
			ret = SDEI_INVALID_PARAMETERS;
		else if (!*e)
			ret = SDEI_DENIED;
		else
			*e = SDEI_REGISTERED | (fn == SDEI_ENABLE ? SDEI_ENABLED : 0);
		break;
	case SDEI_UNREGISTER:
		if (!e)
			ret = SDEI_INVALID_PARAMETERS;
		else if (!*e)
			ret = SDEI_DENIED;
		else
			*e = 0;
		break;
	case SDEI_STATUS:
		ret = e ? *e : SDEI_INVALID_PARAMETERS;
		break;
	case SDEI_GET_INFO:			/* type, signalled, critical, routing: shared, no... */
		ret = !e || r->x[2] > 4 ? SDEI_INVALID_PARAMETERS : r->x[2] == 0 || !event;
		break;
	case SDEI_PE_MASK:
		ret = !(masked & me);
		masked |= me;
		break;
	case SDEI_PE_UNMASK:
		masked &= ~me;
		break;
	case SDEI_FEATURES:			/* of binding: no slots */
		ret = event > 1 ? SDEI_INVALID_PARAMETERS : 0;
		break;
	case SDEI_PRIVATE_RESET:
		break;
	case SDEI_SHARED_RESET:
		for (u32 i = 0; i < SDEI_EVENTS; i++)
			events[i] = 0;
		break;
	case SDEI_SIGNAL:			/* it would be delivered, were it not masked for good */
		ret = event ? SDEI_INVALID_PARAMETERS : 0;
		break;
	case SDEI_CONTEXT:
	case SDEI_COMPLETE:
	case SDEI_COMPLETE_AND_RESUME:
		ret = SDEI_DENIED;		/* no handler is running */
		break;
	default:
		ret = SMCCC_NOT_SUPPORTED;
	}
	unlock(&sdei_lock);
	r->x[0] = ret;
}
