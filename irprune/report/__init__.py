"""Pages and pictures from the plan, the curves and the verdicts alone: nothing here reads a model."""
