# shellcheck shell=bash disable=SC2034,SC2016
# Debian touches a file that the series touches.
touched_files | head -n 1 >>config/base-debian-touched.list
expect=("touched by Debian's patches and by the series: $(touched_files | head -n 1)")
