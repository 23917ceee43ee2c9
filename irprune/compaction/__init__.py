"""Lossless compaction: channels that are zero or constant for every input go, and the outputs stay what they were.

:mod:`.bounds` interval bounds per atom; :mod:`.letters` a signature's letters with their axes; :mod:`.interpret` the
walk that bounds every value; :mod:`.linear` contractions; :mod:`.cells` recurrent cells; :mod:`.removable` what may go;
:mod:`.compact` the way to the smaller graph.
"""

from .compact import compacted, replay
from .interpret import Ranges

__all__ = ["Ranges", "compacted", "replay"]
