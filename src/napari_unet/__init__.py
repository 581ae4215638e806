"""Cell segmentation with U-Nets: exact tiling, any checkpoint, one label per cell.

The public names are loaded when they are first used: importing this package loads
neither torch nor napari nor numba.
"""

from __future__ import annotations
