// Show what a link points to, when it is a statement, equation, figure, term, exercise or work of this site.
document.addEventListener("DOMContentLoaded", () => {
  const WORTH_IT = "div.proof.admonition, div.math, figure, dt, div.exercise, div.citation";
  const pages = new Map([[location.pathname, Promise.resolve(document)]]);
  let box = null, timer = null, owner = null; // the owner is the link whose preview is shown or about to be

  const page = (url) => {
    if (location.protocol === "file:" && !pages.has(url.pathname)) return null; // browsers refuse
    if (!pages.has(url.pathname)) {
      pages.set(url.pathname, fetch(url.pathname)
        .then((answer) => answer.text())
        .then((text) => new DOMParser().parseFromString(text, "text/html")));
    }
    return pages.get(url.pathname);
  };

  // What stands there, as a copy without identifiers, or null where a preview would say nothing.
  const excerpt = async (url) => {
    const there = await page(url);
    const target = there?.getElementById(decodeURIComponent(url.hash.slice(1)));
    const whole = target?.closest(WORTH_IT);
    if (!whole) return null;
    const parts = whole.matches("dt") ? [whole, whole.parentElement.querySelector(`#${CSS.escape(target.id)} ~ dd`)] : [whole];
    return parts.filter(Boolean).map((part) => {
      const copy = document.importNode(part, true);
      [copy, ...copy.querySelectorAll("*")].forEach((element) => {
        element.removeAttribute("id");
        for (const name of ["src", "href"]) {
          const value = element.getAttribute(name);
          if (value) element.setAttribute(name, new URL(value, url).href);
        }
      });
      return copy;
    });
  };

  const hide = () => {
    clearTimeout(timer);
    box?.remove();
    box = owner = null;
    document.querySelector("a[aria-describedby=preview]")?.removeAttribute("aria-describedby");
  };

  const show = async (link) => {
    const parts = await excerpt(new URL(link.href)).catch(() => null);
    if (link !== owner) return;
    hide();
    if (!parts) return;
    owner = link;
    box = Object.assign(document.createElement("div"), { className: "preview bd-article", id: "preview" });
    box.setAttribute("role", "tooltip");
    box.append(...parts);
    document.querySelector("article.bd-article").append(box);
    link.setAttribute("aria-describedby", "preview");
    box.addEventListener("mouseleave", hide);
    await window.MathJax?.typesetPromise?.([box]);
    if (!box) return;
    const at = link.getBoundingClientRect(), home = box.offsetParent.getBoundingClientRect();
    const below = at.bottom + box.offsetHeight + 12 < innerHeight || at.top < box.offsetHeight + 12;
    const left = Math.min(Math.max(at.left, 12), document.documentElement.clientWidth - box.offsetWidth - 12);
    box.style.left = `${left - home.left}px`;
    box.style.top = `${(below ? at.bottom + 6 : at.top - box.offsetHeight - 6) - home.top}px`;
  };

  const soon = (event) => {
    owner = event.currentTarget;
    clearTimeout(timer);
    timer = setTimeout(show, event.type === "focus" ? 0 : 250, owner);
  };
  // A page that scrolls under a resting mouse makes other links lose it; that is not for them to end.
  const later = (event) => {
    if (event.currentTarget !== owner) return;
    clearTimeout(timer);
    timer = setTimeout(() => box?.matches(":hover") || hide(), 150);
  };
  document.querySelectorAll("article.bd-article a.internal[href*='#']:not(.headerlink)").forEach((link) => {
    for (const name of ["mouseenter", "focus"]) link.addEventListener(name, soon);
    for (const name of ["mouseleave", "blur"]) link.addEventListener(name, later);
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
});
