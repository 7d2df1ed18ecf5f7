"""The process that runs one network, and the front process's hold on it; MindSpore is imported in that process only."""
