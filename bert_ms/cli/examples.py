"""What the help of each command ends with: examples that teach."""

from __future__ import annotations

OVERRIDES = """
Any value of the configuration can be given as key=value, for example
  optimizer.learning_rate=5e-5  training.epochs=3  model.source=DIR
or by its last name alone, where only one section has it: epochs=3  source=DIR
"""

EXAMPLES = {
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
