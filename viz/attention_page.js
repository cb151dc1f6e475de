"use strict";
// Attention, word by word. All text goes through textContent; weights are unpacked once.
const attention = (() => {
  const one = (selector) => document.querySelector(selector);
  const data = JSON.parse(one("#data").textContent);
  const rows = { queries: one("#queries"), keys: one("#keys") };
  const grid = one("#grid"), map = one("#map");
  const stacks = [...new Set(data.maps.map((m) => m.stack))];
  const other = { queries: "keys", keys: "queries" };
  // What is shown: a stack, a layer and a head of it (heads.length: their mean), a word of one side.
  const state = { stack: stacks[0], layer: 0, head: 0, side: "queries", word: 0 };
  let layers = [], cells = [];

  function make(tag, words = null, kind = null) {
    const element = document.createElement(tag);
    if (words !== null) element.textContent = words;
    if (kind) element.className = kind;
    return element;
  }

  const clamp = (number, count) => Math.max(0, Math.min(count - 1, number));
  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;

  const probe = document.body.appendChild(make("i"));
  probe.hidden = true;
  function colour(name) { // as canvases take it
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }

  // -- numbers -------------------------------------------------------------------------------------------------------

  async function unpack() {
    const bytes = Uint8Array.from(atob(data.packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const view = new DataView(await new Response(stream).arrayBuffer());
    let start = 0;
    for (const m of data.maps) {
      m.words = { queries: data.texts[m.queries], keys: data.texts[m.keys] };
      m.size = m.words.queries.length * m.words.keys.length;
      m.weights = new Float32Array(m.size * m.heads.length);
      for (let n = 0; n < m.weights.length; n++) m.weights[n] = view.getUint16(start + 2 * n, true) / 65535;
      start += 2 * m.weights.length;
    }
  }

  // The weight of a head (or of their mean) from query q to key k.
  function weight(m, head, q, k) {
    const place = q * m.words.keys.length + k;
    if (head < m.heads.length) return m.weights[head * m.size + place];
    let sum = 0;
    for (let h = 0; h < m.heads.length; h++) sum += m.weights[h * m.size + place];
    return sum / m.heads.length;
  }

  // What a word gives to each key, or, among the keys, gets from each query.
  function shares(m, head, side = state.side, word = state.word) {
    return m.words[other[side]].map((_, n) => (side === "queries" ? weight(m, head, word, n) : weight(m, head, n, word)));
  }

  // -- what can be chosen --------------------------------------------------------------------------------------------

  const current = () => layers[state.layer];
  const headName = (m, head) => (head < m.heads.length ? `head ${m.heads[head]}` : "mean of the heads");

  function openStack(stack) {
    state.stack = stack;
    layers = data.maps.filter((m) => m.stack === stack);
    state.layer = clamp(state.layer, layers.length);
    state.head = clamp(state.head, current().heads.length + 1);
    state.word = clamp(state.word, current().words[state.side].length);
    for (const button of one("#stacks").children) button.setAttribute("aria-pressed", button.textContent === stack);
    for (const side of ["queries", "keys"]) fillWords(side);
    fillGrid();
    show();
  }

  function fillWords(side) {
    const words = current().words[side];
    rows[side].replaceChildren(...words.map(([text, glued], n) => {
      const button = make("button", null, glued ? "glued" : null);
      button.type = "button";
      button.append(make("span", text), make("small", ""));
      if (words[n + 1]?.[1]) button.classList.add("opens");
      if (side === "keys" && current().sink && n === words.length - 1) button.classList.add("sink");
      button.addEventListener("pointerenter", () => choose({ side, word: n }));
      button.addEventListener("focus", () => choose({ side, word: n }));
      return button;
    }));
  }

  function fillGrid() {
    const count = Math.max(...layers.map((m) => m.heads.length));
    grid.style.gridTemplateColumns = `auto repeat(${count + 1}, max-content)`;
    const longest = layers.find((m) => m.heads.length === count);
    grid.replaceChildren(make("span"), ...[...longest.heads, "mean"].map((h) => make("span", `${h}`, "head")));
    cells = layers.map((m, layer) => {
      grid.append(make("span", m.node, "layer"));
      const made = Array.from({ length: m.heads.length + 1 }, (_, head) => {
        const button = make("button");
        button.type = "button";
        button.dataset.cell = `${layer} ${head}`;
        button.setAttribute("aria-label", `${m.node}, ${headName(m, head)}`);
        button.append(make("canvas"));
        button.addEventListener("pointerenter", () => choose({ layer, head }));
        button.addEventListener("focus", () => choose({ layer, head }));
        button.addEventListener("click", () => choose({ layer, head }));
        grid.append(button);
        return button;
      });
      for (let n = made.length; n < count + 1; n++) grid.append(make("span"));
      return made;
    });
  }

  let asked = false;
  function choose(wanted) {
    Object.assign(state, wanted);
    state.layer = clamp(state.layer, layers.length);
    state.head = clamp(state.head, current().heads.length + 1);
    state.word = clamp(state.word, current().words[state.side].length);
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; show(); });
  }

  // -- what is shown -------------------------------------------------------------------------------------------------

  function show() {
    const m = current(), found = shares(m, state.head), paints = { line: colour("--line"), heat: colour("--heat") };
    one("#chosen").textContent = `${m.node}, ${headName(m, state.head)}`;
    [...rows[state.side].children].forEach((button, n) => paintWord(button, null, n === state.word, n === state.word));
    [...rows[other[state.side]].children].forEach((button, n) => paintWord(button, found[n], false, n === 0));
    cells.forEach((line, layer) => line.forEach((button, head) => {
      const chosen = layer === state.layer && head === state.head;
      button.setAttribute("aria-pressed", chosen);
      button.tabIndex = chosen ? 0 : -1;
      bars(button.firstChild, shares(layers[layer], head), paints);
    }));
    one("#said").textContent = sentence(m, found);
    heat(m);
  }

  function paintWord(button, share, chosen, reachable) {
    button.setAttribute("aria-pressed", chosen);
    button.tabIndex = reachable ? 0 : -1;
    button.style.setProperty("--share", share === null ? "0%" : `${100 * Math.sqrt(share)}%`);
    button.lastChild.textContent = share ? percent(share) : ""; // what is hidden has no number
    button.toggleAttribute("data-strong", share !== null && share >= 0.1);
  }

  function sentence(m, found) {
    const word = m.words[state.side][state.word][0], names = m.words[other[state.side]];
    const best = found.map((share, n) => [share, n]).sort((a, b) => b[0] - a[0]).slice(0, 3).filter(([share]) => share > 0);
    const list = best.map(([share, n]) => `${names[n][0]} ${percent(share)}`).join(", ");
    if (!best.length) return `${word} ${state.side === "queries" ? "sees nothing" : "is seen by nobody"}`;
    return `${word} ${state.side === "queries" ? "looks at" : "is looked at by"} ${list}`;
  }

  function sized(canvas, width, height) {
    const scale = window.devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    return pen;
  }

  function bars(canvas, found, paints) {
    const step = Math.max(1, Math.min(6, Math.floor(72 / found.length))), height = 24;
    const pen = sized(canvas, Math.max(24, step * found.length), height);
    pen.fillStyle = paints.line;
    pen.fillRect(0, height - 1, step * found.length, 1);
    pen.fillStyle = paints.heat;
    found.forEach((share, n) => {
      const high = height * Math.sqrt(share); // as colours do: small weights can be seen
      pen.fillRect(step * n, height - high, Math.max(1, step - 1), high);
    });
  }

  function heat(m) {
    const { queries, keys } = m.words;
    const step = Math.max(1, Math.min(16, Math.floor(360 / Math.max(queries.length, keys.length))));
    const pen = sized(map, step * keys.length, step * queries.length);
    map.dataset.step = step;
    pen.fillStyle = colour("--heat");
    for (let q = 0; q < queries.length; q++) {
      for (let k = 0; k < keys.length; k++) {
        pen.globalAlpha = Math.sqrt(weight(m, state.head, q, k));
        pen.fillRect(step * k, step * q, step, step);
      }
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("--mark");
    pen.lineWidth = 1.5;
    if (state.side === "queries") pen.strokeRect(0.75, step * state.word + 0.75, step * keys.length - 1.5, step - 1.5);
    else pen.strokeRect(step * state.word + 0.75, 0.75, step - 1.5, step * queries.length - 1.5);
  }

  // -- hands ---------------------------------------------------------------------------------------------------------

  map.addEventListener("pointermove", (event) => {
    const box = map.getBoundingClientRect(); // with its border of a pixel
    choose({ side: "queries", word: Math.floor((event.clientY - box.top - 1) / Number(map.dataset.step)) });
  });

  function focusWord() {
    show();
    rows[state.side].children[state.word].focus();
  }

  document.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [0, 0];
    if ((!x && !y) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const inGrid = document.activeElement?.dataset.cell;
    if (y || inGrid || event.shiftKey) {
      const count = layers[clamp(state.layer + y, layers.length)].heads.length + 1;
      Object.assign(state, { layer: clamp(state.layer + y, layers.length), head: clamp(state.head + x, count) });
      show();
      if (inGrid) cells[state.layer][state.head].focus();
    } else {
      state.word = clamp(state.word + x, current().words[state.side].length);
      focusWord();
    }
  });

  const themes = ["auto", "light", "dark"];
  one("#theme").addEventListener("click", () => {
    const root = document.documentElement, next = themes[(themes.indexOf(root.dataset.theme) + 1) % 3];
    root.dataset.theme = next;
    one("#theme").textContent = next[0].toUpperCase() + next.slice(1);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show());

  async function start() {
    await unpack();
    one("#stacks").replaceChildren(...stacks.map((stack) => {
      const button = make("button", stack);
      button.type = "button";
      button.addEventListener("click", () => openStack(stack));
      return button;
    }));
    openStack(stacks[0]);
    document.documentElement.dataset.ready = "yes";
  }
  start();
  return { state, shares: () => shares(current(), state.head) };
})();
