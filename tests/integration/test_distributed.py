"""Several processes that share a training compute what one would have: the same gradients, the same model."""

import os
import signal
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from safetensors.torch import load_file

from refilm.core.errors import RefilmError
from refilm.models.base import StepContext
from refilm.training.distributed import ProcessGroup, check_shards
from refilm.training.loop import train
from tests.conftest import runs, small_recipe
from tests.helpers import same, store_of, wait_for
from tests.models import batch_of, model_of, relative_difference, step_of

CPU = torch.device("cpu")
BALANCED = {"gamma": "auto", "equilibrium": 0.68, "equilibrium_margin": 0.02}


def _share(number, count, rendezvous, found):
    """What one of the processes computes of the batch of `test_step`, into a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=number, world_size=count)
    recipe, group = small_recipe(**BALANCED), ProcessGroup(number, count)
    part = slice(number * 4 // count, (number + 1) * 4 // count)
    shard = batch_of(recipe, 4).map(lambda tensor: tensor[part] if tensor.dim() else tensor)
    step = model_of(recipe).gradients(shard, StepContext(all_reduce_sum=group.sum))
    group.average_gradients(step.gradients)
    torch.save((step.gradients, step.gates), f"{found}-{number}")
    dist.destroy_process_group()


def test_two_processes_have_the_gradients_of_one_to_1e9(tmp_path):
    multiprocessing.spawn(_share, (2, tmp_path / "rendezvous", tmp_path / "found"), nprocs=2)
    recipe = small_recipe(**BALANCED)
    whole = step_of(recipe, 4)
    for number in (0, 1):
        parts, gates = torch.load(f"{tmp_path / 'found'}-{number}")
        assert {name: gate.item() for name, gate in gates.items()} == {n: g.item() for n, g in whole.gates.items()}
        for name, expected in whole.gradients.items():
            assert relative_difference(parts[name], expected) < 1e-9, name


def start(films, folder, recipe, gpus):
    words = [sys.executable, "-m", "refilm.train_model", "--frames", *map(str, films), f"--recipe={recipe.to_json()}"]
    words += [f"--model={folder / 'model.safetensors'}", "--device=cpu", f"--gpus={gpus}"]
    scratch = folder.parent / f"scratch-of-{folder.name}"
    scratch.mkdir(exist_ok=True)
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(folder.parent / "torch")}  # a folder of torch's own, which would be in TMPDIR
    environ = os.environ | {"TMPDIR": str(scratch)} | cache
    return subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def weights_of(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("values", [{}, {"recipe": "hybrid", "augment": 0.5, "clips": 0.5}], ids=str)
def test_a_shared_training_has_the_batches_of_one(tmp_path, values):
    films, recipe = [store_of(tmp_path / "one.h5", 13)], small_recipe(steps=6, **values)
    alone = train(recipe, films, tmp_path / "alone", CPU).ema.state_dict()
    shared = start(films, tmp_path / "shared", recipe, 2)
    assert shared.wait() == 0, shared.stderr.read()
    assert not any((tmp_path / "scratch-of-shared").iterdir())
    found = weights_of(tmp_path / "shared")
    assert all(torch.allclose(alone[name], found[name], rtol=1e-3, atol=1e-5) for name in alone)


def test_a_shared_training_stopped_and_continued_ends_in_the_same_weights(tmp_path):
    films, recipe = [store_of(tmp_path / "one.h5", 13)], small_recipe(steps=100)
    whole = start(films, tmp_path / "whole", recipe, 2)
    assert whole.wait() == 0, whole.stderr.read()
    stopped = start(films, tmp_path / "stopped", recipe, 2)
    wait_for(lambda: (tmp_path / "stopped" / "training.csv").exists())
    stopped.send_signal(signal.SIGTERM)
    _, stderr = stopped.communicate()
    assert stopped.returncode == 75 and "the same command continues" in stderr
    assert not any((tmp_path / "scratch-of-stopped").iterdir())
    stopped = start(films, tmp_path / "stopped", recipe, 2)
    out, stderr = stopped.communicate()
    assert stopped.returncode == 0 and "continues after step" in out, stderr
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "stopped"))


def children_of(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return [int(word) for word in file.read().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for a process's children")
@pytest.mark.parametrize("victim", ["first", "other"])
def test_where_one_process_dies_none_is_left(tmp_path, victim):
    training = start([store_of(tmp_path / "one.h5", 13)], tmp_path / "model", small_recipe(steps=10**6), 2)
    wait_for(lambda: (tmp_path / "model" / "training.csv").exists())
    (other,) = children_of(training)
    os.kill(training.pid if victim == "first" else other, signal.SIGKILL)
    _, stderr = training.communicate(timeout=60)
    if victim == "other":
        assert training.returncode == 1 and "the same command continues" in stderr
        assert not any((tmp_path / "scratch-of-model").iterdir())
    wait_for(lambda: not runs(other), seconds=20)


@pytest.mark.parametrize(
    ("values", "count", "message"),
    [
        ({"batch_size": 4}, 3, "batch_size 4 is not divisible by 3"),
        ({"recipe": "broad2016", "gamma": 2.5}, 2, "gpus: 1"),
        ({"recipe": "dcgan"}, 2, "gpus: 1"),
        ({"recipe": "hybrid", "batch_size": 6, "clips": 0.5}, 2, "batch_size to a multiple of 4"),
    ],
)
def test_what_cannot_be_shared_is_refused(values, count, message):
    with pytest.raises(RefilmError, match=message):
        check_shards(small_recipe(**values), count, CPU, "cpu")


def test_more_gpus_than_there_are_is_refused_and_never_made_up_for_by_processors(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RefilmError, match=r"gpus: 2 requested, and 1 CUDA GPUs are available: set gpus to 1"):
        check_shards(small_recipe(batch_size=4), 2, CPU, "auto")
    check_shards(small_recipe(batch_size=4), 2, CPU, "cpu")
