"""Which modules are normalisation layers with a learned scale and shift."""

from detectron2.layers.batch_norm import LayerNorm as ChannelsFirstLayerNorm
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORM_LAYERS = (_NormBase, nn.GroupNorm, nn.LayerNorm, ChannelsFirstLayerNorm)
"""``_NormBase`` are the batch norms, Detectron2's and synchronised ones too, and instance norms.
Detectron2's ``FrozenBatchNorm2d`` has buffers, no parameters."""
