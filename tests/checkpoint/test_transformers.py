"""What we write as safetensors loads in Transformers unchanged.

Transformers is no dependency: these tests run where the variable BERT_MS_PEER_PYTHON names an interpreter that has it
(with PyTorch), as the benchmarks use.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms import checkpoint
from tests.checkpoint.fixtures import QA, Fixture
from tests.support import golden

ms = pytest.importorskip("mindspore")

PEER = """
import json, sys
import numpy as np, torch, transformers
directory, kind, inputs, out = sys.argv[1:]
model, info = getattr(transformers, kind).from_pretrained(directory, output_loading_info=True)
arrays = {k: torch.from_numpy(v.astype(np.int64)) for k, v in np.load(inputs).items() if k in (
    "input_ids", "attention_mask", "token_type_ids")}
with torch.no_grad():
    result = model.eval()(**arrays)
np.savez(out, **{k: v.numpy() for k, v in result.items() if isinstance(v, torch.Tensor)})
print(json.dumps({k: sorted(info[k]) for k in ("missing_keys", "unexpected_keys")}))
"""


def _in_transformers(directory: Path, kind: str, fixture: str, out: Path) -> tuple[dict, dict[str, np.ndarray]]:
    python = os.environ.get("BERT_MS_PEER_PYTHON")
    if not python:
        pytest.skip("BERT_MS_PEER_PYTHON does not name an interpreter with transformers and torch")
    command = [python, "-c", PEER, str(directory), kind, str(golden(fixture) / "inputs.npz"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(out) as file:
        return json.loads(done.stdout.splitlines()[-1]), dict(file)


@pytest.mark.parametrize(
    ("fixture", "kind"),
    [
        ("hf_bert_pretraining", "BertForPreTraining"),
        ("hf_bert_mlm_untied", "BertForMaskedLM"),
        ("hf_bert_seqcls", "BertForSequenceClassification"),
        ("hf_bert_qa", "BertForQuestionAnswering"),
    ],
)
def test_a_checkpoint_that_went_through_ours_gives_the_same_in_transformers(
    tmp_path: Path, fixture: str, kind: str
) -> None:
    bert_ms.convert(golden(fixture), tmp_path / "ours", format="mindspore")
    bert_ms.convert(tmp_path / "ours", tmp_path / "back", format="safetensors")
    info, results = _in_transformers(tmp_path / "back", kind, fixture, tmp_path / "out.npz")
    assert info == {"missing_keys": [], "unexpected_keys": []}
    expected = Fixture(fixture).arrays("outputs")
    compared = [name for name in results if name in expected]
    assert compared
    for name in compared:
        np.testing.assert_allclose(results[name], expected[name], atol=1e-5)


def test_the_zoos_weights_give_the_same_in_transformers(tmp_path: Path) -> None:
    cell = bert_ms.from_pretrained(golden("modelzoo_squad"), QA)
    checkpoint.save(cell, tmp_path / "hf", format="safetensors")
    info, results = _in_transformers(
        tmp_path / "hf", "BertForQuestionAnswering", "modelzoo_squad", tmp_path / "out.npz"
    )
    assert info == {"missing_keys": [], "unexpected_keys": []}
    outputs = cell(*(ms.Tensor(array) for array in Fixture("modelzoo_squad").inputs()))
    for name, ours in zip(("start_logits", "end_logits"), outputs, strict=True):
        np.testing.assert_allclose(results[name], ours.asnumpy(), atol=1e-5)
