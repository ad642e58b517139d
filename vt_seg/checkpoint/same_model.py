"""Whether two state dicts are of one model, and how they differ if not."""

from collections.abc import Mapping

from torch import Tensor


def describe_other_model(saved: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> str:
    """Return how the tensors of a file differ from the model's in name or shape; "" if they do not.

    The counts of batches are left out: FrozenBN lacks them and other norms have them.

    Args:
        saved: tensors or arrays by name, of the file.
        here: ``state_dict`` of the model.
    """
    ours = {key: tuple(value.shape) for key, value in here.items()}
    theirs = {key: tuple(value.shape) for key, value in saved.items()}
    shapes = [key for key in theirs if key in ours and theirs[key] != ours[key]]
    keys = [key for key in ours.keys() ^ theirs.keys() if not key.endswith("num_batches_tracked")]
    if not shapes and not keys:
        return ""
    if shapes:
        key = shapes[0]
        example = f"{key} is {theirs[key]} in it and {ours[key]} here"
    else:
        key = min(keys)
        example = f"{key} is in {'it' if key in theirs else 'this model'} alone"
    return (
        f"{len(shapes)} tensors have other shapes and {len(keys)} have no counterpart ({example})"
    )
