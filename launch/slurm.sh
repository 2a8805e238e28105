#!/usr/bin/env bash
# Runs a job on the GPUs of a Slurm cluster, or on its machines without any.
#
#   launch/slurm.sh --name lm --nodes 8 --gpus_per_node 8 --time 24:00:00 -- \
#     videopoet train --gin_file gin/runs/paper_prefix_lm.gin ... \
#     --run_dir /scratch/me/lm
#
# Before the time limit, and when it is preempted, the job saves, ends with
# status 143 and is queued again; the same command resumes from the newest
# complete checkpoint. Other failures are queued again at most --max_restarts
# times, a mistake in the command (status 2) never.
#
#   --name NAME           of the job; required
#   --nodes N             machines (1)
#   --gpus_per_node N     GPUs of each (8); 0 for a data job without any, one
#                         process a machine
#   --process_per P       gpu (default) or node: one process for each
#   --cpus_per_gpu N      cores for each GPU (8)
#   --cpus_per_node N     of each machine without GPUs (16)
#   --time T              limit, as sbatch takes it (24:00:00)
#   --partition P, --account A, --qos Q, --reservation R, --constraint C
#   --max_restarts N      after failures (20)
#   --grace_seconds S     before the limit at which the job is to save (600)
#   --setup LINE          run on each node before the job, for example
#                         'source /path/.venv/bin/activate'
#   --container IMAGE     run in this image (needs the Pyxis plugin)
#   --mount HOST:INSIDE   folders of the container, as Pyxis takes them
#   --env NAME=VALUE      for the job; repeatable
#   --log_dir DIR         where the job's lines go, a file a process (logs)
#   --action A            submit (default), status, cancel (saves first)
#   --t5x                 run T5X's train, eval or infer; docs/t5x.md
#   --dry_run             print what would be sent, and send nothing
#   --help                this text
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/common.sh
source "$here/common.sh"

action=submit name='' nodes=1 gpus_per_node=8 process_per=gpu cpus_per_gpu=8
cpus_per_node=16 time=24:00:00 max_restarts=20 grace_seconds=600 setup=''
container='' mount='' log_dir=logs dry_run=false t5x=false
environment=() command=() options=()

names='action name nodes gpus_per_node process_per cpus_per_gpu cpus_per_node'
names+=' time max_restarts grace_seconds setup container mount log_dir'
forwarded='partition account qos reservation constraint'
read_flags '' "$names" "$forwarded" -- "$@"

check_given --name "$name"
check_name --name "$name"
hint='run this on a login node of the cluster'
case $action in
submit) ;;
status)
  need squeue "$hint"
  send squeue --me --name "$name" --long
  exit
  ;;
cancel)
  need scancel "$hint"
  # The steps get SIGTERM and are left to save and end by themselves; `cancel`
  # as a file tells the script that this end is not one to begin again from. A
  # job that waits, for the first time or again, takes no signals: it just goes.
  send touch "$log_dir/$name.cancel"
  send scancel --me --name "$name" --state PENDING
  send scancel --me --name "$name" --signal TERM
  exit
  ;;
*) die "--action is '$action'; expected submit, status or cancel" ;;
esac

check_count --nodes "$nodes"
check_number --gpus_per_node "$gpus_per_node"
check_count --cpus_per_gpu "$cpus_per_gpu"
check_count --cpus_per_node "$cpus_per_node"
check_number --max_restarts "$max_restarts"
check_count --grace_seconds "$grace_seconds"
[[ $time =~ ^([0-9]+-)?[0-9]+(:[0-9]{2}){0,2}$ ]] ||
  die "--time is '$time'; expected for example 24:00:00 or 2-00:00:00"
[[ -z $mount || -n $container ]] || die '--mount is for --container; give both'
[[ $log_dir != *' '* ]] || die "--log_dir is '$log_dir'; sbatch takes no spaces"
for option in ${options[@]+"${options[@]}"}; do
  [[ ${option#*=} =~ ^[-A-Za-z0-9_.,\&\|@]+$ ]] ||
    die "${option%%=*} is '${option#*=}'; expected letters, digits and -_.,"
done
for setting in ${environment[@]+"${environment[@]}"}; do
  check_environment --env "$setting"
done
case $process_per in
gpu) tasks=$gpus_per_node cpus=$cpus_per_gpu ;;
node) tasks=1 cpus=$((cpus_per_gpu * gpus_per_node)) ;;
*) die "--process_per is '$process_per'; expected gpu or node" ;;
esac
platforms=cuda,cpu
((gpus_per_node > 0)) || tasks=1 cpus=$cpus_per_node platforms=cpu
check_command $((nodes * tasks)) ${command[@]+"${command[@]}"}
choose_main

script() {
  local option devices step=(srun --kill-on-bad-exit=1 --output
    "$log_dir/$name.%j.%t.log" --open-mode append)
  cat <<HEAD
#!/usr/bin/env bash
#SBATCH --job-name=$name
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=$tasks
HEAD
  ((gpus_per_node == 0)) || echo "#SBATCH --gpus-per-node=$gpus_per_node"
  cat <<HEAD
#SBATCH --cpus-per-task=$cpus
#SBATCH --time=$time
#SBATCH --signal=TERM@$grace_seconds
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=$log_dir/$name.%j.log
HEAD
  for option in ${options[@]+"${options[@]}"}; do
    echo "#SBATCH $option"
  done
  cat <<START
set -uo pipefail
# Slurm tells every process its number; the job asks it.
export COORDINATOR_ADDRESS=auto
export JAX_PLATFORMS=$platforms
export PYTHONUNBUFFERED=1
START
  if [[ $process_per == node ]] && ((gpus_per_node > 0)); then
    # Under Slurm JAX takes one GPU a process unless configured otherwise.
    devices=$(seq -s , 0 $((gpus_per_node - 1)))
    echo "export JAX_LOCAL_DEVICE_IDS=$devices"
  fi
  for setting in ${environment[@]+"${environment[@]}"}; do
    echo "export $(shell_words "${setting%%=*}")=$(shell_word "${setting#*=}")"
  done
  [[ -z $container ]] || step+=(--container-image "$container")
  [[ -z $mount ]] || step+=(--container-mounts "$mount")
  if [[ -n $setup ]]; then
    # shellcheck disable=SC2016
    step+=(bash -c "$setup && exec \"\$@\"" videopoet)
  fi
  printf 'rm -f %s\n' "$(shell_word "$log_dir/$name.cancel")"
  printf 'status=0\n%s || status=$?\n' "$(shell_words "${step[@]}" \
    "${command[@]}")"
  cat <<END
if [[ -e $(shell_word "$log_dir/$name.cancel") ]]; then
  echo "cancelled; the job ended with status \$status"
elif ((status == $STOPPED_STATUS)); then
  echo 'stopped and saved; queued again'
  scontrol requeue "\$SLURM_JOB_ID"
elif ((status != 0 && status != $USER_ERROR_STATUS)) &&
  ((\${SLURM_RESTART_COUNT:-0} < $max_restarts)); then
  echo "failed with status \$status; queued again"
  scontrol requeue "\$SLURM_JOB_ID"
fi
exit "\$status"
END
}

if [[ $dry_run == true ]]; then
  script
else
  need sbatch "$hint"
  mkdir -p "$log_dir"
  script | sbatch
fi
