"""Formats: networks from elsewhere, read off their tensors and run by our own code."""
