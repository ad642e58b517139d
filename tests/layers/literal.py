"""The paper's formulas, literally, in NumPy float64 and pixel-major as the paper has them.

Nothing here uses vt_seg: feature maps are ``X (HW, C)``, tokens ``T (L, C_T)``, one image at a
time. Weights are ``(out, in)`` matrices; a grouped one is first made block-diagonal.
"""

import numpy as np


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def block_diagonal(weight, groups):
    """Grouped 1x1 convolution's weight ``(out, in / groups)`` as a dense ``(out, in)``."""
    out, per_group = weight.shape
    dense = np.zeros((out, per_group * groups))
    for row in range(out):
        group = row // (out // groups)
        dense[row, group * per_group : (group + 1) * per_group] = weight[row]
    return dense


def filter_tokens(x, w_a, w_v=None):
    """v1 Eq. 1 ``T = softmax_HW(X W_A^T / sqrt(C))^T (X W_V)``; without ``w_v`` v4 Eq. 1."""
    attention = softmax(x @ w_a.T / np.sqrt(x.shape[1]), axis=0)  # (HW, L)
    values = x if w_v is None else x @ w_v.T
    return attention.T @ values, attention


def adjust_channels(t, weight=None, bias=None):
    """From C to C_T channels (v1 Sec. 4); without ``weight`` (v4, C_T = C) unchanged tokens."""
    return t if weight is None else t @ weight.T + bias


def recurrent_tokens_v1(x, t_a, w_q, w_k, w_v, heads):
    """v1 App. A Listing 1, dynamic: multi-head, loops over heads. Returns tokens and attention."""
    query, keys, values = t_a @ w_q.T, x @ w_k.T, x @ w_v.T
    width = x.shape[1] // heads
    tokens = np.zeros((len(t_a), x.shape[1]))
    attention = np.zeros((heads, len(x), len(t_a)))
    for h in range(heads):
        c = slice(h * width, (h + 1) * width)
        attention[h] = softmax(keys[:, c] @ query[:, c].T / np.sqrt(width), axis=0)
        tokens[:, c] = attention[h].T @ values[:, c]
    return tokens, attention


def recurrent_tokens_v4(x, t_in, w_r):
    """v4 Eq. 2: ``W_R = T_in W_{T->R}``, ``T = softmax_HW(X W_R^T)^T X`` (logits over sqrt(C))."""
    filters = t_in @ w_r.T  # (L, C)
    attention = softmax(x @ filters.T / np.sqrt(x.shape[1]), axis=0)
    return attention.T @ x, attention


def self_attention(query, key, value, heads):
    """Token by token and head by head: out_i = sum_j softmax_j(q_i . k_j / sqrt(d)) v_j."""
    out = np.zeros_like(value)
    dk, dv = query.shape[1] // heads, value.shape[1] // heads
    for h in range(heads):
        k, v = slice(h * dk, (h + 1) * dk), slice(h * dv, (h + 1) * dv)
        for i in range(len(query)):
            weights = softmax(key[:, k] @ query[i, k] / np.sqrt(dk), axis=0)
            out[i, v] = sum(weights[j] * value[j, v] for j in range(len(key)))
    return out


def token_attention(t, w_q, w_k, w_v, heads):
    """v1 App. A Listing 3, scaled by sqrt(d); v4 Eq. 3 without ``w_v``: the value is T."""
    query, key = t @ w_q[0].T + w_q[1], t @ w_k[0].T + w_k[1]
    return self_attention(query, key, t if w_v is None else t @ w_v[0].T + w_v[1], heads)


def feed_forward_v4(t, f1, f2):
    """v4 Eq. 4: ``relu(T F1) F2``."""
    return np.maximum(t @ f1[0].T + f1[1], 0) @ f2[0].T + f2[1]


def project(x, t, w_q, w_k, w_v, heads):
    """v1 Eq. 4 in heads: ``X + softmax_L((X Q)(T K)^T / sqrt(d)) (T V)``."""
    query, key = x @ w_q.T, t @ w_k[0].T + w_k[1]
    value = t if w_v is None else t @ w_v[0].T + w_v[1]
    out = x.copy()
    width = x.shape[1] // heads
    for h in range(heads):
        c = slice(h * width, (h + 1) * width)
        out[:, c] += softmax(query[:, c] @ key[:, c].T / np.sqrt(width), axis=1) @ value[:, c]
    return out


def area_resize(image, rows, columns=None):
    """What of a map falls into each of ``rows`` x ``columns`` equal cells (default: a square).

    By brute force: every pixel is cut into ``rows`` x ``columns`` equal pieces, so that each cell
    holds a whole number of pieces.
    """
    columns = rows if columns is None else columns
    height, width = image.shape
    fine = np.repeat(np.repeat(image, rows, axis=0), columns, axis=1)
    return fine.reshape(rows, height, columns, width).sum(axis=(1, 3)) / (rows * columns)


def cell_averages(x, size, rows, columns):
    """Average of a map ``x (HW, C)`` of ``size`` (H, W) in each cell, row by row: ``(L, C)``."""
    area = size[0] * size[1] / (rows * columns)
    cells = [area_resize(channel.reshape(size), rows, columns) / area for channel in x.T]
    return np.stack([cell.ravel() for cell in cells], axis=1)


def unit(x):
    """Rows at unit length."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def lloyd_step(pixels, centroids):
    """v4 App. C, pixel by pixel: assign to the nearest centroid, average, normalise again."""
    members = [[] for _ in centroids]
    for pixel in pixels:
        distances = [((pixel - centroid) ** 2).sum() for centroid in centroids]
        members[int(np.argmin(distances))].append(pixel)
    pairs = zip(members, centroids, strict=True)
    return np.stack([unit(np.mean(own, axis=0)) if own else centroid for own, centroid in pairs])


def clustering_tokens(x, centroids, w_v=None):
    """v4 App. C: ``A = softmax_HW(X U)`` with ``centroids`` ``U^T (L, C)``, ``T = A^T X``."""
    attention = softmax(x @ centroids.T, axis=0)
    values = x if w_v is None else x @ w_v.T
    return attention.T @ values, attention


def graph_convolution(t, adjacency, weight, bias):
    """``A T W`` token by token: what token i takes from each token j."""
    numbers = range(len(t))
    taken = [sum(adjacency[i, j] * (weight @ t[j]) for j in numbers) for i in numbers]
    return np.stack(taken) + bias
