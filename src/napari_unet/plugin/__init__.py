"""napari floor: what the manifest points at. Loads neither torch nor numba."""
