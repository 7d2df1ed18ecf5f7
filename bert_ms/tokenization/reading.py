"""Finding vocabulary with options in what a pretrained model comes with."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from bert_ms.errors import TokenizerError
from bert_ms.tokenization import options as option_files
from bert_ms.tokenization import places
from bert_ms.tokenization.options import TokenizerOptions
from bert_ms.tokenization.vocabulary import looks_cased, read_vocabulary

logger = logging.getLogger(__name__)

_CONFIGS = ("config.json", "bert_config.json")
_CASED = re.compile(r"(?<![a-z])(un)?cased(?![a-z])")


def read_directory(
    path: Path, *, vocab: Path | None = None, do_lower_case: bool | None = None
) -> tuple[tuple[str, ...], TokenizerOptions]:
    """Word pieces and options from `vocab.txt` or `tokenizer.json`, with `tokenizer_config.json` where there is one.

    The vocabulary may also be among a SavedModel's assets, or GluonNLP's JSON.

    What `tokenizer_config.json` says goes before `tokenizer.json`, as in Hugging Face. Where neither tells the casing,
    it is taken from `do_lower_case` of the network's config, from the vocabulary (one with upper case is cased) and
    from `cased` or `uncased` in the name of directory or vocabulary file; these must agree.

    Args:
        path: the directory.
        vocab: a vocabulary file to use instead of the directory's.
        do_lower_case: the caller's word on casing, which goes before everything.

    Raises:
        TokenizerError: no vocabulary, files that contradict each other, or casing that cannot be told.
    """
    words, stated = _vocabulary(path, vocab)
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (path / name).is_file():
            found = option_files.from_tokenizer_config(option_files.read_json(path / name), source=str(path / name))
            _note_changes(stated, found, path / name)
            stated.update(found)
    words = _with_added_tokens(path, words)
    if do_lower_case is not None:
        stated["do_lower_case"] = do_lower_case
    elif "do_lower_case" not in stated:
        stated["do_lower_case"] = _casing(path, vocab, words)
    elif stated["do_lower_case"] and looks_cased(words):
        logger.warning("%s says do_lower_case, but its vocabulary has upper case: pieces of it are never used.", path)
    special = {stated.get(name, getattr(TokenizerOptions, name)) for name in option_files.SPECIAL_TOKENS}
    more = (token for token in stated.get("additional_special_tokens", ()) if token not in special)
    stated["additional_special_tokens"] = tuple(more)
    return words, TokenizerOptions(**stated)


def _vocabulary(path: Path, vocab: Path | None) -> tuple[tuple[str, ...], dict[str, Any]]:
    if vocab and vocab.suffix in places.JSON_SUFFIXES:
        return places.read_gluon(vocab)
    text_file, json_file = vocab or places.text_file(path), path / "tokenizer.json"
    words = read_vocabulary(text_file) if text_file else None
    if not json_file.is_file() or vocab:
        if words is not None:
            return words, {}
        if (gluon_file := places.gluon_file(path)) is not None:
            return places.read_gluon(gluon_file)
        raise TokenizerError(f"{path} has neither vocab.txt nor tokenizer.json: put the model's vocabulary there.")
    json_words, stated = option_files.from_tokenizer_json(option_files.read_json(json_file), source=str(json_file))
    if words is not None and words != json_words[: len(words)]:
        pairs = zip(words, (*json_words, *[None] * len(words)), strict=False)
        index = next(i for i, (a, b) in enumerate(pairs) if a != b)
        other = json_words[index] if index < len(json_words) else None
        raise TokenizerError(
            f"{path}: id {index} is {words[index]!r} in vocab.txt ({len(words):,} word pieces) but {other!r} in "
            f"tokenizer.json ({len(json_words):,}): remove the file that does not belong to the weights."
        )
    return json_words, stated


def _with_added_tokens(path: Path, words: tuple[str, ...]) -> tuple[str, ...]:
    file = path / "added_tokens.json"
    if not file.is_file():
        return words
    known = set(words)
    by_id = {id_: token for token, id_ in option_files.read_json(file).items() if token not in known}
    expected = list(range(len(words), len(words) + len(by_id)))
    if sorted(by_id, key=str) != sorted(expected, key=str):
        raise TokenizerError(f"{file}: ids {sorted(by_id, key=str)[:5]} do not follow the vocabulary's {len(words):,}.")
    return (*words, *(by_id[i] for i in expected))


def _note_changes(stated: dict[str, Any], found: dict[str, Any], file: Path) -> None:
    for name in ("do_lower_case", "tokenize_chinese_chars"):
        if name in stated and name in found and stated[name] != found[name]:
            logger.warning("%s: %s is %s goes before tokenizer.json's %s.", file, name, found[name], stated[name])


def _casing(path: Path, vocab: Path | None, words: tuple[str, ...]) -> bool:
    """Whether to lower-case, by the evidence there is, which must not contradict itself."""
    evidence: dict[str, bool] = {}
    for name in _CONFIGS:
        if (path / name).is_file():
            value = option_files.read_json(path / name).get("do_lower_case")
            if isinstance(value, bool):
                evidence[f"do_lower_case in {name}"] = value
    for name in (path.resolve().name, *([vocab.name] if vocab else [])):
        if found := _CASED.search(name.lower()):
            evidence[f"the name {name}"] = found[1] is not None
    cased = looks_cased(words)
    if cased is not None:
        evidence["a vocabulary with upper case" if cased else "a vocabulary without upper case"] = not cased
    if len(set(evidence.values())) > 1:
        told = ", ".join(f"{what} says {'uncased' if lower else 'cased'}" for what, lower in evidence.items())
        raise TokenizerError(
            f"{path} has no tokenizer_config.json that tells its casing, and {told}. Say do_lower_case=True or False."
        )
    lower = next(iter(evidence.values()), True)
    told = ", ".join(evidence) or "nothing (google-research's default)"
    logger.info("%s: no tokenizer_config.json tells the casing; do_lower_case=%s, told by %s.", path, lower, told)
    return lower
