# shellcheck shell=bash
# Kubernetes, etcd, CoreDNS and kind as programs: compiled from their Go modules, or, where a running Docker reaches the
# project's registry, copied out of its images. Each group is one folder of the cache.

API_PROGRAMS=(kube-apiserver kubectl)
NODE_PROGRAMS=(kube-controller-manager kube-scheduler kube-proxy kubelet kubeadm)

group_folder() { # GROUP VERSIONS…
  printf '%s/%s-%s' "$CACHE" "$1" "$(key "$@" "$(uname -sm)" "$HERE/lib/binaries.sh")"
}

# api_programs [KUBERNETES_VERSION]: sets API to the folder with etcd, kube-apiserver and kubectl.
api_programs() {
  local kubernetes=${1:-$KUBERNETES_VERSION}
  API=$(group_folder "api-$kubernetes" "$ETCD_VERSION")
  [[ -d $API ]] && return
  need_go
  cached "$API" "compiling the API server" compile_api "$kubernetes"
}

# node_programs: sets NODE to the folder with the other programs of a node.
node_programs() {
  NODE=$(group_folder "node-$KUBERNETES_VERSION" "$COREDNS_VERSION")
  [[ -d $NODE ]] && return
  need_go
  cached "$NODE" "compiling the node's programs" compile_node
}

# kind_program: sets KIND to a kind that is new enough.
kind_program() {
  local have
  have=$(kind version 2>/dev/null | awk '{ print substr($2, 2) }') || true
  if [[ -n $have && $(printf '%s\n' "$KIND_VERSION" "$have" | sort -V | head -n 1) == "$KIND_VERSION" ]]; then
    KIND=$(command -v kind)
    return
  fi
  KIND=$(group_folder "kind-$KIND_VERSION")/kind
  [[ -x $KIND ]] && return
  need_go
  cached "${KIND%/*}" 'compiling kind' compile_kind
}

compile_api() { # KUBERNETES_VERSION FOLDER
  UNIT='packages compiled' step 3600 "compiling kube-apiserver and kubectl $1" compile_kubernetes "$1" "$2" "${API_PROGRAMS[@]}"
  UNIT='packages compiled' step 1200 "compiling etcd $ETCD_VERSION" install_module "$2" "go.etcd.io/etcd/server/v3@v$ETCD_VERSION"
  mv "$2/server" "$2/etcd"
}

compile_node() { # FOLDER
  UNIT='packages compiled' step 3600 "compiling the rest of Kubernetes $KUBERNETES_VERSION" \
    compile_kubernetes "$KUBERNETES_VERSION" "$1" "${NODE_PROGRAMS[@]}"
  UNIT='packages compiled' step 1800 "compiling CoreDNS $COREDNS_VERSION" install_module "$1" "github.com/coredns/coredns@v$COREDNS_VERSION"
}

compile_kind() { # FOLDER
  UNIT='packages compiled' step 900 "compiling kind $KIND_VERSION" install_module "$1" "sigs.k8s.io/kind@v$KIND_VERSION"
}

install_module() { # FOLDER MODULE@VERSION
  CGO_ENABLED=0 GOBIN=$1 nice go install -v -trimpath -ldflags '-s -w' "$2"
}

# compile_kubernetes VERSION FOLDER PROGRAM…: Kubernetes' own module replaces its parts by folders that only its repository
# has; a module of ours replaces them by the published ones, and names the programs as tools.
compile_kubernetes() {
  local version=$1 folder=$2 kubernetes=k8s.io/kubernetes work=$2/module part program package flags='-s -w' minor
  shift 2
  mkdir "$work"
  cd "$work"
  export CGO_ENABLED=0 GOFLAGS=-mod=mod
  go mod init weighbridge.cluster/programs
  for part in $(awk '$2 == "=>" && $3 ~ /^\.\/staging\// { print $1 }' "$(go list -m -f '{{.GoMod}}' "$kubernetes@v$version")"); do
    go mod edit -replace "$part=$part@v0.${version#1.}"
  done
  go mod edit -require "$kubernetes@v$version"
  for program in "$@"; do go mod edit -tool "$kubernetes/cmd/$program"; done
  minor=${version#1.}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
  done
  nice go build -v -trimpath -ldflags "$flags" -o "$folder/" "${@/#/$kubernetes/cmd/}"
  cd "$folder"
  rm -rf "$work"
}
