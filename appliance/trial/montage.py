"""Slices of an input side by side, with what the Segmentation marks on them, as one PNG.

The marks are read back from the object that was encoded, not taken from the pipeline's label map:
the picture shows what a viewer will.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from appliance.core.model import Segment
from pipelines.render import FrameGeometry, frame_geometry, letters, overlay_png, render_frame
from pipelines.segmentation import Segmentation
from pipelines.volume import Labels, Volume

TILE = 240  # pixels of a slice's longer side
GAP = 8
COLUMNS = 4
MOST_TILES = 12
OPACITY = 0.45
_TEXT = 15
_SMALL = 12
_LINE = 22
_SWATCH = 14
_INK, _PAPER = (235, 235, 235), (16, 16, 16)
_LETTERS = (255, 220, 120)

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What stands above the slices, line by line, and below them."""

    above: tuple[str, ...]
    below: tuple[str, ...]


def montage(
    volume: Volume, files: Sequence[Path], marks: Segmentation | None, caption: Caption
) -> bytes:
    """Return the PNG. `files` are those that the volume was read from, in their order.

    Marked slices are shown, evenly chosen; without marks, slices of the whole volume. Letters at
    the edges of each slice say where right, left, front, back, head and feet are (PS3.3
    C.7.6.1.1.1). Raises BadInstance.
    """
    labels = _labels(volume, marks)
    chosen = evenly([bool(one.any()) for one in labels])
    middle = volume.frames[chosen[len(chosen) // 2]]
    geometry = frame_geometry(files[middle.path_index], middle.frame_number)
    tiles = [_tile(volume, files, index, labels[index], marks, geometry) for index in chosen]
    segments = () if marks is None else marks.segments
    return _page(tiles, segments, replace(caption, above=(*caption.above, *_order(volume))))


def _order(volume: Volume) -> tuple[str, ...]:
    """Return from where to where slices are counted: a sagittal one shows no right or left."""
    if len(volume.frames) == 1:
        return ()
    along = volume.affine[:3, 0] / np.linalg.norm(volume.affine[:3, 0])
    return (f"slices are counted from {letters(-along)} to {letters(along)}",)


def evenly(marked: Sequence[bool]) -> list[int]:
    """Return at most MOST_TILES indices between the first and the last that is marked."""
    first = next((at for at, one in enumerate(marked) if one), 0)
    last = next((at for at in range(len(marked) - 1, -1, -1) if marked[at]), len(marked) - 1)
    count = min(MOST_TILES, last - first + 1)
    return sorted({round(float(at)) for at in np.linspace(first, last, count)})


def _labels(volume: Volume, marks: Segmentation | None) -> list[Labels]:
    shape = volume.array.shape[1:]
    if marks is None or marks.shape != shape:
        return [np.zeros(shape, np.uint8) for _ in volume.frames]
    return [marks.labels_for(f.sop_instance_uid, f.frame_number) for f in volume.frames]


def _tile(
    volume: Volume,
    files: Sequence[Path],
    index: int,
    labels: Labels,
    marks: Segmentation | None,
    geometry: FrameGeometry,
) -> Image.Image:
    frame = volume.frames[index]
    path = files[frame.path_index]
    picture = _open(render_frame(path, frame.frame_number, geometry.window)).convert("RGBA")
    if marks is not None:
        colors = {segment.number: segment.color for segment in marks.segments}
        picture = Image.alpha_composite(picture, _open(overlay_png(labels, colors, OPACITY)))
    scale = TILE / max(geometry.width, geometry.height)
    size = (max(1, round(geometry.width * scale)), max(1, round(geometry.height * scale)))
    tile = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    _letter(tile, frame_geometry(path, frame.frame_number).letters)
    text = f"{index + 1} of {len(volume.frames)}"
    _write(tile, (4, size[1] - 4), text, "ls", _INK, _SMALL)
    return tile


def _letter(tile: Image.Image, edges: tuple[str, str, str, str]) -> None:
    """Write the letters at the left, right, top and bottom edge."""
    width, height = tile.size
    places = (
        ((4, height / 2), "lm"),
        ((width - 4, height / 2), "rm"),
        ((width / 2, 4), "mt"),
        ((width / 2, height - 4), "mb"),
    )
    for text, (place, anchor) in zip(edges, places, strict=True):
        _write(tile, place, text, anchor, _LETTERS, _TEXT)


def _write(
    tile: Image.Image,
    place: tuple[float, float],
    text: str,
    anchor: str,
    color: tuple[int, int, int],
    size: int,
) -> None:
    """Write on a picture, whatever is below."""
    ImageDraw.Draw(tile).text(
        place, text, color, _font(size), anchor, stroke_width=2, stroke_fill=_PAPER
    )


def _page(tiles: Sequence[Image.Image], segments: Sequence[Segment], caption: Caption) -> bytes:
    columns = min(COLUMNS, len(tiles))
    wide, high = max(t.width for t in tiles) + GAP, max(t.height for t in tiles) + GAP
    rows = -(-len(tiles) // columns)
    names = [segment.name for segment in segments]
    font = _font(_TEXT)
    longest = max(
        [font.getlength(text) for text in (*caption.above, *caption.below)]
        + [font.getlength(name) + _SWATCH + 2 * GAP for name in names],
        default=0.0,
    )
    width = max(columns * wide, int(longest) + GAP) + GAP
    across = max(1, width // (_widest(names, font) + _SWATCH + 3 * GAP))
    legend = -(-len(names) // across)
    top = _LINE * len(caption.above) + 2 * GAP
    below = top + rows * high
    height = below + _LINE * (legend + len(caption.below)) + 2 * GAP
    page = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(page)
    _lines(draw, caption.above, GAP, font)
    for place, tile in enumerate(tiles):
        page.paste(tile, (GAP + place % columns * wide, top + place // columns * high))
    _legend(draw, segments, below + GAP // 2, across=across, step=width // across)
    _lines(draw, caption.below, below + _LINE * legend + GAP, font)
    buffer = BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _legend(
    draw: ImageDraw.ImageDraw, segments: Sequence[Segment], top: int, *, across: int, step: int
) -> None:
    for place, segment in enumerate(segments):
        left, line = GAP + place % across * step, top + place // across * _LINE
        box = (left, line + 4, left + _SWATCH, line + 4 + _SWATCH)
        draw.rectangle(box, fill=segment.color, outline=_INK)
        draw.text((left + _SWATCH + GAP, line + 2), segment.name, _INK, _font(_TEXT))


def _lines(draw: ImageDraw.ImageDraw, lines: Sequence[str], top: int, font: Font) -> None:
    for number, line in enumerate(lines):
        draw.text((GAP, top + number * _LINE), line, _INK, font)


def _widest(names: Sequence[str], font: Font) -> int:
    return int(max((font.getlength(name) for name in names), default=0.0)) + 1


def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _open(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png))
