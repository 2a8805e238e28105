#!/usr/bin/env bash
# Runs a job on Cloud TPU virtual machines, asked for as a queued resource:
# waits for the machines, starts the command on every host, follows it, and
# starts it again when the machines are preempted.
#
#   launch/queued_resources.sh --name lm --zone us-east5-a \
#     --topology v5p:4x4x4 --slices 2 --image IMAGE -- \
#     videopoet train --gin_file gin/runs/paper_prefix_lm.gin ... \
#     --run_dir gs://BUCKET/lm
#   launch/queued_resources.sh --action logs --name lm --zone us-east5-a \
#     --log_dir logs/lm
#
#   --action A            run (default: create, wait, start, follow, and again
#                         after a preemption), create, wait, start, follow, stop
#                         (SIGTERM: the job saves and ends), logs, delete
#   --name NAME           of the queued resource; required
#   --zone Z              required; --project P (gcloud's own)
#   --topology G:T        slice, such as v5p:4x4x4, v5e:16x16, v6e:8x8
#   --image IMAGE         container image; see launch/Dockerfile
#   --slices N            slices that form one run (1)
#   --spot                on Spot capacity
#   --reserved            on the project's reservation
#   --service_account S   that the machines work as; may use the bucket
#   --network N, --subnetwork N, --internal_ips
#   --runtime_version V   of the machines (by generation)
#   --max_restarts N      of the machines and of the job (20)
#   --grace_seconds S     between SIGTERM and SIGKILL, for a save (600)
#   --poll_seconds S      between looks at the machines (30)
#   --env NAME=VALUE      for the job; repeatable
#   --log_dir DIR         where --action logs writes, a file a host
#   --t5x                 run T5X's train, eval or infer; docs/t5x.md
#   --dry_run             print what would be run, and run nothing
#   --help                this text
#
# The job runs in a container that outlives the ssh session: when this script is
# interrupted, the job goes on; --action follow shows it again. With `run` the
# exit status is the job's.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/common.sh
source "$here/common.sh"
# shellcheck source=launch/topologies.sh
source "$here/topologies.sh"

action=run name='' zone='' project='' topology='' image='' slices=1 spot=false
reserved=false service_account='' network='' subnetwork='' internal_ips=false
runtime_version='' max_restarts=20 grace_seconds=600 poll_seconds=30 log_dir=''
dry_run=false t5x=false
environment=() command=()

switches='spot reserved internal_ips'
names='action name zone project topology image slices service_account network'
names+=' subnetwork runtime_version max_restarts grace_seconds poll_seconds'
names+=' log_dir'
read_flags "$switches" "$names" -- "$@"

check_given --name "$name"
check_name --name "$name"
check_given --zone "$zone"
check_count --poll_seconds "$poll_seconds"
check_number --max_restarts "$max_restarts"
check_count --grace_seconds "$grace_seconds"
[[ " run create wait start follow stop logs delete " == *" $action "* ]] ||
  die "--action is '$action'; expected run, create, wait, start, follow, stop," \
    'logs or delete'

resources=(gcloud compute tpus queued-resources)
where=(--zone "$zone")
[[ -z $project ]] || where+=(--project "$project")
container=videopoet-$name

if [[ " run create start " == *" $action "* ]]; then
  check_given --topology "$topology"
  check_count --slices "$slices"
  read_topology "$topology"
  check_joined "$slices"
  [[ $spot == false || $reserved == false ]] ||
    die '--spot and --reserved exclude each other: take one of them'
fi
if [[ " run start " == *" $action "* ]]; then
  check_given --image "$image"
  for setting in ${environment[@]+"${environment[@]}"}; do
    check_environment --env "$setting"
  done
  check_command $((hosts * slices)) ${command[@]+"${command[@]}"}
  check_slices "$slices" "${command[@]}"
  choose_main
fi
[[ $action != logs ]] || check_given --log_dir "$log_dir"
need gcloud 'https://cloud.google.com/sdk/docs/install'

create() {
  local arguments=("$name" "${where[@]}" --accelerator-type "$cloud_type"
    --runtime-version "${runtime_version:-$runtime}")
  if ((slices == 1)); then
    arguments+=(--node-id "$name")
  else
    arguments+=(--node-count "$slices" --node-prefix "$name")
  fi
  [[ $spot == false ]] || arguments+=(--spot)
  [[ $reserved == false ]] || arguments+=(--reserved)
  [[ $internal_ips == false ]] || arguments+=(--internal-ips)
  [[ -z $service_account ]] || arguments+=(--service-account "$service_account")
  [[ -z $network ]] || arguments+=(--network "$network")
  [[ -z $subnetwork ]] || arguments+=(--subnetwork "$subnetwork")
  send "${resources[@]}" create "${arguments[@]}"
}

