"""Tasks, the runner, recorded results, reports and studies."""
