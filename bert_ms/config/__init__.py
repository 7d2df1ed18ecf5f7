"""Configurations as frozen dataclasses, read from JSON or YAML with every problem named at once."""

from bert_ms.config.data import DataConfig
from bert_ms.config.model import CRF_STATES, INT8, BertConfig, no_int8
from bert_ms.config.objective import LoraConfig, LossConfig, RegularizationConfig
from bert_ms.config.pretraining import PretrainingConfig
from bert_ms.config.run import (
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
    "INT8",
    "BertConfig",
    "DataConfig",
    "EvaluationConfig",
    "LoraConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PrecisionConfig",
    "PretrainingConfig",
    "RegularizationConfig",
    "RunConfig",
    "ScheduleConfig",
    "TrainingConfig",
    "no_int8",
]
