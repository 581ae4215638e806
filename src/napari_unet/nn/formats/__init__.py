"""Formats: a foreign file to tensors, and tensors to a network of our own code."""
