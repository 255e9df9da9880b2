"""Slides of multiplexed immunofluorescence, laid out as converters of public archives lay them out.

An instance for each channel and level, with a staining step for each channel in the specimen of
every instance (PS3.16 TID 8001, TID 8003 with CP-2082), and Presentation States beside them.
"""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

CHANNEL = Code("C44170", "NCIt", "Channel")
COMPONENT = Code("246094008", "SCT", "Component investigated")
FLUOROPHORE = Code("C0598447", "UMLS", "Using Fluorophore")
SUBSTANCE = Code("424361007", "SCT", "Using substance")
PROCESSING = Code("111701", "DCM", "Processing type")
STAINING = Code("127790008", "SCT", "Staining")


def code_item(code):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code[:3]
    return item


def content_item(name, value):
    """Make a content item: of a code, or else of a text."""
    item = Dataset()
    item.ConceptNameCodeSequence = [code_item(name)]
    if isinstance(value, Code):
        item.ValueType, item.ConceptCodeSequence = "CODE", [code_item(value)]
    else:
        item.ValueType, item.TextValue = "TEXT", value
    return item


def specimen(*steps):
    """Describe a specimen that was stained in steps, each a list of names and values."""
    item = Dataset()
    item.SpecimenIdentifier, item.SpecimenUID = "S-1", generate_uid()
    item.SpecimenPreparationSequence = []
    for step in steps:
        prepared = Dataset()
        prepared.SpecimenPreparationStepContentItemSequence = [
            content_item(name, value) for name, value in [(PROCESSING, STAINING), *step]
        ]
        item.SpecimenPreparationSequence.append(prepared)
    return item


def change_files(paths, change):
    """Change the data sets of files."""
    for path in map(Path, paths):
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)


def presentation_state(images, colors, windows, number=1):
    """Make an Advanced Blending Presentation State of monochrome images, by highdicom.

    Parameters
    ----------
    images : sequence of pydicom.dataset.Dataset
        An image of each channel
    colors : sequence of tuple of int
        Red, green and blue of the brightest value of each
    windows : sequence of tuple of float
        Stored values that are shown as black and as white
    """
    blending = []
    for index, (image, color, (start, end)) in enumerate(zip(images, colors, windows, strict=True)):
        tables = [
            hd.PaletteColorLUT(
                first_mapped_value=0,
                lut_data=np.linspace(0, part, 256).round().astype(np.uint8),
                color=name,
            )
            for part, name in zip(color, ("red", "green", "blue"), strict=True)
        ]
        blending.append(
            hd.pr.AdvancedBlending(
                referenced_images=[image],
                blending_input_number=index + 1,
                voi_lut_transformations=[
                    hd.pr.SoftcopyVOILUTTransformation(
                        window_center=(start + end) / 2, window_width=end - start
                    )
                ],
                palette_color_lut_transformation=hd.PaletteColorLUTTransformation(*tables),
            )
        )
    inputs = [
        hd.pr.BlendingDisplayInput(blending_input_number=index + 1) for index in range(len(images))
    ]
    return hd.pr.AdvancedBlendingPresentationState(
        referenced_images=images,
        blending=blending,
        blending_display=[
            hd.pr.BlendingDisplay(blending_mode="FOREGROUND", blending_display_inputs=inputs[:2])
            if len(inputs) == 2
            else hd.pr.BlendingDisplay(blending_mode="EQUAL", blending_display_inputs=inputs)
        ],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=number,
        manufacturer="Manufacturer",
        manufacturer_model_name="Model",
        software_versions="1",
        device_serial_number="1",
        content_label="FLUORESCENCE",
    )
