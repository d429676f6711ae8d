"""Every message that a person may get to read, side by side: `python -m tests.messages`."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("workflow", "stages", "commands", "published", "benchmarks")
# Whose text is shown as it is; a ValueError becomes a part of one of them.
SHOWN = ("UserError", "SourceError", "InvalidYamlError")


def messages() -> Iterator[tuple[str, int, str, str]]:
    """File, line, class and text of each error that is raised; values are names in braces."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "tests" in path.relative_to(ROOT).parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Raise)
                    and isinstance(node.exc, ast.Call)
                    and isinstance(node.exc.func, ast.Name)
                    and node.exc.func.id in SHOWN
                    and node.exc.args
                ):
                    file = path.relative_to(ROOT).as_posix()
                    yield file, node.lineno, node.exc.func.id, _text(node.exc.args[0])


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.Constant):
        return str(node.value)
    value = node.value if isinstance(node, ast.FormattedValue) else node
    return f"{{{ast.unparse(value)}}}"


def main() -> None:
    """Print the table, in Markdown."""
    print("| where | message |\n| --- | --- |")
    for file, line, _, text in sorted(messages()):
        print(f"| {file}:{line} | {text.replace('|', chr(92) + '|')} |")


if __name__ == "__main__":
    main()
