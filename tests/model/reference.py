"""BERT and NEZHA in plain numpy float64, written from the papers, to compare the Cells with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from bert_ms.config import BertConfig

Weights = Mapping[str, np.ndarray]
Masks = Callable[[int, tuple[int, ...], float], np.ndarray]

_erf = np.vectorize(math.erf)
ACTIVATIONS = {
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "fast_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
}


def no_dropout(site: int, shape: tuple[int, ...], probability: float) -> np.ndarray:
    return np.ones(shape)


def encode(
    config: BertConfig,
    weights: Weights,
    input_ids: np.ndarray,
    attention_mask: np.ndarray,
    token_type_ids: np.ndarray,
    masks: Masks = no_dropout,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """All hidden states [B, S, H] and attentions [B, N, S, T]; `masks` gives what each dropout multiplies with."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    hidden = w["embeddings.word_embeddings.weight"][input_ids]
    hidden = hidden + w["embeddings.token_type_embeddings.weight"][token_type_ids]
    if config.has_absolute_positions:
        hidden = hidden + w["embeddings.position_embeddings.weight"][: input_ids.shape[1]]
    hidden = _norm(hidden, w, "embeddings.layer_norm", config)
    hidden = hidden * masks(0, hidden.shape, config.hidden_dropout_prob)
    states, attentions = [hidden], []
    for i in range(config.num_hidden_layers):
        site = 1 + 3 * i
        context, probs = _attention(config, w, f"encoder.layers.{i}.attention", hidden, attention_mask, masks, site)
        dense = _dense(context, w, f"encoder.layers.{i}.attention.output")
        dense = dense * masks(site + 1, dense.shape, config.hidden_dropout_prob)
        hidden = _norm(hidden + dense, w, f"encoder.layers.{i}.attention.layer_norm", config)
        inner = ACTIVATIONS[config.hidden_act](_dense(hidden, w, f"encoder.layers.{i}.feed_forward.intermediate"))
        dense = _dense(inner, w, f"encoder.layers.{i}.feed_forward.output")
        dense = dense * masks(site + 2, dense.shape, config.hidden_dropout_prob)
        hidden = _norm(hidden + dense, w, f"encoder.layers.{i}.feed_forward.layer_norm", config)
        states.append(hidden)
        attentions.append(probs)
    return states, attentions


def _dense(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(x, w, name, config):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + config.layer_norm_eps) * w[f"{name}.weight"] + w[f"{name}.bias"]


def _attention(config, w, name, hidden, attention_mask, masks, site):
    B, S, H = hidden.shape
    N, D = config.num_attention_heads, config.head_size

    def heads(part):
        return _dense(hidden, w, f"{name}.{part}").reshape(B, S, N, D).transpose(0, 2, 1, 3)

    query, key, value = heads("query"), heads("key"), heads("value")
    scores = query @ key.transpose(0, 1, 3, 2)
    position = np.arange(S)
    rows = None
    if config.relative_position != "none":
        M = config.max_relative_position
        index = np.clip(position[None, :] - position[:, None], -M, M) + M
        if config.relative_position == "learned":
            rows = w[f"{name}.relative_positions.weight"][index]
        else:
            angle = np.arange(2 * M + 1)[:, None] / 10000 ** (np.arange(0, D, 2) / D)
            table = np.stack([np.sin(angle), np.cos(angle)], -1).reshape(2 * M + 1, D)
            rows = table[index]
        scores = scores + np.einsum("bnsd,std->bnst", query, rows)
    elif config.position_embedding_type != "absolute":
        index = position[:, None] - position[None, :] + config.max_position_embeddings - 1
        keyed = w[f"{name}.relative_positions.weight"][index]
        scores = scores + np.einsum("bnsd,std->bnst", query, keyed)
        if config.position_embedding_type == "relative_key_query":
            scores = scores + np.einsum("bntd,std->bnst", key, keyed)
    scores = scores / math.sqrt(D)
    allowed = np.broadcast_to(attention_mask[:, None, None, :] != 0, scores.shape)
    if config.is_decoder:
        allowed = allowed & np.tril(np.ones((S, S), bool))
    scores = np.where(allowed, scores, np.finfo(np.float32).min)
    probs = np.exp(scores - scores.max(-1, keepdims=True))
    probs = probs / probs.sum(-1, keepdims=True)
    dropped = probs * masks(site, probs.shape, config.attention_probs_dropout_prob)
    context = dropped @ value
    if rows is not None:
        context = context + np.einsum("bnst,std->bnsd", dropped, rows)
    return context.transpose(0, 2, 1, 3).reshape(B, S, H), probs
