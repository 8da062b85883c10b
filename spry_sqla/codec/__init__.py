"""Values to JSON text and back, equal in value and type; what cannot be kept is refused.

A class is refused when its codec is made, where an annotation tells, and a value when it is
encoded. Errors name classes, fields and types, never what a value holds. `plans` tells how a value
is written, `annotations` and `classes` how a plan is found, `closed` and `open` use them.
"""

from spry_sqla.codec.closed import Codec, codec_for
from spry_sqla.codec.open import OpenCodec

__all__ = ["Codec", "OpenCodec", "codec_for"]
