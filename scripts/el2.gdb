# Sourced by scripts/gdb: `el2-symbols` loads EL2's symbols at the addresses where EL2 runs them.
#
# EL2 maps its part of the kernel image at the hyp VA of the image's linear alias, see
# arch/arm64/kvm/va_layout.c: the low bits of the linear address under a tag that is random
# in every boot, also with nokaslr. The kernel remembers mask and tag; $el2_SECTION, the link
# addresses of the EL2 object's sections, come from scripts/gdb.
set pagination off
set confirm off
set architecture aarch64

define el2-symbols
  # Out of the kernel (at reset, in user space, in EL2) its memory can't be read.
  if ($cpsr & 0xc) != 4 || $pc < 0xffff000000000000
    tbreak schedule
    continue
  end
  if *(unsigned long long *)&va_mask == 0
    echo Letting the kernel choose the layout of EL2 ...\n
    tbreak kvm_arm_init
    continue
  end
  # hyp VA of $el2_text, less $el2_text
  set $linear = $el2_text - *(unsigned long long *)&kimage_voffset - *(unsigned long long *)&memstart_addr
  set $hyp = $linear & *(unsigned long long *)&va_mask
  set $hyp = $hyp | *(unsigned long long *)&tag_val << *(unsigned char *)&tag_lsb
  set $el2_offset = $hyp - $el2_text
  eval "add-symbol-file %s -s .hyp.text %#lx -s .hyp.idmap.text %#lx -s .hyp.rodata %#lx -s .hyp.data..ro_after_init %#lx -s .hyp.data..percpu %#lx -s .hyp.bss %#lx", $el2_object, \
    $el2_text + $el2_offset, $el2_idmap + $el2_offset, $el2_rodata + $el2_offset, \
    $el2_ro_after_init + $el2_offset, $el2_percpu + $el2_offset, $el2_bss + $el2_offset
  printf "EL2 runs its symbols (__kvm_nvhe_*) at link address %+ld; e.g. break __kvm_nvhe_handle_trap\n", $el2_offset
end
document el2-symbols
Load the symbols of EL2's object (all named __kvm_nvhe_*) where EL2 runs them. Lets the kernel
boot until it has chosen the addresses, when it has not yet.
end
