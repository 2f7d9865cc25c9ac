"""What is special about some SOP classes (PS3.6 A, PS3.4 B.5), by their UIDs.

The UIDs are written out rather than taken from pydicom, since planning and lists start without it; the tests compare.
"""

from __future__ import annotations

from typing import Final

SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.7"
PARAMETRIC_MAP: Final = "1.2.840.10008.5.1.4.1.1.30"
RT_DOSE: Final = "1.2.840.10008.5.1.4.1.1.481.2"
WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
ENCAPSULATED_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"

FETCHED_WHOLE: Final = frozenset({SEGMENTATION, LABEL_MAP_SEGMENTATION, PARAMETRIC_MAP})
"""Objects with frames that viewers fetch as a whole Part 10 object. RT Dose is not among them: viewers that show it
read its frames and metadata, as of any image."""

OVERLAYS: Final = frozenset({*FETCHED_WHOLE, RT_DOSE})
"""Objects whose frames are meant to lie over those of another series: they stand for a study only where nothing else
does."""


def _classes(*names: str) -> frozenset[str]:
    """UIDs of SOP classes by what follows the root of all Storage classes, or whole.

    A name that ends with a dot stands for all that begin with it.
    """
    return frozenset(name if name.startswith("1.2.840.") else f"1.2.840.10008.5.1.4.1.1.{name}" for name in names)


_IMAGES: Final = _classes(
    *("1", "1.", "2", "2.", "3", "3.", "4", "4.1", "4.3", "4.4", "5", "6", "6.", "7", "7.", "12.1", "12.1.", "12.2"),
    *("12.2.", "12.3", "13.1.", "14.", "20", "30", "66.4", "66.7", "77.1", "77.1.", "77.2", "81.1", "82.1", "128"),
    *("128.", "130", "481.1", "481.23", "481.24", "501.1", "501.2.", "601."),
    *("1.2.840.10008.5.1.1.29", "1.2.840.10008.5.1.1.30"),
)
_NO_IMAGES: Final = _classes(
    *("4.2", "8", "9", "9.", "10", "11", "11.", "66", "66.1", "66.2", "66.3", "66.5", "66.6", "67", "68.", "77.1.5.3"),
    *("78.", "79.1", "80.1", "88.", "90.1", "91.1", "104.", "129", "131", "200.", "201."),
    *(f"481.{number}" for number in (*range(3, 23), 25)),
    *(f"1.2.840.10008.5.1.4.{branch}." for branch in (34, 38, 39, 43, 44, 45)),
)


def holds_image(sop_class: str) -> bool | None:
    """Whether objects of a SOP class are images: whether its IOD has the Image Pixel module (PS3.3 A.1.4, PS3.4 B.5).

    None where the data set has to say: RT Dose has pixels or not (PS3.3 A.18.3), and so has what DICOM does not define.
    """
    branches = {sop_class, *(sop_class[: index + 1] for index, mark in enumerate(sop_class) if mark == ".")}
    if branches & _NO_IMAGES:  # some lie on a branch of images
        return False
    return True if branches & _IMAGES else None


SINGLE_FRAME: Final = _classes(
    *("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "2", "4", "6.1", "7", "128"),
    *("77.1.1", "77.1.2", "77.1.3", "77.1.4"),
)
"""Images without a Multi-frame module (PS3.3 A.2, A.3, A.4, A.6, A.8.1, A.21, A.26 to A.28, A.32.1 to A.32.4)."""
