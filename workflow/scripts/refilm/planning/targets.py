"""The targets of a command line that no rule makes, and what was meant by them. It does not import Snakemake."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

from refilm.core.errors import RefilmError, suggest_near


def check_targets(workflow: Any, targets: Iterable[str], results: Iterable[str]) -> None:
    """Raises RefilmError for a target that no rule makes, with the nearest that one does.

    results: paths that can be asked for, to be suggested. Others that are suggested are made from the outputs of the rules.
    """
    for target in targets:
        if not (workflow.is_rule(target) or _is_output(workflow, _relative(target))):
            names = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
            near = suggest_near(target, [*names, *results, *_moved(workflow, target)])
            raise RefilmError(
                f"{target}: no rule makes such a file{near or '; the head of the Snakefile lists what can be asked for'}"
            )


def _is_output(workflow: Any, path: str) -> bool:
    return any(rule.is_producer(path) for rule in workflow.rules)


def _relative(target: str) -> str:
    """As Snakemake understands the path of a target."""
    return target if Path(target).is_absolute() else os.path.relpath(target)


def _moved(workflow: Any, target: str) -> list[str]:
    """What the rules make of a film by a model of that name, in whichever folder, with whichever suffix."""
    path = PurePath(target)
    if "_by_" not in path.name:
        return []
    outputs = [PurePath(output) for rule in workflow.rules for output in rule.output]
    folders = {output.parent for output in outputs if "{" not in str(output.parent)}
    suffixes = {output.suffix for output in outputs if "{" not in output.suffix}
    moved = {str(folder / path.with_suffix(suffix).name) for folder in folders for suffix in (*suffixes, path.suffix)}
    return [file for file in moved if _is_output(workflow, file)]
