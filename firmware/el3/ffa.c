// SPDX-License-Identifier: GPL-2.0-only
/*
 * FF-A 1.0 to 1.2 (DEN0077A): as much of a partition manager (SPMC) as the non-secure world can
 * tell from a real one, with a single secure partition that borrows memory and echoes messages.
 *
 * It believes no address and no length of a caller, but it does not ask whether the caller may
 * give the memory away: a page shared twice, or one of a guest, is for EL2 to refuse. It never
 * touches shared memory either: that the call got here is what a test looks at.
 *
 * A transaction is kept as the caller's descriptor, byte for byte, with handle and flags filled
 * in; that is what FFA_MEM_RETRIEVE_REQ by the hypervisor (EL2, before it lets a RECLAIM through)
 * gets back, in as many fragments as it takes.
 *
 * -DFFA_NEWEST=0x10001: a monitor that knows no later version than that.
 */
#include "el3.h"
#include "el3-log.h"

enum {	/* function numbers, of both calling conventions */
	FFA_ERROR = 0x60, FFA_SUCCESS, FFA_INTERRUPT, FFA_VERSION, FFA_FEATURES, FFA_RX_RELEASE,
	FFA_RXTX_MAP, FFA_RXTX_UNMAP, FFA_PARTITION_INFO_GET, FFA_ID_GET,
	FFA_MSG_SEND_DIRECT_REQ = 0x6f, FFA_MSG_SEND_DIRECT_RESP, FFA_MEM_DONATE, FFA_MEM_LEND,
	FFA_MEM_SHARE, FFA_MEM_RETRIEVE_REQ, FFA_MEM_RETRIEVE_RESP, FFA_MEM_RELINQUISH,
	FFA_MEM_RECLAIM, FFA_MEM_OP_PAUSE, FFA_MEM_FRAG_RX = 0x7a, FFA_MEM_FRAG_TX, FFA_SPM_ID_GET = 0x85,
	FFA_MSG_SEND_DIRECT_REQ2 = 0x8d, FFA_MSG_SEND_DIRECT_RESP2,
};
#define FN(n)		BIT((n) - 0x60)
#define CALLS64		(FN(FFA_RXTX_MAP) | FN(FFA_MSG_SEND_DIRECT_REQ) | FN(FFA_MEM_DONATE) | \
			 FN(FFA_MEM_LEND) | FN(FFA_MEM_SHARE) | FN(FFA_MEM_RETRIEVE_REQ))
#define CALLS32		(CALLS64 | FN(FFA_VERSION) | FN(FFA_FEATURES) | FN(FFA_RX_RELEASE) | \
			 FN(FFA_RXTX_UNMAP) | FN(FFA_PARTITION_INFO_GET) | FN(FFA_ID_GET) | \
			 FN(FFA_MEM_RECLAIM) | FN(FFA_MEM_FRAG_RX) | FN(FFA_MEM_FRAG_TX) | \
			 FN(FFA_SPM_ID_GET))

#define SUCCESS			0
#define NOT_SUPPORTED		-1
#define INVALID_PARAMETERS	-2
#define NO_MEMORY		-3
#define BUSY			-4
#define DENIED			-6

#define VERSION_1_0		0x10000
#define VERSION_1_1		0x10001
#define VERSION_1_2		0x10002
#ifndef FFA_NEWEST
#define FFA_NEWEST		VERSION_1_2
#endif
#define CALLER			0		/* all of the non-secure world is endpoint 0 here */
#define SPMC			0x8000
#define PAGE			4096
#define BUFFER_MAX		(16 * PAGE)

struct descriptor {	/* FF-A 1.1, 10.14: memory transaction descriptor */
	u16 sender, attributes;
	u32 flags;
	u64 handle, tag;
	u32 access_size, access_count;	/* 1.0: reserved, the same */
	u32 access_offset, reserved[3];	/* 1.0: not there */
};
struct access {		/* endpoint memory access descriptor; 1.2 adds 16 bytes at the end */
	u16 receiver;
	u8 permissions, flags;
	u32 composite_offset;
};
struct composite {
	u32 pages, count;
	u64 reserved;
	struct {
		u64 address;
		u32 pages, reserved;
	} ranges[];
};

/* What the caller gave for the transaction, in secure memory: it can't change any more. */
static struct share {
	u64 handle;			/* 0: free */
	u32 total, filled;
	u8 bytes[4 * PAGE] __attribute__((aligned(8)));
} shares[32];

