// Formulas are in elements of class "arithmatex"; KaTeX lies beside this file.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.trim();
    katex.render(text.slice(2, -2), element, { displayMode: text.startsWith("\\["), throwOnError: false });
  }
  for (const display of document.querySelectorAll("div.arithmatex, .md-typeset__table, .md-typeset pre > code"))
    display.tabIndex = 0; // what scrolls can be reached by keyboard
  // Long names in tables break behind an underscore, a colon or a bracket, and not within a word.
  for (const code of document.querySelectorAll(".md-typeset td code"))
    if (!code.children.length)
      code.replaceChildren(...code.textContent.split(/(?<=[_:.(,/])(?=\w)/).flatMap((part, i) =>
        i ? [document.createElement("wbr"), part] : [part]));
  // On a phone each row of a table of words is a card, whose lines begin with the column's head; numbers scroll.
  for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent);
    if (!heads.length || table.querySelector("[style*='text-align: right']")) continue;
    table.dataset.cards = "";
    const roles = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", th: "columnheader", td: "cell" };
    for (const part of [table, ...table.querySelectorAll("*")])
      if (part.localName in roles) part.setAttribute("role", roles[part.localName]);
    for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => (cell.dataset.head = heads[i]));
  }
});
