"""Networks as files that run elsewhere: ONNX, MINDIR, AIR, each verified against the Cell that it was made from."""

from bert_ms.export.folder import ExportRecord, Verification, is_exported, read_record

__all__ = ["ExportRecord", "Verification", "is_exported", "read_record"]
