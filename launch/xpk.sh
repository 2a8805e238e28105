#!/usr/bin/env bash
# Runs a job on TPU slices of a cluster that xpk made.
#
#   launch/xpk.sh --cluster my-cluster --name lm --topology v5p:4x4x4 \
#     --image us-docker.pkg.dev/PROJECT/videopoet/videopoet:1 -- \
#     videopoet train --gin_file gin/runs/paper_prefix_lm.gin ... \
#     --run_dir gs://BUCKET/lm
#
# xpk starts a workload again when it is preempted or fails, at most
# --max_restarts times; the same command resumes from the newest complete
# checkpoint. A mistake in the command (status 2) ends the workload.
#
#   --cluster C           the cluster; required
#   --name NAME           of the workload; required
#   --topology G:T        slice, such as v5p:4x4x4, v5e:16x16, v6e:8x8; required
#   --image IMAGE         container image; required; see launch/Dockerfile
#   --slices N            slices that form one run (1)
#   --project P, --zone Z of the cluster (gcloud's own)
#   --priority P          very-low, low, medium (default), high, very-high
#   --spot                on Spot capacity
#   --reservation R       on a reservation
#   --max_restarts N      preemptions among them (1000)
#   --grace_seconds S     between SIGTERM and SIGKILL, for a save (600)
#   --env NAME=VALUE      for the job; repeatable
#   --action A            start (default), delete; kubectl logs works as with
#                         launch/gke_jobset.sh --action logs
#   --t5x                 run T5X's train, eval or infer; docs/t5x.md
#   --dry_run             print what would be run, and run nothing
#   --help                this text
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/common.sh
source "$here/common.sh"
# shellcheck source=launch/topologies.sh
source "$here/topologies.sh"

action=start cluster='' name='' topology='' image='' slices=1 project='' zone=''
priority=medium spot=false reservation='' max_restarts=1000 grace_seconds=600
dry_run=false t5x=false
environment=() command=()

names='action cluster name topology image slices project zone priority'
names+=' reservation max_restarts grace_seconds'
read_flags spot "$names" -- "$@"

check_given --cluster "$cluster"
check_given --name "$name"
check_name --name "$name"
where=(--cluster "$cluster" --workload "$name")
[[ -z $project ]] || where+=(--project "$project")
[[ -z $zone ]] || where+=(--zone "$zone")
hint='pip install xpk'
case $action in
start) ;;
delete)
  need xpk "$hint"
  send xpk workload delete "${where[@]}"
  exit
  ;;
*) die "--action is '$action'; expected start or delete" ;;
esac

check_given --topology "$topology"
check_given --image "$image"
check_count --slices "$slices"
check_number --max_restarts "$max_restarts"
check_count --grace_seconds "$grace_seconds"
[[ ' very-low low medium high very-high ' == *" $priority "* ]] ||
  die "--priority is '$priority'; expected very-low, low, medium, high or" \
    'very-high'
[[ $spot == false || -z $reservation ]] ||
  die '--spot and --reservation exclude each other: take one of them'
read_topology "$topology"
# xpk counts four chips to a machine from four chips on, eight or not.
((chips == 1)) || hosts=$((chips / 4))
check_joined "$slices"
check_command $((hosts * slices)) ${command[@]+"${command[@]}"}
check_slices "$slices" "${command[@]}"
choose_main
line=$(shell_words "${command[@]}")
# xpk puts the command into a line of a manifest.
[[ $line != *$'\n'* ]] ||
  die 'the command has a line break in an argument, which xpk cannot pass on'

arguments=("${where[@]}" --tpu-type "$xpk_type" --num-slices "$slices"
  --docker-image "$image" --docker-name videopoet --priority "$priority"
  --max-restarts "$max_restarts" --restart-on-exit-codes '1,75'
  --termination-grace-period-seconds "$grace_seconds")
((hosts * slices == 1)) || arguments+=(--env COORDINATOR_ADDRESS=auto)
arguments+=(--env 'JAX_PLATFORMS=tpu,cpu')
for setting in ${environment[@]+"${environment[@]}"}; do
  check_environment --env "$setting"
  arguments+=(--env "$setting")
done
[[ $spot == false ]] || arguments+=(--spot)
[[ -z $reservation ]] || arguments+=(--reservation "$reservation")
need xpk "$hint"
# `exec`, so that the job and not the shell around it gets the SIGTERM.
send xpk workload create "${arguments[@]}" --command "exec $line"
