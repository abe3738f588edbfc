"""Structures as data: one system, padded batches, neighbour lists and packed edges."""
