"""What all rules share: the checked configuration, a planner that answers their questions, and the shell text of a step.

No rules and no logic here: they are in refilm.planning and refilm.layout.
"""

import os
import sys
from pathlib import Path

from snakemake.cli import parse_args
from snakemake.settings.types import DeploymentMethod

from refilm import layout
from refilm.config import closing, slurm
from refilm.config.auto_channels import (
    auto_channels,
    plan_device,
    planned_device,
    runs_on_cluster,
)
from refilm.config.configuration import Config
from refilm.config.incomplete import incomplete_files
from refilm.config.keys import MODEL_STEP, SLUG
from refilm.config.report import check_report, collect
from refilm.config.run_lock import begin_run
from refilm.core.files import check_space
from refilm.core.signals import hang_up_as_terminate
from refilm.planning.planner import Planner
from refilm.planning.resources import MOST_THREADS, JobResources, gpu_threads
from refilm.planning.results import SIZE
from refilm.planning.snakemake_functions import (
    check_deployment,
    check_storage,
    command_line,
    exit_on_error,
)
from refilm.planning.targets import check_targets

exit_on_error(check_storage)(workflow.storage_settings.default_storage_provider)

# The targets of an importing workflow are its own.
is_main = workflow.modifier.is_main_snakefile()

deployment = workflow.deployment_settings.deployment_method
if is_main:
    exit_on_error(check_deployment)([method.item_to_choice() for method in deployment])

is_plan = workflow.is_main_process
options = command_line(sys.argv[1:], parse_args) if is_plan else None

# Snakemake itself would end with a traceback where it cannot write its own files.
if is_plan:
    exit_on_error(check_space)(Path(".snakemake/log"), 5_000_000)
    begin_run(sys.argv[1:])
    # For `base_channels: auto`, before the configuration is read.
    nodes = workflow.resource_settings.nodes
    plan_device(runs_on_cluster(nodes, options))
incomplete = incomplete_files()
planner = Planner(
    exit_on_error(Config)(config, auto_channels),
    lambda path: path if path in incomplete else ancient(path),
    checks_films=is_plan,
)
if is_plan:
    planner.keep_models()
if is_plan and is_main:
    hang_up_as_terminate()
reporting = is_main and options and exit_on_error(check_report)(options)


# What jobs need. The threads of those that use a GPU are decided once, by the main process: with two GPUs each has half of
# the cores.
if is_plan:
    gpus = workflow.global_resources.get("gpu")
    limit = gpu_threads(workflow.resource_settings.cores, gpus.value if gpus else None)
    os.environ |= {"REFILM_GPU_THREADS": str(limit)}
threads_on_gpu = int(os.environ.get("REFILM_GPU_THREADS", MOST_THREADS))
needs = JobResources(planner.config, threads_on_gpu, on_cpu=planned_device() == "cpu")


wildcard_constraints:
    film=SLUG,
    model=MODEL_STEP,
    comparison=SLUG,
    export=SLUG,
    poster=SLUG,
    walk=SLUG,
    bend=SLUG,
    dream=SLUG,


# The `cache` of rules whose results are shared between projects by --cache. Without that option Snakemake would mention each
# of them at every start.
shared = "omit-software" if workflow.workflow_settings.cache is not None else False

# Every step is `python -m refilm.<rule>`, so a change of code never retrains a model. step.sh sets up the shell. Where it
# is, and which Python runs it outside of conda, is in the environment and not in the text of the command, which Snakemake
# tracks: a checkout that was moved makes nothing again.
in_conda = DeploymentMethod.CONDA in deployment
os.environ |= {
    "REFILM_STEP": str(SCRIPTS / "step.sh"),
    "REFILM_PYTHON": "" if in_conda else str(Path(sys.executable).parent),
    # Under --cache Snakemake moves a result into a store: a link would lose its target.
    "REFILM_CACHED": "1" if shared else "",
}
# Set by onstart, for the jobs on other machines too; never in a workflow that imports this one.
os.environ.setdefault("REFILM_ERRORS_LAST", "")
os.environ.setdefault("REFILM_REQUEUE", "")


def step(command):
    """The shell text of a step. The output of the command goes to the terminal and to the log."""
    return f'source "$REFILM_STEP" {{log:q}}; logged python -m refilm.{command}'
