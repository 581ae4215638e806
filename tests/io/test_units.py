from __future__ import annotations

import pytest

from napari_unet.io.units import is_print_resolution, micrometres


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.5, "µm", 0.5),
        (0.5, "μm", 0.5),
        (0.5, "\\u00B5m", 0.5),
        (0.5, "Microns", 0.5),
        (0.5, "micrometer", 0.5),
        (500, "nm", 0.5),
        (500, "nanometers", 0.5),
        (0.5, "mm", 500),
        (5, "Å", 5e-4),
        (1, "inch", 25400),
        (2, "inches", 50800),
        (1, "um", 1),
        (1, None, None),
        (1, "", None),
        (0.65, None, 0.65),
        (1, "pixel", None),
        (0.3, "reference frame", None),
        (0, "um", None),
        (-1, "um", None),
        (float("nan"), "um", None),
        (float("inf"), "um", None),
    ],
)
def test_micrometres(value: float, unit: str | None, expected: float | None) -> None:
    found = micrometres(value, unit)
    assert found == (None if expected is None else pytest.approx(expected))


def test_print_resolutions_are_told_from_microscopes() -> None:
    assert is_print_resolution(25400 / 72)
    assert is_print_resolution(1e4 / 28.35)  # 72 dpi as whole hundredths per cm
    assert is_print_resolution(25400 / 300)
    assert not is_print_resolution(0.25)
    assert not is_print_resolution(6.5)
