// Start what a page lets its reader touch: every element with data-live names a module of gancourse.arena.
// The same modules serve notebooks, where anywidget gives them a model; here the page has one of its own.
// While a module runs, the still picture in the element is hidden; without scripts it stays.
(() => {
  const here = document.currentScript.src;

  class Model {
    #values;
    #listeners = new Map();
    constructor(values) {
      this.#values = { ...values };
    }
    get(key) {
      return this.#values[key];
    }
    set(key, value) {
      if (this.#values[key] === value) return;
      this.#values[key] = value;
      for (const name of [`change:${key}`, "change"]) this.#listeners.get(name)?.forEach((call) => call());
    }
    save_changes() {}
    on(name, call) {
      if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
      this.#listeners.get(name).add(call);
    }
    off(name, call) {
      this.#listeners.get(name)?.delete(call);
    }
  }

  // A page opened as a file may not import files; its text also stands in a script, from which a module is made.
  const modules = new Map();
  const load = (name) => {
    if (!modules.has(name)) modules.set(name, location.protocol === "file:" ? fromText(name) : import(new URL(`${name}.mjs`, here)));
    return modules.get(name);
  };
  const fromText = async (name) => {
    await new Promise((done, failed) => {
      const script = Object.assign(document.createElement("script"), { src: new URL(`${name}.text.js`, here), onload: done, onerror: failed });
      document.head.append(script);
    });
    return import(URL.createObjectURL(new Blob([window.gancourseModules[name]], { type: "text/javascript" })));
  };

  // Settings from the address, and every change of them written back without a new page.
  const link = ({ keys, write }, model) => {
    const asked = new URLSearchParams(location.search);
    keys.filter((key) => asked.has(key)).forEach((key) => model.set(key, asked.get(key)));
    let waiting = 0;
    model.on("change", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        const now = new URL(location.href);
        keys.forEach((key) => now.searchParams.delete(key));
        Object.entries(write((key) => model.get(key))).forEach(([key, value]) => now.searchParams.set(key, value));
        if (now.href !== location.href) history.replaceState(history.state, "", now);
      }, 200);
    });
  };

  const start = async (place) => {
    const { default: module } = await load(place.dataset.live);
    const model = new Model(JSON.parse(place.dataset.props ?? "{}"));
    if (model.get("linked") && module.address) link(module.address, model);
    const el = document.createElement("div");
    el.className = "live-moving";
    place.prepend(el);
    await module.render({ model, el });
    place.classList.add("live-started");
  };

  const startAll = () => document.querySelectorAll("[data-live]").forEach((place) =>
    start(place).catch((error) => {
      place.querySelector(".live-moving")?.remove();
      console.error(error);
    }));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
  else startAll();
})();
