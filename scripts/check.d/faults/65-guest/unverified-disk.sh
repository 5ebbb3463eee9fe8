# shellcheck shell=bash disable=SC2034,SC2016
# A guest that doesn't verify its public disk takes what the host made of it.
for s in build-kernel build-kselftests build-kvmtool; do printf '#!/bin/sh\n' >scripts/$s; done
sed -i 's,vmtool dm public,: dm public,; s,-o ro /dev/public,-o ro /dev/vda,; s,if=/dev/public,if=/dev/vda,' scripts/machine/guest-init
with=(GUEST_CHECKS=changed_disk)
expect=('^not ok 1 a public disk that the host changed is refused' '^FAIL: hvhe: ' '^FAIL: nvhe-protected: ')
