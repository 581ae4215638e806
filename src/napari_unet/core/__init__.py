"""NumPy floor: geometry, separation, scores. Knows no torch and no files."""
