"""Torch floor: the network, its receptive field, checkpoints, tiled prediction."""
