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
    local status=0 how step="${REFILM_LOG%.log}"
    "$@" 2>&1 | keep_log || status=$?
    if [ "$status" -ne 0 ] && ! grep -q '^refilm: ' -- "$REFILM_LOG"; then
        how="ended with exit status $status"
        [ "$status" -le 128 ] || how="killed by SIG$(kill -l "$status")"
        echo "refilm: ${step##*logs/}: $how, without an error message" | keep_log --append
    fi
    return "$status"
}

# What comes in goes to the log and to the terminal, but for the line of an error where the main process of Snakemake prints
# it at its end. It outlives the signals that end a training, which still reports while it saves its state.
keep_log() {
    (
        trap '' INT TERM HUP PIPE
        exec 2> /dev/null  # without a log, or without a terminal, the command still runs
        [ "${1-}" = --append ] || : > "$REFILM_LOG"
        while IFS= read -r line || [ -n "$line" ]; do
            if printf '%s\n' "$line" >> "$REFILM_LOG" && [[ -n "$REFILM_ERRORS_LAST" && "$line" == 'refilm: '* ]]; then
                continue
            fi
            printf '%s\n' "$line" || true
        done
    )
}
