#!/usr/bin/env bash
# Runs a job on TPU slices of a GKE cluster, as a Kubernetes JobSet.
#
#   launch/gke_jobset.sh --name lm --topology v5p:4x4x4 --slices 2 \
#     --image us-docker.pkg.dev/PROJECT/videopoet/videopoet:1 -- \
#     videopoet train --gin_file gin/runs/paper_prefix_lm.gin ... \
#     --run_dir gs://BUCKET/lm
#   launch/gke_jobset.sh --action logs --name lm --log_dir logs/lm
#
# A pod that is preempted, evicted or asked to stop has its job saved and is
# started again with the same command, which resumes from the newest complete
# checkpoint, as often as it takes; other failures count towards --max_restarts.
# A mistake in the command (status 2) ends the JobSet at once.
#
#   --action A            start (default), logs, status, delete
#   --name NAME           of the JobSet; required
#   --topology G:T        slice, such as v5p:4x4x4, v5e:16x16, v6e:8x8; or cpu:N
#                         for a data job on N machines without TPUs
#   --image IMAGE         container image; see launch/Dockerfile
#   --slices N            slices that form one run (1)
#   --namespace N         Kubernetes namespace (default)
#   --service_account S   Kubernetes service account that may use the bucket
#   --spot                on Spot capacity
#   --reservation R       on a reservation
#   --queue Q             Kueue local queue that admits the JobSet
#   --priority_class P    Kubernetes priority class
#   --max_restarts N      after failures that are not preemptions (20)
#   --grace_seconds S     between SIGTERM and SIGKILL, for a save (600)
#   --keep_seconds S      before a finished JobSet is removed (604800)
#   --host_network        use the machines' network: faster between slices, but
#                         pods then have the machines' rights, not S's
#   --cpus N, --memory M  of each machine of cpu:N (16, 64Gi)
#   --mount_bucket B      let the job read bucket B as the folder /gcs/B (the
#                         cluster needs GKE's Cloud Storage FUSE driver)
#   --env NAME=VALUE      for the job; repeatable
#   --log_dir DIR         where --action logs writes, a file a pod
#   --t5x                 run T5X's train, eval or infer; docs/t5x.md
#   --dry_run             print what would be sent, and send nothing
#   --help                this text
#
# JobSet 0.10 or newer has to be installed in the cluster.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/common.sh
source "$here/common.sh"
# shellcheck source=launch/topologies.sh
source "$here/topologies.sh"

action=start name='' topology='' image='' slices=1 namespace=default
service_account='' spot=false reservation='' queue='' priority_class=''
max_restarts=20 grace_seconds=600 keep_seconds=604800 host_network=false
cpus=16 memory=64Gi mount_bucket='' log_dir='' dry_run=false t5x=false
environment=() command=()

switches='spot host_network'
names='action name topology image slices namespace service_account reservation'
names+=' queue priority_class max_restarts grace_seconds keep_seconds cpus'
names+=' memory mount_bucket log_dir'
read_flags "$switches" "$names" -- "$@"

check_given --name "$name"
check_name --name "$name"
kubectl=(kubectl --namespace "$namespace")
pods="jobset.sigs.k8s.io/jobset-name=$name"
hint='https://kubernetes.io/docs/tasks/tools'

# Every pod of the newest start, a file each.
collect_logs() {
  check_given --log_dir "$log_dir"
  need kubectl "$hint"
  if [[ $dry_run == true ]]; then
    send "${kubectl[@]}" get pods --selector "$pods" --output name
    send "${kubectl[@]}" logs --timestamps POD
    return
  fi
  mkdir -p "$log_dir"
  local pod found
  found=$("${kubectl[@]}" get pods --selector "$pods" --output name)
  [[ -n $found ]] || die "JobSet $name has no pods in namespace $namespace"
  while read -r pod; do
    "${kubectl[@]}" logs --timestamps "$pod" >"$log_dir/${pod#pod/}.log" ||
      note "no log of $pod"
  done <<<"$found"
  note "logs are in $log_dir"
}

case $action in
start) ;;
logs) collect_logs && exit ;;
status)
  need kubectl "$hint"
  send "${kubectl[@]}" get jobset "$name"
  send "${kubectl[@]}" get pods --selector "$pods" --output wide
  exit
  ;;
delete)
  need kubectl "$hint"
  send "${kubectl[@]}" delete jobset "$name"
  exit
  ;;
*) die "--action is '$action'; expected start, logs, status or delete" ;;
esac

check_given --topology "$topology"
check_given --image "$image"
check_count --slices "$slices"
check_number --max_restarts "$max_restarts"
check_count --grace_seconds "$grace_seconds"
check_number --keep_seconds "$keep_seconds"
check_count --cpus "$cpus"
[[ $memory =~ ^[1-9][0-9]*[GMT]i$ ]] ||
  die "--memory is '$memory'; expected a size such as 64Gi"
[[ $spot == false || -z $reservation ]] ||
  die '--spot and --reservation exclude each other: take one of them'
for setting in ${environment[@]+"${environment[@]}"}; do
  check_environment --env "$setting"
done
[[ -z $mount_bucket ||
  $mount_bucket =~ ^[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9]$ ]] ||
  die "--mount_bucket is '$mount_bucket'; expected a bucket's name without" \
    'gs://'
