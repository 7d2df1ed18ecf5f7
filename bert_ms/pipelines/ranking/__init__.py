"""Which checkpoint to start from: frozen vectors of each, and how well they tell the labels of one's own rows."""

from bert_ms.pipelines.ranking.ranking import rank
from bert_ms.pipelines.ranking.results import Candidate, Failure, Interval, Ranking

__all__ = ["Candidate", "Failure", "Interval", "Ranking", "rank"]
