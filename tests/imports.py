"""Which of the project's own files a module imports, and what a stage declares of them."""

import ast
from collections.abc import Iterable
from pathlib import Path

PACKAGES = ("stages", "workflow", "commands", "published", "frontier", "benchmarks")


def own_files_imported(start: Path, root: Path) -> set[str]:
    """All files of the project that importing `start` reads, itself included, as POSIX paths."""
    found: set[str] = set()
    waiting = [start.relative_to(root).with_suffix("").as_posix().replace("/", ".")]
    while waiting:
        module = waiting.pop()
        for file in (
            root / (module.replace(".", "/") + ".py"),
            root / module.replace(".", "/") / "__init__.py",
        ):
            name = file.relative_to(root).as_posix()
            if not file.exists() or name in found:
                continue
            found.add(name)
            parts = module.split(".")
            waiting += [".".join(parts[:n]) for n in range(1, len(parts))]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
                else:
                    continue
                waiting += [n for n in names if n.split(".")[0] in PACKAGES]
    return found


def check_deps_of_code(deps: Iterable[str], module: str, root: Path) -> None:
    """Every import of a stage lies under one of its deps, and every dep of code holds one.

    Args:
        deps: of the stage, as declared.
        module: the file of the stage, which `stages/__main__.py` starts.
        root: of the project.
    """
    starts = ("stages/__main__.py", module)
    imported = set().union(*(own_files_imported(root / start, root) for start in starts))
    code = {dep for dep in deps if dep.endswith(".py") or list((root / dep).glob("*.py"))}

    def lies_under(file: str, dep: str) -> bool:
        return f"{file}/".startswith(f"{dep}/")

    undeclared = {file for file in imported if not any(lies_under(file, dep) for dep in code)}
    assert {file for file in undeclared if not _is_docstring_alone(root / file)} == set()
    unused = {dep for dep in code if not any(lies_under(file, dep) for file in imported)}
    assert unused == set()


def _is_docstring_alone(file: Path) -> bool:
    """Whether it makes a folder a package and does nothing: it cannot change a result."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return file.name == "__init__.py" and all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body
    )
