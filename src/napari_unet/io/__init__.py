"""Files in and out: images with axes and pixel sizes, labels, tables, pictures."""
