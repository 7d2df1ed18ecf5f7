"""The arguments of every command, with examples that teach; importing this imports nothing heavy."""

from __future__ import annotations

import argparse
import difflib
import importlib
from collections.abc import Callable, Sequence
from typing import Any

OVERRIDES = """
Any value of the configuration can be given as key=value, for example
  optimizer.learning_rate=5e-5  training.epochs=3  model.source=DIR
or by its last name alone, where only one section has it: epochs=3  source=DIR
"""


MAX_DEVICES = 1024  # of one machine; each is a process


class _Parser(argparse.ArgumentParser):
    def __init__(self, **kwargs: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments of one command; `.command` is the function to call with them.

    `key=value` arguments may stand anywhere after the command and are gathered, in order, in `.overrides`. Wrong usage
    ends the process with code 2, as argparse does.
    """
    parser, commands = _build()
    arguments, rest = parser.parse_known_args(list(argv))
    command = commands[arguments.name]
    arguments.argv = list(argv)
    arguments.overrides = [item for item in rest if "=" in item and not item.startswith("-")]
    if arguments.overrides and not hasattr(arguments, "config"):
        command.error(f"{arguments.name} has no configuration, so it takes no {arguments.overrides[0]}.")
    for item in rest:
        if item not in arguments.overrides:
            command.error(_unknown(item, command))
    return arguments


def _unknown(item: str, command: argparse.ArgumentParser) -> str:
    if not item.startswith("-"):
        return f"'{item}' is not understood: values of the configuration are given as key=value."
    name, equals, _ = item.partition("=")
    options = [option for action in command._actions for option in action.option_strings]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.7)
    hint = f" Did you mean {close[0]}?" if close else ""
    if equals and "-c" in options:
        hint += f" Values of the configuration are given without dashes: {item.lstrip('-')}"
    return f"unknown option {name}.{hint}"


def _build() -> tuple[_Parser, dict[str, _Parser]]:
    common = _common(False)
    parser = _Parser(
        prog="bert-ms",
        description="BERT and NEZHA on MindSpore.",
        epilog="First steps:\n"
        "  bert-ms doctor                     what this machine has, and what is missing\n"
        "  bert-ms train -c squad_sample      fine-tune the embedded model on the packaged sample\n"
        "  bert-ms COMMAND --help             what a command takes, with examples",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and leave")
    subparsers = parser.add_subparsers(dest="name", metavar="COMMAND", required=True, parser_class=_Parser)
    commands = {}
    for name, summary, add_arguments, function, examples in _COMMANDS:
        description = f"{summary[0].upper()}{summary[1:]}."
        command = subparsers.add_parser(
            name, help=summary, description=description, epilog=examples.strip(), parents=[common]
        )
        add_arguments(command)
        command.set_defaults(command=_late(function))
        commands[name] = command
    return parser, commands


def _common(default: Any) -> _Parser:
    """The options of every command."""
    common = _Parser(add_help=False)
    for short, name, text in (
        ("-v", "--verbose", "say more"),
        ("-q", "--quiet", "say warnings and results only"),
        ("--debug", "--debug", "show the traceback of an error"),
    ):
        options = dict.fromkeys((short, name))
        common.add_argument(*options, action="store_true", default=default, help=text)
    return common


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from bert_ms import __version__

        print(f"bert-ms {__version__}")
        parser.exit()


def _late(function: str) -> Callable[[argparse.Namespace], int | None]:
    """A command's function, imported when it is called: `--help` must not wait for it."""

    def call(arguments: argparse.Namespace) -> int | None:
        module, _, name = function.partition(":")
        result: int | None = getattr(importlib.import_module(module), name)(arguments)
        return result

    return call


def _add_config(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    command.usage = f"%(prog)s {'-c CONFIG' if required else '[-c CONFIG]'} [key=value ...] [options]"
    command.add_argument(
        "-c", "--config", metavar="CONFIG", required=required, help="a YAML file, or the name of a packaged one"
    )


def _add_devices(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--devices",
        type=_count,
        default=1,
        metavar="N",
        help="share the work among N devices (on CPU: N processes), each with its own batches; default 1",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_DEVICES:
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is no number of devices: expected 1 to {MAX_DEVICES:,}")
    return int(text)


def _add_dry_run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--dry-run", action="store_true", help="one step of each kind that the command has, and the memory it needs"
    )


def _add_backend(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--backend",
        choices=("auto", "cell", "onnx", "mindir"),
        default="auto",
        help="what runs the network; auto, the default, takes whichever the source, exported or not, is for",
    )


def _prepare(command: argparse.ArgumentParser) -> None:
    _add_config(command)


def _train(command: argparse.ArgumentParser) -> None:
    _add_config(command)
    _add_devices(command)
    _add_dry_run(command)
    command.add_argument("--fresh", action="store_true", help="start over though the run folder holds a run")


def _evaluate(command: argparse.ArgumentParser) -> None:
    _add_config(command, required=False)
    _add_backend(command)
    _add_devices(command)
    _add_dry_run(command)
    command.add_argument("--predictions", metavar="FILE", help="score this file of answers; no network is run")
    command.add_argument("--null-odds", metavar="FILE", help="with --predictions, v2.0: search the threshold")


def _predict(command: argparse.ArgumentParser) -> None:
    _add_config(command)
    _add_backend(command)
    _add_devices(command)
    _add_dry_run(command)


def _convert(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", help="a directory, a checkpoint file, or a catalogue name")
    command.add_argument("destination", help="a directory, or a file ending in .ckpt or .safetensors")
    formats = ("mindspore", "safetensors", "modelzoo", "tf1")
    command.add_argument("--format", required=True, choices=formats, help="to write")
    command.add_argument("--model-config", metavar="FILE", help="of the network, where the source has none")


def _export(command: argparse.ArgumentParser) -> None:
    command.usage = "%(prog)s SOURCE DESTINATION [options] [-c CONFIG] [key=value ...]"
    command.add_argument("source", help="the folder of a run, a checkpoint of any format, or a catalogue name")
    command.add_argument("destination", help="a folder that is not there yet, or is empty")
    command.add_argument(
        "--format",
        default="onnx",
        choices=("onnx", "mindir", "air"),
        help="onnx (the default) runs anywhere, at any length; mindir is MindSpore's, in buckets; air is Ascend's",
    )
    command.add_argument("--task", metavar="TASK", help="what the network is for; default what it was trained for")
    command.add_argument(
        "--buckets", metavar="BxS,...", help="rows x tokens of each graph of mindir and air; default 1x128,8x384"
    )
    command.add_argument("--precision", choices=("float32", "float16"), help="of mindir and air; default float32")
    command.add_argument("--quantize", choices=("dynamic", "static"), help="round an ONNX file to INT8, with a report")
    command.add_argument("--calibration", metavar="FILE", help="rows of your own: static measures its ranges on them")
    command.add_argument(
        "--evaluation", metavar="FILE", help="labelled rows: the report has the scores before and after"
    )
    command.add_argument("-c", "--config", metavar="CONFIG", help="how these two files are read, with key=value")
    command.add_argument("--model-config", metavar="FILE", help="of the network, where the source has none")
    command.add_argument("--vocab", metavar="FILE", help="of the network, where the source has none")
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu", "ascend"), help="default auto")
    command.add_argument("--overwrite", action="store_true", help="replace an exported network at the destination")
    command.add_argument("--dry-run", action="store_true", help="check everything and say what would be written")


def _inspect(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "source", help="a directory, a checkpoint file of any format, an exported folder, or a catalogue name"
    )
    command.add_argument("--model-config", metavar="FILE", help="of the network, where the source has none")
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def _vocabulary(command: argparse.ArgumentParser) -> None:
    command.add_argument("text", help="a text file, a folder of them, or a pattern such as 'text/*.txt'")
    command.add_argument("directory", help="where to: gets vocab.txt and what else a tokenizer is made of")
    command.add_argument("--size", type=int, default=30522, metavar="N", help="word pieces; default 30522")
    command.add_argument("--cased", action="store_true", help="keep upper case and accents")


def _hub(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    common = _common(argparse.SUPPRESS)  # a default here would undo what stood before the action
    made = {}
    for name, text in (
        ("list", "every name, those on this machine first"),
        ("info", "all that is known of a model"),
        ("add", "keep the files of a folder under a name"),
        ("get", "download a model from the address that a catalogue or BERT_MS_MIRROR gives"),
        ("verify", "compare files with their sha256"),
        ("remove", "delete a kept model"),
        ("publish", "lay out a run's model as a MindSpore Hub card"),
        ("rank", "say which checkpoint to start from for labelled data of one's own"),
    ):
        made[name] = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[common])
    for name in ("list", "info"):
        made[name].add_argument("--json", action="store_true", help="print JSON, for programs")
    for name in ("info", "add", "get", "remove"):
        made[name].add_argument("model", help="its name")
    made["add"].add_argument("directory", help="that holds weights, configuration and vocabulary")
    made["get"].add_argument("--max-gigabytes", type=float, default=20.0, metavar="N", help="refuse larger files")
    made["verify"].add_argument("models", nargs="*", metavar="model", help="names; default all that are kept")
    made["publish"].add_argument("run", help="folder of a finished run")
    made["publish"].add_argument("directory", help="where to")
    made["publish"].add_argument("--name", dest="new_name", metavar="NAME", help="of the model; the run's if not given")
    _rank(made["rank"])


def _rank(command: argparse.ArgumentParser) -> None:
    command.usage = "%(prog)s [--task TASK] [-c CONFIG] --data FILE [options] [CHECKPOINT ...] [key=value ...]"
    command.epilog = _EXAMPLES["rank"].strip()
    command.add_argument(
        "given",
        nargs="*",
        metavar="CHECKPOINT",
        help="directories, files or names; default all models on this machine; beside them key=value of the "
        "configuration, such as text_column=review",
    )
    command.add_argument("-t", "--task", metavar="TASK", help="that of the configuration, if not given")
    command.add_argument("-d", "--data", metavar="FILE", help="labelled rows, if not the configuration's train_file")
    command.add_argument(
        "-c", "--config", metavar="CONFIG", help="a YAML file, or the name of a packaged one: how the file is read"
    )
    command.add_argument("--rows", type=int, default=1000, metavar="N", help="draw at most so many; default 1000")
    command.add_argument("--by", choices=("logme", "probe"), default="logme", help="what decides; default logme")
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def _encode(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "source", help="a directory, a checkpoint file, an exported encoder's folder, or a name such as minilm"
    )
    command.add_argument("input", help="a file with one text a line; - reads standard input")
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="ending in .npy, .jsonl or .parquet")
    command.add_argument("--format", choices=("npy", "jsonl", "parquet"), help="where the ending does not say")
    command.add_argument("--column", metavar="KEY", help="lines are JSON objects; the text is under this key")
    command.add_argument("--pooling", choices=("mean", "cls", "max", "pooled"), help="the source's own, or mean")
    command.add_argument(
        "--layers", default="-1", metavar="N,...", help="pool their mean: --layers=-1,-2,-3,-4; default -1"
    )
    command.add_argument("--normalize", choices=("yes", "no"), help="vectors of length 1: the source's own, or yes")
    command.add_argument("--max-length", type=int, metavar="N", help="longest text in tokens")
    command.add_argument(
        "--long-inputs",
        choices=("truncate", "windows", "error"),
        default="truncate",
        help="longer texts are cut, read in windows whose vectors are averaged, or refused",
    )
    command.add_argument("--batch-size", type=int, default=32, metavar="N", help="most texts of a batch; default 32")
    command.add_argument("--prompt", metavar="TEXT", help="every text begins with it")
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu", "ascend"), help="default auto")
    command.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16", "int8"),
        help="numbers to compute in; default float32. int8: on a CPU, the last layer; measure what it changes",
    )


def _serve(command: argparse.ArgumentParser) -> None:
    command.usage = "%(prog)s [MODEL ...] [-c FILE] [options]"
    command.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="a directory, a catalogue name, or NAME=either; default minilm, and runs/squad_sample if it is there",
    )
    command.add_argument("-c", "--config", metavar="FILE", help="settings in YAML; --dry-run prints all that there are")
    for name, metavar, text in (
        ("host", "ADDRESS", "of requests; default 127.0.0.1, others need an API key"),
        ("port", "N", "default 8080; 0 takes a free one"),
        ("admin-host", "ADDRESS", "of metrics and models; default 127.0.0.1, others need an admin key"),
        ("admin-port", "N", "default 8081"),
        ("api-keys-file", "FILE", "API keys, or their sha256:..., one a line"),
        ("admin-keys-file", "FILE", "the same for the admin port"),
        ("model-root", "DIR", "folder below which models may be loaded while the server runs"),
        ("device", "NAME", "auto, cpu, gpu or ascend; default auto"),
        ("engine", "NAME", "auto, cell (MindSpore) or onnx (an exported folder); default auto"),
        ("dtype", "NAME", "float32, float16, bfloat16 or int8 (on a CPU); default float32"),
        ("threads", "N", "CPU threads of an operator"),
        ("max-batch-tokens", "N", "tokens of a batch with padding; default 4096 on CPU, 16384 elsewhere"),
        ("max-body-bytes", "N", "of a request; default 2097152"),
        ("max-items", "N", "inputs of a request; default 32"),
        ("max-inflight", "N", "requests at once, the next gets a 429; default 256"),
        ("request-timeout", "SECONDS", "for an answer, then 504; default 30"),
        ("drain-timeout", "SECONDS", "for the last answers after SIGTERM; default 30"),
        ("compile-cache", "DIR", "keep compiled graphs for the next start; nobody else may write to it"),
        ("log-level", "NAME", "debug, info, warning or error; default info"),
        ("log-format", "NAME", "json or text; default text on a terminal, else json"),
    ):
        command.add_argument(f"--{name}", metavar=metavar, help=text)
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting")
    command.add_argument("--dry-run", action="store_true", help="print the settings and where the models are; no start")


