"""The configuration file. A mistake of YAML in it is one line, before Snakemake reads it."""

import sys
from pathlib import Path

SCRIPTS = Path(str(workflow.current_basedir)).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from refilm.config.configuration import check_yaml
from refilm.planning.snakemake_functions import exit_on_error

CONFIG = Path("config/config.yaml")
if workflow.modifier.is_main_snakefile() and CONFIG.exists():
    exit_on_error(check_yaml)(CONFIG)


configfile: str(CONFIG)
