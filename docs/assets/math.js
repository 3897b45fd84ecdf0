// Formulas are in elements of class "arithmatex"; KaTeX lies beside this file.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.trim();
    katex.render(text.slice(2, -2), element, { displayMode: text.startsWith("\\["), throwOnError: false });
  }
  for (const display of document.querySelectorAll("div.arithmatex, .md-typeset__table, .md-typeset pre > code"))
    display.tabIndex = 0; // what scrolls can be reached by keyboard
});
