"""A model's functions, compiled fast."""

import functools

from score_jax.models import decoding
from score_jax.models import transformer
from tests.helpers.compiling import fast_jit

fast_logits = fast_jit(transformer.logits, static_argnums=1)


@functools.partial(fast_jit, static_argnums=(1, 4))
def fast_prefill(params, config, tokens, mask, columns):
  """A cache that holds the tokens."""
  layout = decoding.layout(params, config)
  return decoding.prefill(layout, config, tokens, mask, columns)


@functools.partial(fast_jit, static_argnums=1)
def fast_continue(params, config, tokens, mask, cache):
  """Logits [R, T, V] of tokens after those of a cache, and the new cache."""
  layout = decoding.layout(params, config)
  hidden, cache = decoding.extend(layout, config, tokens, mask, cache)
  table = transformer.output_table(layout, config)
  return transformer.unembed(hidden, table, config), cache
