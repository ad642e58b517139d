import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from tests.layers import literal
from tests.layers.conftest import channel_adjustment, dense, pixels, randomised
from tests.layers.tokenizers.maps import map_and_tokens, padded, tokenizer_of
from vt_seg.layers import ClusteringTokenizer, PositionEncoder
from vt_seg.layers.tokenizers import spherical_kmeans


def clustering(revision="v1", token_channels=12, **more):
    tokenizer = ClusteringTokenizer(8, 6, token_channels, pixel_groups=2, revision=revision, **more)
    return randomised(tokenizer)


def unit_pixels(number=200, channels=5, batch=2):
    """Unit vectors (N, C, P) on the whole sphere."""
    x = torch.randn(batch, channels, number, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def grouped_pixels(clusters=4, channels=8, each=40):
    """Unit vectors (1, C, P) in groups that lie far apart; and centroids (1, C, clusters) to start
    from, each between two groups and a little nearer to its own."""
    middles = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0][:, :clusters]
    x = middles.repeat_interleave(each, 1)
    x = x + 0.15 * torch.randn_like(x)
    x = (x / x.norm(dim=0))[None]
    starts = middles + 0.9 * middles.roll(1, 1)
    return x, (starts / starts.norm(dim=0))[None]


def rows(x):
    """(C, P) as (P, C)."""
    return np.ascontiguousarray(x.numpy().T)


def nearest(points, centroids):
    """Index of the largest product: what ``spherical_kmeans`` assigns by."""
    return (points @ centroids.T).argmax(axis=1)


def sklearns_kmeans(points, centroids, steps):
    """scikit-learn's Lloyd from given centroids, without its stopping early."""
    kmeans = KMeans(len(centroids), init=centroids, n_init=1, max_iter=steps, tol=0)
    return kmeans.fit(points)


@pytest.mark.parametrize("steps", range(6))
def test_lloyds_algorithm_step_by_step(steps):
    """Against loops over pixels that measure distances, v4 App. C to the letter."""
    x = unit_pixels()
    start = x[:, :, :7]
    for points, centroids, got in zip(x, start, spherical_kmeans(x, start, steps), strict=True):
        points, expected = rows(points), rows(centroids)
        for _ in range(steps):
            expected = literal.lloyd_step(points, expected)
        np.testing.assert_allclose(got.numpy().T, expected, rtol=0, atol=1e-10)


def test_each_step_assigns_and_averages_as_scikit_learn_does():
    """scikit-learn does not make its centroids unit vectors again, so each of its steps starts
    from ours: the same assignments, and centroids that are the same once normalised."""
    x = unit_pixels()
    centroids = x[:, :, :7]
    for _ in range(8):
        after = spherical_kmeans(x, centroids, 1)
        for points, given, got in zip(x, centroids, after, strict=True):
            points, given = rows(points), rows(given)
            theirs = sklearns_kmeans(points, given, 1)
            np.testing.assert_allclose(
                rows(got), literal.unit(theirs.cluster_centers_), rtol=0, atol=1e-10
            )
            theirs.cluster_centers_ = given
            assignments = theirs.predict(points)
            assert np.array_equal(assignments, nearest(points, given))
            assert len(set(assignments)) == 7
        assert not torch.equal(after, centroids)
        centroids = after


def test_converged_assignments_are_scikit_learns_where_clusters_lie_apart():
    x, start = grouped_pixels()
    points = rows(x[0])
    ours = nearest(points, rows(spherical_kmeans(x, start, 20)[0]))
    theirs = sklearns_kmeans(points, rows(start[0]), 300).labels_
    assert np.array_equal(ours, theirs)
    assert np.array_equal(ours, np.repeat(range(4), 40))
    assert not np.array_equal(nearest(points, rows(start[0])), ours)  # the start was not enough


def test_tokenizers_own_clusters_are_scikit_learns():
    """The whole way from a map: normalised pixels, centroids from the downsampled map."""
    middles = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))[0][:, :4]
    x = middles[:, [0, 1, 2, 3]].view(1, 8, 2, 2).repeat_interleave(6, 2).repeat_interleave(8, 3)
    x = x.roll((1, 2), (2, 3))  # across the cells, so that the start is a mixture
    x = (x + 0.1 * torch.randn_like(x)) * torch.rand(1, 1, 12, 16).add(0.5)
    points = literal.unit(pixels(x[0]))
    start = literal.unit(literal.cell_averages(pixels(x[0]), (12, 16), 2, 2))
    ours = ClusteringTokenizer(8, 4, 12, pixel_groups=2, steps=10).centroids(x)[0]
    theirs = sklearns_kmeans(points, start, 300)
    assert np.array_equal(nearest(points, rows(ours)), theirs.labels_)
    assert sorted(np.bincount(theirs.labels_)) == [48] * 4


