#!/usr/bin/env bash
# `model-diffs slurm --submit` on a real Slurm: four nodes on this machine, started for this test and stopped after it.
#   1. the models and texts of the demo: what the jobs leave is, to the byte, what a run by itself leaves; submitted again,
#      nothing is done again
#   2. a larger pair with a gap: a node is lost while its task compares; the task is queued again and resumes
# usage: tests/slurm/run.sh [FOLDER OF THE PROGRAMS]      needs root, and Debian's slurm-wlm and munge or apt to install them
set -euo pipefail
repository=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
programs=$(cd -- "${1:-$repository/target/debug}" && pwd)

skip() { echo "skipped: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip 'only root can start a Slurm of its own'
present() { command -v sbatch slurmctld slurmd munged >/dev/null; }
if ! present; then
  command -v apt-get >/dev/null || skip 'Slurm is not installed, and there is no apt-get to install it'
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends slurm-wlm munge; } \
    >/dev/null 2>&1 || skip 'slurm-wlm and munge cannot be installed'
  present || skip 'slurm-wlm and munge are installed, but lack what this test needs'
fi

work=$(mktemp -d /tmp/slurm.XXXXXX) # the path of a socket must be short
nodes=(n1 n2 n3 n4)
daemons=()
export SLURM_CONF=$work/slurm.conf
# Of the processes of this cluster, and of no other: daemons and jobs know it by the path of its configuration.
processes() { # [NODE]
  local files
  mapfile -t files < <(grep -slzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ)
  [ "${#files[@]}" -gt 0 ] || return 0
  [ "$#" = 0 ] || mapfile -t files < <(grep -slzxF "SLURMD_NODENAME=$1" "${files[@]}")
  [ "${#files[@]}" = 0 ] || printf '%s\n' "${files[@]//[!0-9]/}"
}
cleanup() {
  local status=$?
  trap - EXIT INT TERM
  if [ "$status" != 0 ]; then
    echo '== what Slurm and the jobs said'
    scontrol show jobs 2>&1 | head -n 200 || true
    tail -n 40 "$work"/log/* "$work"/*/outputs/slurm/logs/* 2>/dev/null || true
  fi
  [ "${#daemons[@]}" = 0 ] || kill "${daemons[@]}" 2>/dev/null || true
  sleep 0.5
  local left
  left=$(processes) || true
  [ -z "$left" ] || kill -KILL $left 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
fail() { echo "failed: $*" >&2; exit 1; }
step() { printf '%s  %s\n' "$(date +%T)" "$*"; }

# Waits until a condition holds.
within() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  until "${@:2}"; do
    [ "$SECONDS" -lt "$end" ] || fail "not within $1 seconds: ${*:2}"
    sleep 0.1
  done
}

step 'starts a cluster'
mkdir "$work"/{log,state,spool}
is_taken() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port=$((20000 + $$ % 10000))
while for offset in 0 1 2 3 4; do is_taken $((port + offset)) && break; done; do port=$((port + 5)); done
cat >"$SLURM_CONF" <<CONF
ClusterName=onebox
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool/%n
SlurmctldLogFile=$work/log/slurmctld
SlurmdLogFile=$work/log/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SlurmdTimeout=8
KillWait=2
MinJobAge=3600
MailProg=/bin/true
NodeName=n[1-${#nodes[@]}] NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + ${#nodes[@]}))] CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
head -c 1024 /dev/urandom >"$work/munge.key"
chmod 400 "$work/munge.key"
munged --foreground --force --key-file "$work/munge.key" --socket "$work/munge.socket" --pid-file "$work/munged.pid" \
  --log-file "$work/log/munged" --seed-file "$work/munge.seed" >"$work/log/munged.out" 2>&1 &
daemons+=("$!")
within 20 test -S "$work/munge.socket"
slurmctld -D >"$work/log/slurmctld.out" 2>&1 &
daemons+=("$!")
declare -A slurmd=()
for node in "${nodes[@]}"; do
  slurmd -D -N "$node" >"$work/log/$node.out" 2>&1 &
  daemons+=("$!")
  slurmd[$node]=$!
done
are_idle() { [ "$(sinfo --noheader --Node --format %T 2>/dev/null | grep -cx idle)" = "${#nodes[@]}" ]; }
within 60 are_idle

unset BASE FILTERED UNLEARNED OUTROOT DEVICE DTYPE FORGET_TEXT RETAIN_TEXT
model_diffs=$programs/model-diffs
# Submits the jobs of a run from the folder that this is called in: ids by names.
submit() { # OPTION...
  declare -gA jobs=()
  local name id listed
  listed=$("$model_diffs" slurm --submit --quiet --cpus-per-task 1 "$@")
  while read -r name id; do jobs[$name]=$id; done <<<"$listed"
  [ -n "${jobs[report]:-}" ] || fail "no job reports: $listed"
}
are_over() { [ -z "$(squeue --noheader --jobs "$(IFS=,; echo "$*")" 2>&1)" ]; }
# What became of a job or of all tasks of an array.
ended() { scontrol --oneliner show job "$1" | grep -o ' JobState=[A-Z_]* \| ExitCode=[0-9:]*' | tr -d '\n'; }
same() { # FOLDER FOLDER
  local count=0 file
  while IFS= read -r -d '' file; do
    cmp "$1/$file" "$2/$file" || fail "$file differs from that of a run by itself"
    count=$((count + 1))
  done < <(cd "$2" && find . -name parts -prune -o -type f ! -name run-state.json -printf '%P\0')
  [ "$count" -ge "$3" ] || fail "only $count files in $2"
  echo "          $count files are the same to the byte"
}

step 'the demo, in jobs'
demo="$work/it's \"a\" run"
alone="$work/alone"
mkdir "$demo" "$alone"
cp -r "$repository/fixtures/demo" "$work/models"
cd "$demo"
settings=(--compare "$work/models/baseline=$work/models/filtered" --compare "$work/models/baseline=$work/models/unlearned"
  --forget-text "$work/models/forget.txt" --retain-text "$work/models/retain.txt" --device cpu --memory-budget 1GiB --top-k 3)
submit "${settings[@]}" --tasks 3
[ "$(printf '%s\n' "${!jobs[@]}" | sort | tr '\n' ' ')" = 'hidden-states parameters-1 parameters-2 report ' ] ||
  fail "jobs: ${!jobs[*]}"
within 180 are_over "${jobs[@]}"
for job in "${!jobs[@]}"; do
  [ -z "$(ended "${jobs[$job]}" | sed 's/ JobState=COMPLETED  ExitCode=0:0//g')" ] || fail "$job: $(ended "${jobs[$job]}")"
done
cd "$alone"
mkdir -p outputs
cp -r "$demo/outputs/slurm" outputs/
# With the jobs' own arguments, which the tables tell of.
by_itself() { "$model_diffs" run --config=outputs/slurm/run.toml "$@" 2>>"$work/log/by_itself"; }
by_itself --steps=hidden-states --threads=1
by_itself --steps=parameters,pictures,report
rm -r outputs/slurm
same "$demo/outputs" "$alone/outputs" 40

step 'the demo, submitted again'
cd /
listed=$(bash "$demo/outputs/slurm/submit.sh")
read -ra again <<<"$(sed 's/.* //' <<<"$listed" | tr '\n' ' ')"
within 120 are_over "${again[@]}"
log=$demo/outputs/slurm/logs/report.${again[-1]}.log
[ "$(grep -c ': unchanged$' "$log")" = 6 ] || fail "something was done again: $(cat "$log")"

step 'a larger pair, and a node that is lost'
matrices=24
side=1024
mkdir "$work/large" "$work/large-alone"
cd "$work/large"
for model in a b; do
  mkdir "$model"
  size=$((side * side * 2))
  header='{'
  for index in $(seq 0 $((matrices - 1))); do
    header+="\"model.layers.$index.mlp.up_proj.weight\":{\"dtype\":\"F16\",\"shape\":[$side,$side],"
    header+="\"data_offsets\":[$((index * size)),$(((index + 1) * size))]},"
  done
  end=$((matrices * size))
  header+="\"model.layers.0.mlp.down_proj.weight\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[$end,$((end + 8))]}}"
  {
    length=$(printf %016x "${#header}")
    for byte in {14..0..2}; do printf "\\x${length:byte:2}"; done
    printf %s "$header"
    head -c $((end / 4 * 3)) /dev/urandom | base64 --wrap 0 # letters and digits are finite numbers
    [ "$model" = a ] && printf abcdefgh || printf '\377\377bcdefg' # and this one is none
  } >"$model/model.safetensors"
done
printf 'full_spectrum = true\n[[compare]]\na = "a"\nb = "b"\nname = "a-b"\n' >run.toml
submit --config run.toml --tasks 3
array=${jobs[parameters-1]}
parts=outputs/param_stats/a-b/parts
# A task that has finished something, and its node.
under_way() {
  local task node
  while read -r task node; do
    if [ -s "$parts/$task-of-3/param_stats.journal" ] && [ "$(stat -c %s "$parts/$task-of-3/param_stats.journal")" -gt 20000 ]; then
      lost_task=$task lost_node=$node
      return
    fi
  done < <(squeue --noheader --array --states R --jobs "$array" --format '%K %N')
  return 1
}
within 90 under_way
# The task stops, so that it cannot end meanwhile. Then its node's daemon goes, then that of the job, which would otherwise
# tell of the end of the task, then the task.
tasks=$(processes "$lost_node")
[ -n "$tasks" ] || fail "no task runs on $lost_node"
kill -STOP $tasks
disown "${slurmd[$lost_node]}" # bash says nothing of its end then
kill -KILL "${slurmd[$lost_node]}"
overseers=$(for process in $tasks; do ps -o ppid= -p "$process" || true; done | sort -u)
for overseer in $overseers; do
  case $(ps -o comm= -p "$overseer" || true) in slurmstepd*) kill -KILL "$overseer" ;; esac
done
kill -KILL $tasks 2>/dev/null || true
[ ! -e "$parts/$lost_task-of-3/part.json" ] || fail "the task had finished before its node was lost: make the pair larger"
step "lost $lost_node with task $lost_task"
has_restarted() { scontrol --oneliner show job "${array}_$lost_task" | grep -q ' Restarts=1 '; }
within 90 has_restarted
[ "$(sinfo --noheader --Node --nodes "$lost_node" --format %T | tr -d '*')" = down ] || fail "$lost_node is not down"
step 'its task is queued again'
# Slurm leaves a node two minutes to come back. Nobody has to wait for this one.
scontrol update JobId="${array}_$lost_task" StartTime=now
within 240 are_over "${jobs[@]}"
[ -z "$(ended "$array" | sed 's/ JobState=COMPLETED  ExitCode=0:0//g')" ] || fail "the array: $(ended "$array")"
case $(ended "${jobs[report]}") in
*' ExitCode=1:0') ;; # there is a gap
*) fail "the report: $(ended "${jobs[report]}")" ;;
esac
resumed=$(grep -h 'matrices were finished by an earlier run' "outputs/slurm/logs/parameters-1.${array}_$lost_task.log") ||
  fail 'the task did not resume'
echo "          task $lost_task: $resumed"
cd "$work/large-alone"
mkdir -p outputs
ln -s ../large/a a
ln -s ../large/b b
cp -r "$work/large/outputs/slurm" outputs/
status=0
by_itself --steps=parameters,pictures,report || status=$?
[ "$status" = 1 ] || fail "a run by itself ends with $status"
rm -r outputs/slurm
same "$work/large/outputs" "$work/large-alone/outputs" 10
step 'all as it should be'
