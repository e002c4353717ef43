"""``equipoise mitigate METHOD``: fit a method and write it to a folder.

Every registered method, ours or a plug-in's, becomes a subcommand; its flags are the simple parameters of its constructor.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from cyclopts import App, Parameter

from equipoise.cli.arguments import Items
from equipoise.cli.common import Common, Outcome, Whole, WholeOrNone, existing, numbers, pairs, split
from equipoise.errors import EquipoiseError, InputError
from equipoise.registry import MITIGATIONS

app = App(name="mitigate")

_PLAIN = (str, float, bool)


def fit(
    name: str,
    store: Path,
    attribute: list[str] | None,
    rows: list[str] | None,
    out: Path,
    common: Common,
    options: dict[str, Any],
) -> Outcome:
    """Fit a method on a store and save it."""
    from equipoise.mitigate.artefact import save_mitigation
    from equipoise.store.embeddings import EmbeddingSet

    method = MITIGATIONS.load(name)
    named = split(attribute)
    if not named:
        raise InputError("No attribute was named.", "Give --attribute gender, say.")
    if method.kind != "embedding":
        remedy = "Use `equipoise balance`, or it from Python." if method.kind == "data" else "Use it from Python."
        raise InputError(f"'{name}' changes {method.kind}, not embeddings.", remedy, value=name)
    embeddings = EmbeddingSet.load(existing(store, "store"))
    wanted = pairs(rows, "--rows")
    if wanted:
        embeddings = embeddings.where(wanted)
    with common.working(f"fitting {name} on {len(embeddings):,} rows"):
        fitted = method(named[0] if len(named) == 1 else named, **options).fit(embeddings)
    counted = common.rows(
        {"in": embeddings.rows_in, "used": len(embeddings), "set_aside": sum(embeddings.set_aside.values())},
        embeddings.set_aside,
    )
    save_mitigation(fitted, out, encoder=embeddings.encoder, overwrite=common.overwrite)
    common.note_all("mitigate", getattr(fitted, "notes", ()))
    result = {
        "method": name,
        "attributes": list(fitted.attributes),
        "edits": sorted(fitted.edits),
        "guarantees": list(fitted.guarantees),
        "fit_rows": len(fitted.fit_rows),
    }
    return Outcome(line=str(out), result=result, out=str(out), rows=counted)


def command(name: str) -> Callable[..., Outcome]:
    """Return the function behind ``equipoise mitigate NAME``; its signature holds the flags of the method."""
    try:
        method = MITIGATIONS.load(name)
        flags = dict(_flags(method))
        about = next(iter((inspect.getdoc(method) or "").splitlines()), name)
        if method.kind == "training":
            from equipoise.cli.mitigate_training import command as of_training

            return of_training(name, flags, about)
    except EquipoiseError as error:
        flags, about = {}, f"Cannot be loaded: {error.what}"

    def run(
        store: Path,
        *,
        out: Path,
        attribute: Items = None,
        rows: Items = None,
        common: Common | None = None,
        **given: Any,
    ) -> Outcome:
        chosen = {key: numbers(value, f"--{key}") if flags[key].mapping else value for key, value in given.items()}
        return fit(name, store, attribute, rows, out, common or Common(), chosen)

    kind = inspect.Parameter
    help_ = {
        "store": "The store that `embed` wrote.",
        "out": "Folder to write.",
        "attribute": "The attribute to treat; several at once with commas.",
        "rows": "Fit on rows with this value only, as split=train; may be repeated (and).",
    }
    fixed: list[tuple[str, Any, Any, Any]] = [
        ("store", kind.POSITIONAL_OR_KEYWORD, Annotated[Path, Parameter(help=help_["store"])], kind.empty),
        ("attribute", kind.KEYWORD_ONLY, Annotated[Items, Parameter(help=help_["attribute"])], None),
        ("rows", kind.KEYWORD_ONLY, Annotated[Items, Parameter(help=help_["rows"])], None),
        ("out", kind.KEYWORD_ONLY, Annotated[Path, Parameter(help=help_["out"])], kind.empty),
        *((key, kind.KEYWORD_ONLY, flag.annotation, flag.default) for key, flag in flags.items()),
        ("common", kind.KEYWORD_ONLY, Common | None, None),
    ]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [kind(key, place, annotation=hint, default=default) for key, place, hint, default in fixed]
    )
    run.__annotations__ = {key: hint for key, _, hint, _ in fixed}
    run.__doc__ = f"{about}\n"
    return run


@dataclass(frozen=True)
class _Flag:
    """A parameter of a method as a flag; ``mapping`` tells that it holds NAME=NUMBER items."""

    annotation: Any
    default: Any
    mapping: bool


def _flag(hint: Any, default: Any, about: str, mapping: bool) -> _Flag:
    negative = None if hint is bool else ""
    return _Flag(Annotated[hint, Parameter(help=about, negative=negative)], default, mapping)


def _flags(method: type) -> Iterator[tuple[str, _Flag]]:
    """Yield the keyword parameters of a constructor, and of its parents as long as it passes them on, that a flag can hold."""
    seen = {"self", "attribute", "attributes"}
    for owner in method.__mro__:
        init = owner.__dict__.get("__init__")
        if init is None or owner is object:
            continue
        hints = get_type_hints(init)
        parameters = inspect.signature(init).parameters.values()
        about = {key: text for parent in method.__mro__ for key, text in _documented(parent).items()}
        for parameter in parameters:
            plain = None if parameter.name in seen else _plain(hints.get(parameter.name))
            seen.add(parameter.name)
            if plain is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                hint, mapping = plain
                yield parameter.name, _flag(hint, parameter.default, about.get(parameter.name, ""), mapping)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return


def _plain(hint: Any) -> tuple[Any, bool] | None:
    """Return the type of a flag and whether it holds NAME=NUMBER items, or None where no flag can hold the value."""
    parts = (
        [part for part in get_args(hint) if part is not NoneType] if get_origin(hint) in (Union, UnionType) else [hint]
    )
    optional = NoneType in get_args(hint)
    for part in parts:
        origin = get_origin(part)
        if part is int:
            return (WholeOrNone if optional else Whole), False
        if part in _PLAIN or origin is Literal:
            return (part | None if optional else part), False
        if origin in (Sequence, list, tuple) and set(get_args(part)) <= {str, ...}:
            return list[str] | None, False
        if origin in (Mapping, dict) and get_args(part) in ((str, float), (str, Any)):
            return list[str] | None, True
    return None


def _documented(owner: type) -> dict[str, str]:
    """Return what a NumPy-style docstring says of each parameter."""
    from docstring_parser import DocstringStyle, parse

    text = owner.__dict__.get("__doc__") or ""
    found: dict[str, str] = {}
    for entry in parse(inspect.cleandoc(text), style=DocstringStyle.NUMPYDOC).params:
        for key in entry.arg_name.split(","):
            found[key.strip()] = re.sub(r":\w+:(?=`)|`", "", " ".join((entry.description or "").split()))
    return found


for _name in MITIGATIONS:
    app.command(command(_name), name=_name)
