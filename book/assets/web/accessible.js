// Names and roles that theme and docutils leave out or get wrong, found with axe-core.
document.addEventListener("DOMContentLoaded", () => {
  const each = (selector, mend) => document.querySelectorAll(selector).forEach(mend);

  // Where there are visible words, they are the name; a label that says something else breaks voice control.
  each(":is(button, summary)[aria-label]", (element) => {
    if (element.innerText.trim()) element.removeAttribute("aria-label");
  });
  each("li > details > summary", (summary) => {
    const chapter = summary.closest("li").querySelector("a").textContent.trim();
    if (!summary.innerText.trim()) summary.setAttribute("aria-label", `Pages under ${chapter}`);
  });
  each("#pst-primary-sidebar:not([role])", (sidebar) => {
    sidebar.setAttribute("role", "region");
    sidebar.setAttribute("aria-label", "Book");
  });
  // Entries of a bibliography are items of a list; the role they come with is deprecated.
  each(".citation-list > .citation[role=doc-biblioentry]", (entry) => entry.setAttribute("role", "listitem"));

  // A box that scrolls must be reachable with the keyboard. What fits needs no stop. MathJax keeps an invisible
  // copy of each formula that would count as overflow, so formulas are measured by what is seen.
  const scrollers = ".bd-article :is(span.math, div.math mjx-container, pre, .pst-scrollable-table-container)";
  const width = (box) => box.querySelector(":scope > table, mjx-math")?.getBoundingClientRect().width ?? box.scrollWidth;
  const reach = () => each(scrollers, (box) => {
    const formula = box.matches("mjx-container") ? box : box.querySelector("mjx-container");
    formula?.classList.remove("tight", "tighter");
    const whole = box.parentElement.closest(".whole");
    whole?.classList.remove("apart");
    const isWide = () => width(box) > box.clientWidth + 1;
    // A displayed formula is larger than the text around it, which a phone has no room for.
    for (const size of formula === box ? ["tight", "tighter"] : ["tight"])
      if (isWide()) formula?.classList.add(size);
    if (isWide()) whole?.classList.add("apart"); // it needs the whole line for itself
    const scrolls = isWide();
    box.classList.toggle("scrolls", scrolls);
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
  const settled = async () => {
    await window.MathJax?.startup?.promise;
    await document.fonts.ready; // the formulas' fonts change their widths
    reach();
  };
  addEventListener("load", settled);
  addEventListener("resize", reach);
});
