"""What each command takes: a function for each, which adds its arguments."""

from __future__ import annotations

import argparse
from typing import Any

from bert_ms.cli.examples import EXAMPLES

MAX_DEVICES = 1024  # of one machine; each is a process
LISTS = ("given", "models")  # of any number of sources, for `hub rank`, `hub verify` and `serve`


class Parser(argparse.ArgumentParser):
    """Keeps the line breaks of examples, and takes no shortened options."""

    def __init__(self, **kwargs: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)


def common(default: Any) -> Parser:
    """The options of every command."""
    made = Parser(add_help=False)
    for short, name, text in (
        ("-v", "--verbose", "say more"),
        ("-q", "--quiet", "say warnings and results only"),
        ("--debug", "--debug", "show the traceback of an error"),
    ):
        options = dict.fromkeys((short, name))
        made.add_argument(*options, action="store_true", default=default, help=text)
    return made


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


def prepare(command: argparse.ArgumentParser) -> None:
    """A run whose data are read."""
    _add_config(command)


def train(command: argparse.ArgumentParser) -> None:
    """A run."""
    _add_config(command)
    _add_devices(command)
    _add_dry_run(command)
    command.add_argument("--fresh", action="store_true", help="start over though the run folder holds a run")


def evaluate(command: argparse.ArgumentParser) -> None:
    """A run, or a file of answers, to score."""
    _add_config(command, required=False)
    _add_backend(command)
    _add_devices(command)
    _add_dry_run(command)
    command.add_argument("--predictions", metavar="FILE", help="score this file of answers; no network is run")
    command.add_argument("--null-odds", metavar="FILE", help="with --predictions, v2.0: search the threshold")


def predict(command: argparse.ArgumentParser) -> None:
    """A run whose file is answered."""
    _add_config(command)
    _add_backend(command)
    _add_devices(command)
    _add_dry_run(command)


def convert(command: argparse.ArgumentParser) -> None:
    """A checkpoint, and what to write."""
    command.add_argument("source", help="a directory, a checkpoint file, or a catalogue name")
    command.add_argument("destination", help="a directory, or a file ending in .ckpt or .safetensors")
    formats = ("mindspore", "safetensors", "modelzoo", "tf1")
    command.add_argument("--format", required=True, choices=formats, help="to write")
    command.add_argument("--model-config", metavar="FILE", help="of the network, where the source has none")


def export(command: argparse.ArgumentParser) -> None:
    """A network, and what to write."""
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


def inspect(command: argparse.ArgumentParser) -> None:
    """A checkpoint."""
    command.add_argument(
        "source", help="a directory, a checkpoint file of any format, an exported folder, or a catalogue name"
    )
    command.add_argument("--model-config", metavar="FILE", help="of the network, where the source has none")
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def vocabulary(command: argparse.ArgumentParser) -> None:
    """Texts, and how many word pieces."""
    command.add_argument("text", help="a text file, a folder of them, or a pattern such as 'text/*.txt'")
    command.add_argument("directory", help="where to: gets vocab.txt and what else a tokenizer is made of")
    command.add_argument("--size", type=int, default=30522, metavar="N", help="word pieces; default 30522")
    command.add_argument("--cased", action="store_true", help="keep upper case and accents")


def hub(command: argparse.ArgumentParser) -> None:
    """Its actions, each with its own arguments."""
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    shared = common(argparse.SUPPRESS)  # a default here would undo what stood before the action
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
        made[name] = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[shared])
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
    command.epilog = EXAMPLES["rank"].strip()
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


def encode(command: argparse.ArgumentParser) -> None:
    """A network, texts, and how they become vectors."""
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


def serve(command: argparse.ArgumentParser) -> None:
    """Models, and the settings that are changed most."""
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


def doctor(command: argparse.ArgumentParser) -> None:
    """How to print."""
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
