"""How methods become functions that Snakemake calls with a job's wildcards. It does not import Snakemake.

@exit_on_error      on every method that Snakemake calls: a RefilmError ends Snakemake with that one line.
@untracked          on those whose value must not make work again when it changes.
"""

import argparse
import contextlib
import inspect
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar, cast

from refilm.core.errors import RefilmError, explain

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Wildcards(Protocol):
    """The wildcards of a job: an attribute for each."""

    def __getattr__(self, name: str) -> str: ...


def exit_on_error(function: F) -> F:
    """The function, but a RefilmError ends Snakemake with that one line instead of a report about a rule."""

    def checked(*args: Any) -> Any:
        try:
            return function(*args)
        except RefilmError as error:
            print(f"refilm: {explain(error)}", file=sys.stderr)
            sys.exit(1)

    return cast(F, _with_signature(checked, function, inspect.signature(function)))


def untracked(method: Callable[[Any, Wildcards], T]) -> Callable[[Any, Wildcards, object], T]:
    """The method as a params function whose value Snakemake does not track.

    Snakemake runs a job again when its params have changed, except for those whose function takes `output`: their value
    is considered to be derived from it. So the function takes `output`, and ignores it.
    """

    def derived(self: Any, wildcards: Wildcards, output: object = None) -> T:
        return method(self, wildcards)

    made: Callable[[Any, Wildcards, object], T] = _with_signature(derived, method, inspect.signature(derived))
    return made


def _with_signature(wrapper: Callable[..., Any], function: Callable[..., Any], signature: inspect.Signature) -> Any:
    """The wrapper under the name of the function. Snakemake asks for its signature several times per job."""
    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    return wrapper


def command_line(
    arguments: Sequence[str], parse: Callable[[Sequence[str]], tuple[Any, argparse.Namespace]]
) -> argparse.Namespace | None:
    """The options of Snakemake's command line, which a workflow that is being read has not. None if it is that of another
    program, which uses Snakemake as a library. parse: Snakemake's function from arguments to (parser, options)."""
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            return parse(arguments)[1]
        except SystemExit:
            return None


def check_storage(provider: str | None) -> None:
    """Raises RefilmError where the files of the rules would be copies of those in a storage, as `s3` and `fs` make them."""
    if provider:
        raise RefilmError(
            f"--default-storage-provider {provider}: the checkpoints and previews of trainings, and the locks that protect "
            "them, would be lost with each job: leave it out, and run refilm on a file system that all jobs share, as "
            "docs/cluster.md describes; films alone may come from an s3 address"
        )


def check_deployment(methods: Iterable[str]) -> None:
    """Raises RefilmError for a method of software deployment that Snakemake would ignore, since no rule uses it."""
    unused = sorted(set(methods) - {"conda"})
    if unused:
        raise RefilmError(
            f"--software-deployment-method {' '.join(unused)}: the rules of refilm have a conda environment only: use "
            "conda, or run Snakemake as a whole in an image of the Dockerfile"
        )
