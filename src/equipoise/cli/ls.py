"""``equipoise ls``: what there is."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

from equipoise.cli.common import Common, Outcome
from equipoise.errors import EquipoiseError
from equipoise.registry import CLASSIFIERS, ENCODERS, METRICS, MITIGATIONS, Registry

Kind = Literal["encoders", "classifiers", "metrics", "mitigations", "queries", "lexicons", "questions", "policy"]

_REFERENCES = {
    "precomputed": "precomputed:DIR",
    "transformers": "transformers:PATH|HUB_NAME",
    "open_clip": "open_clip:ARCH/TAG|local-dir:PATH",
    "timm": "timm:NAME[@file.safetensors]",
    "onnx": "onnx:PATH",
    "py": "py:package.module:factory",
}


def ls(kind: Kind | None = None, /, *, common: Common | None = None) -> Outcome:
    """List encoders, classifiers, metrics, mitigations, queries, word lists, questions; or print an example policy.

    Without a kind all are listed, but for the policy.

    The listing is the result, so it goes to stdout: `equipoise ls policy > policy.toml`.

    Parameters
    ----------
    kind
        encoders, classifiers, metrics, mitigations, queries, lexicons (of captions), questions (about pictures) or policy.
    """
    if kind == "policy":
        from equipoise.gate.example import example_policy

        text = example_policy()
        return Outcome(line=text.rstrip("\n"), result={"policy": text})
    listers = {
        "encoders": _encoders,
        "classifiers": _classifiers,
        "metrics": _metrics,
        "mitigations": _mitigations,
        "queries": _queries,
        "lexicons": _lexicons,
        "questions": _questions,
    }
    chosen = [kind] if kind else list(listers)
    tables = {name: listers[name]() for name in chosen}
    text = "\n\n".join((f"{name}\n" if not kind else "") + _columns(rows) for name, rows in tables.items())
    return Outcome(line=text, result=tables)


def _encoders() -> list[dict[str, str]]:
    return _models(ENCODERS)


def _classifiers() -> list[dict[str, str]]:
    return _models(CLASSIFIERS)


def _models(registry: Registry) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "reference": _REFERENCES.get(name, name),
            "from": _origin(registry, name),
            "about": _about(registry, name),
        }
        for name in registry
    ]


def _metrics() -> list[dict[str, str]]:
    found = []
    for name in METRICS:
        loaded, problem = _load(METRICS, name)
        if loaded is None:
            found.append({"name": name, "protocol": "", "role": "", "unit": "", "margin": "", "formula": problem})
            continue
        d = loaded.descriptor
        found.append(
            {
                "name": d.called(None).replace("@None", "@k"),
                "protocol": d.protocol,
                "role": d.role,
                "unit": d.unit,
                "margin": f"{d.margin:g}",
                "formula": d.formula,
            }
        )
    return found


def _mitigations() -> list[dict[str, str]]:
    return [
        {"name": name, "from": _origin(MITIGATIONS, name), "about": _about(MITIGATIONS, name)} for name in MITIGATIONS
    ]


def _queries() -> list[dict[str, str]]:
    from equipoise.data.queries import builtin_lists

    return [
        {"name": name, "queries": str(about["n"]), "version": str(about["version"]), "source": str(about["source"])}
        for name, about in builtin_lists().items()
    ]


def _lexicons() -> list[dict[str, str]]:
    from equipoise.annotate.lexicon import load_lexicon, shipped

    found = []
    for lexicon in map(load_lexicon, shipped()):
        columns = ", ".join(f"{name}_text ({len(variable.values)})" for name, variable in lexicon.variables.items())
        found.append({"name": lexicon.name, "columns": columns, "scripts": ", ".join(lexicon.scripts), "sha256": lexicon.sha256})  # fmt: skip
    return found


def _questions() -> list[dict[str, str]]:
    from equipoise.annotate.question import read_question, shipped_questions

    found = []
    for name in shipped_questions():
        question = read_question(name)
        columns = {"column": question.column, "answers": ", ".join(question.values), "sha256": question.sha256}
        found.append({"name": name, "version": question.name, **columns})
    return found


def _origin(registry: Registry, name: str) -> str:
    return "plug-in" if name in registry.plugins else "equipoise"


def _load(registry: Registry, name: str) -> tuple[Any, str]:
    """Return what a name stands for, or None and why not: a broken plug-in must not hide the others."""
    try:
        return registry.load(name), ""
    except EquipoiseError as error:
        return None, f"cannot be loaded: {error.what}"


def _about(registry: Registry, name: str) -> str:
    module = registry.path(name).partition(":")[0]
    if find_spec(module.partition(".")[0]) is None:
        return "cannot be loaded: its package is not installed"
    loaded, problem = _load(registry, name)
    return problem or next(iter((loaded.__doc__ or "").strip().splitlines()), "")


def _columns(rows: list[dict[str, str]]) -> str:
    """Return rows as aligned text, without a trailing blank."""
    if not rows:
        return "(none)"
    names = list(rows[0])
    width = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    lines = [names, *([row[name] for name in names] for row in rows)]
    return "\n".join(
        "  ".join(cell.ljust(width[name]) for name, cell in zip(names, line, strict=True)).rstrip() for line in lines
    )
