"""YAML as plain data, read by the library that DVC reads with, hence with the same values."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent
from ruamel.yaml.nodes import ScalarNode

from workflow.core.errors import UserError

# The third, =======, may be a line of a text, and is never there without the others.
_CONFLICT_MARKER = re.compile(rb"^(<<<<<<<|>>>>>>>)", re.MULTILINE)

# What nobody writes by hand; a dvc.lock has a few thousand values.
_MOST_NODES = 100_000
_DEEPEST = 50


class InvalidYamlError(Exception):
    """The text is no YAML; the message is one line that says why and where."""


class MergeConflictError(InvalidYamlError):
    """A merge has left both sides in the text."""


class _Constructor(SafeConstructor):
    """The library's own, which says of each value that is none in which line it is."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int):
                str(value)  # hex digits may be more than Python shows as decimal ones
        except (AttributeError, LookupError, TypeError, ValueError):
            if not isinstance(node, ScalarNode):
                raise
            kind = str(node.tag).rpartition(":")[2]
            problem = f"{node.value!r:.40} is no {kind}"
            raise ConstructorError(problem=problem, problem_mark=node.start_mark) from None
        return value


def parse_yaml(text: str | bytes) -> Any:
    """Read YAML 1.2 as plain data; a key that appears twice in one mapping is an error.

    Raises:
        InvalidYamlError: it is no YAML.
    """
    content = text.encode() if isinstance(text, str) else text
    if marker := _CONFLICT_MARKER.search(content):
        line = content.count(b"\n", 0, marker.start()) + 1
        raise MergeConflictError(
            f"holds conflict markers of a merge in line {line}: resolve them by hand, `git add` the"
            " file, and let `make resolve` make the results anew"
        )
    try:
        _require_bounds(content)
        yaml = YAML(typ="safe")
        yaml.Constructor = _Constructor
        return yaml.load(content)
    except MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidYamlError(f"not valid YAML: {error.problem or error.context}{where}") from None
    # What the library does not foresee.
    except (YAMLError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidYamlError(f"not valid YAML: {' '.join(str(error).split())}") from None


def _require_bounds(content: bytes) -> None:
    """See that the content stays small with each alias written out, as whoever walks it meets it.

    Raises:
        InvalidYamlError: a few hundred bytes of aliases to aliases would take for ever.
    """
    sizes: dict[str, int] = {}  # by anchor, in nodes
    around: list[int] = [0]
    anchors: list[str | None] = []
    for event in YAML(typ="safe").parse(content):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, CollectionStartEvent):
            around.append(1)
            anchors.append(anchor)
            if len(anchors) > _DEEPEST:
                raise InvalidYamlError(f"nested more than {_DEEPEST} deep: make it flatter")
            continue
        if isinstance(event, AliasEvent):
            if anchor not in sizes:
                raise InvalidYamlError(f"*{anchor} stands for nothing before it: delete it")
            size = sizes[anchor]
        elif isinstance(event, CollectionEndEvent):
            size, anchor = around.pop(), anchors.pop()
        elif isinstance(event, ScalarEvent):
            size = 1
        else:
            continue
        if anchor:
            sizes[anchor] = size
        around[-1] += size
        if around[-1] > _MOST_NODES:
            raise InvalidYamlError(f"more than {_MOST_NODES} values, aliases written out: cut it")


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data, not validated.

    Raises:
        UserError: the file is missing, cannot be read or is no YAML.
    """
    try:
        return parse_yaml(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run from the root of the repository, or restore the file"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except InvalidYamlError as error:
        raise UserError(f"{path}: {error}") from None
