"""Small studies in folders, one folder a series, as archives of research are laid out."""

from __future__ import annotations

from pathlib import Path

from tests.support.dicom_files import ROOT, image, write


def write_studies(folder: Path, studies: int = 3, series: int = 2, instances: int = 2) -> list[tuple[str, str]]:
    """Studies of small images; the name of each series' folder, with its Study Instance UID."""
    named = []
    for study in range(1, studies + 1):
        for number in range(1, series + 1):
            study_uid = f"{ROOT}.{study}"
            name = f"{study:08x}-0000-4000-8000-{number:012x}"
            for instance in range(1, instances + 1):
                dataset = image(
                    instance, StudyInstanceUID=study_uid, SeriesInstanceUID=f"{study_uid}.{number}",
                    SeriesNumber=number, PatientID=f"P{study}",
                )  # fmt: skip
                write(folder / name, f"{instance:03}.dcm", dataset)
            named.append((name, study_uid))
    return named
