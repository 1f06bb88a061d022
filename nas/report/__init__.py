"""A run as one HTML page that needs no network, and as figures for a paper."""

from nas.report.figures import write_figures
from nas.report.page import PAGE, write_report
from nas.report.server import serve

__all__ = ["PAGE", "serve", "write_figures", "write_report"]
