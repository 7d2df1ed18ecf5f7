"""The train loop: one step for every task, its optimisers and schedules, resumable state, the run's progress."""
