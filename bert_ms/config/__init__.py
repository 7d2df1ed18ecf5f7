"""Configurations as frozen dataclasses, read from JSON or YAML with every problem named at once."""

from bert_ms.config.model import CRF_STATES, BertConfig
from bert_ms.config.run import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    PrecisionConfig,
    RunConfig,
    ScheduleConfig,
    TrainingConfig,
)

__all__ = [
    "CRF_STATES",
    "BertConfig",
    "DataConfig",
    "EvaluationConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PrecisionConfig",
    "RunConfig",
    "ScheduleConfig",
    "TrainingConfig",
]
