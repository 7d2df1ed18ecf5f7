"""A whole layer of the operators, with the native one before them: what the network's own layer is made like."""

from __future__ import annotations

from mindspore import Tensor, nn

from bert_ms.kernels import ops
from bert_ms.kernels.switch import enabled


class EncoderLayer(nn.Cell):
    """`ops.NativeEncoderLayer` for what it serves, the operators one by one for the rest; p is of every dropout."""

    def __init__(self, num_heads: int, name: str, eps: float, *, p: float, site: int):
        super().__init__(auto_prefix=False)
        self.project, self.output, self.through = ops.QueryKeyValue(), ops.Linear(), ops.FeedForward(name)
        self.attend = ops.Attention(num_heads, p, site)
        self.finish_attention = ops.DropoutResidualLayerNorm(eps, p, site + 1)
        self.finish = ops.DropoutResidualLayerNorm(eps, p, site + 2)
        self.native = None
        if enabled():
            self.native = ops.NativeEncoderLayer(
                num_heads, name, eps, dropout_p=p, attention_dropout_p=p, site=site
            )

    def construct(self, x: Tensor, attention_mask_BT: Tensor, dropout_key: Tensor | None, *weights: Tensor) -> Tensor:
        if self.native is not None and self.native.serves(x, attention_mask_BT, dropout_key):
            return self.native(x, attention_mask_BT, dropout_key, *weights)
        query, key, value = self.project(x, *weights[:6])
        context = self.attend(query, key, value, attention_mask_BT, dropout_key)
        hidden = self.finish_attention(self.output(context, *weights[6:8]), x, *weights[8:10], dropout_key)
        return self.finish(self.through(hidden, *weights[10:14]), hidden, *weights[14:16], dropout_key)
