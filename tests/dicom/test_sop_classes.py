from __future__ import annotations

from pydicom import uid

from stillframe.dicom import sop_classes


def test_the_uids_are_those_of_the_standard() -> None:
    assert uid.SegmentationStorage == sop_classes.SEGMENTATION
    assert uid.ParametricMapStorage == sop_classes.PARAMETRIC_MAP
    assert uid.RTDoseStorage == sop_classes.RT_DOSE
    assert uid.EncapsulatedPDFStorage == sop_classes.ENCAPSULATED_PDF
    # PS3.6 since 2024d; newer than pydicom's dictionary.
    assert sop_classes.LABEL_MAP_SEGMENTATION == "1.2.840.10008.5.1.4.1.1.66.7"