static struct {
	u64 tx, rx;			/* 0: not mapped */
	u32 size;
	bool rx_full;			/* it is the caller's until RX_RELEASE */
} buffers;
static u32 version = FFA_NEWEST;
static struct lock ffa_lock;

static void reply(struct regs *r, u32 fn, u64 x1, u64 x2, u64 x3)
{
	r->x[0] = 0x84000000 | fn;
	r->x[1] = x1;
	r->x[2] = x2;
	r->x[3] = x3;
	for (int i = 4; i < 8; i++)
		r->x[i] = 0;
}

static u32 access_size(void) { return version >= VERSION_1_2 ? 32 : 16; }
static u32 header_size(void)
{
	return version >= VERSION_1_1 ? sizeof(struct descriptor) : offsetof(struct descriptor, access_offset);
}
/* 0: where it can't be */
static u32 access_offset(const struct descriptor *d)
{
	if (version < VERSION_1_1)
		return header_size();
	if (d->access_size != access_size() || d->access_offset & 15 || d->access_offset < header_size())
		return 0;
	return d->access_offset;
}

static struct share *find(u64 handle)
{
	for (u32 i = 0; handle && i < ARRAY_SIZE(shares); i++)
		if (shares[i].handle == handle)
			return &shares[i];
	return NULL;
}
static u64 handle_of(const struct regs *r) { return (u32)r->x[1] | (u64)(u32)r->x[2] << 32; }

/* The parts that must be in the first fragment. Returns NULL if they are not in order. */
static struct composite *header(struct share *s)
{
	const struct descriptor *d = (void *)s->bytes;
	const struct access *a;
	u32 at;

	if (s->filled < header_size() || d->sender != CALLER || d->access_count != 1)
		return NULL;
	at = access_offset(d);
	if (!at || at > s->filled || s->filled - at < access_size())
		return NULL;
	a = (void *)(s->bytes + at);
	if (a->receiver != EL3_FFA_PARTITION || a->composite_offset & 7 ||
	    a->composite_offset < at + access_size() ||
	    a->composite_offset > s->filled ||
	    s->filled - a->composite_offset < sizeof(struct composite))
		return NULL;
	return (void *)(s->bytes + a->composite_offset);
}

/* All of it: the ranges are what the header says, each is memory. */
static bool complete(struct share *s)
{
	const struct composite *c = header(s);
	u64 pages = 0;

	if (!c || (u64)c->ranges + c->count * sizeof(c->ranges[0]) != (u64)s->bytes + s->total)
		return false;
	for (u32 i = 0; i < c->count; i++) {
		pages += c->ranges[i].pages;
		if (c->ranges[i].address % PAGE || !c->ranges[i].pages ||
		    !in_ram(c->ranges[i].address, (u64)c->ranges[i].pages * PAGE))
			return false;
	}
	return c->count && pages == c->pages;
}

/* A fragment of a transaction is in TX. */
static s32 take(struct regs *r, struct share *s, u32 size)
{
	if (!size || size > buffers.size || size > s->total - s->filled)
		return INVALID_PARAMETERS;
	memcpy_ns(s->bytes + s->filled, (void *)buffers.tx, size);
	s->filled += size;
	if (!header(s) || (s->filled == s->total && !complete(s))) {
		s->handle = 0;
		return INVALID_PARAMETERS;
	}
	if (s->filled == s->total)
		reply(r, FFA_SUCCESS, 0, (u32)s->handle, s->handle >> 32);
	else
		reply(r, FFA_MEM_FRAG_RX, (u32)s->handle, s->handle >> 32, s->filled);
	return SUCCESS;
}

static s32 mem_send(struct regs *r, u32 fn)
{
	static u64 last_handle = 0x0e3e3e3e00000000;	/* both halves count; bit 63 is EL2's */
	const u32 total = r->x[1], size = r->x[2];
	struct descriptor *d;
	struct share *s;
	s32 ret;

	if (!buffers.tx || arg(r, 3) || arg(r, 4) || size > total)
		return INVALID_PARAMETERS;
	for (s = shares; s->handle; )
		if (++s == shares + ARRAY_SIZE(shares))
			return NO_MEMORY;
	if (total > sizeof(s->bytes))
		return NO_MEMORY;
	s->handle = ++last_handle;
	s->total = total;
	s->filled = 0;
	ret = take(r, s, size);
	if (ret) {
		s->handle = 0;
		return ret;
	}
	d = (void *)s->bytes;
	d->handle = s->handle;
	/* The type of the transaction: 1 share, 2 lend, 3 donate. */
	d->flags = (d->flags & ~(3U << 3)) | (FFA_MEM_SHARE - fn + 1) << 3;
	/* For a test: an answer that leaves open what came of it */
	if (d->tag == EL3_FFA_TAG_PAUSE)
		reply(r, FFA_MEM_OP_PAUSE, (u32)s->handle, s->handle >> 32, 0);
	return SUCCESS;
}

