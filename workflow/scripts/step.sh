# Sourced by the shell text of every rule, which runs `python -m refilm.<rule> … 2>&1 | keep_log LOG`.
set -euo pipefail

export PYTHONPATH="${BASH_SOURCE[0]%/*}${PYTHONPATH:+:$PYTHONPATH}"
# Outside of conda, the Python that runs Snakemake, whether its environment is activated or not.
if [ -n "$REFILM_PYTHON" ]; then
    export PATH="$REFILM_PYTHON:$PATH"
fi

# What comes in goes to the terminal and to a log. It outlives the signals that end a training, which still reports while it
# saves its state.
keep_log() {
    (
        trap '' INT TERM HUP
        exec tee -- "$1"
    )
}
