"""What is asked of Slurm's commands, from recorded outputs of Slurm 22.05."""

import json
import os
import re
import subprocess
from dataclasses import replace

import pytest
import yte

from refilm.config.slurm import QueuedJob, describe_earlier, describe_end, describe_waiting, parse_queue
from refilm.config.slurm_limits import Request, check_account, check_cluster, check_request, parse_nodes
from refilm.core.errors import RefilmError
from tests.conftest import ROOT

# sinfo --noheader --exact --format="%R|%c|%m|%G|%l": two kinds of nodes in one partition, GPUs of two types, a node without.
SINFO = """\
compute|64|256000|(null)|3-00:00:00
gpu|32|190000|gpu:a100:4(S:0-1),nvme:1|1-00:00:00
gpu|16|64000+|gpu:v100:2(S:0,1)|1-00:00:00
short|8|16000|gpu:2|30:00
open|8|16000|(null)|infinite
"""
# squeue --noheader --states=all --format="%i|%j|%T|%r|%k|%Z"
SQUEUE = """\
12|041a01a7-e7bd-4a88|PENDING|Priority|rule_train_model_wildcards_long|/home/ada/refilm
13|041a01a7-e7bd-4a88|PENDING|Priority|rule_encode_film_wildcards_a_b|/home/ada/refilm
14|041a01a7-e7bd-4a88|PENDING|QOSMaxGRESPerUser|rule_train_model_wildcards_other|/home/ada/refilm
15|041a01a7-e7bd-4a88|RUNNING|None|rule_previews|/home/ada/a|b
16|wrap|COMPLETED|None|(null)|/home/ada
"""
TRAINING = Request("train_model long", "gpu", 8, 16000, 1, 24 * 60, "--signal=TERM@120 --open-mode=append")


def refused(function, *arguments) -> str:
    with pytest.raises(RefilmError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nodes_are_read_with_their_gpus_of_every_notation_and_their_limits():
    found = [(node.partition, node.cpus, node.memory_mb, node.gpus, node.walltime) for node in parse_nodes(SINFO)]
    assert found == [
        ("compute", 64, 256000, 0, 3 * 24 * 60),
        ("gpu", 32, 190000, 4, 24 * 60),
        ("gpu", 16, 64000, 2, 24 * 60),
        ("short", 8, 16000, 2, 30),
        ("open", 8, 16000, 0, None),
    ]


@pytest.mark.parametrize(
    "change",
    [{}, {"cpus": 32, "gpus": 4}, {"partition": "open", "gpus": 0, "walltime": 10**6}, {"partition": None, "cpus": 999}],
)
def test_what_a_node_has_is_not_refused(change):
    check_request(replace(TRAINING, **change), parse_nodes(SINFO))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"partition": "gpus"}, "there is no partition 'gpus'; there are: compute, gpu, open, short: set it at the head of"),
        ({"cpus": 33}, "train_model long: 33 CPUs, but a node of partition 'gpu' has 32 at most: set cpus at the head of"),
        (
            {"memory_mb": 200000},
            "200000 MB of memory, but a node of partition 'gpu' has 190000 at most: use --set-resources ",
        ),
        ({"gpus": 5}, "5 GPUs, but a node of partition 'gpu' has 4 at most"),
        ({"partition": "compute"}, "1 GPUs, but a node of partition 'compute' has 0 at most"),
        ({"walltime": 2000}, "2000 minutes, but partition 'gpu' allows 1440 at most: set training_walltime at the head of"),
        ({"walltime": 2000, "extra": ""}, "allows 1440 at most: use --set-resources train_model:runtime="),
        ({"walltime": 2}, "a walltime of 2 minutes leaves no time to train"),
    ],
)
def test_what_no_node_could_ever_run_is_refused_in_a_line_with_the_limit(change, words):
    line = refused(check_request, replace(TRAINING, **change), parse_nodes(SINFO))
    assert words in line


def test_a_job_that_needs_the_cpus_of_one_node_and_the_gpus_of_another_is_refused():
    nodes = parse_nodes("gpu|64|64000|(null)|infinite\ngpu|8|64000|gpu:1|infinite\n")
    assert "no node of partition 'gpu' has all of them" in refused(check_request, replace(TRAINING, cpus=16), nodes)


def test_accounts():
    check_account("Film", {"film", "other"})
    check_account("film", set())  # the cluster does not say which there are
    assert "account 'flim' is not yours; yours are: film, other" in refused(check_account, "flim", {"film", "other"})
    assert "this cluster has no accounts" in refused(check_account, "film", None)


def test_without_slurm_there_is_a_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sinfo was not found" in refused(check_cluster, "squeue")


