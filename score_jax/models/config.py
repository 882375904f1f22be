"""Model hyper-parameters: one class for all families, as there is one decoder.

`hf_config.py` reads them from a config.json and writes them back.
"""

import dataclasses
import enum
from typing import Any

import jax

# Families of which transformers refuses a width that heads do not divide, even
# where head_dim is given.
_WHOLE_HEADS = ("gemma2", "gemma3_text", "llama")


class Activation(enum.Enum):
  """Activations of the gated feed-forward layer, by Hugging Face's name."""

  SILU = "silu"
  GELU_TANH = "gelu_pytorch_tanh"

  def __call__(self, x: jax.Array) -> jax.Array:
    if self is Activation.SILU:
      return jax.nn.silu(x)
    return jax.nn.gelu(x, approximate=True)


class NormPlacement(enum.Enum):
  """Where attention and the feed-forward layer are normed.

  BEFORE: what goes in (Llama). AROUND: what goes in and what comes out (Gemma).
  BEHIND: what comes out, before it is added to the residual stream (OLMo 2).
  """

  BEFORE = "before"
  AROUND = "around"
  BEHIND = "behind"


class QkNorm(enum.Enum):
  """What a norm of queries and keys, before rotation, goes over.

  HEAD: the numbers of one head, all heads by the same scale (Qwen 3, Gemma 3).
  PROJECTION: the numbers of all heads together (OLMo 2).
  """

  HEAD = "head"
  PROJECTION = "projection"


@dataclasses.dataclass(frozen=True)
class LinearScaling:
  """Positions are divided by a factor, as Gemma 3 does in global layers."""

  factor: float


@dataclasses.dataclass(frozen=True)
class Llama3Scaling:
  """Llama 3.1's scaling: long wavelengths are stretched, short ones are not.

  Attributes:
    factor: factor by which long wavelengths grow.
    low_freq_factor: wavelengths above original_max_positions /
      low_freq_factor are long.
    high_freq_factor: wavelengths below original_max_positions /
      high_freq_factor are short. Between the two, the factor is blended.
    original_max_positions: positions of the first pre-training, in tokens.
  """

  factor: float
  low_freq_factor: float
  high_freq_factor: float
  original_max_positions: int

  def __post_init__(self):
    if not self.low_freq_factor < self.high_freq_factor:
      raise ValueError(
          f"low_freq_factor {self.low_freq_factor} is not below"
          f" high_freq_factor {self.high_freq_factor}"
      )


@dataclasses.dataclass(frozen=True)
class YarnScaling:
  """YaRN: pairs that turn seldom are stretched, fast ones are not.

  Between the two the factor is blended, along the index of the pair.

  Attributes:
    factor: factor by which long wavelengths grow.
    original_max_positions: positions of the first pre-training, in tokens.
    attention_factor: factor of rotated queries and keys, each.
    beta_fast: pairs with more turns than this, over the original positions,
      keep their wavelength.
    beta_slow: pairs with fewer turns than this grow by the whole factor.
    has_whole_bounds: the bounds of the blend are rounded to whole pairs.
  """

  factor: float
  original_max_positions: int
  attention_factor: float
  beta_fast: float = 32.0
  beta_slow: float = 1.0
  has_whole_bounds: bool = True

  @property
  def max_positions(self) -> int:
    """Positions that the scaling reaches to."""
    return int(self.factor * self.original_max_positions)


@dataclasses.dataclass(frozen=True)
class LongRopeScaling:
  """LongRoPE: each wavelength grows by a factor of its own.

  A model has other factors, and is another function, for rows that are longer
  than those of its first pre-training. Such rows are not computed: the factors
  are kept for the files alone.

  Attributes:
    short_factors: of rows of up to original_max_positions tokens, one for each
      pair that is rotated.
    long_factors: of longer rows.
    original_max_positions: positions of the first pre-training, in tokens.
    attention_factor: factor of rotated queries and keys, each.
  """

  short_factors: tuple[float, ...]
  long_factors: tuple[float, ...]
  original_max_positions: int
  attention_factor: float


Scaling = LinearScaling | Llama3Scaling | YarnScaling | LongRopeScaling


