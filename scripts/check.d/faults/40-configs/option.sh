# shellcheck shell=bash disable=SC2034,SC2016
# The 64 KiB configuration has lost what makes it one; another does not build.
echo CONFIG_ARM64_4K_PAGES=y >>config/64k.config
plant arch/arm64/kvm/hyp/nvhe/page_alloc.c "\$a #if PAGE_SIZE != 4096\nint planted(void) { int unused; return 0; }\n#endif"
with=(TARGETS=arch/arm64/kvm/hyp/ CONFIGS='16k 64k')
expect=('did not take effect' 'new warnings, see .*configs-16k.log')
