"""Tags of words in a row: the entities that they mark, the schemes they are written in, the best path through them."""
