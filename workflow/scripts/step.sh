# Sourced with the log by the shell text of every rule, which then runs `logged python -m refilm.<rule> …`.
set -euo pipefail

export PYTHONPATH="${BASH_SOURCE[0]%/*}${PYTHONPATH:+:$PYTHONPATH}"
# Outside of conda, the Python that runs Snakemake, whether its environment is activated or not.
if [ -n "$REFILM_PYTHON" ]; then
    export PATH="$REFILM_PYTHON:$PATH"
fi

# The progress of the command is written beside its log.
export REFILM_LOG="$1"

# The command decides how it ends when it is stopped, and this shell waits for it.
trap : INT TERM HUP

# Run a command. Its output goes to the log and to the terminal. Where it failed without a line that says why, since it was
# killed or could not start, one is added.
logged() {
    local status=0 how append= begin=1 step="${REFILM_LOG%.log}"
    if of_slurm && continue_log; then
        append=--append begin=$(($(wc -l < "$REFILM_LOG") + 1))
    fi
    "$@" 2>&1 | keep_log $append || status="${PIPESTATUS[0]}"
    case "$status" in  # stopped by a signal, by itself, or by SIGHUP, SIGINT or SIGTERM before it handled them; it can continue
        75 | 129 | 130 | 143) requeue_training ;;
    esac
    if [ "$status" -ne 0 ] && ! tail -n "+$begin" -- "$REFILM_LOG" 2> /dev/null | grep -q '^refilm: '; then
        how="ended with exit status $status"
        [ "$status" -le 128 ] || how="killed by SIG$(kill -l "$status")"
        echo "refilm: ${step##*logs/}: $how, without an error message" | keep_log --append
    fi
    if of_slurm; then
        rm -f -- "$(second_name)"
    fi
    return "$status"
}

# Whether this is a job that Snakemake has submitted to Slurm.
of_slurm() {
    [ -n "${REFILM_REQUEUE-}" ] && [ -n "${SLURM_JOB_ID-}" ]
}

# Begin the log, or fail if it could not. Snakemake deletes it at the start of a job, and so when Slurm has queued a job again.
# There it continues: a second name of the file keeps it, and the number of the job, beside it, is the same.
continue_log() {
    local second
    second="$(second_name)"
    if grep -qsF "\"slurm_job\": \"$SLURM_JOB_ID\"" -- "${REFILM_LOG%.log}.progress.json"; then
        ln -f -- "$second" "$REFILM_LOG" 2> /dev/null && return
    fi
    (: > "$REFILM_LOG" && ln -f -- "$REFILM_LOG" "$second") 2> /dev/null
}

second_name() {
    echo "${REFILM_LOG%/*}/.${REFILM_LOG##*/}"
}

# A training that was stopped near the end of its walltime, or to make room for another job, is queued again as the same Slurm
# job, which then continues it. For Snakemake it waits and runs as before. No other step can continue. A job that was cancelled
# or has timed out is no longer running for Slurm, though its processes still are.
requeue_training() {
    local state requested=
    of_slurm && [[ "$REFILM_LOG" == */train_model/* ]] || return 0
    for _ in 1 2 3 4 5; do  # the controller may be busy
        if state="$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T 2> /dev/null)"; then
            [ "$state" = RUNNING ] || [ -n "$requested" ] || return 0
            if [ "$state" != RUNNING ] || scontrol requeue "$SLURM_JOB_ID" 2> /dev/null; then
                while true; do sleep 1 || true; done  # until Slurm ends it: an end of its own would be a failure for Snakemake
            fi
            requested=1  # perhaps with success, as Slurm then ends all processes of the job, and so scontrol
        fi
        sleep 2 || true
    done
}

# What comes in goes to the log and to the terminal, but for the line of an error where the main process of Snakemake prints
# it at its end. It outlives the signals that end a training, which still reports while it saves its state. To be used at the
# end of a pipe, where it is a process of its own.
keep_log() {
    trap '' INT TERM HUP PIPE
    exec 2> /dev/null  # without a log, or without a terminal, the command still runs
    [ "${1-}" = --append ] || : > "$REFILM_LOG"
    while IFS= read -r line || [ -n "$line" ]; do
        if printf '%s\n' "$line" >> "$REFILM_LOG" && [[ -n "$REFILM_ERRORS_LAST" && "$line" == 'refilm: '* ]]; then
            continue
        fi
        printf '%s\n' "$line" || true
    done
}
