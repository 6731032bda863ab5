"""What `snakemake --report report.zip` shows. Included only then: `all` is what is there.

Input       all results that are there
Output      pages of the films, tables and trainings among them, in .snakemake/refilm-report, made when this is read
"""

entries = exit_on_error(collect)(planner.config)


rule results:
    input:
        shown=[
            report(
                entry.path,
                caption=entry.caption,
                category=entry.category,
                labels=entry.labels,
                htmlindex=entry.index,
            )
            for entry in entries
        ],
        # For the statistics and the graph of the rules that made them.
        results=[
            result
            for entry in entries
            if planner.results.made_from(entry.names)
            for result in entry.results
        ],
    localrule: True