def test_centroids_start_as_the_downsampled_map_at_unit_length():
    x, _ = map_and_tokens()
    got = clustering(steps=0).centroids(x)
    for image, centroids in zip(x, got, strict=True):
        expected = literal.unit(literal.cell_averages(pixels(image), (5, 7), 2, 3))
        np.testing.assert_allclose(rows(centroids), expected, rtol=0, atol=1e-10)


def test_empty_clusters_stay_where_they_are():
    x = unit_pixels(batch=1)
    x[:, 0] = x[:, 0].abs()
    far = torch.zeros(1, 5, 1, dtype=torch.float64)
    far[:, 0] = -1  # no pixel is nearer to it than to its mirror image
    start = torch.cat([-far, far, x[:, :, :2]], dim=2)
    got = spherical_kmeans(x, start, 4)
    assert torch.equal(got[:, :, 1:2], far)
    expected = rows(start[0])
    for _ in range(4):
        expected = literal.lloyd_step(rows(x[0]), expected)
    np.testing.assert_allclose(rows(got[0]), expected, rtol=0, atol=1e-10)


def test_pixels_outside_the_mask_do_not_count():
    x = unit_pixels()
    inside = torch.rand(2, 200) > 0.4
    start = x[:, :, :7]
    got = spherical_kmeans(x, start, 5, inside)
    for points, keep, centroids, after in zip(x, inside, start, got, strict=True):
        alone = spherical_kmeans(points[None][:, :, keep], centroids[None], 5)[0]
        torch.testing.assert_close(after, alone, rtol=0, atol=1e-12)
    nothing = torch.zeros_like(inside)
    assert torch.equal(spherical_kmeans(x, start, 5, nothing), start)


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.parametrize("revision", ["v1", "v4"])
@pytest.mark.parametrize("token_channels", [8, 12])
def test_attention_is_the_softmax_of_products_with_the_centroids(revision, steps, token_channels):
    """v4 App. C from beginning to end in NumPy; the pixels in the product are not normalised."""
    x, _ = map_and_tokens()
    tokenizer = clustering(revision, token_channels, steps=steps)
    seen = []
    tokenizer.attention.register_forward_hook(lambda layer, args, output: seen.append(output))
    tokens = tokenizer(x)
    w_v = dense(tokenizer.value.conv) if revision == "v1" else None
    for image, attention, got in zip(x, seen[0], tokens, strict=True):
        points = pixels(image)
        centroids = literal.unit(literal.cell_averages(points, (5, 7), 2, 3))
        for _ in range(steps):
            centroids = literal.lloyd_step(literal.unit(points), centroids)
        averages, expected = literal.clustering_tokens(points, centroids, w_v)
        np.testing.assert_allclose(attention[0].numpy().T, expected, rtol=0, atol=1e-10)
        expected = literal.adjust_channels(averages, *channel_adjustment(tokenizer))
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


def test_no_gradient_passes_through_the_clusters_but_the_map_gets_one():
    x, _ = map_and_tokens()
    x.requires_grad_()
    tokenizer = clustering(position_encoder=PositionEncoder(1, 4, 1))
    centroids = tokenizer.centroids(x)
    assert not centroids.requires_grad
    weights = torch.randn(3, 12, 6, dtype=torch.float64)
    (got,) = torch.autograd.grad((tokenizer(x) * weights).sum(), x)

    def with_held_centroids(x):
        attention = (centroids.transpose(1, 2) @ x.flatten(2)).softmax(-1)[:, None]
        return tokenizer.finish(tokenizer.average(x, attention), attention, x, None)

    (expected,) = torch.autograd.grad((with_held_centroids(x) * weights).sum(), x)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    assert got.abs().min() > 0
    assert torch.autograd.gradcheck(with_held_centroids, x, fast_mode=True)


def test_clusters_of_half_precision_maps_are_found_in_float32():
    x = torch.randn(1, 8, 64, 96).bfloat16()
    tokenizer = ClusteringTokenizer(8, 6, 12, pixel_groups=2)
    expected = tokenizer.centroids(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = tokenizer.centroids(x)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_a_map_of_zeros_stays_finite():
    tokens = tokenizer_of("clustering")(torch.zeros(1, 8, 5, 7))
    assert tokens.isfinite().all()


def test_padding_changes_no_cluster():
    x, _ = map_and_tokens()
    larger, mask = padded(x)
    tokenizer = clustering()
    torch.testing.assert_close(
        tokenizer.centroids(larger, mask), tokenizer.centroids(x), rtol=0, atol=1e-12
    )


def test_negative_steps_are_refused():
    with pytest.raises(ValueError, match="clustering steps -1 cannot be negative"):
        ClusteringTokenizer(16, 4, 16, steps=-1)