if [[ $topology == cpu:* ]]; then
  hosts=${topology#cpu:}
  check_count '--topology cpu:N' "$hosts"
  ((slices == 1)) || die "--slices $slices: give --topology cpu:N for N machines"
else
  read_topology "$topology"
  check_joined "$slices"
fi
check_command $((hosts * slices)) ${command[@]+"${command[@]}"}
check_slices "$slices" "${command[@]}"
choose_main
need kubectl "$hint"

# Kubernetes replaces $(NAME) in a command and a variable, and reads $$ as one
# dollar sign.
argument() {
  printf '              - %s\n' "$(yaml_string "${1//\$/\$\$}")"
}

variable() {
  printf '              - name: %s\n                value: %s\n' \
    "$1" "$(yaml_string "${2//\$/\$\$}")"
}

node_selector() {
  if [[ $topology != cpu:* ]]; then
    echo "              cloud.google.com/gke-tpu-accelerator: $accelerator"
    echo "              cloud.google.com/gke-tpu-topology: $shape"
  fi
  [[ $spot == false ]] || echo '              cloud.google.com/gke-spot: "true"'
  [[ -z $reservation ]] ||
    echo "              cloud.google.com/reservation-name: $(
      yaml_string "$reservation"
    )"
}

manifest() {
  local setting selector
  cat <<HEAD
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  namespace: $(yaml_string "$namespace")
  labels:
    app: videopoet
HEAD
  [[ -z $queue ]] ||
    echo "    kueue.x-k8s.io/queue-name: $(yaml_string "$queue")"
  # One slice is one node pool, which no two of the run's slices share.
  [[ $topology == cpu:* ]] || cat <<'PLACEMENT'
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
PLACEMENT
  cat <<SPEC
spec:
  ttlSecondsAfterFinished: $keep_seconds
  failurePolicy:
    maxRestarts: $max_restarts
    rules:
    - name: mistakeInTheCommand
      action: FailJobSet
      onJobFailureReasons: [PodFailurePolicy]
      onJobFailureMessagePatterns: ["exit code $USER_ERROR_STATUS matching"]
    - name: preempted
      action: RestartJobSetAndIgnoreMaxRestarts
      onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
  - name: slice
    replicas: $slices
    template:
      spec:
        parallelism: $hosts
        completions: $hosts
        completionMode: Indexed
        backoffLimit: 0
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes:
              containerName: videopoet
              operator: In
              values: [$USER_ERROR_STATUS]
          - action: FailJob
            onPodConditions:
            - type: DisruptionTarget
              status: "True"
          - action: FailJob
            onExitCodes:
              containerName: videopoet
              operator: In
              values: [$STOPPED_STATUS]
        template:
          metadata:
            labels:
              app: videopoet
SPEC
  [[ -z $mount_bucket ]] || cat <<'MOUNTED'
            annotations:
              gke-gcsfuse/volumes: "true"
MOUNTED
  cat <<SPEC
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: $grace_seconds
SPEC
  [[ -z $mount_bucket ]] || cat <<VOLUME
            volumes:
            - name: bucket
              csi:
                driver: gcsfuse.csi.storage.gke.io
                readOnly: true
                volumeAttributes:
                  bucketName: $(yaml_string "$mount_bucket")
                  mountOptions: implicit-dirs
VOLUME
  [[ -z $service_account ]] ||
    echo "            serviceAccountName: $(yaml_string "$service_account")"
  [[ -z $priority_class ]] ||
    echo "            priorityClassName: $(yaml_string "$priority_class")"
  if [[ $host_network == true ]]; then
    echo '            hostNetwork: true'
    echo '            dnsPolicy: ClusterFirstWithHostNet'
  fi
  selector=$(node_selector)
  [[ -z $selector ]] ||
    printf '            nodeSelector:\n%s\n' "$selector"
  if [[ $spot == true ]]; then
    cat <<'SPOT'
            tolerations:
            - key: cloud.google.com/gke-spot
              operator: Equal
              value: "true"
              effect: NoSchedule
SPOT
  fi
  cat <<CONTAINER
            containers:
            - name: videopoet
              image: $(yaml_string "$image")
              command:
CONTAINER
  for setting in "${command[@]}"; do
    argument "$setting"
  done
  echo '              env:'
  if ((hosts * slices > 1)) && [[ $topology == cpu:* ]]; then
    # No TPU tells them: the JobSet gives its pods names, the job numbers.
    variable COORDINATOR_ADDRESS "$name-slice-0-0.$name:8476"
    variable NUM_PROCESSES "$hosts"
    cat <<'NUMBER'
              - name: PROCESS_ID
                valueFrom:
                  fieldRef:
                    fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']
NUMBER
  elif ((hosts * slices > 1)); then
    variable COORDINATOR_ADDRESS auto
  fi
  # A host that finds no TPU says so, and does not train on its CPU.
  if [[ $topology == cpu:* ]]; then
    variable JAX_PLATFORMS cpu
  else
    variable JAX_PLATFORMS tpu,cpu
  fi
  for setting in ${environment[@]+"${environment[@]}"}; do
    variable "${setting%%=*}" "${setting#*=}"
  done
  [[ -z $mount_bucket ]] || cat <<MOUNT
              volumeMounts:
              - name: bucket
                mountPath: /gcs/$mount_bucket
                readOnly: true
MOUNT
  if [[ $topology == cpu:* ]]; then
    cat <<MACHINE
              resources:
                requests:
                  cpu: $cpus
                  memory: $memory
                limits:
                  memory: $memory
MACHINE
  else
    cat <<CHIPS
              ports:
              - containerPort: 8471
              - containerPort: 8080
              resources:
                limits:
                  google.com/tpu: $chips_per_host
CHIPS
  fi
}

if [[ $dry_run == true ]]; then
  manifest
else
  manifest | "${kubectl[@]}" apply --filename -
  note "see it:   $0 --action status --name $name --namespace $namespace"
  note "logs:     $0 --action logs --name $name --namespace $namespace" \
    '--log_dir DIR'
  note "end it:   $0 --action delete --name $name --namespace $namespace"
fi
