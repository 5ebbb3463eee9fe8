# shellcheck shell=bash disable=SC2034
# A counter comes with a barrier, which is there without the counter.
sed -i 's/^+\thyp_stat_inc(HYP_STAT_HOST_ABORT);/& isb();/' patches/45-percpu-stats/0002-*.patch
expect=('FAIL: 45-percpu-stats: EL2.s object is another one')
