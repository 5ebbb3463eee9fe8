# shellcheck shell=bash disable=SC2034,SC2016
# Patches that do not build, or not without a warning; the next one mends it each time.
kernel=arch/arm64/kvm/hyp/nvhe/page_alloc.c tests=tools/testing/selftests/kvm/lib/guest_sprintf.c
plant $kernel "\$a int hyp_planted(void) { int unused; return 0; }"
p1=$(tail -n 1 series)
plant $kernel "\$s/.*/extern int hyp_nowhere(void); int hyp_planted(void); int hyp_planted(void) { return hyp_nowhere(); }/"
p2=$(tail -n 1 series)
plant $kernel "\$s/.*/extern int hyp_gone/"
p3=$(tail -n 1 series)
plant $kernel "\$d"
plant $tests "\$a static int planted;"
p5=$(tail -n 1 series)
plant $tests "\$d"
with=(TARGETS=arch/arm64/kvm/hyp/ PREFIXES='*-planted.patch')
expect=("new warnings after $p1" "kernel does not build after $p2" 'nothing up to here defines:.*hyp_nowhere'
	"kernel does not build after $p3" "new warnings after $p5")
