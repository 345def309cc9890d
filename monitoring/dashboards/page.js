"use strict";
// Values come packed in columns, per room, interval and panel; nothing from a record is ever made markup.
(() => {
  const by = (id) => document.getElementById(id);
  const data = JSON.parse(by("data").textContent);
  const inputs = Object.fromEntries(["from", "to", "interval", "room", "band", "limit"].map((name) => [name, by(name)]));
  const clock = (ms) => new Date(ms).toISOString().slice(0, 16);
  const words = (ms) => clock(ms).replace("T", " ");
  const number = (value, digits = 4) => (Number.isFinite(value) ? value.toLocaleString("en", { maximumSignificantDigits: digits }) : "–");
  const whole = (value) => value.toLocaleString("en");
  const share = (part, of) => (of ? `${(100 * part / of).toFixed(1)}%` : "–");
  const make = (name, text, attributes = {}) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  const inflate = async (text) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  };
  const parts = {};
  const part = (name) => (parts[name] ??= inflate(by(name).textContent)); // unpacked once, when it is asked for
  const rows = ({ columns, values }, [from, to]) => {
    const [time, end] = (columns.includes("time") ? ["time", "end"] : ["since", "at"]).map((name) => columns.indexOf(name)), found = [];
    for (let row = 0; row < (values[0] ?? []).length; row++)
      if (time < 0 || (values[end][row] > from && values[time][row] < to))
        found.push(Object.fromEntries(columns.map((name, column) => [name, values[column][row]])));
    return found;
  };

  // the finest interval that was kept for all of the time, and gives no more values than a chart has room for
  const fitting = (kept, [from, to], most) =>
    kept.find(({ ms, span }) => span[0] <= from && to - from <= most * ms) ?? kept.at(-1);
  const read = () => {
    const span = [inputs.from, inputs.to].map((input) => Date.parse(`${input.value}Z`));
    if (!by("controls").checkValidity() || !(span[0] < span[1])) return null;
    const [room, band, limit] = [inputs.room, inputs.band, inputs.limit].map((input) => Number(input.value));
    const untouched = Object.values(inputs).every((input) => input === inputs.interval || input.value === input.dataset.first);
    return { span, all: span.every((end, at) => end === data.span[at]), title: inputs.interval.value, room, band, limit, untouched };
  };

  // ---- scorecard
  const first = new Map([...document.querySelectorAll("[data-card], [data-note]")].map((node) => [node, node.textContent]));
  const put = (kind, name, text) => { document.querySelector(`[data-${kind}="${name}"]`).textContent = text; };
  const quantile = (bins, q) => {
    const total = [...bins.values()].reduce((sum, n) => sum + n, 0);
    let seen = 0;
    for (const bin of [...bins.keys()].sort((a, b) => a - b)) {
      seen += bins.get(bin);
      if (seen >= q * total) return data.latency_step ** (bin + 0.5) / 1e6;
    }
    return NaN;
  };
  const score = async ({ span, room, band, limit, untouched }, current) => {
    first.forEach((text, node) => { node.textContent = text; });
    if (untouched) return; // as it was counted from the records themselves
    const interval = fitting(data.tallies, span, Infinity), [low, high] = data.bands[band];
    const { counts, ...histograms } = (await part(`tallies-${room}`))[interval.name];
    if (!current()) return;
    const inside = (t) => t * 1000 + interval.ms > span[0] && t * 1000 < span[1];
    const sums = {};
    for (const name of Object.keys(counts)) sums[name] = counts[name].reduce((sum, n, row) => sum + (inside(counts.t[row]) ? n : 0), 0);
    const over = (name) => {
      const { t, bin, n } = histograms[name], found = new Map();
      for (let row = 0; row < t.length; row++) if (inside(t[row])) found.set(bin[row], (found.get(bin[row]) ?? 0) + n[row]);
      return found;
    };
    const count = (bins, has) => [...bins].reduce((sum, [bin, n]) => sum + (has(bin) ? n : 0), 0);
    const probability = over("probability"), latency = over("latency");
    const [near, far] = [low, high].map((edge) => Math.round(edge * 100));
    put("card", "readings", whole(sums.readings));
    put("card", "refused", whole(sums.refused));
    put("note", "refused", `${share(sums.refused, sums.readings)} of readings`);
    put("card", "uncertain", share(count(probability, (bin) => bin >= near && bin < far), sums.answered));
    put("note", "uncertain", `of answers, from ${low} to ${high}`);
    put("card", "flagged", whole(sums.flagged));
    put("note", "flagged", `${share(sums.flagged, sums.readings)} of readings`);
    put("card", "off", whole(count(over("distance"), (bin) => bin >= Math.round(limit * 10))));
    put("note", "off", `readings more than ${limit} °C beside ${data.expected}`);
    put("card", "latency", `${number(quantile(latency, 0.5), 2)} ms`);
    put("note", "latency", `median, about; p99 about ${number(quantile(latency, 0.99), 2)} ms`);
    put("card", "accuracy", share(sums.right, sums.told));
    put("note", "accuracy", sums.told ? `right, of ${whole(sums.told)} told` : "nobody told the truth in this time");
    put("card", "estimate", share(sums.sure, sums.answered));
    put("note", "missing", "of the whole time and all rooms");
  };

  // ---- findings
  const find = ({ span, room: at }) => {
    const here = ({ room, since, until }) => since < span[1] && (until ?? Infinity) >= span[0] && (at === 0 || room === data.rooms[at]);
    document.querySelectorAll("#events tbody tr").forEach((row, place) => { row.hidden = !here(data.events[place]); });
    const found = data.events.filter(here), open = found.filter(({ until }) => until === null);
    if (by("no-events")) by("no-events").hidden = found.length > 0;
    put("card", "open", whole(open.length));
    put("note", "open", `of ${whole(found.length)} in this time`);
  };

  // ---- charts
  const tip = by("tip");
  const say = (_, event, item, value) => {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    const lines = typeof value === "object" ? Object.entries(value).map(([name, each]) => `${name}: ${each}`) : [String(value)];
    tip.replaceChildren(...lines.map((line) => make("div", line)));
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4))}px`;
  };
  const cell = (name, value, at) => {
    const text = ["time", "end", "since", "at"].includes(name) ? words(value) : typeof value === "number" ? number(value) : value ?? "–";
    const kind = typeof value === "number" ? "number" : text.length > 40 ? "words" : "";
    return make(at ? "td" : "th", text, at ? { class: kind } : { scope: "row", class: "time" });
  };
  const line = (names, values) => {
    const row = make("tr");
    row.append(...values.map((value, at) => cell(names[at], value, at)));
    return row;
  };
  const table = ({ node, shown }) => {
    const columns = Object.keys(shown[0] ?? {}), head = make("tr"), thead = make("thead"), tbody = make("tbody");
    head.append(...columns.map((name) => make("th", name, { scope: "col" })));
    thead.append(head);
    tbody.append(...shown.slice(0, 200).map((row) => line(columns, Object.values(row))));
    node.querySelector("details table").replaceChildren(thead, tbody);
    node.querySelector("details .note").textContent = shown.length > 200 ? `The first 200 of ${whole(shown.length)} rows.` : "";
  };
  const charts = data.charts.map((chart) => ({ ...chart, node: document.querySelector(`[data-panel="${chart.name}"]`), shown: [] }));
  for (const chart of charts) chart.node.querySelector("details").addEventListener("toggle", ({ target }) => target.open && table(chart));
  const draw = async (chart, state) => {
    const span = state.all ? chart.whole : state.span, node = (name) => chart.node.querySelector(name);
    const interval = chart.kept.find(({ title }) => title === state.title) ?? fitting(chart.kept, span, data.fit);
    const variant = chart.variants[chart.choice[state.band]];
    chart.shown = rows((await part(`rows-${state.room}`))[variant.rows][interval.name], span);
    const nothing = chart.shown.every(({ count }) => !count);
    node(".nothing").hidden = !nothing;
    node(".nothing").textContent = `Nothing to draw: no such record in this time${state.all ? "" : `; the page is about ${chart.whole.map(words).join(" to ")}, by this chart's clock`}.`;
    node(".chart").hidden = node("details").hidden = nothing;
    node(".cut").textContent = interval.name === "whole" ? "Of the whole time." : `One value per ${interval.title}` + (interval.span[0] > span[0] ? `, of which the page has the latest, from ${words(interval.span[0])} on.` : ".");
    if (node("details").open) table(chart);
    if (nothing) return;
    if (chart.drawn !== variant) {
      chart.embedded?.finalize();
      const sets = variant.vega.data.map((set) => (set.name === "rows" ? { ...set, values: chart.shown } : set));
      const options = { mode: "vega", renderer: "svg", actions: false, ast: true, tooltip: say, logLevel: 1 }; // ast: no eval, see the page's policy
      chart.embedded = await vegaEmbed(node(".chart"), { ...variant.vega, data: sets }, options);
      chart.drawn = variant;
    } else await chart.embedded.view.data("rows", chart.shown).runAsync();
  };

  let turn = 0;
  const show = async () => {
    const state = read(), mine = ++turn;
    if (!state) return void (by("shown").textContent = "Choose a time that begins before it ends, and a limit from 0 to 50 °C.");
    by("shown").textContent = `${state.all ? "All the time" : state.span.map(words).join(" to ")}, ${data.rooms[state.room]}.`;
    for (const button of document.querySelectorAll("[data-range]"))
      button.setAttribute("aria-pressed", String(state.span[1] === data.span[1] && state.span[0] === begin(button)));
    delete document.body.dataset.drawn;
    const current = () => mine === turn; // else a newer choice draws now
    await score(state, current);
    find(state);
    sample(state);
    const seen = new Set(charts.filter(({ node }) => {
      const { top, bottom } = node.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    }));
    for (const inSight of [true, false]) {
      for (const chart of charts) {
        if (seen.has(chart) === inSight) await draw(chart, state);
        if (!current()) return;
      }
      await new Promise((done) => setTimeout(done)); // for the browser to paint
    }
    if (!current()) return;
    document.body.dataset.drawn = turn;
  };

  // ---- single readings
  const sorting = { column: 0, down: true };
  let page = 50, last;
  const { columns, rows: sampled } = data.sample;
  const [time, room, is] = ["time", "room", "is"].map((name) => columns.indexOf(name));
  const sample = (state) => {
    last = state ?? last;
    const kind = by("kind").value, text = by("words").value.toLowerCase(), sign = sorting.down ? -1 : 1;
    const found = sampled.filter((row) =>
      row[time] < last.span[1] && row[time] >= last.span[0] && (last.room === 0 || row[room] === data.rooms[last.room]) &&
      (!kind || row[is].split(", ").includes(kind)) && (!text || row.some((value) => String(value ?? "").toLowerCase().includes(text))));
    found.sort(({ [sorting.column]: a }, { [sorting.column]: b }) =>
      a === b ? 0 : a === null ? 1 : b === null ? -1 : (a < b ? -1 : 1) * sign);
    const body = make("tbody");
    body.append(...found.slice(0, page).map((row) => line(columns, row)));
    by("sample").querySelector("tbody")?.remove();
    by("sample").append(body);
    by("counted").textContent = `${Math.min(page, found.length)} of ${found.length} readings of the sample.`;
    by("more").hidden = found.length <= page;
  };
  const head = make("tr");
  columns.forEach((name, at) => {
    const cell = make("th", undefined, { scope: "col", "aria-sort": at ? "none" : "descending" }), button = make("button", name, { type: "button" });
    button.addEventListener("click", () => {
      Object.assign(sorting, { column: at, down: sorting.column === at && !sorting.down });
      for (const each of head.children) each.setAttribute("aria-sort", "none");
      cell.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
      sample();
    });
    cell.append(button);
    head.append(cell);
  });
  by("sample").append(make("thead"));
  by("sample").firstChild.append(head);
  by("filter").addEventListener("input", () => { page = 50; sample(); });
  by("more").addEventListener("click", () => { page += 50; sample(); });

  // ---- controls
  const begin = ({ dataset: { range } }) => (range ? Math.max(data.span[0], data.span[1] - 1000 * range) : data.span[0]);
  for (const input of Object.values(inputs)) input.dataset.first = input.value;
  for (const button of document.querySelectorAll("[data-range]"))
    button.addEventListener("click", () => {
      [inputs.from.value, inputs.to.value] = [begin(button), data.span[1]].map(clock);
      show();
    });
  let soon;
  by("controls").addEventListener("input", () => {
    clearTimeout(soon);
    soon = setTimeout(show, 150);
  });
  by("controls").addEventListener("reset", () => setTimeout(show));
  for (const form of document.querySelectorAll("form")) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  show();
})();
