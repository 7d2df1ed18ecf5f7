"""The architecture of a BERT or NEZHA network, read from every peer's configuration file."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_ms.config import dialects
from bert_ms.errors import ConfigError, unknown
from bert_ms.files import write_file

# Our name of an activation -> the names that peers use for it. The first alias is what we write for Hugging Face.
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "gelu": ("gelu", "gelu_erf", "gelu_python"),
    "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_tanh", "gelu_fast"),
    "fast_gelu": ("quick_gelu", "fast_gelu"),
    "relu": ("relu",),
    "silu": ("silu", "swish"),
    "tanh": ("tanh",),
    "sigmoid": ("sigmoid",),
    "mish": ("mish",),
}
_ACTIVATION_OF = {alias: name for name, aliases in ACTIVATIONS.items() for alias in aliases}

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
RELATIVE_POSITIONS = ("none", "learned", "sinusoid")
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
CRF_STATES = 2  # START and STOP, which a CRF has beside the labels
INT8 = "int8"  # the dtype of networks whose layers are rounded when they are loaded, see `bert_ms.model.rounding`
MAX_CONFIG_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """The architecture of one network. Frozen: use `dataclasses.replace` for a changed copy.

    Attributes:
        vocab_size: rows of the word table V.
        hidden_size: width H of the hidden states.
        num_hidden_layers: number of Transformer layers.
        num_attention_heads: heads N; H is a multiple of N.
        intermediate_size: width I inside the feed-forward block.
        hidden_act: one of ACTIVATIONS; `gelu` is the erf form, `gelu_tanh` the tanh form.
        hidden_dropout_prob: dropout of embeddings and of each block's output, in [0, 1).
        attention_probs_dropout_prob: dropout of attention probabilities, in [0, 1).
        max_position_embeddings: rows of the position table, hence the longest sequence with absolute positions.
        type_vocab_size: rows of the token type table.
        initializer_range: standard deviation of the truncated normal that weights start from.
        layer_norm_eps: epsilon of every LayerNorm.
        pad_token_id: id of padding, whose row of the word table gets no gradient (Hugging Face); None lets it learn
            like any other (google-research, model zoo).
        position_embedding_type: absolute, or Hugging Face's relative_key and relative_key_query.
        relative_position: NEZHA's relative positions: none, learned (model zoo), sinusoid (huawei-noah, Hugging
            Face).
        max_relative_position: distances are clipped to this (NEZHA only).
        is_decoder: attention looks at earlier positions only.
        add_cross_attention: decoder layers attend to another encoder's output.
        tie_word_embeddings: a language-model decoder shares the word table.
        add_pooler: the encoder has the dense tanh layer over [CLS]; some checkpoints come without it.
        classifier_dropout: dropout before a classifier; None takes hidden_dropout_prob.
        num_labels: outputs of a classifier head; None where the task has none or it is not known.
        labels: name of each label, empty when there are none.
        has_crf: a token classifier has a CRF over its labels, and outputs for START and STOP after theirs.
        has_lstm: a token classifier reads the hidden states through a BiLSTM.
        lstm_hidden_size: width W of each of its two directions; None takes half of hidden_size, as the model zoo does.
        problem_type: what a sequence classifier's labels are; None means that the data decide.
        task: what the weights were trained for, by our task names; None when the file does not say.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    position_embedding_type: str = "absolute"
    relative_position: str = "none"
    max_relative_position: int = 64
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    add_pooler: bool = True
    classifier_dropout: float | None = None
    num_labels: int | None = None
    labels: tuple[str, ...] = ()
    has_crf: bool = False
    has_lstm: bool = False
    lstm_hidden_size: int | None = None
    problem_type: str | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_act", _ACTIVATION_OF.get(self.hidden_act, self.hidden_act))
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.labels and self.num_labels is None:
            object.__setattr__(self, "num_labels", len(self.labels))
        problems = list(_problems(self))
        if problems:
            raise ConfigError(problems)

    @property
    def head_size(self) -> int:
        """Width D of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def classifier_size(self) -> int | None:
        """Outputs of a classifier: the labels, and a CRF's START and STOP; None where the labels are not known."""
        return None if self.num_labels is None else self.num_labels + CRF_STATES * self.has_crf

    @property
    def lstm_width(self) -> int:
        """Width W of one direction of a token classifier's BiLSTM."""
        return self.hidden_size // 2 if self.lstm_hidden_size is None else self.lstm_hidden_size

    @property
    def has_absolute_positions(self) -> bool:
        """Whether position embeddings are added to the word embeddings."""
        return self.position_embedding_type == "absolute" and self.relative_position == "none"

    @property
    def max_sequence_length(self) -> int | None:
        """Longest sequence the network can take, in tokens; None when only memory bounds it (NEZHA)."""
        return None if self.relative_position != "none" else self.max_position_embeddings

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str | None = None, plain: str = "google") -> BertConfig:
        """The config that a mapping in any peer's dialect describes.

        Args:
            values: keys of Hugging Face BERT or Nezha, google-research BERT or NEZHA, the MindSpore model zoo,
                GluonNLP, or ours.
            source: named in errors.
            plain: "google", "gluonnlp" or "hugging-face", whose keys they are where none tells; "gelu" and the
                gradient of padding are as there.

        Raises:
            ConfigError: listing every unknown key and every bad value.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"a configuration is a mapping of keys to values, not a {type(values).__name__}.")
        fields, problems = dialects.translate(values, known=[f.name for f in dataclasses.fields(cls)], plain=plain)
        try:
            config = cls(**_typed(fields, problems))
        except ConfigError as error:
            raise ConfigError([*problems, *error.problems], source=source) from None
        if problems:
            raise ConfigError(problems, source=source)
        return config

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, plain: str = "google") -> BertConfig:
        """The config in a JSON or YAML file, or in `config.json` / `bert_config.json` of a directory; see `from_dict`.

        Raises:
            ConfigError: the file is missing, too large, not JSON or YAML, or describes no valid network.
        """
        file = _config_file(Path(path))
        return cls.from_dict(_read_mapping(file), source=str(file), plain=plain)

    def to_dict(self) -> dict[str, Any]:
        """JSON values in Hugging Face's keys, with ours beside them where Hugging Face has none."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return dialects.to_hugging_face(values, activation=ACTIVATIONS[self.hidden_act][0])

    def google_objection(self) -> str | None:
        """Why google-research's TensorFlow code (huawei-noah's for NEZHA) has no such network; None if it has."""
        return dialects.google_objection(vars(self))

    def to_google(self) -> dict[str, Any]:
        """JSON values in google-research's keys, whose code knows one GELU, by tanh, and one epsilon, 1e-12.

        Raises:
            ConfigError: `google_objection` has one.
        """
        if objection := self.google_objection():
            raise ConfigError(f"this network has no configuration for TensorFlow: {objection}.")
        return dialects.to_google(vars(self))

    def int8_objection(self) -> str | None:
        """Why such a network is not computed in dtype int8; None if it is."""
        reasons = []
        if self.relative_position != "none":
            reasons.append(f"it has relative positions (relative_position '{self.relative_position}')")
        if self.position_embedding_type != "absolute":
            reasons.append(f"it has relative positions (position_embedding_type '{self.position_embedding_type}')")
        if self.is_decoder:
            reasons.append("it is a decoder (is_decoder)")
        if self.add_cross_attention:
            reasons.append("it attends to another encoder (add_cross_attention)")
        return " and ".join(reasons) or None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as JSON; a reader never sees half a file."""
        write_file(path, json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n", error=ConfigError)


def no_int8(objection: str, *, key: str = "dtype", shown: str = "this network") -> ConfigError:
    """The error for a network that has an `int8_objection`.

    Args:
        objection: why not.
        key: that asked for int8.
        shown: the network as its owner calls it.
    """
    return ConfigError(
        f"{key} is int8, which is for encoders with absolute positions, and {shown} is none: {objection}. Use float32."
    )


def _config_file(path: Path) -> Path:
    if path.is_dir():
        for name in ("config.json", "bert_config.json"):
            if (path / name).is_file():
                return path / name
        raise ConfigError(f"{path} has no config.json or bert_config.json: add one, or name the config file itself.")
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: name a JSON or YAML file, or a directory with config.json.")
    return path


def _read_mapping(file: Path) -> Mapping[str, Any]:
    size = file.stat().st_size
    if size > MAX_CONFIG_BYTES:
        raise ConfigError(f"{file} has {size} bytes; a config has at most {MAX_CONFIG_BYTES}. Is it the right file?")
    try:
        text = file.read_text(encoding="utf-8-sig")
        values = _yaml(text, file) if file.suffix in (".yaml", ".yml") else json.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text (byte {error.start}). Is it the right file?") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid JSON: {error}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds a {type(values).__name__}; expected a mapping of configuration keys.")
    return values


def _yaml(text: str, file: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not valid YAML: {error}.") from None


_INTEGERS = {
    "vocab_size": 1, "hidden_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 1,
    "max_position_embeddings": 1, "type_vocab_size": 1, "max_relative_position": 1,
}  # fmt: skip
_PROBABILITIES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
_POSITIVE = ("initializer_range", "layer_norm_eps")
_BOOLEANS = ("is_decoder", "add_cross_attention", "tie_word_embeddings", "add_pooler", "has_crf", "has_lstm")


def _typed(fields: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """`fields` without those of a wrong type, each of which adds a line to `problems`."""
    good: dict[str, Any] = {}
    for name, value in fields.items():
        expected = _type_problem(name, value)
        if expected:
            problems.append(f"{name} is {value!r} ({type(value).__name__}): expected {expected}.")
        else:
            good[name] = value
    return good


def _type_problem(name: str, value: Any) -> str | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in _INTEGERS:
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if name in ("num_labels", "pad_token_id", "lstm_hidden_size"):
        return None if value is None or (isinstance(value, int) and not isinstance(value, bool)) else "a whole number"
    if name in _BOOLEANS:
        return None if isinstance(value, bool) else "true or false"
    if name in _PROBABILITIES or name in _POSITIVE:
        return None if is_number or (value is None and name == "classifier_dropout") else "a number"
    if name == "labels":
        good = isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
        return None if good else "a list of texts"
    return None if isinstance(value, str) or (value is None and name in ("problem_type", "task")) else "a text"


def _problems(config: BertConfig) -> Iterator[str]:
    for name in (f.name for f in dataclasses.fields(config)):
        expected = _type_problem(name, getattr(config, name))
        if expected:
            value = getattr(config, name)
            yield f"{name} is {value!r} ({type(value).__name__}): expected {expected}."
            return
    for name, least in _INTEGERS.items():
        if getattr(config, name) < least:
            yield f"{name} is {getattr(config, name)}: expected at least {least}."
    for name in _PROBABILITIES:
        value = getattr(config, name)
        if value is not None and not 0 <= value < 1:
            yield f"{name} is {value}: expected a probability in [0, 1)."
    for name in _POSITIVE:
        if not getattr(config, name) > 0:
            yield f"{name} is {getattr(config, name)}: expected more than 0."
    yield from _relation_problems(config)


def _relation_problems(config: BertConfig) -> Iterator[str]:
    hidden, heads = config.hidden_size, config.num_attention_heads
    if hidden > 0 and heads > 0 and hidden % heads:
        low, high = hidden // heads * heads, (hidden // heads + 1) * heads
        choice = f"{low} or {high}" if low else str(high)
        yield f"hidden_size {hidden} is not divisible by num_attention_heads {heads}: choose {choice}."
    if config.pad_token_id is not None and not 0 <= config.pad_token_id < max(config.vocab_size, 1):
        yield f"pad_token_id {config.pad_token_id} is outside the vocabulary of {config.vocab_size} entries."
    for name, value, choices in (
        ("hidden_act", config.hidden_act, ACTIVATIONS),
        ("position_embedding_type", config.position_embedding_type, POSITION_EMBEDDING_TYPES),
        ("relative_position", config.relative_position, RELATIVE_POSITIONS),
        ("problem_type", config.problem_type, PROBLEM_TYPES),
    ):
        if value is not None and value not in choices:
            yield unknown(name, value, choices)
    if config.relative_position != "none" and config.position_embedding_type != "absolute":
        yield (
            f"relative_position '{config.relative_position}' and position_embedding_type "
            f"'{config.position_embedding_type}' exclude each other: leave the latter 'absolute' for NEZHA."
        )
    if config.relative_position == "sinusoid" and heads > 0 and (hidden // heads) % 2:
        yield f"sinusoid relative positions need an even hidden_size / num_attention_heads; it is {hidden // heads}."
    if config.num_labels is not None and config.num_labels < 1:
        yield f"num_labels is {config.num_labels}: expected at least 1."
    if config.has_lstm and config.lstm_width < 1:
        yield f"lstm_hidden_size is {config.lstm_width}: expected at least 1."
    if config.labels and config.num_labels != len(config.labels):
        yield f"num_labels is {config.num_labels} but {len(config.labels)} labels are named: make them agree."
    if config.add_cross_attention and not config.is_decoder:
        yield "add_cross_attention is true but is_decoder is false: cross attention belongs to a decoder."
