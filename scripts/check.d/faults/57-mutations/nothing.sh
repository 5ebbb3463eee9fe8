# shellcheck shell=bash disable=SC2034,SC2016
# A mutation that takes nothing away.
cat >scripts/check.d/mutations/999-nothing.patch <<'PATCH'
Class: none
Guard: none
Caught-by: not ok pkvm_guest pkvm_guest.protected.guest_answers_by_mmio_alone
Modes: protected
diff --git a/arch/arm64/kvm/pkvm.c b/arch/arm64/kvm/pkvm.c
--- a/arch/arm64/kvm/pkvm.c
+++ b/arch/arm64/kvm/pkvm.c
@@ -1,2 +1,3 @@
 // SPDX-License-Identifier: GPL-2.0
+/* pkvm_mutant(999) */
 /*
PATCH
with=(MUTATIONS='999-*')
expect=('^MISSED: 999-nothing' '^0 of 1 mutations caught')
