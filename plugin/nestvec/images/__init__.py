"""Images that a text names: what an address may be, fetching it safely, decoding the result.

Importing this imports neither boto3 nor Pillow's decoders.
"""

from nestvec.images.address import ImageAddress, address_problem, is_address, parse_address
from nestvec.images.loading import load_images, load_patches, load_pixels
from nestvec.images.memory import Caller
from nestvec.images.policy import ImageLimits, ImagePolicy

__all__ = [
    "Caller",
    "ImageAddress",
    "ImageLimits",
    "ImagePolicy",
    "address_problem",
    "is_address",
    "load_images",
    "load_patches",
    "load_pixels",
    "parse_address",
]
