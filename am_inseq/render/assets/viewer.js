// One sequence of the page: which table, which unit, which generated token, in which view.

const MODES = { text: "Text", tokens: "Tokens", matrix: "Matrix", numbers: "Numbers" };

class Viewer {
  constructor(page, tables, section, index) {
    this.page = page;
    this.index = index;
    this.section = section;
    this.tables = tables.map((table) => new Scores(table, page));
    this.scores = this.tables[0];
    this.target = this.pinned = this.cue = -1;
    this.entry = undefined;
    this.mode = page.mode;
    this.step = page.step ?? "";
    this.said = section.querySelector(".said");
    this.said.setAttribute("aria-live", "polite");
    this.bar = make("div", { class: "bar", role: "group", "aria-label": "What is shown" });
    const text = section.querySelector(".text");
    text.before(this.bar);
    this.parts = {
      text: new TextPart(this, text),
      tokens: new TokensPart(this),
      matrix: new MatrixPart(this),
      numbers: new NumbersPart(this),
    };
    this.said.before(this.parts.tokens.box, this.parts.matrix.box, this.parts.numbers.box);
    this.said.after((this.legend = make("p", { class: "legend" })));
    this.rebuild();
  }

  part() {
    return this.parts[this.mode];
  }

  /** After another table or mode. */
  rebuild() {
    for (const [mode, part] of Object.entries(this.parts)) part.box.hidden = mode !== this.mode;
    this.part().build();
    this.buildBar();
    this.buildLegend();
    this.paint();
  }

  paint() {
    this.part().paint();
    this.say(this.target < 0 ? this.aboutWhole() : this.aboutTarget(this.target));
  }

  say(text) {
    if (this.said.textContent !== text) this.said.textContent = text;
  }

  buildBar() {
    const { scores } = this;
    const once = (values) => [...new Set(values)];
    const names = once(this.tables.map((one) => one.name));
    const units = this.tables.filter((one) => one.name === scores.name).map((one) => one.unit);
    const tabs = make("span", { class: "tabs", role: "group", "aria-label": "View" });
    for (const [mode, name] of Object.entries(MODES)) {
      const choose = () => {
        this.mode = mode;
        this.rebuild();
        this.bar.querySelector("[aria-pressed=true]").focus();
      };
      tabs.append(make("button", { type: "button", "data-mode": mode, "aria-pressed": String(mode === this.mode), onclick: choose }, name));
    }
    const rules = [["row", "each token"], ["all", "the whole table"]];
    if (this.page.low !== null || this.page.high !== null) rules.push(["given", "the given range"]);
    const items = [
      tabs,
      choice("scores", names.map((name) => [name, name]), scores.name, (name) => this.choose(name, scores.unit)),
      choice("unit", units.map((unit) => [unit, unit]), scores.unit, (unit) => this.choose(scores.name, unit)),
      choice("colours relative to", rules, scores.relative, (rule) => {
        for (const one of this.tables) one.relative = rule;
        this.paint();
      }),
      choice("mark tokens by", [["", "nothing"], ...Object.keys(scores.steps).map((name) => [name, name])], this.step, (name) => {
        this.step = name;
        this.rebuild();
      }),
      ...this.sliders(),
    ];
    if (this.mode === "matrix") items.push(this.numbersBox());
    this.bar.replaceChildren(...items.filter(Boolean));
  }

  numbersBox() {
    const box = make("input", {
      type: "checkbox",
      checked: this.parts.matrix.withNumbers,
      onchange: () => {
        this.withNumbers = box.checked;
        this.parts.matrix.build();
        this.parts.matrix.paint();
      },
    });
    return make("label", {}, box, "numbers");
  }

  sliders() {
    return this.scores.dims.map((dim, at) => {
      if (this.mode === "matrix" && at === this.scores.beside) return null;
      const output = make("output", {}, String(dim.entries[this.scores.at[at]]));
      const input = make("input", {
        type: "range",
        min: 0,
        max: dim.entries.length - 1,
        value: this.scores.at[at],
        "aria-label": dim.name,
        oninput: () => {
          this.scores.at[at] = Number(input.value);
          output.textContent = String(dim.entries[this.scores.at[at]]);
          input.setAttribute("aria-valuetext", `${dim.name} ${output.textContent}`);
          if (this.mode === "tokens") this.part().build();
          this.paint();
        },
      });
      return make("label", { class: "slider" }, dim.name, input, output);
    });
  }

  choose(name, unit) {
    const of = this.tables.filter((one) => one.name === name);
    const relative = this.scores.relative;
    this.scores = of.find((one) => one.unit === unit) ?? of[0];
    this.scores.relative = relative;
    this.target = this.pinned = this.cue = -1;
    this.rebuild();
  }

  buildLegend() {
    const steps = this.page.thresholds;
    const swatches = (hue, order) =>
      order.map((at) => make("b", { class: `${hue}${at + 1}` }, String(Math.round(steps[at] * 100))));
    const up = [...steps.keys()];
    const items = this.scores.signed ? ["against ", ...swatches("b", [...up].reverse()), make("span", { class: "gap" }, "·")] : ["≥ "];
    items.push(...swatches("o", up), this.scores.signed ? " for" : "", " % of the strongest");
    if (this.step) items.push(make("span", { class: "gap" }, "·"), `${this.step}: `, ...swatches("g", up), " % of the largest");
    this.legend.replaceChildren(...items);
  }