def _doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


_EXAMPLES = {
    "prepare": """
Examples:
  bert-ms prepare -c squad_base source=DIR train_file=train-v1.1.json eval_file=dev-v1.1.json
      tokenise both files into the cache, so that training on several devices starts at once
""",
    "train": """
Examples:
  bert-ms train -c squad_sample                      the embedded model on the packaged sample
  bert-ms train -c squad_minilm train_file=train-v1.1.json eval_file=dev-v1.1.json
  bert-ms train -c squad_base source=DIR ... --devices 8
  bert-ms train -c mine.yaml --dry-run               does it fit, does it run?
  bert-ms train -c mine.yaml seeds=[42,43,44]        three runs; mean and deviation in seeds.json
An interrupted run goes on by the same command; everything is in the run folder (output_dir).
""",
    "evaluate": """
Examples:
  bert-ms evaluate -c runs/squad_sample/resolved_config.yaml source=runs/squad_sample
  bert-ms evaluate -c squad_sample                   the weights as they came
  bert-ms evaluate -c squad_v2_base source=DIR eval_file=dev-v2.0.json null_threshold=-1.5
  bert-ms evaluate -c squad_base --backend onnx source=exported/squad eval_file=dev-v1.1.json
  bert-ms evaluate -c runs/squad_sample/resolved_config.yaml source=runs/squad_sample precision.dtype=int8
                                                     what rounding to 8 bits (on a CPU) costs here; docs/int8.md
  bert-ms evaluate --predictions predictions.json eval_file=dev-v1.1.json      no network, no MindSpore
""",
    "predict": """
Examples:
  bert-ms predict -c runs/squad_sample/resolved_config.yaml source=runs/squad_sample \\
      predict_file=questions.json output_dir=answers
The file has SQuAD's format; answers may be left out. predictions.json and nbest_predictions.json are written.
precision.dtype=int8 answers with weights rounded to 8 bits, on a CPU: score it before by bert-ms evaluate.
""",
    "convert": """
Examples:
  bert-ms convert runs/squad_sample hf/ --format safetensors        for Hugging Face Transformers
  bert-ms convert bert-base-uncased/ bert.ckpt --format modelzoo    for the MindSpore model zoo
  bert-ms convert minilm google/ --format tf1                       for google-research's TensorFlow code
""",
    "export": """
Examples:
  bert-ms export runs/squad_sample exported/squad                 an ONNX file, for ONNX Runtime and others
  bert-ms export minilm exported/minilm --dry-run                 what would be written, and how much
  bert-ms export runs/ner exported/ner --format mindir --buckets 1x64,8x64,8x256
  bert-ms export runs/squad_sample exported/squad_int8 --quantize dynamic --evaluation sample
  bert-ms export runs/sst2 exported/sst2_int8 --quantize static --calibration train.tsv --evaluation dev.tsv \\
      -c glue_sst2
The folder holds the graph with its tokenizer and configuration, and export.json. It is compared with the network on
real text before it is called done, and used like any other source:
  bert-ms predict -c runs/squad_sample/resolved_config.yaml source=exported/squad predict_file=questions.json
  bert_ms.pipeline("question-answering", "exported/squad")
""",
    "inspect": """
Examples:
  bert-ms inspect minilm
  bert-ms inspect bert_model.ckpt.index --model-config bert_config.json
Says format, origin, sizes, labels, what nothing explains, and for each task what would be new.
""",
    "vocabulary": """
Examples:
  bert-ms vocabulary text/ vocabulary/ --size 30522
  bert-ms train -c pretrain_base source=scratch config=config.json vocab=vocabulary/vocab.txt train_file=text/ ...
""",
    "hub": """
Examples:
  bert-ms hub list
  bert-ms hub info google-chinese
  bert-ms hub add google-chinese ~/chinese_L-12_H-768_A-12     then: source=google-chinese
  bert-ms hub publish runs/squad_sample cards/ --name my_answers
  bert-ms hub rank --task sequence-classification --data reviews.csv text_column=review label_column=mood
Models of one's own, or a company's mirror, are entries of ~/.config/bert_ms/catalogue.yaml (or of the files that
BERT_MS_CATALOGUE names):
  my-bert:
    summary: our BERT
    path: /models/my-bert             or  url: https://mirror.example/my-bert  with  files: [config.json, ...]
Nothing is downloaded but by `get`, and nothing at all with BERT_MS_OFFLINE=1.
""",
    "rank": """
Examples:
  bert-ms hub rank --task sequence-classification --data reviews.csv text_column=review label_column=mood
  bert-ms hub rank -c glue_mrpc --data MRPC/train.tsv minilm ~/bert-base runs/mlm
  bert-ms hub rank -c ner_wnut17 --data wnut17train.conll --rows 500 --json
Nothing is trained: LogME and a linear probe say how well the vectors that a checkpoint gives tell the labels apart.
Without -c a row has at most 128 tokens (max_length=N).
""",
    "encode": """
Examples:
  bert-ms encode minilm sentences.txt -o vectors.npy
  bert-ms encode minilm rows.jsonl --column text -o vectors.jsonl --layers=-1,-2,-3,-4 --pooling mean
  cat sentences.txt | bert-ms encode runs/mine - -o vectors.npy
  bert-ms encode minilm sentences.txt -o vectors.npy --dtype int8
An interrupted call goes on when it is given again. Search in what was written:
  encoder = bert_ms.SentenceEncoder("minilm"); encoder.search("a cat", numpy.load("vectors.npy", mmap_mode="r"))
""",
    "serve": """
Examples:
  bert-ms serve                                      sentence vectors at once: minilm
  bert-ms serve minilm qa=runs/squad_sample          two models; http://127.0.0.1:8080 shows what they do
  curl -s localhost:8080/api/v1/qa -H 'Content-Type: application/json' \\
      -d '{"inputs": {"question": "Who wrote it?", "context": "It was written by Ada."}}'
  BERTMS_API_KEYS=$KEY bert-ms serve qa=DIR --host 0.0.0.0
  bert-ms serve minilm --dtype int8                  weights rounded to 8 bits, on a CPU
  bert-ms serve -c serve.yaml --set idle_timeout=30 --dry-run
Values come from defaults, then the file, then BERTMS_... of the environment (BERTMS_PORT=80), then options.
docs/serving.md tells the whole of it.
""",
    "doctor": """
Examples:
  bert-ms doctor
  bert-ms doctor --json
""",
}

