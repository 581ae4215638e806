"""Pipeline: an image and a model in, one label per cell out.

The friendly layer: guesses are made here, and every guess becomes a note.
"""

from napari_unet.pipeline.options import Options
from napari_unet.pipeline.segmenting import Segmentation, iter_segment, segment
from napari_unet.pipeline.separating import separate

__all__ = ["Options", "Segmentation", "iter_segment", "segment", "separate"]
