import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from tests.layers import literal
from tests.layers.blocks import REVISIONS, padded, random_maps, tokenizer_of
from tests.layers.conftest import (
    assert_close,
    assert_same,
    channel_adjustment,
    dense,
    pixels,
    randomised,
    seen_by,
)
from vt_seg.layers.clustering import spherical_kmeans
from vt_seg.layers.pixel_attention import pixel_averages


def clustering(steps=5, num_tokens=6, **changes):
    changes = {"positional_encoding": False, "num_tokens": num_tokens, **changes}
    return randomised(tokenizer_of("clustering", clustering_steps=steps, **changes))


def unit_pixels(number=200, channels=5, batch=2):
    """Return unit vectors (N, C, P) on the whole sphere."""
    x = torch.randn(batch, channels, number, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def nearest(points, centroids):
    """Return the index of the largest product: what ``spherical_kmeans`` assigns by."""
    return (points @ centroids.T).argmax(axis=1)


def sklearns_kmeans(points, centroids, steps):
    """Run scikit-learn's Lloyd from given centroids, without its stopping early."""
    points, centroids = np.ascontiguousarray(points), np.ascontiguousarray(centroids)
    kmeans = KMeans(len(centroids), init=centroids, n_init=1, max_iter=steps, tol=0)
    return kmeans.fit(points)


@pytest.mark.parametrize("steps", range(6))
def test_lloyds_algorithm_step_by_step(steps):
    """Against loops over pixels that measure distances, v4 App. C to the letter."""
    x = unit_pixels()
    start = x[:, :, :7]
    for points, centroids, got in zip(x, start, spherical_kmeans(x, start, steps), strict=True):
        expected = pixels(centroids)
        for _ in range(steps):
            expected = literal.lloyd_step(pixels(points), expected)
        assert_same(got, expected)


def test_a_maps_clusters_are_scikit_learns():
    """The whole way from a map: normalised pixels, centroids from the downsampled map."""
    middles = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0][:, :4]
    x = middles.view(1, 8, 2, 2).repeat_interleave(6, 2).repeat_interleave(8, 3)
    x = x.roll((1, 2), (2, 3))  # across the cells, so that the start is a mixture
    x = (x + 0.1 * torch.randn_like(x)) * torch.rand(1, 1, 12, 16).add(0.5)
    points = literal.unit(pixels(x[0]))
    start = literal.unit(literal.cell_averages(pixels(x[0]), (12, 16), 2, 2))
    ours = pixels(clustering(10, num_tokens=4).centroids(x)[0])
    theirs = sklearns_kmeans(points, start, 300)
    assert np.array_equal(nearest(points, ours), theirs.labels_)
    assert sorted(np.bincount(theirs.labels_)) == [48] * 4


def test_empty_clusters_keep_their_centroids():
    x = unit_pixels(batch=1)
    x[:, 0] = x[:, 0].abs()
    far = torch.zeros(1, 5, 1, dtype=torch.float64)
    far[:, 0] = -1  # no pixel is nearer to it than to its mirror image
    start = torch.cat([-far, far, x[:, :, :2]], dim=2)
    got = spherical_kmeans(x, start, 4)
    assert torch.equal(got[:, :, 1:2], far)
    expected = pixels(start[0])
    for _ in range(4):
        expected = literal.lloyd_step(pixels(x[0]), expected)
    assert_same(got[0], expected)


def test_pixels_outside_the_mask_do_not_count():
    x = unit_pixels()
    inside = torch.rand(2, 200) > 0.4
    start = x[:, :, :7]
    got = spherical_kmeans(x, start, 5, inside)
    for points, keep, centroids, after in zip(x, inside, start, got, strict=True):
        assert_close(after, spherical_kmeans(points[None][:, :, keep], centroids[None], 5)[0])
    assert torch.equal(spherical_kmeans(x, start, 5, torch.zeros_like(inside)), start)
    maps = random_maps()[:1]
    larger, mask = padded(maps)
    assert_close(clustering().centroids(*larger, mask), clustering().centroids(*maps))


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("token_channels", [8, 12])
def test_attention_is_the_softmax_of_products_with_the_centroids(revision, steps, token_channels):
    """v4 App. C from beginning to end in NumPy; the pixels in the product are not normalised."""
    (x,) = random_maps()[:1]
    tokenizer = clustering(steps, revision=revision, token_channels=token_channels)
    seen = seen_by(tokenizer.attention)
    tokens = tokenizer(x)
    w_v = dense(tokenizer.value.conv) if revision == "v1" else None
    for image, attention, got in zip(x, seen[0], tokens, strict=True):
        points = pixels(image)
        centroids = literal.unit(literal.cell_averages(points, (5, 7), 2, 3))
        for _ in range(steps):
            centroids = literal.lloyd_step(literal.unit(points), centroids)
        averages, expected = literal.clustering_tokens(points, centroids, w_v)
        np.testing.assert_allclose(attention[0].numpy().T, expected, rtol=0, atol=1e-10)
        assert_same(got, literal.adjust_channels(averages, *channel_adjustment(tokenizer)))


def test_no_gradient_passes_through_the_clusters_but_the_map_gets_one():
    (x,) = random_maps()[:1]
    x.requires_grad_()
    tokenizer = clustering()
    centroids = tokenizer.centroids(x)
    assert not centroids.requires_grad
    weights = torch.randn(2, 12, 6, dtype=torch.float64)
    (got,) = torch.autograd.grad((tokenizer(x) * weights).sum(), x)

    def with_constant_centroids(x):
        attention = (centroids.transpose(1, 2) @ x.flatten(2)).softmax(-1)[:, None]
        values = tokenizer.values(pixel_averages(x, attention, 1))
        return tokenizer.to_token_channels(values)

    (expected,) = torch.autograd.grad((with_constant_centroids(x) * weights).sum(), x)
    assert_close(got, expected)
    assert got.abs().min() > 0


def test_clusters_of_half_precision_maps_are_found_in_float32():
    x = torch.randn(1, 8, 64, 96).bfloat16()
    tokenizer = clustering()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = tokenizer.centroids(x)
    assert got.dtype == torch.float32
    assert torch.equal(got, tokenizer.centroids(x.float()))


def test_a_map_of_zeros_stays_finite():
    assert clustering()(torch.zeros(1, 8, 5, 7).double()).isfinite().all()
