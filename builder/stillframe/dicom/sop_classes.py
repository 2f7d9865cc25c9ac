"""What is special about some SOP classes (PS3.6 A, PS3.4 B.5), by their UIDs.

The UIDs are written out rather than taken from pydicom, since planning and lists start without it; the tests compare.
"""

from __future__ import annotations

from typing import Final

SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.7"
PARAMETRIC_MAP: Final = "1.2.840.10008.5.1.4.1.1.30"
RT_DOSE: Final = "1.2.840.10008.5.1.4.1.1.481.2"
ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"

FETCHED_WHOLE: Final = frozenset({SEGMENTATION, LABEL_MAP_SEGMENTATION, PARAMETRIC_MAP})
"""Objects with frames that viewers fetch as a whole Part 10 object. RT Dose is not among them: viewers that show it
read its frames and metadata, as of any image."""

OVERLAYS: Final = frozenset({*FETCHED_WHOLE, RT_DOSE})
"""Objects whose frames are meant to lie over those of another series: they stand for a study only where nothing else
does."""
