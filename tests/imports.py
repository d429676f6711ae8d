"""Which of the project's own files a module imports, directly or through another."""

import ast
from pathlib import Path

PACKAGES = ("stages", "workflow", "commands", "benchmarks")


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
