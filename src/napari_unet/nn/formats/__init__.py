"""Formats: from a foreign file to tensors, from tensors to a network of our own code."""
