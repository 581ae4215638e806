"""Units of length: whatever a file says about its pixels, in micrometres.

Only sizes that are meant as sizes are believed: a print resolution of 72 or 300 dots
per inch, or a size of exactly 1 without a unit, says nothing about the specimen.
"""

from __future__ import annotations

import math

_MICROMETRES = {
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "dm": 1e5,
    "decimeter": 1e5,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "um": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "angstrom": 1e-4,
    "å": 1e-4,
    "pm": 1e-6,
    "picometer": 1e-6,
    "picometre": 1e-6,
    "in": 25400.0,
    "inch": 25400.0,
}
_PRINT_DPI = (72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 220, 240, 250, 254, 300)
_PRINT_DPI_LARGE = (350, 360, 400, 600, 720, 800, 1200, 2400, 4800)


def micrometres(value: float, unit: str | None) -> float | None:
    """Return a pixel size in micrometres, or None if it is unknown.

    Parameters
    ----------
    value
        Size in `unit`.
    unit
        Name or symbol of a unit of length; None or empty if the file gives none: then
        the value is taken as micrometres, unless it is exactly 1.
    """
    if not math.isfinite(value) or value <= 0:
        return None
    if not unit:
        return None if value == 1 else value
    factor = _MICROMETRES.get(_plain(unit))
    return None if factor is None else value * factor


def is_print_resolution(size_um: float) -> bool:
    """Whether a pixel size is that of a picture made for print or screen."""
    dpi = 25400.0 / size_um
    return any(abs(dpi - d) < 0.006 * d for d in (*_PRINT_DPI, *_PRINT_DPI_LARGE))


def _plain(unit: str) -> str:
    """Return a unit in lower case and in the singular, with u for micro."""
    name = unit.strip().replace("\\u00B5", "u").replace("\\u00b5", "u")
    for micro in ("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}"):
        name = name.replace(micro, "u")
    name = name.replace("\N{ANGSTROM SIGN}", "å").lower()
    if len(name) > 3 and name.endswith("s"):
        name = name[:-1]
    return name.removesuffix("e") if name == "inche" else name
