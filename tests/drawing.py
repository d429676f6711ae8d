"""Pictures of a rectangle, as files."""

import io

from PIL import Image, ImageDraw

BOX = (30, 50, 130, 90)  # left, upper, right, lower: wider than high


def drawn(background, foreground, mode="RGB", size=(200, 150), box=BOX):
    image = Image.new(mode, size, background)
    ImageDraw.Draw(image).rectangle([box[0], box[1], box[2] - 1, box[3] - 1], fill=foreground)
    return image


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
