"""What is drawn for a patch's geometry: shares, ranges, and physical space."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.augment import Sample, apply_patch, plan_patch
from napari_unet.training_settings import Augmentation

GEOMETRY = Augmentation.none().replace(
    flips=True,
    rotation=180.0,
    rotation_probability=1.0,
    elastic=6.0,
    elastic_spacing=64.0,
    elastic_probability=1.0,
)


def draw(sample, patch_shape, augmentation, *, random_seed=0, spacing=None):
    shape = sample.image.shape
    return plan_patch(
        np.random.default_rng(random_seed),
        shape,
        patch_shape,
        centre=[n // 2 for n in shape[1:]],
        augmentation=augmentation,
        spacing=spacing,
    )


def matrices(n, augmentation, spacing=None, ndim=2):
    sample = Sample(np.zeros((1, *(8,) * ndim), np.float32))
    plans = (
        draw(sample, (8,) * ndim, augmentation, random_seed=i, spacing=spacing)
        for i in range(n)
    )
    return np.array([plan.warp.matrix for plan in plans])


def test_flips_are_as_often_on_each_axis():
    found = matrices(1000, Augmentation.none().replace(flips=True), ndim=3)
    signs = np.diagonal(found, axis1=1, axis2=2)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    np.testing.assert_allclose((signs < 0).mean(axis=0), 0.5, atol=0.06)
    assert not np.signbit(found[found == 0]).any()


def test_coarser_planes_are_neither_mirrored_nor_displaced():
    sample = Sample(np.zeros((1, 10, 40, 40), np.float32))
    for random_seed in range(30):
        spacing = (2.0, 0.5, 0.5)
        plan = draw(
            sample, (4, 32, 32), GEOMETRY, random_seed=random_seed, spacing=spacing
        )
        assert plan.warp.matrix[0] == (1.0, 0.0, 0.0)
        assert not plan.warp.elastic.nodes[0].any()
        assert plan.warp.elastic.nodes[1].any()
        assert plan.warp.keeps_planes
    assert plan.pixel_size == (4.0, 1.0, 1.0)


def test_rotation_has_its_share_and_its_range():
    augmentation = Augmentation.none().replace(rotation=40.0, rotation_probability=0.3)
    found = matrices(2000, augmentation)
    angles = np.degrees(np.arctan2(found[:, 0, 1], found[:, 0, 0]))
    turned = angles[angles != 0]
    assert abs(len(turned) / 2000 - 0.3) < 0.05
    assert -40 <= turned.min() < -38
    assert 38 < turned.max() <= 40


def test_rotation_and_zoom_act_in_physical_space():
    spacing = (2.0, 0.4, 0.5)
    augmentation = Augmentation.none().replace(
        rotation_probability=1.0, scale=(0.5, 2.0), scale_probability=1.0
    )
    size = np.array(spacing)
    for matrix in matrices(50, augmentation, spacing, ndim=3):
        physical = matrix * size[:, None] / size
        zoom = 1 / physical[0, 0]
        assert 0.5 <= zoom <= 2
        np.testing.assert_allclose(
            physical @ physical.T, np.eye(3) / zoom**2, atol=1e-12
        )
        assert np.linalg.det(physical) > 0


def test_zoom_is_even_between_smaller_and_larger():
    augmentation = Augmentation.none().replace(scale=(0.5, 2.0), scale_probability=1.0)
    zooms = 1 / matrices(1000, augmentation)[:, 0, 0]
    assert 0.5 <= zooms.min() < 0.52
    assert 1.93 < zooms.max() <= 2.0
    assert abs((zooms > 1).mean() - 0.5) < 0.06


def test_zoom_above_one_makes_objects_larger():
    y, x = np.indices((101, 101)) - 50
    disk = (y**2 + x**2 <= 15**2).astype(np.int32)
    sample = Sample(disk[None].astype(np.float32), labels=disk)
    augmentation = Augmentation.none().replace(scale=(1.5, 1.5), scale_probability=1.0)
    patch = apply_patch(draw(sample, (81, 81), augmentation), sample)
    assert patch.labels.sum() / disk.sum() == pytest.approx(1.5**2, rel=0.02)


def test_displacements_have_the_deviation_asked_for():
    sample = Sample(np.zeros((1, 256, 256), np.float32))
    augmentation = Augmentation.none().replace(elastic=10.0, elastic_probability=1.0)
    nodes, moves = [], []
    p = np.arange(256) - 127.5
    for random_seed in range(150):
        plan = draw(sample, (256, 256), augmentation, random_seed=random_seed)
        nodes.append(plan.warp.elastic.nodes)
        moves.append(plan.warp.offsets[2].reshape(256, 256)[[20, 128, 200]] - p)
    assert plan.warp.elastic.nodes.shape == (2, 3, 3)
    assert plan.warp.elastic.spacing == (128.0, 128.0)
    assert np.std(nodes) == pytest.approx(10, rel=0.05)
    assert abs(np.mean(nodes)) < 1
    # The spline passes through the nodes and is a little flatter between them.
    assert 7 < np.std(moves) < 11


def test_displacements_act_in_physical_space():
    sample = Sample(np.zeros((1, 60, 60), np.float32))
    plans = [
        draw(
            sample,
            (48, 48),
            Augmentation.none().replace(
                elastic=6.0, elastic_spacing=16.0, elastic_probability=1.0
            ),
            random_seed=random_seed,
            spacing=(0.5, 1.0),
        )
        for random_seed in range(60)
    ]
    assert plans[0].warp.elastic.spacing == (32.0, 16.0)
    assert plans[0].warp.elastic.nodes.shape == (2, 3, 5)
    deviation = np.std([p.warp.elastic.nodes for p in plans], axis=(0, 2, 3))
    np.testing.assert_allclose(deviation, [12.0, 6.0], rtol=0.1)


def test_a_new_noise_leaves_the_geometry_as_it_was():
    sample = Sample(np.zeros((1, 64, 64), np.float32))
    noisy = GEOMETRY.replace(noise_probability=1.0)
    first, second = (draw(sample, (32, 32), a) for a in (GEOMETRY, noisy))
    assert first.warp == second.warp
    assert first.intensity != second.intensity
