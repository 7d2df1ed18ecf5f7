"""Raw text as examples for pretraining: read, tokenised onto disk, cut into examples, masked, put into batches."""
