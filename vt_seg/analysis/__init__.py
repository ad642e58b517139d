"""What a model costs, and what the paper says it costs."""

from .complexity import ModelCost, count_cost, count_macs, format_costs, usual_image_size
from .paper_tables import TABLES, paper_document, paper_tables

__all__ = [
    "TABLES",
    "ModelCost",
    "count_cost",
    "count_macs",
    "format_costs",
    "paper_document",
    "paper_tables",
    "usual_image_size",
]
