"""``python -m napari_unet.cli``."""

from napari_unet.cli import main

if __name__ == "__main__":
    main()
