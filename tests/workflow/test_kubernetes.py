"""Snakemake with profiles/kubernetes, against a server that answers as a Kubernetes API server does and runs the pods here.

What is submitted is validated against the schemas of Kubernetes 1.37, which the package kubernetes-validate contains, in its
strict form: unknown fields are errors. No cluster is involved: image, scheduling and volume are not tested.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT, make_film
from tests.helpers import wait_for

KUBERNETES = "1.37"
CONFIG = {
    "films": {"one": {"source": "films/one.mp4"}},
    "models": {"one": {"films": ["one"]}},
    "training": {"frame_size": "64x48", "base_channels": 8, "latent_dim": 16, "batch_size": 4, "steps": 6},
    "device": "cpu",
}


def environ(**values: str) -> dict[str, str]:
    """The environment of a process in the image: its Python comes first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return kept | {"PATH": path} | values


class Cluster(ThreadingHTTPServer):
    """The requests for Jobs and pods that jobs.py sends, answered; a Job's container runs as a process of this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.jobs: dict[str, dict] = {}
        self.processes: dict[str, subprocess.Popen] = {}
        self.asked: list[str] = []  # whose status
        self.deleted: list[str] = []

    def start(self, job: dict) -> None:
        container = job["spec"]["template"]["spec"]["containers"][0]
        # tini -g, which the image starts, sends a signal to all processes of the group.
        process = subprocess.Popen(
            container["args"],
            cwd=container["workingDir"],
            env=environ(),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        self.jobs[job["metadata"]["name"]] = job
        self.processes[job["metadata"]["name"]] = process

    def stop(self, name: str) -> None:
        if self.processes[name].poll() is None:
            os.killpg(self.processes[name].pid, signal.SIGTERM)
        self.processes[name].wait()

    def described(self, name: str) -> dict:
        """A Job, with the conditions that the Job controller gives it."""
        code = self.processes[name].poll()
        type_ = {None: None, 0: "Complete"}.get(code, "Failed")
        conditions = [{"type": type_, "status": "True"}] if type_ else []
        return self.jobs[name] | {"status": {"conditions": conditions}}


class Request(BaseHTTPRequestHandler):
    server: Cluster

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/apis/batch/v1/namespaces/lab/jobs"
        self.server.start(job)
        self.answer(job)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        name = address.path.rpartition("/")[2]
        if name in self.server.jobs:
            self.server.asked.append(name)
            return self.answer(self.server.described(name))
        if name not in ("jobs", "pods"):
            return self.answer({"message": "not found"}, 404)
        key, value = parse_qs(address.query)["labelSelector"][0].split("=")
        found = [name for name, job in self.server.jobs.items() if job["metadata"]["labels"][key] == value]
        return self.answer({"items": [self.server.described(job) for job in found] if name == "jobs" else []})

    def do_DELETE(self) -> None:
        names = re.findall(r"refilm-[\w-]+", parse_qs(urlsplit(self.path).query)["labelSelector"][0])
        self.server.deleted += names
        for name in names:
            threading.Thread(target=self.server.stop, args=(name,)).start()
        self.answer({})

    def answer(self, body: dict, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    server = Cluster()
    threading.Thread(target=server.serve_forever).start()
    yield server
    server.shutdown()
    for name in server.processes:
        server.stop(name)
    server.server_close()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A folder in the place of a checkout on the volume."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("profiles", "workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "config").mkdir()
    (folder / "films").mkdir()
    make_film(folder / "films" / "one.mp4")
    return folder


def start(checkout: Path, cluster: Cluster, *words, config: dict = CONFIG, every: int = 6) -> subprocess.Popen:
    """Snakemake as docs/cluster.md starts it, with kubectl's configuration in the place of the pod's.

    every: seconds from one question for the status of the jobs to the next.
    """
    (checkout / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    kubectl = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "lab"}}],
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{cluster.server_port}"}}],
        "users": [{"name": "test", "user": {}}],
    }
    (checkout / "kubectl.yaml").write_text(yaml.safe_dump(kubectl))
    quick = ("--seconds-between-status-checks", str(every), "--latency-wait", "5")
    command = ["snakemake", "--workflow-profile", "profiles/kubernetes", *quick, *map(str, words)]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(
        command, cwd=checkout, env=environ(KUBECONFIG=str(checkout / "kubectl.yaml")), start_new_session=True, **output
    )


def step(cluster: Cluster, rule: str) -> dict:
    """The Job of a rule."""
    (job,) = [job for name, job in cluster.jobs.items() if name.startswith(f"refilm-{rule}-")]
    return job


@pytest.fixture(scope="module")
def chain(checkout, cluster) -> Cluster:
    """A cluster on which a film was trained on and its contact sheet was made."""
    process = start(checkout, cluster, "results/stills/one_by_one.png", every=2)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return cluster


def test_steps_are_valid_jobs_on_the_volume_and_leave_their_files_there(chain, checkout):
    assert (checkout / "results/stills/one_by_one.png").exists()
    assert {file.name for file in (checkout / "results/models/one").iterdir()} >= {"state", "previews", "training.csv"}
    assert len(chain.jobs) == 4
    for job in chain.jobs.values():
        kubernetes_validate.validate(job, KUBERNETES, strict=True)
        check_pod(job["spec"]["template"]["spec"], checkout)


def check_pod(pod: dict, checkout: Path) -> None:
    """What holds for the pod of every step."""
    (own,) = [document for document in documents() if document["kind"] == "Pod"]
    (container,), (main,) = pod["containers"], own["spec"]["containers"]
    assert container["image"] == main["image"] and container["volumeMounts"] == main["volumeMounts"]
    assert container["workingDir"] == str(checkout) and f"cd {checkout}" in container["args"][-1]
    assert pod["securityContext"]["runAsNonRoot"] and pod["restartPolicy"] == "Never"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounted["/volume"] == {"name": "work", "persistentVolumeClaim": {"claimName": "refilm"}}
    assert [path for path, volume in mounted.items() if "emptyDir" in volume] == ["/dev/shm"]
    assert "serviceAccountName" not in pod and pod["automountServiceAccountToken"] is False


def test_only_steps_with_networks_ask_for_a_gpu(chain):
    frames, training = (step(chain, rule)["spec"]["template"]["spec"] for rule in ("extract-frames", "train-model"))
    asked = training["containers"][0]["resources"]
    # Of an extended resource the API server demands what the schema does not say: a limit, equal to the request.
    assert asked["limits"]["nvidia.com/gpu"] == asked["requests"]["nvidia.com/gpu"] == "1"
    assert asked["limits"]["memory"] == asked["requests"]["memory"]
    assert [taint["key"] for taint in training["tolerations"]] == ["nvidia.com/gpu"]
    assert "nvidia.com/gpu" not in json.dumps(frames) and "tolerations" not in frames
    for pod in (frames, training):
        cpu = pod["containers"][0]["resources"]["requests"]["cpu"]
        assert re.fullmatch(r"\d+m", cpu) and 0 < int(cpu[:-1]) < 8000  # of a node of 8 CPUs


def test_ctrl_c_deletes_the_jobs_and_a_killed_run_finds_its_training_again(checkout, cluster):
    config = CONFIG | {"models": {"long": {"films": ["one"], "steps": 100_000}}}
    words = ("results/models/long/model.safetensors",)
    first = start(checkout, cluster, *words, config=config)
    log = checkout / "results/models/long/training.csv"
    wait_for(log.exists, 120, lambda: first.poll() is not None)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    (name,) = [name for name, process in cluster.processes.items() if process.poll() is None]

    asked = len(cluster.asked)
    second = start(checkout, cluster, *words, config=config)
    wait_for(lambda: len(cluster.asked) > asked, 60, lambda: second.poll() is not None)
    assert set(cluster.asked[asked:]) == {name}  # and no second training was submitted
    time.sleep(2)  # while Snakemake asks for the status of a job, Ctrl-C does not find it
    os.kill(second.pid, signal.SIGINT)
    second.communicate(timeout=120)
    wait_for(lambda: cluster.processes[name].poll() is not None, 60)
    assert cluster.deleted == [name]
    assert list((checkout / "results/models/long/state").iterdir())


def documents() -> list[dict]:
    return list(yaml.safe_load_all((ROOT / "profiles/kubernetes/cluster.yaml").read_text()))


@pytest.mark.parametrize("document", documents(), ids=lambda document: document["kind"])
def test_what_a_user_applies_is_valid(document):
    kubernetes_validate.validate(document, KUBERNETES, strict=True)