# ACTIVE, WAITING_FOR_RESOURCES, SUSPENDED, ...; nothing where there is none. A
# question that is not answered is asked again: it does not say that there is
# none, and a job may be running.
state() {
  local found
  while true; do
    if found=$("${resources[@]}" describe "$name" "${where[@]}" \
      --format 'value(state.state)' 2>&1); then
      # The last line: warnings may stand before it.
      printf '%s\n' "${found##*$'\n'}"
      return
    fi
    [[ $found != *NOT_FOUND* ]] || return 0
    note "$name cannot be looked at, asking again: ${found##*$'\n'}"
    sleep "$poll_seconds"
  done
}

delete() {
  send "${resources[@]}" delete "$name" "${where[@]}" --force --quiet
}

wait_until_active() {
  local now before=''
  if [[ $dry_run == true ]]; then
    printf '# until it prints ACTIVE, every %s s:\n' "$poll_seconds"
    send "${resources[@]}" describe "$name" "${where[@]}" \
      --format 'value(state.state)'
    return
  fi
  while true; do
    now=$(state)
    [[ $now == "$before" ]] || note "$name: ${now:-not there}"
    before=$now
    case $now in
    ACTIVE) return ;;
    '' | FAILED | SUSPENDING | SUSPENDED | DELETING) return 1 ;;
    esac
    sleep "$poll_seconds"
  done
}

# on_hosts NODES WORKERS COMMAND [FLAG...]: `all`, or one by its number.
on_hosts() {
  local nodes=$1 workers=$2 line=$3
  shift 3
  send "${resources[@]}" ssh "$name" "${where[@]}" --node "$nodes" \
    --worker "$workers" --batch-size all --command "$line" "$@"
}

# The line that every host runs: no shell stands between the container's stop
# signal and the job.
start_line() {
  local setting registry=${image%%/*} words=(sudo docker run --detach
    --name "$container" --network host --privileged
    --stop-timeout "$grace_seconds"
    --log-opt max-size=1g --env 'JAX_PLATFORMS=tpu,cpu')
  ((hosts * slices == 1)) || words+=(--env COORDINATOR_ADDRESS=auto)
  for setting in ${environment[@]+"${environment[@]}"}; do
    words+=(--env "$setting")
  done
  words+=("$image" "${command[@]}")
  if [[ $registry == *-docker.pkg.dev || $registry == *gcr.io ]]; then
    printf 'sudo gcloud auth configure-docker %s --quiet && ' "$registry"
  fi
  # What a start before this one left would be in the way.
  printf '{ sudo docker rm --force %s || true; } && ' "$container"
  shell_words "${words[@]}"
}

start_job() {
  on_hosts all all "$(start_line)"
}

# Shows the first host's lines and ends with the job's exit status.
follow() {
  on_hosts 0 0 "sudo docker logs --follow --tail 20 $container; exit \$(sudo\
 docker wait $container)"
}

run() {
  local start status
  for ((start = 0; start <= max_restarts; start++)); do
    if [[ $dry_run == true ]]; then
      create
      wait_until_active
      start_job
      follow
      printf '# after a preemption, and at most %s times:\n' "$max_restarts"
      delete
      printf '# and all of it again\n'
      return
    fi
    case $(state) in
    '') create ;;
    FAILED | SUSPENDING | SUSPENDED)
      delete
      create
      ;;
    esac
    status=0
    if ! wait_until_active; then
      note "$name has no machines"
      continue
    fi
    if start_job; then
      follow || status=$?
      [[ $status != 0 ]] || return 0
      # A lost connection is no end of the job: it is looked at again.
      while ((status == 255)) && [[ $(state) == ACTIVE ]]; do
        sleep "$poll_seconds"
        status=0
        follow || status=$?
      done
      [[ $status != 0 ]] || return 0
      ((status != USER_ERROR_STATUS)) || return "$status"
    fi
    note "the job ended with status $status; starting it again" \
      "($((start + 1)) of $max_restarts)"
  done
  note "given up after $max_restarts restarts"
  return 1
}

case $action in
run) run ;;
create) create ;;
wait) wait_until_active || die "$name has no machines; its state: $(state)" ;;
start) start_job ;;
follow) follow ;;
stop) on_hosts all all "sudo docker stop $container" ;;
logs)
  [[ $dry_run == true ]] || mkdir -p "$log_dir"
  on_hosts all all "sudo docker logs --timestamps $container 2>&1" \
    --output-directory "$log_dir"
  ;;
delete) delete ;;
esac
