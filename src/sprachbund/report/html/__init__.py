"""The report as one HTML file, which opens from disk, asks for nothing from any network, and can be passed on.

    material    what the page is made of
    sheets      tables for people, and the same as CSV
    tables      what stands in them
    pictures    matplotlib's SVG in the colours of the page, each with its data
    places      a locale on its own
    page        all of it in order, put into ``templates/``

Everything that comes of models, data or prefixes is escaped by the template, and a content security policy lets no other script
run than the page's own. Figures are those of :mod:`sprachbund.report.analysis` and :mod:`sprachbund.report.summary`.
"""

from __future__ import annotations

from sprachbund.report.html.material import Texts
from sprachbund.report.html.page import html_report, write_html

__all__ = ["Texts", "html_report", "write_html"]
