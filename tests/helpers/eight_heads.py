"""A tiny Gemma 2 with a head for each of eight devices."""

from score_jax.models.config import ModelConfig
from score_jax.models.config import NormPlacement
from score_jax.models.config import Rope

CONFIG = ModelConfig(
    model_type="gemma2",
    vocab_size=32,
    d_model=16,
    num_layers=2,
    num_heads=8,
    num_kv_heads=8,
    head_dim=2,
    d_ff=24,
    rope=Rope(100.0),
    norm_eps=1e-6,
    is_tied=True,
    max_positions=64,
    norm_offset=1.0,
    has_scaled_embedding=True,
    norm_placement=NormPlacement.AROUND,
    attention_softcap=50.0,
    logit_softcap=30.0,
    sliding_window=4,
    is_local=(True, False),
)
