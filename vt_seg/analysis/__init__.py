"""What a model costs."""

from .complexity import ModelCost, count_cost, count_macs, format_costs

__all__ = ["ModelCost", "count_cost", "count_macs", "format_costs"]
