"""Checkpoints of every kind, told from their small files and loaded as towers: a row and a file each.

``table`` says which file loads which checkpoint; every such file has a function
``load(checkpoint, options) -> Loaded``. A new kind of encoder is a row there and a file here.
"""
