# Thin: each target calls a script, which says at its top what it reads, writes and prints.
# Variables given to make (TESTS=, MODE=, LINUX=, ...) reach it through the environment.

.DEFAULT_GOAL := help
.PHONY: help run check tree kernel kselftests initramfs refresh shell guest gdb bench bench-profile mbox clean

help:                 ## this list
	@sed -n -E 's/^([a-z<>%-]+):[^#]*## /  make \1\t/p' Makefile | sed 's/%/<name>/' | expand -t 24
	@echo "  e.g. make run TESTS='pkvm_*' MODE=nvhe CPU=cortex-a72; LINUX=/path gives the base"

run: kernel initramfs ## build the series, boot it under QEMU, run the kselftests in protected mode
	@scripts/run-kselftests

check:                ## everything in scripts/check.d; SLOW=1 for all of it
	@scripts/check

check-%:              ## one check, e.g. make check-spelling
	@scripts/check '$*'

tree:                 ## build/linux: the base with the series applied; LINUX= FORCE=1
	@scripts/make-tree

kernel: tree
	@scripts/build-kernel

kselftests: kernel
	@scripts/build-kselftests

initramfs: kselftests
	@scripts/make-initramfs

refresh:              ## build/linux -> patches/, series, readable folders; TOPIC= for a new topic
	@scripts/refresh-patches

shell: kernel initramfs ## the booted system with a shell and the tests
	@scripts/shell

guest: kernel initramfs ## a protected Linux guest under kvmtool, with a tour; SHELL=1 PROTECTED=0 VCPUS= MEM=
	@scripts/build-kvmtool
	@$(if $(filter command line,$(origin SHELL)),GUEST_SHELL='$(SHELL)') scripts/guest

gdb: kernel initramfs ## the same, waiting for a debugger, with the symbols of EL2
	@scripts/gdb

bench: kernel kselftests ## what it costs: instructions, base against series
	@scripts/bench

bench-profile: kernel kselftests ## ROW=pvm.touch.4k: where the instructions of one row go
	@scripts/bench-profile

mbox:                 ## TOPIC=NN-name as an mbox with its cover letter
	@scripts/make-mbox --write $(TOPIC)

clean:                ## delete build/, unless it holds work that is not in patches/
	@test -n "$(FORCE)" || scripts/make-tree --saved
	@rm -rf "$${BUILD:-build}"
