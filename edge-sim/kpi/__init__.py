"""kpi-report: drives the programs of a build, holds what they measure against the KPIs, and writes a report."""
