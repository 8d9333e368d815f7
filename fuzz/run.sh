#!/bin/sh
# Builds the targets (unless BUILT is set) and fuzzes those given (all, if none is), one after the other, each until 10^7
# executions or 30 minutes (RUNS and SECONDS_EACH change that). Logs: /tmp/fuzz-<target>.log; a line for each run:
# /tmp/fuzz-all.log; findings: artifacts/<target>/.
cd "$(dirname "$0")" || exit 2
# Shallow traces of allocations and little of what was freed: half as fast again.
export ASAN_OPTIONS="${ASAN_OPTIONS:-malloc_context_size=3:quarantine_size_mb=16}"
[ -n "$BUILT" ] || nice -n 19 cargo +nightly fuzz build ${FEATURES:+--features "$FEATURES"} >/tmp/fuzz-build.log 2>&1 || { tail -20 /tmp/fuzz-build.log; exit 1; }
for target in ${*:-index config torch_zip safetensors torch_legacy pickle checkpoint_folder}; do
    case $target in
        pickle | torch_legacy) dict=pickle.dict max=2048 ;;
        torch_zip | checkpoint_folder) dict=zip.dict max=4096 ;;
        *) dict=json.dict max=2048 ;;
    esac
    mkdir -p "corpus/$target" "artifacts/$target"
    nice -n 19 "${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release/$target" "corpus/$target" "seeds/$target" \
        -dict="$dict" -artifact_prefix="artifacts/$target/" -max_len=$max -timeout=5 \
        -rss_limit_mb=512 -malloc_limit_mb=256 -runs="${RUNS:-10000000}" -max_total_time="${SECONDS_EACH:-1800}" \
        -print_final_stats=1 >"/tmp/fuzz-$target.log" 2>&1
    echo "$(date +%T) $target: exit $?, $(grep -a 'DONE\|SUMMARY' "/tmp/fuzz-$target.log" | tail -1)" >>/tmp/fuzz-all.log
done
