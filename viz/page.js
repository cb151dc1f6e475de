"use strict";
// The interactive page: blocks open and close by exchanging whole pictures, drawn ahead of time (or, while serving,
// by the server). All text of the spec goes through textContent.
const page = (() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const every = (selector, root = document) => [...root.querySelectorAll(selector)];
  const SVG = "http://www.w3.org/2000/svg";
  const stage = one("#stage"), holder = one("#picture"), panel = one("#facts"), hits = one("#hits");
  const search = one("#search"), banner = one("#banner");
  let data = JSON.parse(one("#data").textContent);
  let state = new Set(data.start); // paths of the opened blocks
  let selected = null; // data-node of the node whose facts stay
  let scale = 0; // pixels a point; 0: not chosen yet
  let turn = 0; // number of the latest exchange of pictures
  let current = -1; // which hit of the search

  function make(tag, words = null, kind = null) {
    const element = document.createElement(tag);
    if (words !== null) element.textContent = words;
    if (kind) element.className = kind;
    return element;
  }

  // -- which blocks are open -----------------------------------------------------------------------------------------

  const path = (id) => (data.unroll ? id : id.split(".").filter((name) => !/^\d+$/.test(name)).join("."));
  const openable = (id) => Object.hasOwn(data.tree, path(id));
  const key = (set) => Object.keys(data.tree).map((name, n) => (set.has(name) ? n : "")).filter((n) => n !== "").join();

  function above(name) {
    const found = [];
    while ((name = data.tree[name])) found.push(name);
    return found;
  }
  const level = (name) => above(name).length;
  const opened = (set, name) => new Set([...set, name, ...above(name)]);
  const closed = (set, name) => new Set([...set].filter((other) => other !== name && !above(other).includes(name)));
  const within = (set) => new Set([...set].filter((name) => Object.hasOwn(data.tree, name) && above(name).every((a) => set.has(a))));

  // -- pictures ------------------------------------------------------------------------------------------------------

  let store = null; // key to SVG, unpacked when first needed

  async function unpack() {
    const bytes = Uint8Array.from(atob(data.packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const [lines, pictures] = JSON.parse(await new Response(stream).text());
    return new Map(pictures.map(([opened, numbers]) => [opened, numbers.map((n) => lines[n]).join("\n")]));
  }

  // The picture for a set of opened blocks; where the page does not hold it, the nearest in which `fits`.
  async function packed(wanted, fits) {
    store = store || unpack();
    const known = await store;
    if (known.has(key(wanted))) return [wanted, known.get(key(wanted))];
    const names = Object.keys(data.tree);
    let best = null, least = Infinity;
    for (const [numbers, svg] of known) {
      const set = new Set(numbers.split(",").filter(Boolean).map((n) => names[n]));
      const steps = set.symmetricDifference ? set.symmetricDifference(wanted).size : names.filter((n) => set.has(n) !== wanted.has(n)).length;
      if (fits(set) && steps < least) [best, least] = [[set, svg], steps];
    }
    return best;
  }
  let source = packed;

  async function change(wanted, fits, node) {
    const mine = ++turn;
    const found = await source(wanted, fits);
    if (mine !== turn) return;
    if (!found) return say("This page holds no picture of that; `blockgraph serve` draws any.");
    say(key(found[0]) === key(wanted) ? "" : "This page holds not every combination: other blocks were opened or closed as well.");
    state = found[0];
    put(found[1], node);
  }

  // Exchanges the picture; `node` stays where it is on the screen and keeps the focus.
  function put(text, node) {
    const focused = document.activeElement?.closest?.("[data-node]")?.dataset.node;
    const before = node && place(node);
    const known = new Set(nodes().map((element) => element.dataset.node));
    const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    holder.replaceChildren(document.importNode(parsed, true));
    dress();
    resize();
    const after = node && place(node);
    if (before && after) stage.scrollBy(after[0] - before[0], after[1] - before[1]);
    if (after) find(node).scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    if (focused !== undefined) find(focused)?.focus({ preventScroll: true });
    if (known.size && !matchMedia("(prefers-reduced-motion: reduce)").matches)
      for (const element of nodes())
        if (!known.has(element.dataset.node) && element.matches(".bg-node")) element.animate({ opacity: [0, 1] }, 200);
    look();
    show(selected);
  }

  function place(id) {
    const box = find(id)?.getBoundingClientRect();
    return box && [box.x + box.width / 2, box.y + box.height / 2];
  }

  const nodes = () => every("[data-node]:not([data-part])", holder);
  // The block that was opened or closed has the same id as the frame that it became; of several copies the first.
  const find = (id) => nodes().find((element) => element.dataset.node === id) || nodes().find((element) => path(element.dataset.node) === path(id));

  function dress() {
    const svg = one("svg", holder);
    if (!svg) return;
    svg.setAttribute("role", "group");
    svg.toggleAttribute("data-fixed", data.fixed);
    for (const element of nodes()) {
      const name = path(element.dataset.node);
      element.setAttribute("tabindex", "0");
      if (!openable(name)) continue;
      const open = state.has(name), frame = element.matches(".bg-frame");
      if (frame !== open || (frame && path(element.parentElement.closest("[data-node]")?.dataset.node || "") === name)) continue;
      element.setAttribute("role", "button");
      element.setAttribute("aria-expanded", String(open));
      element.toggleAttribute("data-openable", !open);
      handle(element, open);
    }
    one("#less").disabled = state.size === 0;
    one("#more").disabled = state.size === Object.keys(data.tree).length;
  }

  // The little circle with + or − at the upper right corner.
  function handle(element, open) {
    const body = one(":scope > .bg-body", element)?.getBBox();
    if (!body) return;
    const x = body.x + body.width - 4, y = body.y + 4;
    const mark = document.createElementNS(SVG, "g"), round = document.createElementNS(SVG, "circle");
    const sign = document.createElementNS(SVG, "path"), words = document.createElementNS(SVG, "title");
    for (const [name, value] of [["cx", x], ["cy", y], ["r", 6.5]]) round.setAttribute(name, value);
    sign.setAttribute("d", `M${x - 3},${y}h6` + (open ? "" : `M${x},${y - 3}v6`));
    words.textContent = open ? "Close" : "Open";
    mark.setAttribute("class", "handle");
    mark.append(words, round, sign);
    element.append(mark);
  }

  const toggle = (id) => {
    const name = path(id);
    if (!openable(name)) return;
    const open = !state.has(name);
    change(open ? opened(state, name) : closed(state, name), (set) => set.has(name) === open, id);
  };

  function deeper(step) {
    const levels = Object.keys(data.tree).map(level);
    const deepest = Math.max(-1, ...[...state].map(level));
    const complete = Object.keys(data.tree).filter((name) => level(name) <= deepest).every((name) => state.has(name));
    const depth = Math.max(0, Math.min(deepest + (step > 0 ? (complete ? 2 : 1) : 0), Math.max(...levels) + 1));
    const wanted = new Set(Object.keys(data.tree).filter((name) => level(name) < depth));
    change(wanted, (set) => (step > 0 ? set.size > state.size : set.size < state.size), null);
  }

  const size = () => one("svg", holder)?.viewBox.baseVal;
  const whole = ({ width, height }) => Math.min((stage.clientWidth - 32) / width, (stage.clientHeight - 32) / height);

  function resize() {
    const svg = one("svg", holder);
    if (!svg) return;
    scale = scale || Math.max(0.85, Math.min(whole(size()), 1.6));
    svg.style.width = `${size().width * scale}px`;
    svg.style.height = `${size().height * scale}px`;
  }

  // Larger or smaller round the middle of the window; 0 shows the whole picture.
  function zoom(factor) {
    if (!size()) return;
    const [x, y, before] = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2, scale];
    scale = Math.max(0.05, Math.min(factor ? scale * factor : whole(size()), 8));
    resize();
    stage.scrollTo((x * scale) / before - stage.clientWidth / 2, (y * scale) / before - stage.clientHeight / 2);
  }

  // -- facts ---------------------------------------------------------------------------------------------------------

  const title = (element) => every(":scope > .bg-line, :scope > .bg-sign, :scope > .bg-caption", element).map((line) => line.textContent).join(" ");

  function show(id) {
    const element = id ? find(id) : null;
    for (const other of every(".near, .selected, .flow", holder)) other.classList.remove("near", "selected", "flow");
    if (selected) find(selected)?.classList.add("selected");
    if (element && id !== selected) element.classList.add("near");
    for (const edge of id ? every(".bg-edge", holder) : [])
      if (edge.dataset.from === id || edge.dataset.to === id)
        for (const part of [edge, edge.nextElementSibling]) part?.classList.add("flow");
    panel.replaceChildren(...told(id || "", element));
  }

  function told(id, element) {
    const facts = data.facts[id];
    if (!id) return [make("h2", data.name), ...sections(data.facts[""] || {})];
    const heading = make("h2", (element && title(element)) || id.split(/[.:]/).filter((part) => !/^\d+$|^out$/.test(part)).pop());
    const shown = [heading, make("div", id, "path")];
    if (facts) return [...shown, ...sections(facts)];
    let outer = id; // a part of a built-in block is no node of the spec
    while (outer && !data.facts[outer]) outer = outer.split(".").slice(0, -1).join(".");
    const label = element?.getAttribute("aria-label") || "";
    if (label.includes("(")) shown.push(make("p", label.slice(label.indexOf("(") + 1, -1)));
    if (!outer) return shown;
    return [...shown, make("h3", `Part of ${outer}`), ...sections(data.facts[outer])];
  }

  function sections(facts) {
    const shown = [];
    const said = [facts.type === "model" ? "" : facts.type, facts.about].filter(Boolean).join(": ");
    if (said) shown.push(make("p", said));
    for (const note of facts.notes || []) shown.push(make("p", note));
    const add = (heading, rows) => rows?.length && shown.push(make("h3", heading), table(rows));
    add("Costs", facts.costs);
    add("Shapes", facts.shapes);
    add("Options", facts.options);
    if (facts.lines) shown.push(make("h3", "Written"), ...written(facts.lines));
    return shown;
  }

  function table(rows) {
    const element = make("table");
    for (const [name, value, usual] of rows) {
      const row = element.insertRow();
      row.append(make("th", name), make("td", value));
      if (usual) [row.className, row.title] = ["usual", "the default"];
    }
    return element;
  }

  function written(lines) {
    const files = new Map();
    for (const [file, number, text] of lines) files.set(file, [...(files.get(file) || []), [number, text]]);
    return [...files].map(([file, rows]) => {
      const figure = make("figure"), pre = make("pre");
      let indent = 0;
      rows.forEach(([number, text], n) => {
        if (!n || number !== rows[n - 1][0] + 1) indent = text.length - text.trimStart().length;
        pre.append(make("b", number), make("span", text.slice(Math.min(indent, text.length - text.trimStart().length))));
      });
      figure.append(make("figcaption", `${file}:${rows[0][0]}`), pre);
      return figure;
    });
  }

  function select(id) {
    selected = id;
    show(id);
  }

  function say(words) {
    banner.textContent = words;
    banner.hidden = !words;
  }

  // -- search --------------------------------------------------------------------------------------------------------

  function matching() {
    const words = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    const shown = new Map(nodes().map((element) => [element.dataset.node, element]));
    const ids = new Set([...shown.keys(), ...Object.keys(data.facts).filter(Boolean)]);
    return [...ids].filter((id) => {
      const said = [id, data.facts[id]?.type, shown.get(id)?.matches(".bg-node") && shown.get(id).getAttribute("aria-label")].join(" ").toLowerCase();
      return words.every((word) => said.includes(word));
    });
  }

  function look() {
    const found = matching();
    one("svg", holder)?.classList.toggle("searching", found !== null);
    for (const element of nodes()) element.classList.toggle("match", Boolean(found?.includes(element.dataset.node)));
    hits.hidden = found === null || document.activeElement !== search;
    hits.replaceChildren(
      ...(found || []).map((id, n) => {
        const row = make("li", id);
        row.append(" ", make("small", data.facts[id]?.type || ""));
        if (n === current) row.setAttribute("aria-current", "true");
        row.addEventListener("mousedown", (event) => { event.preventDefault(); go(id); });
        return row;
      }),
    );
    if (found && !found.length) hits.append(make("li", "Nothing is called so.", "none"));
    return found || [];
  }

  async function go(id) {
    const inside = above(path(id)).length || Object.hasOwn(data.tree, path(id)) ? above(path(id)) : outer(path(id));
    if (!nodes().some((element) => element.dataset.node === id)) {
      const wanted = new Set([...state, ...inside, ...inside.flatMap(above)]);
      await change(wanted, (set) => inside.every((name) => set.has(name)), null);
    }
    select(id);
    find(id)?.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
  }

  // The openable blocks around a path.
  function outer(name) {
    const parts = name.split(".");
    return parts.map((_, n) => parts.slice(0, n).join(".")).filter((prefix) => Object.hasOwn(data.tree, prefix));
  }

  // -- pointer and keys ----------------------------------------------------------------------------------------------

  holder.addEventListener("pointerover", (event) => show(event.target.closest("[data-node]")?.dataset.node || selected));
  holder.addEventListener("pointerleave", () => show(selected));
  holder.addEventListener("focusin", (event) => select(event.target.closest("[data-node]")?.dataset.node || null));
  stage.addEventListener("click", (event) => {
    const element = event.target.closest("[data-node]");
    if (!element) return select(null);
    select(element.dataset.node);
    if (event.target.closest(".handle") || element.hasAttribute("data-openable")) toggle(element.dataset.node);
  });

  function step(by) {
    const list = nodes();
    const at = list.indexOf(document.activeElement?.closest?.("[data-node]"));
    const from = at >= 0 ? at : list.findIndex((element) => element.dataset.node === selected);
    const next = from < 0 ? list[by > 0 ? 0 : list.length - 1] : list[Math.max(0, Math.min(from + by, list.length - 1))];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function escape() {
    if (document.activeElement === search || search.value) {
      [search.value, current] = ["", -1];
      search.blur();
      return look();
    }
    const focused = document.activeElement?.closest?.("[data-node]")?.dataset.node || selected;
    const around = focused ? [path(focused), ...outer(path(focused)).reverse()].find((name) => state.has(name)) : null;
    if (!around) return select(null);
    change(closed(state, around), (set) => !set.has(around), around).then(() => find(around)?.focus({ preventScroll: true }));
  }

  const KEYS = {
    ArrowUp: () => step(data.direction === "down" ? -1 : 1), ArrowDown: () => step(data.direction === "down" ? 1 : -1),
    ArrowRight: () => step(data.direction === "left" ? -1 : 1), ArrowLeft: () => step(data.direction === "left" ? 1 : -1),
    Home: () => step(-1e9), End: () => step(1e9), Escape: escape,
    "/": () => search.focus(), "+": () => zoom(1.25), "-": () => zoom(0.8), 0: () => zoom(0),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = document.activeElement === search, node = document.activeElement?.closest?.("[data-node]");
    if (typing && event.key === "Enter") {
      const found = look();
      if (found.length) go(found[(current = (current + (event.shiftKey ? -1 : 1) + found.length) % found.length)]).then(look);
    } else if (node && (event.key === "Enter" || event.key === " ")) toggle(node.dataset.node);
    else if (event.key === "Escape" || (!typing && Object.hasOwn(KEYS, event.key))) KEYS[event.key]();
    else return;
    event.preventDefault();
  });
  search.addEventListener("input", () => { current = -1; look(); });
  for (const kind of ["focus", "blur"]) search.addEventListener(kind, look);
  for (const [id, act] of Object.entries({ less: () => deeper(-1), more: () => deeper(1), smaller: () => zoom(0.8), larger: () => zoom(1.25), fit: () => zoom(0) }))
    one(`#${id}`).addEventListener("click", act);

  // -- light and dark ------------------------------------------------------------------------------------------------

  const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };
  function dye(theme) {
    document.documentElement.dataset.theme = theme;
    one("#theme").textContent = THEMES[theme];
  }
  one("#theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    dye(next);
    try { localStorage.setItem("blockgraph-theme", next); } catch { /* a page from a file may have no store */ }
  });
  let kept = null;
  try { kept = localStorage.getItem("blockgraph-theme"); } catch { /* the same */ }
  dye(Object.hasOwn(THEMES, kept) && document.documentElement.dataset.theme === "auto" ? kept : document.documentElement.dataset.theme);

  dress();
  resize();
  show(null);
  return {
    one, every, make, say, select, put, key, within,
    get data() { return data; },
    set data(value) { data = value; },
    get state() { return state; },
    set state(value) { state = value; },
    get source() { return source; },
    set source(value) { source = value; },
  };
})();
