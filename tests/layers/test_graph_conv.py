import numpy as np
import pytest
import torch
from torch import nn

from tests.layers import literal
from tests.layers.conftest import affine, randomised, with_statistics
from vt_seg.layers import GraphConv


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_each_token_takes_from_each_what_the_adjacency_says(norm):
    graph = with_statistics(randomised(GraphConv(6, 5, norm=norm)))
    tokens = torch.randn(3, 6, 5, dtype=torch.float64)
    adjacency = graph.adjacency.detach().numpy()
    assert np.abs(adjacency - adjacency.T).max() > 0.1  # a transposed one would show
    for given, got in zip(tokens, graph(tokens), strict=True):
        expected = literal.graph_convolution(given.numpy().T, adjacency, *affine(graph.projection))
        np.testing.assert_allclose(got.detach().numpy().T, expected, rtol=0, atol=1e-10)


def test_relations_are_the_same_in_every_image():
    """Linear: what one token adds does not depend on the others."""
    graph = randomised(GraphConv(6, 5))
    first, second = torch.randn(2, 1, 6, 5, dtype=torch.float64)
    zero = graph(torch.zeros_like(first))
    torch.testing.assert_close(
        graph(first + second) - zero, graph(first) + graph(second) - 2 * zero, rtol=0, atol=1e-12
    )


def test_permuting_tokens_matters():
    graph = randomised(GraphConv(6, 5))
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    order = torch.tensor([3, 1, 0, 4, 2])
    assert (graph(tokens[:, :, order]) - graph(tokens)[:, :, order]).abs().max() > 0.1


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_fresh_branch_adds_nothing_though_its_adjacency_is_not_zero(norm):
    graph = GraphConv(6, 5, norm=norm)
    assert graph.adjacency.abs().min() > 0
    assert not graph(torch.randn(2, 6, 5)).any()


def test_parameters_are_a_projection_and_l_times_l():
    """As in v4 Table 5, by its second-hand digits, as many as no mixer has: L x L is little."""
    count = sum(p.numel() for p in GraphConv(1024, 16, norm=nn.BatchNorm2d).parameters())
    assert count == 1024**2 + 2 * 1024 + 16**2


def test_another_number_of_tokens_is_refused():
    with pytest.raises(RuntimeError):
        GraphConv(6, 5)(torch.zeros(1, 6, 4))
