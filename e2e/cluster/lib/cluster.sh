# shellcheck shell=bash
# One kind cluster: make it, see whether it is well, mend it, delete it. Its folder under $CLUSTERS holds its kubeconfig, a
# link to a kubectl, and `complete` once it has been finished; without that file it is a half-made one.

cluster_folder() {
  FOLDER=$CLUSTERS/$NAME
  KUBECONFIG_FILE=$FOLDER/kubeconfig
  CONTROL_PLANE=$NAME-control-plane
}

on_cluster() { "$FOLDER/kubectl" --kubeconfig "$KUBECONFIG_FILE" --request-timeout=10s "$@"; }

node_runs() { [[ $(docker inspect --format '{{.State.Running}}' "$CONTROL_PLANE" 2>/dev/null) == true ]]; }

# is_healthy: the API answers and the node is ready, by the word of its kubelet since the node was started.
is_healthy() {
  local ready beat started
  on_cluster get --raw=/readyz >/dev/null &&
    read -r ready beat < <(on_cluster get node "$CONTROL_PLANE" -o \
      'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{"\n"}{end}') &&
    started=$(docker inspect --format '{{.State.StartedAt}}' "$CONTROL_PLANE") &&
    [[ $ready == True && ${beat%Z} > ${started%.*} ]]
}

# ensure_cluster: a healthy cluster, whatever was there before.
ensure_cluster() {
  local containers
  containers=$(kind_containers "$NAME")
  if [[ -n $containers && ! -d $FOLDER ]]; then
    [[ $ENGINE == own ]] || fail "a kind cluster '$NAME' exists that was not made by this command; take another --name"
    mkdir "$FOLDER"
  fi
  if [[ -n $containers && -f $FOLDER/complete ]]; then
    if node_runs && until_ok 60 is_healthy; then
      say "• cluster $NAME is up: using it"
      [[ $(docker inspect --format '{{.Config.Image}}' "$CONTROL_PLANE") == "$NODE_IMAGE" ]] ||
        say '  (its node image is not the one of this clone; down and up again to change that)'
      return
    fi
    restart_cluster && return
  fi
  if [[ -d $FOLDER ]]; then
    say "• cluster $NAME is not whole: making it anew"
    delete_cluster
  fi
  create_cluster
}

# restart_cluster: its node was stopped (a reboot, a killed engine), or does not answer.
restart_cluster() {
  say "• cluster $NAME does not answer: restarting its node"
  timeout 60 docker restart --time 20 "$CONTROL_PLANE" >/dev/null 2>&1 && until_ok 180 is_healthy
}

create_cluster() {
  ensure_node_image
  kind_program
  mkdir -p "$FOLDER"
  UNDO+=(delete_unfinished)
  write_kind_config
  step 600 "creating the cluster $NAME" "$KIND" create cluster --name "$NAME" --image "$NODE_IMAGE" --config "$FOLDER/kind.yaml" \
    --kubeconfig "$KUBECONFIG_FILE" --wait 240s
  link_kubectl
  until_ok 60 is_healthy || fail "the node of $NAME does not become ready"
  until_ok 60 on_cluster get serviceaccount default || fail "$NAME has no default service account"
  touch "$FOLDER/complete"
}