# name, summary, its arguments, the function that does it, examples
_COMMANDS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None], str, str], ...] = (
    ("prepare", "read and tokenise the data of a run into the cache", _prepare, "bert_ms.cli.runs:prepare",
     _EXAMPLES["prepare"] + OVERRIDES),
    ("train", "fine-tune, evaluate, and leave a run folder", _train, "bert_ms.cli.runs:train",
     _EXAMPLES["train"] + OVERRIDES),
    ("evaluate", "score weights on a data set", _evaluate, "bert_ms.cli.runs:evaluate",
     _EXAMPLES["evaluate"] + OVERRIDES),
    ("predict", "answer what a file without labels asks", _predict, "bert_ms.cli.runs:predict",
     _EXAMPLES["predict"] + OVERRIDES),
    ("convert", "write a checkpoint in another format", _convert, "bert_ms.cli.convert:convert", _EXAMPLES["convert"]),
    ("export", "write a network as ONNX, MINDIR or AIR, verified", _export, "bert_ms.cli.export:export",
     _EXAMPLES["export"]),
    ("inspect", "say what is in a checkpoint, and what it would lack for each task", _inspect,
     "bert_ms.cli.inspect:show", _EXAMPLES["inspect"]),
    ("vocabulary", "learn word pieces from text, for a network from scratch", _vocabulary,
     "bert_ms.cli.vocabulary:learn", _EXAMPLES["vocabulary"]),
    ("hub", "models that have a name: list, bring, check, publish, rank", _hub, "bert_ms.cli.hub:hub",
     _EXAMPLES["hub"]),
    ("encode", "texts to vectors", _encode, "bert_ms.cli.encode:encode", _EXAMPLES["encode"]),
    ("serve", "answer requests by HTTP", _serve, "bert_ms.cli.serve:serve", _EXAMPLES["serve"]),
    ("doctor", "say what this machine has, and what is missing", _doctor, "bert_ms.cli.doctor:doctor",
     _EXAMPLES["doctor"]),
)  # fmt: skip
