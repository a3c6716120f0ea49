# shellcheck shell=bash
# Kubernetes, etcd, CoreDNS, crictl and kind as programs, compiled from their Go modules. Each group is a folder of the cache.

program_folder() { # GROUP VERSION…
  printf '%s/%s-%s' "$CACHE" "$1" "$(key "$@" "$(uname -sm)" "$HERE/lib/binaries.sh")"
}

# api_programs [KUBERNETES_VERSION]: sets API to the folder with etcd, kube-apiserver and kubectl.
api_programs() {
  local kubernetes=${1:-$KUBERNETES_VERSION}
  API=$(program_folder "api-$kubernetes" "$ETCD_VERSION")
  [[ -d $API ]] || cached "$API" 'making the API programs' make_api_programs "$kubernetes"
}

# node_programs: sets NODE to the folder with the other programs of a node.
node_programs() {
  NODE=$(program_folder "node-$KUBERNETES_VERSION" "$COREDNS_VERSION" "$CRICTL_VERSION")
  [[ -d $NODE ]] || cached "$NODE" "compiling the node's programs" compile_node
}

# kind_program: sets KIND to a kind that is new enough.
kind_program() {
  local have
  have=$(kind version 2>/dev/null | awk '{ print substr($2, 2) }') || true
  if [[ -n $have ]] && at_least "$KIND_VERSION" "$have"; then
    KIND=$(command -v kind)
    return
  fi
  KIND=$(program_folder "kind-$KIND_VERSION")/kind
  [[ -x $KIND ]] || cached "${KIND%/*}" 'compiling kind' compile_module kind sigs.k8s.io/kind "$KIND_VERSION" sigs.k8s.io/kind
}

make_api_programs() { # KUBERNETES_VERSION FOLDER
  local registry=registry.k8s.io
  if [[ $(uname -s) == Linux ]] && in_registry "$registry/kube-apiserver:v$1"; then
    step 600 "copying etcd, kube-apiserver and kubectl $1 out of their images" copy_programs "$2" \
      "$registry/etcd:$ETCD_VERSION-0" /usr/local/bin/etcd \
      "$registry/kube-apiserver:v$1" /usr/local/bin/kube-apiserver \
      "$registry/kubectl:v$1" /bin/kubectl
    return
  fi
  need_go
  UNIT='packages compiled' step 3600 "compiling kube-apiserver and kubectl $1" compile_kubernetes "$1" "$2" kube-apiserver kubectl
  compile_module etcd go.etcd.io/etcd/server/v3 "$ETCD_VERSION" go.etcd.io/etcd/server/v3 "$2"
}

compile_node() { # FOLDER
  need_go
  UNIT='packages compiled' step 3600 "compiling the rest of Kubernetes $KUBERNETES_VERSION" compile_kubernetes "$KUBERNETES_VERSION" "$1" \
    kube-controller-manager kube-scheduler kube-proxy kubelet kubeadm
  compile_module coredns github.com/coredns/coredns "$COREDNS_VERSION" github.com/coredns/coredns "$1"
  compile_module crictl sigs.k8s.io/cri-tools "$CRICTL_VERSION" sigs.k8s.io/cri-tools/cmd/crictl "$1"
}

compile_module() { # PROGRAM MODULE VERSION PACKAGE FOLDER
  need_go
  UNIT='packages compiled' step 1800 "compiling $1 $3" go_build_module "$5" "$1" "$2@v$3" "$4"
}

copy_programs() { # FOLDER, then IMAGE PATH, IMAGE PATH…
  local folder=$1 container
  shift
  while (($#)); do
    container=$(docker create "$1" none)
    docker cp "$container:$2" "$folder/"
    docker rm "$container"
    shift 2
  done
}

# own_module FOLDER: enters a module of ours that requires the ones to be compiled. (`go install` refuses modules that, like
# Kubernetes and etcd, replace their parts by folders only their repositories have.)
own_module() {
  mkdir "$1" && cd "$1" || return
  export CGO_ENABLED=0 GOFLAGS='-mod=mod -buildvcs=false'
  go mod init weighbridge.cluster/programs
}

go_build_module() { # FOLDER PROGRAM MODULE@VERSION PACKAGE
  own_module "$1/module"
  go mod edit -require "$3"
  nice go build -v -trimpath -ldflags '-s -w' -o "$1/$2" "$4"
  rm -r "$1/module"
}

compile_kubernetes() { # VERSION FOLDER PROGRAM…
  local version=$1 folder=$2 kubernetes=k8s.io/kubernetes minor=${1#1.} flags='-s -w' part package
  shift 2
  own_module "$folder/module"
  awk '$2 == "=>" && $3 ~ /^\.\/staging\// { print $1 }' "$(go list -m -f '{{.GoMod}}' "$kubernetes@v$version")" |
    while read -r part; do go mod edit -replace "$part=$part@v0.${version#1.}"; done
  go mod edit -require "$kubernetes@v$version"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
  done
  nice go build -v -trimpath -ldflags "$flags" -o "$folder/" "${@/#/$kubernetes/cmd/}"
  rm -r "$folder/module"
}
