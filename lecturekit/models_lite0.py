"""EfficientNet-Lite0 (Tan & Le, ICML 2019; the Lite form: Google 2020, ReLU6 and no squeeze-and-excitation).

The same network as timm's ``tf_efficientnet_lite0``, tensor for tensor and name for name, without the time
that timm takes to import.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

#: Of each stage: blocks, kernel, stride of the first block, channels after it.
STAGES = (
    (1, 3, 1, 16),
    (2, 3, 2, 24),
    (2, 5, 2, 40),
    (3, 3, 2, 80),
    (3, 5, 1, 112),
    (4, 5, 2, 192),
    (1, 3, 1, 320),
)
EXPANSION = 6


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow pads: output of ``ceil(size / stride)``, the odd pixel at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        # With stride 1 both ends get the same, which the convolution itself can add.
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Feature maps ``(B, outputs, ceil(h / stride), ceil(w / stride))``."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride > 1:
            before_and_after = []
            for size in (input.shape[3], input.shape[2]):  # width first, as `pad` takes it
                missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
                before_and_after += [missing // 2, missing - missing // 2]
            input = F.pad(input, before_and_after)
        return super().forward(input)


class NormAct(nn.BatchNorm2d):
    """Batch norm and, with `act`, ReLU6."""

    def __init__(self, channels: int, act: bool = True):
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        """Feature maps of the same shape."""
        return self.act(super().forward(input))


class DepthwiseSeparable(nn.Module):
    """A convolution within each channel, then one across channels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.conv_dw = SameConv2d(inputs, inputs, kernel, stride, groups=inputs)
        self.bn1 = NormAct(inputs)
        self.conv_pw = SameConv2d(inputs, outputs, 1)
        self.bn2 = NormAct(outputs, act=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps ``(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)``."""
        y = self.bn1(self.conv_dw(x))
        y = self.bn2(self.conv_pw(y))
        return y + x if self.residual else y


class InvertedResidual(nn.Module):
    """Widen, convolve within each channel, narrow (Sandler et al., "MobileNetV2", CVPR 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        inner = EXPANSION * inputs
        self.conv_pw = SameConv2d(inputs, inner, 1)
        self.bn1 = NormAct(inner)
        self.conv_dw = SameConv2d(inner, inner, kernel, stride, groups=inner)
        self.bn2 = NormAct(inner)
        self.conv_pwl = SameConv2d(inner, outputs, 1)
        self.bn3 = NormAct(outputs, act=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps ``(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)``."""
        y = self.bn1(self.conv_pw(x))
        y = self.bn2(self.conv_dw(y))
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.residual else y


class EfficientNetLite0(nn.Module):
    """Images ``(B, 3, H, W)`` -> logits ``(B, classes)``; 4.7 million weights, feature maps of H / 32.

    Args:
        classes: outputs of the linear layer.

    Example:
        >>> network = EfficientNetLite0(classes=10).eval()
        >>> import torch
        >>> network(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 10])
    """

    def __init__(self, classes: int = 1000):
        super().__init__()
        self.conv_stem = SameConv2d(3, 32, 3, 2)
        self.bn1 = NormAct(32)
        channels, stages = 32, []
        for n, (blocks, kernel, stride, outputs) in enumerate(STAGES):
            block = InvertedResidual if n > 0 else DepthwiseSeparable
            first = block(channels, outputs, kernel, stride)
            stages.append(
                nn.Sequential(first, *(block(outputs, outputs, kernel, 1) for _ in range(blocks - 1)))
            )
            channels = outputs
        self.blocks = nn.Sequential(*stages)
        self.conv_head = SameConv2d(channels, 1280, 1)
        self.bn2 = NormAct(1280)
        self.classifier = nn.Linear(1280, classes)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last feature maps ``(B, 1280, H / 32, W / 32)``, after their activation."""
        x = self.bn1(self.conv_stem(images))
        return self.bn2(self.conv_head(self.blocks(x)))

    def forward_head(self, features: Tensor) -> Tensor:
        """Global average and linear layer: ``(B, 1280, h, w)`` -> logits ``(B, classes)``."""
        return self.classifier(F.adaptive_avg_pool2d(features, 1).flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes)``."""
        return self.forward_head(self.forward_features(images))
