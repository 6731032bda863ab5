"""Code, messages and manuals use the field's words, not a vocabulary of their own."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

INSTEAD = {  # a word that is not used: what is used for it
    r"amiss": "wrong, invalid",
    r"anew": "again",
    r"footage": "frame sampler",
    r"frames a second": "frames per second",
    r"go(es)? on": "continue",
    r"half[- _]made": "partial, temporary",
    r"imagined": "prior samples",
    r"(?<!there )(is|are) no (?!longer)": "is not a valid, is not a",
    r"likeness": "similarity, feature loss",
    r"mend(s|ed|ing)?": "fix, repair",
    r"not to be had": "not available",
    r"put away": "delete",
    r"(rebuild|rebuilt)\w*": "reconstruct, reconstruction",
    r"said": "stderr, message, reported",
    r"(?<!be )told": "received, reported",
    r"(weave|weaves|weaving)": "grid artefact",
}
BANNED = re.compile(rf"(?<![a-zA-Z])({'|'.join(INSTEAD)})(?![a-zA-Z])", re.IGNORECASE)
ALLOWED = {  # places where such a word stays
    "CHANGELOG.md": r"`\w+`",  # former keys and columns
    "workflow/scripts/refilm/config/keys.py": 'former="[a-z_]+"',
    "workflow/scripts/refilm/models/inference.py": '"rebuilding"',  # is part of the seed of a reconstruction's noise
    "tests/unit/test_config.py": '"likeness_layers"',
    "README.md": "rebuild it, frame by frame|it rebuilds that film",  # its first screen
    "docs/open-films.md": "then rebuilt",
    "tests/unit/test_words.py": ".*",
}
PATTERNS = """
    *.md *.toml *.txt *.cff Makefile Snakefile .ci/* .github/**/*.yml benchmarks/**/*.py benchmarks/*.md config/*
    docs/*.md docs/*.ipynb envs/* profiles/**/*.yaml tests/**/*.py workflow/**/*.smk workflow/**/*.rst
    workflow/schemas/*.yaml workflow/**/*.py workflow/**/*.sh
"""
FILES = sorted({path.relative_to(ROOT).as_posix() for pattern in PATTERNS.split() for path in ROOT.glob(pattern)})


@pytest.mark.parametrize("file", FILES)
def test_the_words_are_the_fields(file):
    text = re.sub(ALLOWED.get(file, r"\Z"), "", Path(ROOT, file).read_text(encoding="utf-8"))
    found = [f"{file}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}" for match in BANNED.finditer(text)]
    assert not found, found
