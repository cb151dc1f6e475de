
// While serving: the server draws every picture, and tells after each save what is wrong with the spec.
(() => {
  const { one, make } = page;
  const panel = one("#problems");
  let seen = "", silent = false;

  page.source = async (wanted) => {
    const answer = await fetch("/picture?" + new URLSearchParams([...wanted].map((name) => ["open", name])));
    return answer.ok ? [wanted, await answer.text()] : null;
  };

  async function redraw(figure) {
    const before = page.data, fresh = Object.keys(figure.tree).filter((name) => !Object.hasOwn(before.tree, name));
    page.data = figure;
    const untouched = page.key(page.state) === page.key(new Set(before.start)) && before.start.every((name) => page.state.has(name));
    page.state = page.within(new Set(untouched ? figure.start : [...page.state, ...figure.start.filter((name) => fresh.includes(name))]));
    document.title = one("h1").textContent = figure.name;
    one("#about").textContent = figure.facts[""]?.about || "";
    const found = await page.source(page.state);
    if (found && page.data === figure) page.put(found[1], null);
  }

  function tell(news) {
    const errors = news.problems.length > 0 || news.message;
    panel.hidden = !errors;
    document.body.classList.toggle("stale", news.stale);
    page.say(news.stale ? "The picture is that of the last version without errors." : "");
    panel.classList.toggle("mild", !news.message && !news.problems.some((one) => said(one).some(({ severity }) => severity === "error")));
    panel.replaceChildren(...(news.message ? [make("p", news.message, "loose")] : []), ...news.problems.flatMap(file));
    one(".bad", panel)?.scrollIntoView({ block: "center", behavior: "instant" });
  }

  const said = (one) => [...(one.said || []), ...one.rows.flatMap(([, , found]) => found)];

  function counted(found) {
    const errors = found.filter(({ severity }) => severity === "error").length;
    const many = (n, what) => (n ? [`${n} ${what}${n > 1 ? "s" : ""}`] : []);
    return [...many(errors, "error"), ...many(found.length - errors, "warning")].join(", ");
  }

  function file(one) {
    const shown = (one.said || []).map((loose) => bubble(loose, "loose"));
    if (!one.rows.length) return shown;
    const source = make("div", null, "source");
    for (const [number, pieces, found] of one.rows) {
      for (const one of found) source.append(row("", bubble(one), one.severity));
      const text = make("span");
      for (const [piece, marked] of pieces) text.append(marked ? make("mark", piece) : piece);
      source.append(row(number || "", text, found[0]?.severity));
    }
    const heading = make("h2", `${one.file} `);
    heading.append(make("small", counted(said(one))));
    return [...shown, heading, source];
  }

  function row(number, content, severity) {
    const element = make("div", null, severity ? `row bad ${severity}` : "row");
    element.append(make("b", number), content);
    return element;
  }

  function bubble({ severity, head, help }, kind = "") {
    const element = make("span", null, `${kind} ${severity}`);
    element.append(make("span", head, "said"));
    if (help) element.append("\n", make("span", help, "help"));
    return element;
  }

  const events = new EventSource("/events");
  events.onmessage = async (event) => {
    const news = JSON.parse(event.data);
    if (seen === `${news.run}-${news.number}` && !silent) return;
    [seen, silent] = [`${news.run}-${news.number}`, false];
    if (news.figure.drawn !== page.data.drawn) await redraw(news.figure);
    tell(news);
    document.documentElement.dataset.number = news.number; // which reading the page shows
  };
  events.onerror = () => {
    silent = true;
    page.say("`blockgraph serve` does not answer; the page goes on when it does.");
  };
})();
