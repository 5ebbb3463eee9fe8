# A guest that doesn't verify its public disk takes what the host made of it.
sed -i 's,-o ro /dev/public,-o ro /dev/vda,; s,if=/dev/public,if=/dev/vda,' scripts/machine/guest-init
with=(GUEST_CHECKS='one changed_disk')
expect=('^not ok 1 a public disk that the host changed is refused' '^FAIL: hvhe: ' '^FAIL: nvhe-protected: ')