/* Bytes of a descriptor, from `offset` on, to RX. */
static u32 give(const struct share *s, u32 offset)
{
	u32 size = s->total - offset;

	if (size > buffers.size)
		size = buffers.size;
	memcpy_ns((void *)buffers.rx, s->bytes + offset, size);
	buffers.rx_full = true;
	return size;
}

/* By the hypervisor: a descriptor with no receiver, only to be told what the handle stands for. */
static s32 mem_retrieve(struct regs *r)
{
	struct descriptor d;
	struct share *s;
	u32 size;

	if (!buffers.tx || (u32)r->x[1] != (u32)r->x[2] || (u32)r->x[1] != header_size())
		return INVALID_PARAMETERS;
	if (buffers.rx_full)
		return BUSY;
	memcpy_ns(&d, (void *)buffers.tx, header_size());
	s = find(d.handle);
	if (!s || s->filled != s->total || d.sender != CALLER || d.access_count)
		return INVALID_PARAMETERS;
	size = give(s, 0);
	reply(r, FFA_MEM_RETRIEVE_RESP, s->total, size, 0);
	return SUCCESS;
}

static s32 mem_frag_rx(struct regs *r)
{
	const u32 offset = r->x[3];
	struct share *s = find(handle_of(r));
	u32 size;

	if (!buffers.rx || !s || s->filled != s->total || offset >= s->total)
		return INVALID_PARAMETERS;
	if (buffers.rx_full)
		return BUSY;
	size = give(s, offset);
	reply(r, FFA_MEM_FRAG_TX, (u32)s->handle, s->handle >> 32, size);
	return SUCCESS;
}

static s32 rxtx_map(struct regs *r)
{
	const u64 tx = arg(r, 1), rx = arg(r, 2), size = arg(r, 3) * PAGE;

	if (buffers.tx)
		return DENIED;
	if (!size || size > BUFFER_MAX || (tx | rx) % PAGE || !in_ram(tx, size) ||
	    !in_ram(rx, size) || (tx < rx + size && rx < tx + size))
		return INVALID_PARAMETERS;
	buffers.tx = tx;
	buffers.rx = rx;
	buffers.size = size;
	buffers.rx_full = false;
	reply(r, FFA_SUCCESS, 0, 0, 0);
	return SUCCESS;
}

static s32 partition_info(struct regs *r)
{
	const struct {
		u16 id, contexts;
		u32 properties, uuid[4];
	} info = {
		.id = EL3_FFA_PARTITION,
		.contexts = 1,
		/* Direct requests, AArch64, REQ2 */
		.properties = BIT(0) | (version >= VERSION_1_1 ? BIT(8) : 0) |
			      (version >= VERSION_1_2 ? BIT(9) : 0),
		.uuid = EL3_FFA_UUID,
	};
	/* 1.0 has no UUID, and doesn't say how large it is. */
	const u32 size = version >= VERSION_1_1 ? sizeof(info) : offsetof(typeof(info), uuid);
	bool nil = true, equal = true;

	for (int i = 0; i < 4; i++) {
		nil = nil && !(u32)r->x[i + 1];
		equal = equal && (u32)r->x[i + 1] == info.uuid[i];
	}
	if (!nil && !equal)
		return INVALID_PARAMETERS;
	/* Only to be counted. With 1.0 nobody may ask for that; who does gets it, as in the field. */
	if (r->x[5] & 1) {
		reply(r, FFA_SUCCESS, 0, 1, 0);
		return SUCCESS;
	}
	if (!buffers.rx || buffers.rx_full)
		return BUSY;
	memcpy_ns((void *)buffers.rx, &info, size);
	buffers.rx_full = true;
	reply(r, FFA_SUCCESS, 0, 1, version >= VERSION_1_1 ? size : 0);
	return SUCCESS;
}

