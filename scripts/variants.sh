# shellcheck shell=bash disable=SC2034
# Sourced after lib.sh by what boots a machine. Reads config/variants and the environment
# (VARIANT, MODE, CPU: the first machine of the table that has what is given, else one of the
# caller's own); sets
#   VARIANT  its name, empty when MODE or CPU make it none of the table's
#   MODE CPU SMP MEM QEMU
#   EXPECT   a regular expression that the kernel's log must have once KVM is up, or empty

use_variant() {
	local name cpu mode expect first_cpu=
	while read -r name cpu mode expect; do
		case $name in '' | '#'*) continue ;; esac
		first_cpu=${first_cpu:-$cpu}
		if [ "$name" = "${VARIANT:-$name}" ] && [ "$cpu" = "${CPU:-$cpu}" ] && [ "$mode" = "${MODE:-$mode}" ]; then
			VARIANT=$name CPU=$cpu MODE=$mode EXPECT=$expect
			return
		fi
	done <"$TOP/config/variants"
	[ -z "${VARIANT:-}" ] || die "no variant $VARIANT${CPU:+ with CPU=$CPU}${MODE:+ with MODE=$MODE} in config/variants"
	VARIANT='' CPU=${CPU:-$first_cpu} MODE=${MODE:-protected} EXPECT=
	case $MODE in
	protected) EXPECT='kvm \[1\]: Protected (h|n)VHE mode initialized successfully' ;;
	nvhe) EXPECT='kvm \[1\]: Hyp nVHE mode initialized successfully' ;;
	esac
}
list_variants() { awk '!/^#/ && NF { print $1 }' "$TOP/config/variants"; }

use_variant
SMP=${SMP:-2} MEM=${MEM:-2G}
QEMU=$("$TOP/scripts/find-qemu")
