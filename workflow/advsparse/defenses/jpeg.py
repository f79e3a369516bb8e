"""Compression as JPEG."""

from __future__ import annotations

import io
from typing import Annotated

from pydantic import Field

from advsparse.defenses._base import Transformation
from advsparse.lazy import torch
from advsparse.settings import settings


@settings
class JPEG(Transformation):
    r"""An image as it comes back from a JPEG file.

    .. math:: t(x) = \mathrm{decode}(\mathrm{encode}(\mathrm{round}(255\, x))) / 255

    with Pillow's encoder: baseline, colours at half the resolution. Its derivative is 0 wherever
    there is one.

    Source: Dziugaite, Ghahramani and Roy 2016; Guo, Rana, Cisse and van der Maaten 2018.

    Cost: an encoding and a decoding for each image, one by one on the CPU, wherever the network is.

    Attacks: Athalye, Carlini and Wagner 2018: the transformations of Guo et al. leave an accuracy
    of 0 at an l2 norm of 0.05 (ImageNet), JPEG by BPDA with the identity. Shin and Song 2017: by a
    differentiable stand-in for the rounding.
    """

    backward = "identity"

    quality: Annotated[int, Field(ge=1, le=95)] = 75
    """Quality as encoders have it."""

    def transformation(self, learned):
        def t(x):
            levels = (x.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8)
            decoded = [self._decoded(image) for image in levels]
            return torch.stack(decoded).to(x.device, x.dtype) / 255

        return t

    def _decoded(self, levels):
        import numpy as np
        from PIL import Image

        grey, stream = len(levels) == 1, io.BytesIO()
        pixels = levels[0] if grey else levels.permute(1, 2, 0)
        Image.fromarray(pixels.contiguous().numpy()).save(stream, "JPEG", quality=self.quality)
        found = np.asarray(Image.open(stream))
        return (
            torch.from_numpy(found.copy())[None]
            if grey
            else torch.from_numpy(found.transpose(2, 0, 1).copy())
        )