def script(folder, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_sacct_is_refused_where_there_is_no_accounting(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    script(tmp_path, "sinfo", "exit 0")
    script(tmp_path, "sacct", "echo Slurm accounting storage is disabled >&2; exit 1")
    check_cluster("squeue")
    assert "no accounting for sacct to ask: set it to squeue" in refused(check_cluster, "sacct")


def test_the_reason_of_a_job_is_shown_once():
    jobs, shown = parse_queue(SQUEUE), set()
    assert jobs[3].folder == "/home/ada/a|b"
    assert describe_waiting(jobs, shown) == [
        "Slurm: job 12 (train_model long) and 1 more wait: Priority (other jobs go first)",
        "Slurm: job 14 (train_model other) waits: QOSMaxGRESPerUser",
    ]
    assert describe_waiting(jobs, shown) == []
    changed = [replace(job, reason="Resources") for job in jobs]
    assert describe_waiting(changed, shown) == ["Slurm: job 14 (train_model other) waits: Resources (no node is free)"]
    assert describe_waiting([replace(job, reason="PartitionDown") for job in jobs[:1]], shown) == [
        "Slurm: job 12 (train_model long) waits: PartitionDown (the partition is down)"
    ]


def test_that_a_training_was_queued_again_is_shown_each_time():
    shown: set[tuple[str, str]] = set()
    running = [replace(parse_queue(SQUEUE)[0], state="RUNNING", reason="None")]
    again = [replace(running[0], state="PENDING", reason="BeginTime")]
    (line,) = describe_waiting(again, shown)
    assert "waits: BeginTime (it was queued again" in line and describe_waiting(again, shown) == []
    assert describe_waiting(running, shown) == [] and describe_waiting(again, shown) == [line]


def test_jobs_of_an_earlier_run_are_a_line_that_says_how_to_cancel_them():
    assert describe_earlier([]) == []
    (line,) = describe_earlier(parse_queue(SQUEUE)[:2])
    assert "job 12 (train_model long) and 1 more of an earlier run" in line
    assert line.endswith("To cancel: scancel --name=041a01a7-e7bd-4a88")


@pytest.mark.parametrize(
    "state, words",
    [
        ("CANCELLED", "was cancelled"),
        ("TIMEOUT", "reached its walltime: give it more by --set-resources train_model:runtime=…"),
        ("OUT_OF_MEMORY", "ran out of memory: give it more by --set-resources train_model:mem_mb=…"),
    ],
)
def test_how_slurm_ended_a_job(state, words):
    job = QueuedJob("7", "run", state, "None", "rule_train_model_wildcards_long", "/home")
    assert describe_end(job) == f"train_model long: Slurm job 7 {words}"
    assert describe_end(replace(job, state="FAILED")) is None


# --- step.sh in a job of Slurm


@pytest.fixture
def queued(tmp_path, monkeypatch):
    """Runs a step in Slurm job 7, with scripts for Slurm's commands: lines of its log, what scontrol was asked, status."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)

    def run(
        text: str, state: str, rule: str = "train_model", scontrol: str = "kill -KILL $PPID", **environ: str
    ) -> tuple[list[str], str, int]:
        asked, log = tmp_path / "asked", tmp_path / "logs" / rule / "long.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        asked.write_text("")
        (tmp_path / "state").write_text(state)
        script(programs, "squeue", f"cat {tmp_path}/state")
        # Slurm ends all processes of a job that it queues again.
        script(programs, "scontrol", f'echo "$@" >> {asked}; {scontrol}')
        step = f'source {ROOT}/workflow/scripts/step.sh logs/{rule}/long.log; logged sh -c "$0"'
        environ = {"SLURM_JOB_ID": "7", "REFILM_REQUEUE": "1", "REFILM_ERRORS_LAST": "", "REFILM_PYTHON": ""} | environ
        done = subprocess.run(["bash", "-c", step, text], env=os.environ | environ, capture_output=True, text=True)
        return log.read_text().splitlines(), asked.read_text().strip(), done.returncode

    return run


STOPPED = "echo refilm: long: stopped after step 3; exit 75"


def test_a_training_that_was_stopped_while_its_job_runs_is_queued_again(queued):
    log, asked, status = queued(STOPPED, "RUNNING")
    assert (log, asked, status) == (["refilm: long: stopped after step 3"], "requeue 7", -9)


@pytest.mark.parametrize(("name", "asks"), [("TERM", "requeue 7"), ("INT", "requeue 7"), ("HUP", "requeue 7"), ("KILL", "")])
def test_a_training_that_a_signal_ends_before_it_handles_signals_is_queued_again(queued, name, asks):
    log, asked, status = queued(f"kill -{name} $$", "RUNNING")
    assert asked == asks
    if asks:
        assert (log, status) == ([], -9)
    else:
        assert (log, status) == ([f"refilm: train_model/long: killed by SIG{name}, without an error message"], 137)


def test_a_request_that_is_ended_by_its_own_success_is_not_taken_for_a_failure(queued, tmp_path):
    """Slurm ends scontrol with the other processes of the job, a while before it kills those that are left."""
    succeeds = f"echo COMPLETING > {tmp_path}/state; (sleep 4; kill -KILL $PPID) & kill -TERM $$"
    log, asked, status = queued(STOPPED, "RUNNING", scontrol=succeeds)
    assert (log, asked, status) == (["refilm: long: stopped after step 3"], "requeue 7", -9)
    assert (tmp_path / "logs/train_model/.long.log").exists()  # by which the log is continued


@pytest.mark.parametrize(
    "text, state, more",
    [
        (STOPPED, "COMPLETING", {}),  # scancel, or the walltime is over
        (STOPPED, "RUNNING", {"rule": "encode_film"}),  # begins from the start each time
        (STOPPED, "RUNNING", {"REFILM_REQUEUE": ""}),  # not submitted by Snakemake
        (STOPPED, "RUNNING", {"SLURM_JOB_ID": ""}),
        ("echo refilm: broken; exit 1", "RUNNING", {}),
    ],
)
def test_nothing_else_is_queued_again(queued, text, state, more):
    log, asked, status = queued(text, state, **more)
    assert asked == "" and status == int(text.rpartition(" ")[2]) and len(log) == 1


def test_the_log_of_a_job_that_was_queued_again_goes_on_though_snakemake_deletes_it(queued, tmp_path):
    log, status = tmp_path / "logs/train_model/long.log", tmp_path / "logs/train_model/long.progress.json"
    queued(f'echo first; echo \'{{"slurm_job": "7"}}\' > {status}; {STOPPED}', "RUNNING")
    log.unlink()
    lines, _, code = queued("echo second; exit 3", "RUNNING")
    assert lines[:3] == ["first", "refilm: long: stopped after step 3", "second"] and code == 3
    assert lines[3:] == ["refilm: train_model/long: ended with exit status 3, without an error message"]
    assert [file.name for file in log.parent.iterdir() if file.name.startswith(".")] == []
    assert queued("echo another job", "RUNNING", SLURM_JOB_ID="8")[0] == ["another job"]


# --- the profile


def profile(**head: object) -> dict:
    """profiles/slurm, with values of its head replaced, as Snakemake reads it."""
    text = (ROOT / "profiles/slurm/profile.yaml").read_text()
    for key, value in head.items():
        text, count = re.subn(rf"^  {key}: .*$", f"  {key}: {json.dumps(value)}", text, count=1, flags=re.MULTILINE)
        assert count == 1, key
    return yte.process_yaml(text, require_use_yte=True)


def test_the_head_of_the_profile_decides_all_that_depends_on_the_cluster():
    made = profile(account="film", cpu_partition="batch", gpu_partition="a100", cpus=4, training_walltime="4h", jobs=7)
    assert made["default-resources"] | {"runtime": 0, "mem_mb": 0} == {
        "slurm_partition": "batch", "slurm_account": "film", "runtime": 0, "mem_mb": 0,
    }  # fmt: skip
    assert (made["max-threads"], made["cores"], made["jobs"], made["retries"]) == (4, 4, 7, 0)
    rules = made["set-resources"]
    assert {values["slurm_partition"] for values in rules.values()} == {"a100"}
    assert rules["train_model"]["runtime"] == "4h" and "runtime" not in rules["encode_film"]
    assert "slurm_account" not in profile()["default-resources"]


def test_gpus_are_requested_by_gres_or_by_gpus_but_not_by_both():
    assert not {"gres", "gpu"} & set(profile()["set-resources"]["encode_film"])
    rules = profile(gres="gpu:a100", training_gpus=2)["set-resources"]
    assert (rules["encode_film"]["gres"], rules["encode_film"]["gpu"]) == ("'gpu:a100:1'", 0)
    assert (rules["train_model"]["gres"], rules["train_model"]["gpu"]) == ("'gpu:a100:2'", 0)


def test_rules_that_use_a_gpu_are_in_the_gpu_partition_and_in_no_group():
    made = profile()
    rules = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    with_gpu = {name for name, text in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", rules, re.M | re.S) if "gpu=" in text}
    with_gpu |= {derived for rule, derived in re.findall(r"^use rule (\w+) as (\w+)", rules, re.M) if rule in with_gpu}
    assert set(made["set-resources"]) == with_gpu - set(made["groups"])
