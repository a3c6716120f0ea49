# shellcheck shell=bash
# Which node image a cluster is made of: kind's published one where it can be had, else one built here.

# choose_node_image: sets MODE (published or built) and NODE_IMAGE; builds nothing.
choose_node_image() {
  local built
  built=localhost/weighbridge/node:$(key "$KUBERNETES_VERSION" "$ETCD_VERSION" "$COREDNS_VERSION" "$CRICTL_VERSION" \
    "$PAUSE_VERSION" "$KIND_VERSION" "$(uname -m)" "$HERE"/image/{Dockerfile,bridge.conflist,take-in-components} "$HERE"/lib/{binaries,debian-image,node-image}.sh)
  MODE=${WEIGHBRIDGE_CLUSTER_MODE:-}
  if [[ -z $MODE ]]; then
    if in_engine "$built"; then
      MODE=built
    elif in_registry "$PUBLISHED_NODE_IMAGE"; then
      MODE=published
    else
      MODE=built
    fi
  fi
  case $MODE in
    published) NODE_IMAGE=$PUBLISHED_NODE_IMAGE ;;
    built) NODE_IMAGE=$built ;;
    *) fail "WEIGHBRIDGE_CLUSTER_MODE is '$MODE'; it may be published or built" ;;
  esac
}

in_engine() { docker image inspect "$1" >/dev/null 2>&1; }

# in_registry IMAGE: it can be had, from the engine or by pulling.
in_registry() { answers && { in_engine "$1" || timeout 20 docker manifest inspect "$1" >/dev/null 2>&1; }; }

# ensure_node_image: has the chosen image in the engine.
ensure_node_image() {
  local held
  in_engine "$NODE_IMAGE" && return
  if [[ $MODE == published ]]; then
    step 1200 "pulling $NODE_IMAGE" docker pull "$NODE_IMAGE"
    return
  fi
  bare_debian || missing "the node image: $PUBLISHED_NODE_IMAGE cannot be pulled, and building one needs root on Debian" \
    "docker pull $PUBLISHED_NODE_IMAGE"
  debian_packages gcc=gcc debootstrap=debootstrap
  need_go
  api_programs
  node_programs
  lock node-image 1800 'building the node image' && held=$LOCK
  if ! in_engine "$NODE_IMAGE"; then
    debian_image node-base bookworm "" # its systemd still boots on hosts with cgroup v1
    CONTEXT=$CACHE/node-image.context
    ALWAYS+=(remove_context)
    remove_context
    step 1200 'building the node image' build_node_image
    remove_context
  fi
  exec {held}>&-
}

remove_context() { rm -rf "$CONTEXT"; }

module_folder() { GOFLAGS=-mod=mod go list -m -f '{{.Dir}}' "$1"; }

build_node_image() {
  local component image images=()
  mkdir -p "$CONTEXT/bin"
  cd "$CONTEXT" || return
  go mod init weighbridge.cluster/sources
  go mod download "k8s.io/kubernetes@v$KUBERNETES_VERSION" "sigs.k8s.io/kind@v$KIND_VERSION"
  gcc -Os -static -o bin/pause "$(module_folder "k8s.io/kubernetes@v$KUBERNETES_VERSION")/build/pause/linux/pause.c"
  cp -rT --no-preserve=mode "$(module_folder "sigs.k8s.io/kind@v$KIND_VERSION")/images/base/files" kind
  ln "$API"/* "$NODE"/* bin/
  cp "$HERE"/image/{bridge.conflist,take-in-components} .
  # Named as kubeadm asks for them, behind a prefix that the node takes off: the engine may know the real ones.
  for component in {kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy}:v"$KUBERNETES_VERSION" \
    coredns/coredns:v"$COREDNS_VERSION" pause:"$PAUSE_VERSION" etcd:"$ETCD_VERSION"-0; do
    image=localhost/registry.k8s.io/$component component=${component##*/}
    build_stage "${component%:*}" "$image"
    images+=("$image")
  done
  docker save --output components.tar "${images[@]}"
  build_stage node "$NODE_IMAGE"
  docker rmi "${images[@]}"
}

build_stage() { # STAGE IMAGE
  DOCKER_BUILDKIT=1 docker build --progress=plain --file "$HERE/image/Dockerfile" --target "$1" --tag "$2" --build-arg "DEBIAN=$IMAGE" \
    --build-arg "PAUSE=registry.k8s.io/pause:$PAUSE_VERSION" --build-arg "VERSION=v$KUBERNETES_VERSION" .
}
