# shellcheck shell=bash
# Sourced after lib.sh by scripts/bench and scripts/bench-profile: boots that count instructions.
# Reads: the series' kselftests ($BUILD/kselftest, -obj), a kernel's objects. Writes $BENCH.

BENCH=$BUILD/bench
# Without pauth-impdef QEMU before 10 computes a cipher on every call of a function; with LPA2 the base
# walks empty page tables for 460 million instructions whenever a VM is closed.
bench_cpu=max,pauth-impdef=on,lpa2=off
bench_program=$KST-obj/kvm/arm64/pkvm_bench

# An initramfs with nothing else in it: what it takes to unpack is a part of the boot.
bench_initramfs() {
	local dir=$BENCH/kselftest
	rm -rf "$dir"
	mkdir -p "$dir/kvm/test_modules"
	cp "$KST/kvm/pkvm_bench" "$dir/kvm/"
	cp "$KST/kvm/test_modules"/*.ko "$dir/kvm/test_modules/"
	"$TOP/scripts/make-initramfs" --kselftest "$dir" --out "$BENCH/initramfs.cpio"
}

# bench_boot IMAGE LOG COMMAND OVERLAY [QEMU ARGUMENT...]: runs COMMAND in a machine whose clock counts
# instructions, its console in LOG; OVERLAY (or nothing) is a folder of more files. From the
# environment: MODE.
bench_boot() {
	local image=$1 log=$2 command=$3 overlay=$4 dir
	shift 4
	dir=$(mktemp -d)
	cleanup_add rm -rf "$dir"
	mkdir -p "$dir/o/job"
	echo shell >"$dir/o/job/kind"
	echo "$command" >"$dir/o/job/commands"
	cp "$TOP/scripts/machine/bench-init" "$dir/o/"
	cp "$BENCH/initramfs.cpio" "$dir/initramfs.cpio"
	[ -z "$overlay" ] || "$TOP/scripts/make-initramfs" --overlay "$overlay" >>"$dir/initramfs.cpio"
	"$TOP/scripts/make-initramfs" --overlay "$dir/o" >>"$dir/initramfs.cpio"
	VARIANT='' CPU=$bench_cpu ICOUNT=1 timeout 3600 "$TOP/scripts/boot-qemu" --image "$image" --initrd "$dir/initramfs.cpio" \
		--console "file:$log" --append "rdinit=/bench-init loglevel=4" "$@" </dev/null || true
	sed -i 's/\r$//' "$log"
	rm -rf "$dir"
	grep -q '^# exit status 0$' "$log" || die_log "$log" "'$command' did not come to its end on $MODE"
}

symbol() { # FILE NAME: its address
	local address
	address=$(awk -v name="$2" '$3 == name { print $1; exit }' "$1")
	[ -n "$address" ] || die "no symbol $2 in $(rel "$1")"
	echo "$address"
}

# The plugin speaks one version of QEMU's plugin API: the newest that this QEMU takes.
bench_plugin() {
	local api plugin=$BENCH/plugin.so qemu
	qemu=$("$TOP/scripts/find-qemu")
	need gcc
	for api in 4 3 2 1; do
		gcc -Wall -O2 -shared -fPIC -fvisibility=hidden -DAPI=$api -o "$plugin.part" "$TOP/scripts/bench-plugin.c"
		mv "$plugin.part" "$plugin"	# one that is in use stays as it is
		# A machine that does nothing
		if echo quit | "$qemu" -machine none -nodefaults -display none -monitor stdio \
			-plugin "$plugin,out=/dev/null,begin=1,end=2" >"$LOGS/bench-plugin.log" 2>&1; then
			return
		fi
	done
	die_log "$LOGS/bench-plugin.log" "$qemu does not load scripts/bench-plugin.c"
}
# plugin_arguments OBJ OUT [ARGUMENT]: QEMU's argument for a kernel's objects. With nokaslr the
# image is at 2 MiB of the memory, and EL2 runs its text under a tag that leaves the lowest bits.
plugin_arguments() {
	local map=$BENCH/symbols text hyp_start hyp_end
	"${CROSS_COMPILE}nm" "$bench_program" >"$map"
	text=$(symbol "$1/System.map" _text)
	hyp_start=$((0x$(symbol "$1/System.map" __hyp_text_start) - 0x$text + 0x200000))
	hyp_end=$((0x$(symbol "$1/System.map" __hyp_text_end) - 0x$text + 0x200000))
	printf '%s,out=%s,begin=%s,end=%s,hyp=%x-%x,vectors=%s-%x%s\n' "$BENCH/plugin.so" "$2" \
		"$(symbol "$map" bench_begin)" "$(symbol "$map" bench_end)" $hyp_start $hyp_end \
		"$(symbol "$1/System.map" vectors)" $((0x$(symbol "$1/System.map" vectors) + 0x800)) "${3:+,$3}"
}
