"""Videos, and slides of a microscope."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import highdicom as hd
import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.sr.codedict import codes

from tests.e2e.cards import colour_card
from tests.e2e.kind import MICROSCOPY, Kind, Look, Made, View, picture
from tests.e2e.series_kinds import item
from tests.support.dicom_files import AVC, ROOT, encapsulated, jpeg

_SIZE = 240, 320
_FRAMES: Final = 50
_TILE: Final = 256
_SLIDE = 512, 768  # rows and columns of the whole slide
_MPEG2: Final = "1.2.840.10008.1.2.4.100"
_MATRIX_ORIGIN: Final = 10.0  # mm


def _stream(encoder: str, container: str) -> bytes:
    """A still picture as a video of two seconds, by the command ffmpeg."""
    raw = colour_card(*_SIZE).tobytes() * _FRAMES
    rows, columns = _SIZE
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{columns}x{rows}", "-r", "25", "-i", "-"]
    colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_range", "tv"]
    options = ["-c:v", encoder, "-pix_fmt", "yuv420p", "-b:v", "4M", *colours, "-movflags", "+faststart"]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"video.{container}"
        command = ["ffmpeg", "-v", "error", *source, *(options if container == "mp4" else options[:-2]), str(target)]
        subprocess.run(command, input=raw, check=True, timeout=60)
        return target.read_bytes()


def _video(sop_class: str, modality: str, *, encoder: str = "libx264", syntax: str = AVC) -> Made:
    stream = _stream(encoder, "mp4" if encoder == "libx264" else "mpg")
    frame = colour_card(*_SIZE)
    dataset = encapsulated(
        [stream], syntax, pixels=frame, SOPClassUID=sop_class, Modality=modality, NumberOfFrames=_FRAMES, FrameTime=40,
        PhotometricInterpretation="YBR_PARTIAL_420", CineRate=25, LossyImageCompression="01",
    )  # fmt: skip
    look = picture(frame.astype(np.float64), tolerance=12.0)
    return Made(datasets=[dataset], views=[View(look=look)])


def slide_levels() -> list[FileDataset]:
    """The pyramid of a slide: the whole of it, and half of it; tiles of baseline JPEG."""
    return [_level(number) for number in (1, 2)]


def _level(number: int) -> FileDataset:
    rows, columns = (side >> (number - 1) for side in _SLIDE)
    matrix = _slide_picture()[:: 1 << (number - 1), :: 1 << (number - 1)]
    tiles = _tiles(matrix)
    spacing = 0.01 * (1 << (number - 1))
    dataset = encapsulated(
        [bytes(imagecodecs.jpeg8_encode(tile, 95, subsampling="444")) for tile in tiles], jpeg(50), number=number,
        pixels=np.stack(tiles), SOPClassUID=uid.VLWholeSlideMicroscopyImageStorage, Modality="SM",
        PhotometricInterpretation="YBR_FULL_422", LossyImageCompression="01", LossyImageCompressionMethod="ISO_10918_1",
        LossyImageCompressionRatio="10", SeriesDescription="the slide",
    )  # fmt: skip
    dataset.ImageType = [
        "ORIGINAL" if number == 1 else "DERIVED",
        "PRIMARY",
        "VOLUME",
        "NONE" if number == 1 else "RESAMPLED",
    ]
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = f"{ROOT}.4", "SLIDE_CORNER"
    dataset.TotalPixelMatrixRows, dataset.TotalPixelMatrixColumns = rows, columns
    dataset.TotalPixelMatrixFocalPlanes, dataset.NumberOfOpticalPaths = 1, 1
    dataset.TotalPixelMatrixOriginSequence = [
        item(XOffsetInSlideCoordinateSystem=_MATRIX_ORIGIN, YOffsetInSlideCoordinateSystem=_MATRIX_ORIGIN)
    ]
    dataset.ImagedVolumeWidth, dataset.ImagedVolumeHeight, dataset.ImagedVolumeDepth = (
        columns * spacing, rows * spacing, 0.001,
    )  # fmt: skip
    dataset.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    dataset.DimensionOrganizationType, dataset.VolumetricProperties = "TILED_FULL", "VOLUME"
    dataset.SpecimenLabelInImage, dataset.FocusMethod, dataset.ExtendedDepthOfField = "NO", "AUTO", "NO"
    dataset.BurnedInAnnotation, dataset.ContainerIdentifier = "NO", "S1"
    dataset.AcquisitionDateTime = "20240102101112"
    dataset.SpecimenDescriptionSequence = [item(SpecimenIdentifier="S1", SpecimenUID=f"{ROOT}.5")]
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "PatientBirthDate", "PatientSex",
                    "ReferringPhysicianName"):  # fmt: skip
        setattr(dataset, keyword, "")
    dataset.OpticalPathSequence = [
        item(
            OpticalPathIdentifier="1",
            IlluminationTypeCodeSequence=[_code("111744", "Brightfield illumination")],
            IlluminationColorCodeSequence=[_code("371251000", "White", "SCT")],
        )
    ]
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[spacing, spacing], SliceThickness=0.001)],
            WholeSlideMicroscopyImageFrameTypeSequence=[item(FrameType=list(dataset.ImageType))],
            OpticalPathIdentificationSequence=[item(OpticalPathIdentifier="1")],
        )
    ]
    return dataset


def _code(value: str, meaning: str, scheme: str = "DCM") -> Any:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _slide_picture() -> npt.NDArray[Any]:
    return colour_card(*_SLIDE)


def _tiles(matrix: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Row by row; what lies outside of the matrix is white (PS3.3 C.7.6.17.3)."""
    rows, columns = (-(-side // _TILE) * _TILE for side in matrix.shape[:2])
    whole = np.full((rows, columns, 3), 255, "u1")
    whole[: matrix.shape[0], : matrix.shape[1]] = matrix
    return [
        np.ascontiguousarray(whole[top : top + _TILE, left : left + _TILE])
        for top in range(0, rows, _TILE)
        for left in range(0, columns, _TILE)
    ]


def _slide() -> Made:
    """As it lies: rows of Image Orientation (Slide) [0, -1, 0, -1, 0, 0] run down, columns to the left.

    The viewer shows the slide with its origin at the upper left, which turns the picture by half a turn. A small map
    covers a corner of it.
    """
    levels = slide_levels()
    drawn = _slide_picture()[::-1, ::-1].astype(np.float64)
    aspect = _SLIDE[1] / _SLIDE[0]
    look = Look(sort="screen", pictures=[drawn], aspects=[aspect], tolerance=14.0, correlation=0.93)
    return Made(datasets=levels, views=[View(opened=MICROSCOPY, look=look)])


def _annotations() -> Made:
    """A rectangle drawn over the slide, by its coordinates alone."""
    levels = slide_levels()
    rows, columns = slice(340, 460), slice(400, 600)
    corners = [(columns.start, rows.start), (columns.stop, rows.start), (columns.stop, rows.stop),
               (columns.start, rows.stop)]  # fmt: skip
    group = hd.ann.AnnotationGroup(
        number=1, uid=f"{ROOT}.6", label="cells", annotated_property_category=codes.SCT.Tissue,
        annotated_property_type=codes.SCT.Tissue, graphic_type="POLYGON",
        graphic_data=[np.array(corners, np.float32)], algorithm_type="MANUAL",
    )  # fmt: skip
    annotations = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[levels[0]], annotation_coordinate_type="2D", annotation_groups=[group],
        series_instance_uid=f"{ROOT}.1.7", series_number=7, sop_instance_uid=f"{ROOT}.1.7.1", instance_number=1,
        manufacturer="none", manufacturer_model_name="none", software_versions="1", device_serial_number="1",
        content_label="CELLS",
    )  # fmt: skip
    annotations.SeriesDescription = "the annotations"
    view = View(opened=MICROSCOPY, series="the annotations", look=Look(sort="text", words=["cells"]))
    return Made(datasets=[*levels, annotations], views=[view])


def _kind(name: str, make: Callable[[], Made], *, core: bool = False) -> Kind:
    return Kind(name=name, make=make, core=core, hosts=core, page=False)


KINDS: Sequence[Kind] = (
    _kind("video, MP4, endoscopy", lambda: _video(uid.VideoEndoscopicImageStorage, "ES"), core=True),
    _kind("video, MP4, photography", lambda: _video(uid.VideoPhotographicImageStorage, "XC")),
    _kind("video, MP4, ultrasound", lambda: _video(uid.UltrasoundMultiFrameImageStorage, "US")),
    _kind(
        "video, MPEG-2, endoscopy",
        lambda: _video(uid.VideoEndoscopicImageStorage, "ES", encoder="mpeg2video", syntax=_MPEG2),
    ),
    _kind("whole slide", _slide, core=True),
    _kind("annotations of a slide", _annotations),
)