  /** The colour of a generated token for its own figure. */
  stepLook(target) {
    const values = this.step ? this.scores.steps[this.step] : undefined;
    const value = target < 0 ? null : values?.[target];
    if (value === null || value === undefined) return "";
    const most = largestOf(values.filter((one) => one !== null));
    const level = this.page.thresholds.filter((least) => Math.abs(value) >= least * (most || 1) - 1e-9).length;
    if (level === 0) return "";
    return ` ${value < 0 ? "b" : values.some((one) => one < 0) ? "o" : "g"}${level}`;
  }

  /** Shows one generated token; -1 for the whole output. */
  look(target) {
    if (target === this.target && this.cue < 0) return;
    this.target = target;
    this.cue = -1;
    this.askPaint();
  }

  askPaint() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = undefined;
      this.paint();
    });
  }

  pin(target) {
    this.pinned = this.target = target;
    this.cue = -1;
    this.paint();
  }

  key(event) {
    const last = this.scores.targets.length - 1;
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (event.key in steps) {
      const next = Math.max(0, Math.min(last, this.target < 0 ? 0 : this.target + steps[event.key]));
      if (this.pinned >= 0) this.pinned = next;
      this.target = next;
      this.cue = -1;
      this.paint();
    } else if (event.key === "Home" || event.key === "End") {
      this.look(event.key === "Home" ? 0 : last);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.walk(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" || event.key === " ") {
      if (this.target >= 0) this.pin(this.pinned === this.target ? -1 : this.target);
    } else if (event.key === "Escape") {
      this.pin(-1);
    } else return;
    event.preventDefault();
    this.section.querySelector(".chosen")?.scrollIntoView({ block: "nearest" });
  }

  /** To the next stronger or weaker span of the shown token. */
  walk(step) {
    const row = this.scores.row(this.target + 1, this.entry);
    const order = this.scores.order(row);
    if (!order.length) return;
    const now = this.cue < 0 ? (step > 0 ? -1 : order.length) : order.indexOf(this.cue);
    this.cue = order[Math.max(0, Math.min(order.length - 1, now + step))];
    this.part().paint();
    this.section.querySelector(".cue")?.scrollIntoView({ block: "nearest" });
    this.say(this.aboutSpan(this.cue));
  }

  spanLine(column, row) {
    const value = row.values[column];
    if (!(value === value)) return `${quoted(this.scores.spans[column])}: no score here`;
    const place = `rank ${this.scores.rank(row, column)} of ${this.scores.order(row).length}`;
    const figure = row.isShare ? "" : `${written(value)} ${this.scores.measure}, `;
    return `${quoted(this.scores.spans[column])}: ${share(value, row)}, ${figure}${place}`;
  }

  aboutSpan(column) {
    if (column < 0) return "";
    const of = this.target < 0 ? "the whole output" : quoted(this.scores.targets[this.target]);
    return `${this.spanLine(column, this.scores.row(this.target + 1, this.entry))} for ${of}`;
  }

  strongest(target, count) {
    const row = this.scores.row(target + 1, this.entry);
    return this.scores
      .order(row)
      .slice(0, count)
      .filter((column) => row.values[column] !== 0)
      .map((column) => `${quoted(this.scores.spans[column])} ${share(row.values[column], row)}`)
      .join(", ");
  }

  aboutWhole() {
    return `Whole output. Strongest: ${this.strongest(-1, 5) || "nothing"}`;
  }

  figures(target) {
    return Object.entries(this.scores.steps)
      .filter(([, values]) => values[target] !== null)
      .map(([name, values]) => `${name} ${written(values[target])}`)
      .join(", ");
  }

  aboutTarget(target) {
    const { scores } = this;
    const figures = this.figures(target);
    const head = `Token ${target + 1} of ${scores.targets.length} ${quoted(scores.targets[target])}`;
    return `${head}${figures ? `: ${figures}` : ""}. Strongest: ${this.strongest(target, 5) || "nothing"}`;
  }
}

function start() {
  const page = JSON.parse(document.getElementById("data").textContent);
  const viewers = page.sheets.flatMap((tables, index) =>
    tables.length ? [new Viewer(page, tables, document.getElementById(`sheet${index}`), index)] : [],
  );
  document.querySelector("header").append(
    themeButton(() => viewers.forEach((one) => one.mode === "matrix" && one.paint())),
  );
  matchMedia("(prefers-color-scheme:dark)").addEventListener("change", () => viewers.forEach((one) => one.mode === "matrix" && one.paint()));
  if (window !== parent) document.documentElement.dataset.framed = "true";
  const fit = () => {
    try {
      if (window.frameElement) window.frameElement.style.height = `${document.documentElement.offsetHeight + 8}px`;
    } catch {
      // A frame of another origin keeps its height.
    }
  };
  new ResizeObserver(fit).observe(document.body);
  document.documentElement.dataset.ready = "true";
}

start();
