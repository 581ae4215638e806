"""The base of all settings: frozen, strict about names, wrong in one clear line."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_unet.errors import SettingsError

TAGS = {"op", "step"}


class Settings(BaseModel):
    """A frozen group of settings that refuses names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def model_post_init(self, context: Any, /) -> None:
        """Count the tag that tells kinds of steps apart as given, always."""
        self.__pydantic_fields_set__.update(TAGS & type(self).model_fields.keys())

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate `values`; raise `SettingsError` with one clear line otherwise."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problem = _problem(error)
            raise SettingsError(
                f"{cls.__name__}: {problem}.",
                "Correct it; the documentation lists what is accepted.",
            ) from None

    def replace(self, **changes: Any) -> Self:
        """Return a validated copy with `changes`; only given fields count as set."""
        return self.parse({**self.model_dump(exclude_unset=True), **changes})

    def over(self, base: Self) -> Self:
        """Return `base` with the fields that were set explicitly on `self`."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return self.parse({**base.model_dump(), **given})


def _problem(error: ValidationError) -> str:
    """Say in one line what is wrong with the first field that is."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no setting {name}"
    if first["type"] == "missing":
        return f"{name} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if not name:
        return message
    given = " ".join(repr(first["input"]).split())
    given = given if len(given) <= 60 else f"{given[:57]}..."
    return f"{name} = {given} is not accepted: {message}"
