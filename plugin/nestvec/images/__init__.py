"""Pictures that a text names: what an address may be, fetching it safely, decoding what came.

Importing this imports neither boto3 nor Pillow's decoders.
"""

from nestvec.images.address import Address, is_address, parse
from nestvec.images.loading import load, load_patches, load_pixels
from nestvec.images.policy import Policy

__all__ = ["Address", "Policy", "is_address", "load", "load_patches", "load_pixels", "parse"]
