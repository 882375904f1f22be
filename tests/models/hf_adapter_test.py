"""Tests of score_jax.models.hf_adapter: files by name, and what peft reads."""

import dataclasses
import json
import pathlib
import warnings

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from score_jax.models import hf
from score_jax.models import hf_adapter
from score_jax.models import lora
from score_jax.models import transformer
from score_jax.models.config import ModelConfig
from score_jax.models.config import Rope
from score_jax.models.lora import Adapted
from tests.helpers.fast_models import fast_logits

LLAMA = ModelConfig(
    model_type="llama",
    vocab_size=32,
    d_model=16,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=6,
    d_ff=20,
    rope=Rope(100.0),
    norm_eps=1e-5,
    is_tied=False,
    max_positions=64,
)
QWEN = dataclasses.replace(
    LLAMA, model_type="qwen2", has_qkv_bias=True, head_dim=4
)
TOKENS = np.arange(12).reshape(2, 6) * 5 % 31
MODULES = {
    "self_attn.q_proj": (16, 24),
    "self_attn.k_proj": (16, 12),
    "self_attn.v_proj": (16, 12),
    "self_attn.o_proj": (24, 16),
    "mlp.gate_proj": (16, 20),
    "mlp.up_proj": (16, 20),
    "mlp.down_proj": (20, 16),
}


def _adapted(config):
  params = transformer.init_params(jax.random.key(0), config)
  factors = lora.init_factors(jax.random.key(1), params["layers"], 3)
  rng = np.random.default_rng(0)
  factors = {
      name: f + jnp.asarray(0.3 * rng.normal(size=f.shape), f.dtype)
      for name, f in factors.items()
  }
  return Adapted(params, factors, 1.5)


class AdapterTest(parameterized.TestCase):

  def _saved(self, config):
    root = pathlib.Path(self.create_tempdir().full_path)
    adapted = _adapted(config)
    hf.save(root / "base", config, adapted.frozen)
    hf_adapter.save(
        root / "adapter",
        config,
        adapted,
        like=root / "base",
        base=str(root / "base"),
    )
    return root, adapted

  def test_names_shapes_and_content(self):
    root, adapted = self._saved(LLAMA)
    content = json.loads((root / "adapter/adapter_config.json").read_text())
    self.assertEqual(content["peft_type"], "LORA")
    self.assertEqual((content["r"], content["lora_alpha"]), (3, 4.5))
    self.assertEqual(
        content["target_modules"], sorted(m.split(".")[1] for m in MODULES)
    )
    self.assertEqual(content["base_model_name_or_path"], str(root / "base"))
    found = safetensors.numpy.load_file(
        root / "adapter" / "adapter_model.safetensors"
    )
    expected = {}
    for layer in range(2):
      for module, (inputs, outputs) in MODULES.items():
        name = f"base_model.model.model.layers.{layer}.{module}"
        expected[f"{name}.lora_A.weight"] = (3, inputs)
        expected[f"{name}.lora_B.weight"] = (outputs, 3)
    self.assertEqual({n: a.shape for n, a in found.items()}, expected)
    hf.save(root / "merged", LLAMA, adapted)
    base, merged = (
        safetensors.numpy.load_file(root / name / "model.safetensors")
        for name in ("base", "merged")
    )
    for layer in range(2):
      for module in MODULES:
        name = f"model.layers.{layer}.{module}"
        a, b = (found[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
        np.testing.assert_allclose(
            merged[f"{name}.weight"],
            base[f"{name}.weight"] + 1.5 * (b @ a),
            atol=1e-5,
        )

  def test_fused_matrices_are_refused(self):
    phi = dataclasses.replace(LLAMA, model_type="phi3")
    root = pathlib.Path(self.create_tempdir().full_path)
    with self.assertRaisesRegex(
        ValueError, "phi3 have query and key and value"
    ):
      hf_adapter.save(
          root / "adapter", phi, _adapted(phi), like=root, base="here"
      )
    self.assertFalse((root / "adapter").exists())

  @parameterized.parameters((LLAMA,), (QWEN,))
  @pytest.mark.parity
  @pytest.mark.slow
  def test_peft_computes_the_merged_model(self, config):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      peft = pytest.importorskip("peft")
    root, adapted = self._saved(config)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      model = peft.AutoPeftModelForCausalLM.from_pretrained(root / "adapter")
      with torch.no_grad():
        found = model(torch.tensor(TOKENS)).logits.numpy()
    hf.save(root / "merged", config, adapted)
    _, merged = hf.load(root / "merged")
    expected = fast_logits(merged, config, TOKENS, np.ones(TOKENS.shape, bool))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    base = fast_logits(
        adapted.frozen, config, TOKENS, np.ones(TOKENS.shape, bool)
    )
    self.assertGreater(np.abs(expected - base).max(), 0.1)


if __name__ == "__main__":
  absltest.main()
