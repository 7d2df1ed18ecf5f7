"""BERT and NEZHA as MindSpore Cells, in the model's own order: embeddings to heads."""
