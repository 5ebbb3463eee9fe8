# shellcheck shell=bash disable=SC2034,SC2016
# A patch edited by hand, and a readable folder that is not in step.
p=$(series_patches | head -n 1)
sed -i '/^index /d' "$p"
mkdir -p tools-testing-selftests-kvm
echo planted >tools-testing-selftests-kvm/planted.c
expect=('patches is not what make refresh writes' 'tools-testing-selftests-kvm is not what make refresh writes')