# write_kind_config: with an audit log of every request of the operator's accounts (metadata only), which e2e/test_8_audit.py reads.
write_kind_config() {
  local plain_network=false
  [[ $MODE == published ]] || plain_network=true # the built image brings a network of its own
  cat >"$FOLDER/audit-policy.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users:
      - system:serviceaccount:weighbridge-system:weighbridge
      - system:serviceaccount:weighbridge-tenant:weighbridge
  - level: None
YAML
  cat >"$FOLDER/kind.yaml" <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  disableDefaultCNI: $plain_network
nodes:
  - role: control-plane
    extraMounts:
      - {hostPath: "$FOLDER/audit-policy.yaml", containerPath: /etc/kubernetes/audit-policy.yaml, readOnly: true}
kubeadmConfigPatches:
  - |
    kind: ClusterConfiguration
    apiServer:
      extraArgs:
        audit-policy-file: /etc/kubernetes/audit-policy.yaml
        audit-log-path: /var/log/kubernetes/audit.log
        audit-log-maxsize: "1000"
      extraVolumes:
        - {name: audit-policy, hostPath: /etc/kubernetes/audit-policy.yaml, mountPath: /etc/kubernetes/audit-policy.yaml, readOnly: true, pathType: File}
        - {name: audit-log, hostPath: /var/log/kubernetes, mountPath: /var/log/kubernetes, pathType: DirectoryOrCreate}
YAML
  [[ $(docker info --format '{{.CgroupVersion}}') == 1 ]] || return 0
  cat >>"$FOLDER/kind.yaml" <<'YAML'
  - |
    kind: KubeletConfiguration
    failCgroupV1: false
YAML
}

# link_kubectl: the one compiled here, else the one on PATH, else the node's own.
link_kubectl() {
  if [[ $MODE == built ]]; then
    api_programs
    ln -f "$API/kubectl" "$FOLDER/kubectl" # not a symbolic link: the cluster may outlive this edition of the cache
  elif command -v kubectl >/dev/null; then
    ln -sf "$(command -v kubectl)" "$FOLDER/kubectl"
  elif [[ $(uname -s) == Linux ]]; then
    docker cp "$CONTROL_PLANE:/usr/bin/kubectl" "$FOLDER/kubectl"
  else
    missing kubectl 'brew install kubectl'
  fi
}

ensure_dns() { step 240 'waiting for cluster DNS' dns_answers; }

# dns_answers: a Deployment may be called available on the word of a kubelet that was killed since; its pods tell better.
dns_answers() {
  local dns=("$FOLDER/kubectl" --kubeconfig "$KUBECONFIG_FILE" --namespace kube-system)
  "${dns[@]}" rollout status deployment/coredns
  "${dns[@]}" wait pod --selector k8s-app=kube-dns --for condition=Ready --timeout 240s
}

# ensure_gpus: GPUs that no device stands behind; scheduler and kubelet count them all the same. A kubelet that starts
# again sets them to zero, hence on every `up`.
ensure_gpus() {
  local path='{.status.allocatable.nvidia\.com/gpu}'
  [[ $(on_cluster get node "$CONTROL_PLANE" -o "jsonpath=$path") != "$GPUS" ]] || return 0
  on_cluster patch node "$CONTROL_PLANE" --subresource=status --type=merge \
    --patch "{\"status\": {\"capacity\": {\"nvidia.com/gpu\": \"$GPUS\"}, \"allocatable\": {\"nvidia.com/gpu\": \"$GPUS\"}}}" >/dev/null
  on_cluster wait "node/$CONTROL_PLANE" --for="jsonpath=$path=$GPUS" --timeout=60s >/dev/null
}

# forget_replaced_images: images that lost their name to a newer one, except those a container of the node was made from.
# (Each load also leaves a name like import-<date>@<digest>, which would hold the image for ever.)
forget_replaced_images() {
  docker exec -i "$CONTROL_PLANE" sh <<'NODE'
ctr -n k8s.io images ls -q | grep '^import-' | xargs -r ctr -n k8s.io images rm
containers=$(crictl ps --all --output json)
crictl images --output json | jq -r '.images[] | select(.repoTags == []) | .id' | while read -r image; do
  case $containers in *"$image"*) ;; *) crictl --timeout 120s rmi "$image" ;; esac
done
NODE
  [[ $ENGINE != own ]] || docker image prune --force --filter until=1h
}

delete_unfinished() { [[ -f $FOLDER/complete ]] || delete_cluster; }

# delete_cluster: the cluster and what we know of it. Only clusters with a folder are ours.
delete_cluster() {
  [[ -d $FOLDER ]] || return 0
  kind_containers "$NAME" | xargs -r timeout 120 docker rm --force --volumes >/dev/null
  rm -rf "$FOLDER"
}
