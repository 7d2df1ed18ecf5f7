"""Files to examples, examples to features, features to batches; only `mindrecord` and `loader` need MindSpore."""
