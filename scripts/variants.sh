# shellcheck shell=bash disable=SC2034
# Sourced after lib.sh by what boots a machine. Reads config/variants and the environment
# (VARIANT, MODE, CPU, FIRMWARE: the first machine of the table that has what is given, else one of the
# caller's own); sets
#   VARIANT  its name, empty when MODE, CPU or FIRMWARE make it none of the table's
#   MODE CPU FIRMWARE SMP MEM QEMU
#   RUNS     the tests that it runs, patterns with commas between them
#   EXPECT   a regular expression that the kernel's log must have once KVM is up, or empty

use_variant() {
	local name cpu mode firmware runs expect first_cpu=
	while read -r name cpu mode firmware runs expect; do
		case $name in '' | '#'*) continue ;; esac
		first_cpu=${first_cpu:-$cpu}
		if [ "$name" = "${VARIANT:-$name}" ] && [ "$cpu" = "${CPU:-$cpu}" ] && [ "$mode" = "${MODE:-$mode}" ] &&
			[ "$firmware" = "${FIRMWARE:-$firmware}" ]; then
			VARIANT=$name CPU=$cpu MODE=$mode FIRMWARE=$firmware RUNS=$runs EXPECT=$expect
			return
		fi
	done <"$TOP/config/variants"
	[ -z "${VARIANT:-}" ] || die "no variant $VARIANT${CPU:+ with CPU=$CPU}${MODE:+ with MODE=$MODE}${FIRMWARE:+ with FIRMWARE=$FIRMWARE} in config/variants"
	VARIANT='' CPU=${CPU:-$first_cpu} MODE=${MODE:-protected} FIRMWARE=${FIRMWARE:--} RUNS='*' EXPECT=
	case $MODE in
	protected) EXPECT='kvm \[1\]: Protected (h|n)VHE mode initialized successfully' ;;
	nvhe) EXPECT='kvm \[1\]: Hyp nVHE mode initialized successfully' ;;
	esac
}
list_variants() { awk '!/^#/ && NF { print $1 }' "$TOP/config/variants"; }

use_variant
SMP=${SMP:-2} MEM=${MEM:-2G}
QEMU=$("$TOP/scripts/find-qemu")
