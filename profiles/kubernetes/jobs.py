"""Submits the steps of Snakemake as Kubernetes Jobs, says how they are, and deletes them.

    python jobs.py submit --gpu-resource=nvidia.com/gpu JOBSCRIPT     prints the name of the Job
    python jobs.py status NAME                                        prints running, success or failed
    python jobs.py cancel NAME ...

The executor cluster-generic calls it, as profile.yaml says. A Job's pod is the Pod of cluster.yaml with another command and
other resources, so it mounts the same volume at the same path. Needs `pip install kubernetes`.
"""

import argparse
import hashlib
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.rest import ApiException
from kubernetes.config import ConfigException

CLUSTER = Path(__file__).with_name("cluster.yaml")
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")  # of the pod that this runs in
# Labels of Jobs and pods: which step, whichever run of Snakemake submitted it; which Job.
STEP, NAME = "refilm/step", "refilm/job"
SHOWN = Path(".snakemake", "kubernetes")  # what was printed of a Job last
NODE_SHARE = 0.9  # the system pods of a node take the rest: a request for all of its CPUs is never scheduled
SNAKEMAKE_MB = 500  # Snakemake runs in the pod too, beside the step that it starts
CANNOT_START = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError")
KEPT_SECONDS = 24 * 3600  # that an ended Job can still be looked at


def job(pod: dict[str, Any], properties: dict[str, Any], script: str, gpu_resource: str) -> dict[str, Any]:
    """The Job of a step. pod: what its pod is like; properties: those of a Snakemake job; script: the shell text."""
    name = f"refilm-{properties.get('rule', 'group').replace('_', '-')}-{uuid.uuid4().hex[:8]}"
    labels = {"app": "refilm", STEP: step_id(properties), NAME: name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {
                # Not a failure of the step: the Job starts another pod, and a training continues from its state.
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod_spec(pod, properties, script, gpu_resource)},
        },
    }


def pod_spec(pod: dict[str, Any], properties: dict[str, Any], script: str, gpu_resource: str) -> dict[str, Any]:
    """The pod of a step: that of Snakemake, without its rights."""
    (container,) = pod["spec"]["containers"]
    # The shell waits for the step that TERM stops, instead of ending before it has saved its state.
    step = {
        "args": ["sh", "-c", f"trap : TERM\n{script}"],
        "workingDir": str(Path.cwd()),
        "resources": resources(properties, gpu_resource),
    }
    spec = {key: value for key, value in pod["spec"].items() if key != "serviceAccountName"}
    spec |= {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container | step]}
    if gpus(properties):
        tolerated = {"key": gpu_resource, "operator": "Exists", "effect": "NoSchedule"}  # the taint of nodes with GPUs
        spec["tolerations"] = [*spec.get("tolerations", []), tolerated]
    return spec


def resources(properties: dict[str, Any], gpu_resource: str) -> dict[str, dict[str, str]]:
    """What a container asks for. Memory and GPUs are limits too: GPUs must be."""
    fixed = {"memory": f"{int(properties['resources'].get('mem_mb', 1000)) + SNAKEMAKE_MB}M"}
    if gpus(properties):
        fixed[gpu_resource] = str(gpus(properties))
    threads = int(properties["threads"])
    return {
        "requests": {"cpu": f"{int(threads * NODE_SHARE * 1000)}m"} | fixed,
        "limits": {"cpu": str(threads)} | fixed,
    }


def gpus(properties: dict[str, Any]) -> int:
    """How many GPUs a job asks for."""
    return int(properties["resources"].get("gpu", 0))


