"""Networks of rtdl_revisiting_models and tabm for tables, and tasks for ensembles."""
