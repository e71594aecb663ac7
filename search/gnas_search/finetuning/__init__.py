"""Fine-tuning: a checkpoint's scoring layers brought up to date on fresh interactions, its embeddings frozen."""

from gnas_search.finetuning.finetune import FineTuned, finetune
from gnas_search.finetuning.fresh import Fresh, fresh_interactions
from gnas_search.finetuning.newer import newer_data
from gnas_search.finetuning.reweighing import Reweighed

__all__ = ["FineTuned", "Fresh", "Reweighed", "finetune", "fresh_interactions", "newer_data"]