/* The partition: answers with the complement of each word, on the spot. */
static s32 direct_request(struct regs *r, bool two)
{
	const u64 id = r->x[0];
	const u32 ends = r->x[1];

	if (ends != (CALLER << 16 | EL3_FFA_PARTITION))
		return INVALID_PARAMETERS;
	if (!two && (u32)r->x[2])		/* framework messages */
		return NOT_SUPPORTED;
	r->x[0] = id + 1;			/* the response's is the next */
	r->x[1] = (u32)EL3_FFA_PARTITION << 16 | CALLER;
	r->x[2] = 0;
	if (two)
		r->x[3] = 0;
	for (int i = two ? 4 : 3; i <= (two ? 17 : 7); i++)
		r->x[i] = id & FN64 ? ~r->x[i] : (u32)~r->x[i];
	return SUCCESS;
}

static u64 known(u32 id)
{
	if (id & FN64)
		return CALLS64 | (version >= VERSION_1_2 ? FN(FFA_MSG_SEND_DIRECT_REQ2) : 0);
	return version >= VERSION_1_1 ? CALLS32 : CALLS32 & ~FN(FFA_SPM_ID_GET);
}

static s32 call(struct regs *r, u32 fn)
{
	const u32 id = r->x[1];
	struct share *s;

	switch (fn) {
	case FFA_FEATURES:
		if ((id & ~FN64) - 0x84000060 >= 64 || !(known(id) & FN(id & 0xff)))
			return NOT_SUPPORTED;
		/* Of RXTX_MAP: buffers of 4 KiB at least. Nothing to tell of the others. */
		break;
	case FFA_ID_GET:
		reply(r, FFA_SUCCESS, 0, CALLER, 0);
		return SUCCESS;
	case FFA_SPM_ID_GET:
		reply(r, FFA_SUCCESS, 0, SPMC, 0);
		return SUCCESS;
	case FFA_RXTX_MAP:
		return rxtx_map(r);
	case FFA_RXTX_UNMAP:
		if (!buffers.tx || id >> 16 != CALLER)
			return INVALID_PARAMETERS;
		buffers.tx = buffers.rx = 0;
		break;
	case FFA_RX_RELEASE:
		if (!buffers.rx_full)
			return DENIED;
		buffers.rx_full = false;
		break;
	case FFA_PARTITION_INFO_GET:
		return partition_info(r);
	case FFA_MSG_SEND_DIRECT_REQ:
		return direct_request(r, false);
	case FFA_MSG_SEND_DIRECT_REQ2:
		return direct_request(r, true);
	case FFA_MEM_SHARE:
	case FFA_MEM_LEND:
	case FFA_MEM_DONATE:
		return mem_send(r, fn);
	case FFA_MEM_FRAG_TX:
		s = find(handle_of(r));
		if (!buffers.tx || !s || s->filled == s->total || (u32)r->x[4])
			return INVALID_PARAMETERS;
		return take(r, s, r->x[3]);
	case FFA_MEM_RETRIEVE_REQ:
		return mem_retrieve(r);
	case FFA_MEM_FRAG_RX:
		return mem_frag_rx(r);
	case FFA_MEM_RECLAIM:			/* of an unfinished transaction: it is given up */
		s = find(handle_of(r));
		if (!s)
			return INVALID_PARAMETERS;
		s->handle = 0;
		break;
	default:
		return NOT_SUPPORTED;
	}
	reply(r, FFA_SUCCESS, 0, 0, 0);
	return SUCCESS;
}

void ffa(struct regs *r, u32 fn)
{
	const u32 asked = r->x[1];
	s32 ret = NOT_SUPPORTED;

	lock(&ffa_lock);
	if (r->x[0] == 0x84000000 + FFA_VERSION) {
		/* The caller's version counts from now on, as far as we know it. */
		if (asked >> 16 == 1) {
			version = asked < FFA_NEWEST ? asked : FFA_NEWEST;
			r->x[0] = FFA_NEWEST;
		} else {
			r->x[0] = NOT_SUPPORTED;
		}
		r->x[1] = r->x[2] = r->x[3] = 0;
		unlock(&ffa_lock);
		return;
	}
	if (fn < 0x60 + 64 && known(r->x[0]) & FN(fn))
		ret = call(r, fn);
	if (ret)
		reply(r, FFA_ERROR, 0, (u32)ret, 0);
	unlock(&ffa_lock);
}
