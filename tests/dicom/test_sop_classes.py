from __future__ import annotations

from pydicom import uid
from pydicom._uid_dict import UID_dictionary

from stillframe.dicom import sop_classes
from stillframe.dicom.sop_classes import holds_image


def test_the_uids_are_those_of_the_standard() -> None:
    assert uid.SegmentationStorage == sop_classes.SEGMENTATION
    assert uid.ParametricMapStorage == sop_classes.PARAMETRIC_MAP
    assert uid.RTDoseStorage == sop_classes.RT_DOSE
    assert uid.EncapsulatedPDFStorage == sop_classes.ENCAPSULATED_PDF
    # PS3.6 since 2024d; newer than pydicom's dictionary.
    assert sop_classes.LABEL_MAP_SEGMENTATION == "1.2.840.10008.5.1.4.1.1.66.7"


# Images that do not have the word in their names (PS3.3 A.51, A.58, A.75, A.63, A.66, A.85).
_IMAGES_BY_OTHER_NAMES = {
    *("SegmentationStorage", "EnhancedUSVolumeStorage", "ParametricMapStorage", "OphthalmicThicknessMapStorage"),
    *("CornealTopographyMapStorage", "OphthalmicOpticalCoherenceTomographyBscanVolumeAnalysisStorage"),
}
# RT Dose may be an image or not; of security screening (DICOS) PS3.3 says nothing; two retired ones have no name.
_UNDECIDED = {
    *("RTDoseStorage", "DICOS2DAITStorage", "DICOS3DAITStorage", "DICOSQuadrupoleResonanceStorage"),
    *("DICOSThreatDetectionReportStorage", ""),
}


def test_every_storage_class_is_an_image_or_not_as_its_name_says() -> None:
    names = {
        key: keyword
        for key, (_, kind, _, _, keyword) in UID_dictionary.items()
        if kind == "SOP Class" and (key.startswith("1.2.840.10008.5.1.4.1.1.") or "HardcopyG" in keyword)
    }
    assert len(names) > 150
    for key, keyword in names.items():
        named_image = "ImageStorage" in keyword or keyword in _IMAGES_BY_OTHER_NAMES
        assert holds_image(key) is (None if keyword in _UNDECIDED else named_image), keyword


def test_a_class_that_dicom_does_not_define_is_neither() -> None:
    assert holds_image("1.3.12.2.1107.5.9.1") is None
    assert holds_image("1.2.840.10008.5.1.4.1.1.66.99") is None
    assert holds_image("") is None
    assert holds_image("1.2.840.10008.5.1.4.1.1.88.999") is False  # the reports' branch


def test_single_frame_images_are_those_without_a_multi_frame_module() -> None:
    """PS3.3 Table A.1-1b has no M, C or U for Multi-frame under these."""
    expected = {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.DigitalMammographyXRayImageStorageForPresentation,
        uid.DigitalMammographyXRayImageStorageForProcessing,
        uid.DigitalIntraOralXRayImageStorageForPresentation,
        uid.DigitalIntraOralXRayImageStorageForProcessing,
        uid.CTImageStorage,
        uid.MRImageStorage,
        uid.UltrasoundImageStorage,
        uid.SecondaryCaptureImageStorage,
        uid.PositronEmissionTomographyImageStorage,
        uid.VLEndoscopicImageStorage,
        uid.VLMicroscopicImageStorage,
        uid.VLSlideCoordinatesMicroscopicImageStorage,
        uid.VLPhotographicImageStorage,
    }
    assert expected == sop_classes.SINGLE_FRAME
