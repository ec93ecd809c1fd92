"""Inputs to rows of their graph: tokenizing, images, chat messages."""
