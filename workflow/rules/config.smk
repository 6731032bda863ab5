"""The configuration file. A mistake of YAML in it is one line, before Snakemake reads it."""

import sys
from pathlib import Path

SCRIPTS = Path(str(workflow.current_basedir)).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from refilm.config.configuration import check_yaml
from refilm.planning.snakemake_functions import exit_on_error

CONFIG = Path("config/config.yaml")
# The configuration files of an importing workflow are its own.
if workflow.modifier.is_main_snakefile():
    for file in dict.fromkeys(
        [*filter(Path.exists, [CONFIG]), *map(Path, workflow.configfiles)]
    ):
        exit_on_error(check_yaml)(file)


configfile: str(CONFIG)
