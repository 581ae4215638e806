"""Flags from settings: one kebab-case flag per field of a pydantic class.

A flag that is not given leaves its field unset, so that the model's own value counts.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from napari_unet.errors import SettingsError
from napari_unet.settings import Settings


def settings_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Replace each parameter that is a `Settings` class by one flag per field.

    Parameters
    ----------
    command
        A typer command; its settings parameters are given an instance on which only
        the fields named on the command line are set.
    """
    signature = inspect.signature(command, eval_str=True)
    groups = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if _is_settings(parameter.annotation)
    }
    flags = [
        _flag(name, field, group)
        for group in groups.values()
        for name, field in flag_fields(group).items()
    ]
    kept = [p for name, p in signature.parameters.items() if name not in groups]

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        for parameter, group in groups.items():
            texts = {name: given.pop(name) for name in flag_fields(group)}
            given[parameter] = parse_flags(group, texts)
        return command(**given)

    parameters = [*kept, *flags]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def flag_fields(group: type[Settings]) -> dict[str, FieldInfo]:
    """Return the fields that are flags; groups within a group have flags of their own.

    Names must differ over all groups of a command; typer's parser would mix them up.
    """
    return {
        name: field
        for name, field in group.model_fields.items()
        if not _is_settings(field.annotation)
    }


def parse_flags(group: type[Settings], texts: dict[str, Any]) -> Settings:
    """Return settings from flags; None means not given, commas separate entries."""
    given = {}
    for name, text in texts.items():
        if text is None:
            continue
        many = get_origin(group.model_fields[name].annotation) is tuple
        given[name] = split(text) if many else text
    return group.parse(given)


def split(text: str) -> tuple[str, ...]:
    """Return the entries of a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def numbers(text: str | None, name: str) -> tuple[float, ...]:
    """Return the numbers of a comma-separated list; empty if not given.

    Raises
    ------
    SettingsError
        If an entry is no number.
    """
    try:
        return tuple(float(part) for part in split(text or ""))
    except ValueError:
        raise SettingsError(
            f"{name} {text} is no list of numbers.", "Write it like 0.5 or 2,0.5,0.5."
        ) from None


def parse_choices(texts: Sequence[str]) -> dict[str, str]:
    """Return the answers given as ``key=value``.

    Raises
    ------
    SettingsError
        If one has no ``=``.
    """
    found = {}
    for text in texts:
        key, mark, value = text.partition("=")
        if not mark or not key:
            raise SettingsError(
                f"--assume {text} is no answer.", "Write it like padding=valid."
            )
        found[key.strip()] = value.strip()
    return found


def _is_settings(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def _flag(name: str, field: FieldInfo, group: type[Settings]) -> inspect.Parameter:
    kebab = name.replace("_", "-")
    default = field.get_default()
    text = ",".join(map(str, default)) if isinstance(default, tuple) else default
    shown = "" if text in ("", None) else f" ({text} if not given.)"
    boolean = field.annotation is bool
    option = typer.Option(
        None,
        f"--{kebab}/--no-{kebab}" if boolean else f"--{kebab}",
        help=f"{field.description}{_choices(field)}{shown}",
        metavar=None if boolean else _metavar(field),
        show_default=False,
        rich_help_panel=group.__name__,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option,
        annotation=(bool if boolean else str) | None,
    )


def _choices(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not Literal:
        return ""
    return " One of " + ", ".join(repr(choice) for choice in get_args(field.annotation))


def _metavar(field: FieldInfo) -> str:
    if get_origin(field.annotation) is tuple:
        return "N[,N..]"
    text = field.annotation is str or get_origin(field.annotation) is Literal
    return "TEXT" if text else "N"
