"""report.html: one file that tells what a run was and what came of it; and the body of its model card."""

from bert_ms.training.report.card import card_body
from bert_ms.training.report.page import report_html, write_report
from bert_ms.training.report.run import RunStory, machine_facts
from bert_ms.training.report.telling import tell, tell_evaluation, write_documents

__all__ = [
    "RunStory",
    "card_body",
    "machine_facts",
    "report_html",
    "tell",
    "tell_evaluation",
    "write_documents",
    "write_report",
]
