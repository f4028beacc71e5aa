"""What a scene's program must be before it is run, so that what is wrong is said in words; safety is the sandbox's."""

from __future__ import annotations

import ast
from collections.abc import Iterator

MOST_CHARS = 20_000  # of a program, as the scene's row takes it
PACKAGES = frozenset(
    "__future__ bisect cmath collections colorsys copy dataclasses decimal enum fractions functools heapq itertools "
    "manim math numpy operator random re statistics string textwrap typing".split()
)
_NEEDS_LATEX = frozenset("BulletedList MathTex SingleStringMathTex Tex TexTemplate Title".split())
_WITHOUT_LATEX = (
    "there is no LaTeX here: write formulas with MathTypst, such as MathTypst('E = m c^2'), words with Text"
)


def complaint(code: str) -> str:
    """What is wrong with a program, as a sentence; "" when it may be run.

    It must parse, import nothing but PACKAGES, have exactly one class of a scene, and use nothing that needs LaTeX.
    """
    if not code.strip():
        return "The program is empty."
    if len(code) > MOST_CHARS:
        return f"The program has {len(code):,} characters; at most {MOST_CHARS:,} are allowed."
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        return f"The program is no Python{f', line {line}' if line else ''}: {getattr(error, 'msg', None) or error}."
    found = [*_imports(tree), *_latex(tree), *_classes(tree)]
    return found[0] if found else ""


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        for name in names:
            if name.partition(".")[0] not in PACKAGES:
                yield (
                    f"Line {node.lineno}: {name} cannot be imported; there are {', '.join(sorted(PACKAGES))}."  # type: ignore[attr-defined]
                )


def _latex(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in _NEEDS_LATEX:
            yield f"Line {node.lineno}: {name} cannot be used, {_WITHOUT_LATEX}."  # type: ignore[attr-defined]


def _classes(tree: ast.Module) -> Iterator[str]:
    """Scenes are classes whose base is called so; the program's own bases are no Manim scenes."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    scenes = [name for name, node in classes.items() if _is_scene(node, classes, set())]
    if len(scenes) != 1:
        which = f" ({', '.join(scenes)})" if scenes else ""
        yield f"The program must have exactly one class that is a Scene, not {len(scenes)}{which}."
    elif not any(isinstance(part, ast.FunctionDef) and part.name == "construct" for part in classes[scenes[0]].body):
        yield f"The class {scenes[0]} has no method construct."


def _is_scene(node: ast.ClassDef, classes: dict[str, ast.ClassDef], seen: set[str]) -> bool:
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
        if name in classes and name not in seen:
            if _is_scene(classes[name], classes, seen | {name}):
                return True
        elif name.endswith("Scene"):
            return True
    return False
