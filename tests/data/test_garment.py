"""A garment on a background, brought to the form of Fashion-MNIST."""

import numpy as np
import pytest
from drawing import drawn, encoded
from PIL import Image

from workflow.core.errors import UserError
from workflow.data.garment import extract
from workflow.data.pictures import decode

SHAPE = (28, 28)


def seen(image, shape=SHAPE):
    return extract(decode(encoded(image), "picture"), shape, "picture").pixels


def test_the_content_fills_the_longer_side_in_the_middle():
    image = seen(drawn("white", "black"))
    assert image.shape == SHAPE
    assert image.dtype == np.float32
    filled = np.argwhere(image > 0.5)
    assert filled[:, 1].min() == 0
    assert filled[:, 1].max() == 27
    # 40 of 100 high: 11 of 28 rows, the rest shared between above and below.
    assert filled[:, 0].min() == 8
    assert filled[:, 0].max() == 18


@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (28, 28), (1, 1)])
def test_the_shape_is_the_model_s(shape):
    image = seen(drawn("white", "black"), shape=shape)
    assert image.shape == shape
    assert image.max() == pytest.approx(1)


def test_dark_on_white_and_light_on_black_come_out_alike():
    dark, light = seen(drawn("white", "black")), seen(drawn("black", "white"))
    np.testing.assert_allclose(dark, light, atol=1e-6)
    assert dark.max() == 1
    assert dark[0, 0] == 0


@pytest.mark.parametrize("foreground", ["black", "white"])
def test_transparent_is_background_whatever_the_content(foreground):
    rgb = Image.new("RGB", (2, 2), foreground).getpixel((0, 0))
    transparent = seen(drawn((90, 90, 90, 0), (*rgb, 255), "RGBA"))
    np.testing.assert_allclose(transparent, seen(drawn("white", "black")), atol=1e-6)


def test_content_may_touch_the_border():
    box = (50, 0, 150, 150)
    image = seen(drawn("white", "black", box=box))
    assert image[0].sum() > 0
    assert image[-1].sum() > 0
    assert image[:, 0].sum() == 0
    assert image[14, 14] == 1


@pytest.mark.parametrize("drift", [10, 30])
@pytest.mark.parametrize("angle", [0, 1, 2, 4])
def test_a_page_whose_shade_drifts_is_background(drift, angle):
    image = np.asarray(drawn("#dcdcdc", "black"), np.float64)
    down, across = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    slope = (np.cos(angle) * across + np.sin(angle) * down) / 1.5
    drifting = np.clip(image + drift * slope[..., np.newaxis], 0, 255).astype(np.uint8)
    np.testing.assert_allclose(
        seen(Image.fromarray(drifting)), seen(drawn("#dcdcdc", "black")), atol=0.2
    )


@pytest.mark.parametrize("percent", [1, 2, 3])
def test_the_noise_of_a_sensor_is_background(percent):
    page = np.asarray(drawn("#dcdcdc", "black", size=(360, 400), box=(60, 100, 300, 260)))
    noise = np.random.default_rng(0).normal(0, 2.55 * percent, page.shape)
    noisy = Image.fromarray(np.clip(page + noise, 0, 255).astype(np.uint8))
    image = extract(decode(encoded(noisy, "JPEG", quality=90), "p"), SHAPE, "p").pixels
    np.testing.assert_allclose(image, seen(Image.fromarray(page)), atol=0.2)


@pytest.mark.parametrize(
    ("background", "foreground"), [("#00a000", "#c80000"), ("#dcd25a", "#1e28a0")]
)
def test_colours_of_the_same_luminance_are_told_apart(background, foreground):
    np.testing.assert_allclose(
        seen(drawn(background, foreground)), seen(drawn("white", "black")), atol=0.02
    )


def test_a_background_that_is_not_plain_is_told():
    def plain(pixels):
        return extract(decode(encoded(Image.fromarray(pixels)), "p"), SHAPE, "p").plain

    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    assert not plain(noise)
    page = np.asarray(drawn("white", "black"))
    assert plain(page)
    on_a_table = page.copy()
    on_a_table[-len(page) // 4 :] = page[-len(page) // 4 :] * 0.8
    assert not plain(on_a_table)
    spots = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 6)).astype(np.uint8))
    spots = np.asarray(spots.resize(page.shape[1::-1], Image.Resampling.BICUBIC), np.float64)
    shaded = np.asarray(drawn("#c8c8c8", "black"), np.float64) + (spots[..., None] - 128) / 4
    assert not plain(shaded.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("darker", [0.3, 0.8])
def test_a_page_that_darkens_to_its_corners_is_background(darker):
    page = np.asarray(drawn("#e6e6e6", "black"), np.float64)
    down, across = np.mgrid[-1 : 1 : page.shape[0] * 1j, -1 : 1 : page.shape[1] * 1j]
    light = 1 - darker * (down**2 + across**2)[..., np.newaxis] / 2  # as through a lens
    image = Image.fromarray((page * light).astype(np.uint8))
    garment = extract(decode(encoded(image), "p"), SHAPE, "p")
    assert garment.plain
    np.testing.assert_allclose(
        garment.pixels, seen(drawn("#e6e6e6", "black")), atol=0.2 if darker < 0.5 else 0.4
    )


@pytest.mark.parametrize("bow", [-30, -15, 15, 30])
def test_a_page_that_is_bowed_is_background(bow):
    page = np.asarray(drawn("#c8c8c8", "black"), np.float64)
    across = np.linspace(-1, 1, page.shape[1])[:, np.newaxis]
    image = Image.fromarray((page + bow * (2 * across**2 - 1)).clip(0, 255).astype(np.uint8))
    garment = extract(decode(encoded(image), "p"), SHAPE, "p")
    assert garment.plain
    np.testing.assert_allclose(garment.pixels, seen(drawn("#c8c8c8", "black")), atol=0.25)


@pytest.mark.parametrize("size", [(1, 1), (60, 40)])
def test_a_picture_of_one_shade_is_refused(size):
    with pytest.raises(UserError, match="nothing to see"):
        seen(Image.new("RGB", size, "#c0c0c0"))
