"""Limits on what a file may ask for: far above any U-Net, far below harm.

Whatever a file claims is held against these before memory or time is spent on it.
"""

from __future__ import annotations

MIB = 2**20

# A file, and all that its records unpack to.
LARGEST_FILE = 16 * 1024 * MIB
# The directory of a zip file, the header of a safetensors file, one JSON or YAML file.
LARGEST_DIRECTORY = 8 * MIB
LARGEST_HEADER = 8 * MIB
LARGEST_TEXT = 8 * MIB
# A zip file may unpack to this, or to so many times its own size.
UNPACKED_ANYWAY = 64 * MIB
LARGEST_RATIO = 20
# A pickle, without the tensors that lie beside it.
LARGEST_PICKLE = 256 * MIB
MOST_OPERATIONS = 2_000_000
LARGEST_INTEGER_BITS = 1024
# Tensors of one checkpoint; each dimension is one of a convolution or a matrix.
MOST_TENSORS = 50_000
MOST_DIMENSIONS = 8
# Bytes of the tensors together, as a multiple of the file: weights may be tied.
LARGEST_SHARING = 4
# What is kept of the data beside the tensors.
MOST_NODES = 20_000
DEEPEST_NODE = 16
LONGEST_STRING = 64 * 1024
# Source code that is kept to be shown, a file and in all.
LARGEST_SOURCE = 256 * 1024
LARGEST_SOURCES = 4 * MIB
