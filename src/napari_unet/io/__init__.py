"""Files in and out: images with their axes and pixel sizes, labels, tables, pictures."""