def step_id(properties: dict[str, Any]) -> str:
    """The same for the same step in the same checkout, whichever run of Snakemake asks for it."""
    what = {key: properties.get(key) for key in ("rule", "output", "params")} | {"folder": str(Path.cwd())}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def submit(namespace: str, script: Path, gpu_resource: str) -> str:
    """Submit a step, unless a Job of a run that was killed still does it; the name of the Job."""
    (pod,) = [document for document in yaml.safe_load_all(CLUSTER.read_text()) if document["kind"] == "Pod"]
    from snakemake.utils import read_job_properties  # slow to import, and a status does not need it

    lines = [line for line in script.read_text().splitlines() if not line.startswith("#")]  # a comment lists all inputs
    body = job(pod, read_job_properties(script), "\n".join(lines), gpu_resource)
    batch = client.BatchV1Api()
    same = batch.list_namespaced_job(namespace, label_selector=f"{STEP}={body['metadata']['labels'][STEP]}").items
    running = [other.metadata.name for other in same if not ended(other)]
    return running[0] if running else batch.create_namespaced_job(namespace, body).metadata.name


def ended(found: client.V1Job) -> str:
    """success or failed; empty while the Job runs."""
    true = {condition.type for condition in found.status.conditions or [] if condition.status == "True"}
    return "success" if "Complete" in true else "failed" if "Failed" in true else ""


def status(namespace: str, name: str) -> str:
    """running, success or failed. Why a pod fails or does not start is printed to stderr, once."""
    try:
        found = client.BatchV1Api().read_namespaced_job(name, namespace)
        if ended(found) != "success":
            show(name, explain(client.CoreV1Api().list_namespaced_pod(namespace, label_selector=f"{NAME}={name}").items))
        return ended(found) or "running"
    except ApiException as error:
        if error.status == 404:
            show(name, "the Job was deleted")
            return "failed"
        show(name, f"the API server does not answer, asking again: {error.reason}")
    except urllib3.exceptions.HTTPError as error:
        show(name, f"the API server does not answer, asking again: {error}")
    return "running"  # a server that is away for a while ends no training


def explain(pods: list[client.V1Pod]) -> str:
    """Why the container of a Job failed or does not start; empty where it runs."""
    for pod in pods:
        for container in pod.status.container_statuses or []:
            waiting, terminated = container.state.waiting, container.state.terminated
            if waiting and waiting.reason in CANNOT_START:
                return f"{waiting.reason}: {waiting.message}"
            if terminated and terminated.reason == "OOMKilled":
                return "out of memory: raise mem_mb by --set-resources RULE:mem_mb=..."
        for condition in pod.status.conditions or []:
            if condition.reason == "Unschedulable":
                return f"waits for a node: {condition.message}"
    return ""


def show(name: str, message: str) -> None:
    """Print a message about a Job, if it is not the one that was printed last."""
    last = SHOWN / name
    if message and (not last.exists() or last.read_text() != message):
        SHOWN.mkdir(parents=True, exist_ok=True)
        last.write_text(message)
        print(f"refilm: {name}: {message}", file=sys.stderr)


def cancel(namespace: str, names: list[str]) -> None:
    """Delete Jobs and their pods, by one request."""
    selector = f"{NAME} in ({', '.join(names)})"
    client.BatchV1Api().delete_collection_namespaced_job(namespace, label_selector=selector, propagation_policy="Background")


def connect() -> str:
    """Use the API server of the pod that this runs in, or that of kubectl; the namespace."""
    if NAMESPACE.exists():
        config.load_incluster_config()
        return NAMESPACE.read_text().strip()
    config.load_kube_config()
    _, active = config.list_kube_config_contexts()
    return str(active["context"].get("namespace", "default"))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    submitted = commands.add_parser("submit")
    submitted.add_argument("--gpu-resource", required=True)
    submitted.add_argument("script", type=Path)
    commands.add_parser("status").add_argument("name")
    commands.add_parser("cancel").add_argument("names", nargs="+")
    return parser.parse_args()


def main() -> None:
    options = parse()
    try:
        namespace = connect()
        if options.command == "submit":
            print(submit(namespace, options.script, options.gpu_resource))
        elif options.command == "status":
            print(status(namespace, options.name))
        else:
            cancel(namespace, options.names)
    except (ConfigException, urllib3.exceptions.HTTPError) as error:
        sys.exit(f"refilm: no Kubernetes API server: {error}")
    except ApiException as error:
        message = json.loads(error.body)["message"] if error.body else error.reason
        sys.exit(f"refilm: the API server refused: {message}")


if __name__ == "__main__":
    main()