@dataclasses.dataclass(frozen=True)
class Rope:
  """Rotary position embedding.

  Attributes:
    theta: base of the wavelengths.
    scaling: how the wavelengths are stretched, None for not at all.
    share: share of a head that is rotated, the first of its numbers.
  """

  theta: float
  scaling: Scaling | None = None
  share: float = 1.0

  @property
  def amplitude(self) -> float:
    """Factor of what is rotated."""
    if isinstance(self.scaling, YarnScaling | LongRopeScaling):
      return self.scaling.attention_factor
    return 1.0

  def rotated(self, head_dim: int) -> int:
    """Numbers of a head that are rotated."""
    return int(head_dim * self.share)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Shape and constants of a decoder; hashable, so it can be a static argument.

  The defaults are those of a plain Llama.

  Attributes:
    model_type: Hugging Face's name of the family; decides how tensors and
      fields are called in files, and nothing else.
    vocab_size: V, rows of the embedding table.
    d_model: D, width of the residual stream.
    num_layers: L.
    num_heads: H, query heads.
    num_kv_heads: N, key/value heads; divides H.
    head_dim: width of one head.
    d_ff: F, width of the gated feed-forward layer.
    rope: rotary embedding of layers that see all earlier positions.
    norm_eps: added to the mean square in RMS norms.
    is_tied: the output head is the transposed embedding table.
    max_positions: longest sequence the model was made for, in tokens; see
      `position_limit`.
    activation: activation of the gated feed-forward layer.
    norm_offset: added to the scales of RMS norms: 1 where files hold scale - 1.
    has_scaled_embedding: embeddings are multiplied by sqrt(D).
    norm_placement: where attention and the feed-forward layer are normed.
    qk_norm: what a norm of queries and keys goes over; None for no norm.
    has_qkv_bias: queries, keys and values have a bias.
    has_output_bias: attention's output projection has a bias.
    query_pre_attn_scalar: attention scores are divided by its square root; None
      stands for head_dim.
    attention_softcap: c, where attention scores s become c tanh(s / c); None
      leaves them as they are.
    logit_softcap: c, where logits s become c tanh(s / c); None leaves them as
      they are.
    sliding_window: positions that a local layer sees, itself included; None
      where no layer is local.
    is_local: for each layer whether it is local; () where none is.
    local_rope: rotary embedding of local layers; None stands for `rope`.
    has_rope: for each layer whether its queries and keys are rotated; () where
      all are.
  """

  model_type: str
  vocab_size: int
  d_model: int
  num_layers: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  d_ff: int
  rope: Rope
  norm_eps: float
  is_tied: bool
  max_positions: int
  activation: Activation = Activation.SILU
  norm_offset: float = 0.0
  has_scaled_embedding: bool = False
  norm_placement: NormPlacement = NormPlacement.BEFORE
  qk_norm: QkNorm | None = None
  has_qkv_bias: bool = False
  has_output_bias: bool = False
  query_pre_attn_scalar: float | None = None
  attention_softcap: float | None = None
  logit_softcap: float | None = None
  sliding_window: int | None = None
  is_local: tuple[bool, ...] = ()
  local_rope: Rope | None = None
  has_rope: tuple[bool, ...] = ()

  def __post_init__(self):
    if self.num_heads % self.num_kv_heads:
      raise ValueError(
          f"num_heads {self.num_heads} is not a multiple of num_kv_heads"
          f" {self.num_kv_heads}: every key/value head serves an equal group"
      )
    if self.model_type in _WHOLE_HEADS and self.d_model % self.num_heads:
      raise ValueError(
          f"hidden_size {self.d_model} is not a multiple of num_heads"
          f" {self.num_heads}, which transformers asks of"
          f" {', '.join(_WHOLE_HEADS)}: no export could be loaded"
      )
    self._check_ropes()
    for kinds in (self.is_local, self.has_rope):
      if kinds and len(kinds) != self.num_layers:
        raise ValueError(
            f"kinds of layers are given for {len(kinds)} layers, the model has"
            f" {self.num_layers}"
        )
    if any(self.is_local) != (self.sliding_window is not None):
      raise ValueError(
          f"sliding_window is {self.sliding_window} with"
          f" {sum(self.is_local)} local layers: give both or neither"
      )
    if self.sliding_window is not None and self.sliding_window < 1:
      raise ValueError(
          f"sliding_window is {self.sliding_window}, expected at least 1"
      )

  def _check_ropes(self) -> None:
    """Refuses what cannot be rotated in pairs."""
    for rope in (self.rope, self.local_rope or self.rope):
      width = rope.rotated(self.head_dim)
      if self.head_dim % 2 or width % 2 or width < 2:
        raise ValueError(
            f"head_dim {self.head_dim} is odd, or so are the {width} of its"
            " numbers that are rotated: rotary embeddings rotate pairs"
        )
      if width != self.rope.rotated(self.head_dim):
        raise ValueError(
            f"local layers rotate {width} numbers of a head, global ones"
            f" {self.rope.rotated(self.head_dim)}: expected as many"
        )
      scaling = rope.scaling
      if isinstance(scaling, LongRopeScaling):
        for factors in (scaling.short_factors, scaling.long_factors):
          if len(factors) != width // 2:
            raise ValueError(
                f"LongRoPE has {len(factors)} factors, expected one for each"
                f" of {width // 2} pairs that are rotated"
            )

  @property
  def position_limit(self) -> int:
    """Longest sequence that the model can be given, in tokens.

    Files with YaRN name the original length or the one that it reaches to.
    Beyond LongRoPE's original length a model is another one.
    """
    scaling = self.rope.scaling
    if isinstance(scaling, LongRopeScaling):
      return min(self.max_positions, scaling.original_max_positions)
    if isinstance(scaling, YarnScaling):
      return max(self.max_positions, scaling.max_positions)
    return self.max_positions

  @property
  def query_scale(self) -> float:
    """Factor of queries before their products with keys."""
    return (self.query_pre_attn_scalar or self.head_dim) ** -0.5


def description(config: ModelConfig) -> dict[str, Any]:
  """A configuration as JSON has it: equal for equal models, and for no others.

  Fields with their defaults are left out, so that a mechanism that is added
  later changes no description. A part that is a class of its own, such as a
  scaling of rotary embeddings, is an object with the class's name as `kind`.
  """
  return _parts(config)


def _parts(value: Any) -> dict[str, Any]:
  """Fields of a dataclass, less those with their defaults."""
  return {
      field.name: _plain(vars(value)[field.name])
      for field in dataclasses.fields(value)
      if vars(value)[field.name] != field.default
  }


def _plain(value: Any) -> Any:
  if isinstance(value, enum.Enum):
    return value.value
  if isinstance(value, tuple):
    return [_plain(v) for v in value]
  if dataclasses.is_dataclass(value):
    return {"kind": type(value).__name__, **_parts(value)}
  return value
