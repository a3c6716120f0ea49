# shellcheck shell=bash
# Debian as a container image, from Debian's own packages, for machines that reach no image registry. It trusts the
# certificates this machine was given in /usr/local/share/ca-certificates, so that builds on it get through to the same
# places as the machine itself.

LOCAL_CERTIFICATES=/usr/local/share/ca-certificates

# debian_image NAME SUITE PACKAGES: sets IMAGE to an image in the engine; made if it is not there.
debian_image() {
  local name=$1 suite=$2 packages=$3 held
  IMAGE=localhost/weighbridge/$name:$(key "$@" "$HERE/lib/debian-image.sh" "$LOCAL_CERTIFICATES"/*.crt)
  docker image inspect "$IMAGE" >/dev/null 2>&1 && return
  bare_debian || fail "the image $name is made with debootstrap, which needs root on Debian"
  lock "$name" 1800 "making the image $name" && held=$LOCK
  if ! docker image inspect "$IMAGE" >/dev/null 2>&1; then
    debian_packages debootstrap=debootstrap
    ROOTFS=$CACHE/$name.rootfs
    ALWAYS+=(remove_rootfs)
    remove_rootfs
    step 1200 "making the image $name from Debian $suite" import_debian "$suite" "$packages"
    remove_rootfs
  fi
  exec {held}>&-
}

remove_rootfs() {
  unmount "$ROOTFS"
  rm -rf --one-file-system "$ROOTFS"
}

import_debian() { # SUITE PACKAGES
  local bundle=/etc/ssl/certs/ca-certificates.crt
  debootstrap --variant=minbase --include="ca-certificates${2:+,$2}" "$1" "$ROOTFS"
  cp "$LOCAL_CERTIFICATES"/*.crt "$ROOTFS$LOCAL_CERTIFICATES/" 2>/dev/null || true
  chroot "$ROOTFS" update-ca-certificates
  [[ ! -x $ROOTFS/usr/bin/python3 ]] || ln -s python3 "$ROOTFS/usr/bin/python"
  rm -rf "$ROOTFS"/var/{cache/apt,lib/apt/lists,log}/*
  tar -C "$ROOTFS" -c . | docker import --change "ENV SSL_CERT_FILE=$bundle PIP_CERT=$bundle" --change 'CMD ["bash"]' - "$IMAGE"
}
