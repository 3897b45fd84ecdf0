"""One HTML file that says what a fitted model can do. Needs the extra: pip install "fastnn[report]".

Jobs:
- `page`: `report`, which measures, draws and fills the template;
- `subject`: the model and its rows, whatever kind of table they come in;
- `scores`: the numbers;
- `pictures`: the drawings, as SVG whose colours follow the page's scheme.
"""

from fastnn.reporting.page import Report, check_extra, report

__all__ = ["Report", "check_extra", "report"]
