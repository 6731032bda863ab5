"""HTML pages from the templates of the folder `viewer`. Every text goes through Jinja2's escaping."""

import base64
import functools
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from refilm.core.times import format_duration, format_time

_FOLDER = Path(__file__).parent / "viewer"


def render_template(name: str, **values: Any) -> str:
    """The page of a template."""
    return _environment().get_template(name).render(**values)


def data_url(content: bytes, kind: str) -> str:
    """A file as a URL that contains it. kind: its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@functools.cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)
    environment.globals["asset"] = _asset
    environment.filters |= {"clock": format_time, "duration": format_duration}
    return environment


def _asset(name: str) -> Markup:
    """A file of the folder, as it is: our own text, and that of uPlot."""
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))
