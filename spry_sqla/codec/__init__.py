"""Values to JSON text and back, equal in value and type; what cannot be kept is refused.

A class is refused when its codec is made, where an annotation tells, and a value when it is
encoded. Errors name classes, fields and types, never what a value holds. `plans` tells how a value
is written, `annotations` and `classes` how a plan is found, `closed` and `open` use them.

What an `upcast` or a query of the database meets:

- A class is an object of its fields; a list, tuple or set a list; a Decimal, date, time, duration,
  UUID or bytes (base64) a text. An Enum member is its value if that is a text or an integer, else
  its name. A dict is an object where its keys are texts or an Enum of such, else a list of pairs.
- `{"$int": 5}` is an int in a field of type float: as 5 it would come back as 5.0. An int of more
  than 2000 bits is `{"$int": "0x…"}`. An upcast may write a bare 5 for a float.
- `{"$Name": …}` is a member of a union whose JSON could be taken for another's: in `date | str` a
  date is `{"$date": "2020-01-01"}` and a text is itself. `Name` is the name of the type: `list`,
  `dict`, `Money`; in full, as `list[int]` or `shop.money.Money`, where two would share it.
- Metadata has no annotations, and every value there that is not plain JSON has such a form.
"""

from spry_sqla.codec.closed import Codec, codec_for
from spry_sqla.codec.open import OpenCodec
from spry_sqla.codec.plans import MISFIT

__all__ = ["MISFIT", "Codec", "OpenCodec", "codec_for"]
