"""Pictures that a text names: what an address may be, fetching it safely, decoding what came.

Importing this imports neither boto3 nor Pillow's decoders.
"""

from nestvec.images.address import ImageAddress, is_address, parse_address
from nestvec.images.loading import load_images, load_patches, load_pixels
from nestvec.images.policy import ImagePolicy

__all__ = [
    "ImageAddress",
    "ImagePolicy",
    "is_address",
    "load_images",
    "load_patches",
    "load_pixels",
    "parse_address",
]
