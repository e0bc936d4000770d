// All scores at once: attributed tokens down, generated tokens across. Only what is seen is painted.

const SIZES = { dense: [16, 16], numbers: [58, 22] };
const SIDE = 150;

class MatrixPart {
  constructor(viewer) {
    this.viewer = viewer;
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.space = make("div", {}, this.canvas);
    this.scroll = make("div", {
      class: "scroll",
      tabindex: "0",
      role: "application",
      "aria-label": "Matrix of scores: arrow keys move between cells, Enter pins the generated token",
    }, this.space);
    this.box = make("div", { class: "matrix" }, this.scroll);
    this.cursor = [0, 0];
    this.scroll.addEventListener("scroll", () => this.ask());
    this.scroll.addEventListener("pointermove", (event) => this.point(event));
    this.scroll.addEventListener("pointerleave", () => showTip(""));
    this.scroll.addEventListener("click", (event) => this.click(event));
    this.scroll.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.ask()).observe(this.scroll);
  }

  build() {
    const { scores } = this.viewer;
    this.perTarget = scores.beside < 0 ? 1 : scores.dims[scores.beside].entries.length;
    this.across = scores.targets.length * this.perTarget;
    this.down = scores.columns;
    this.withNumbers = this.viewer.withNumbers ?? this.across <= 30;
    [this.wide, this.high] = this.withNumbers ? SIZES.numbers : SIZES.dense;
    this.top = this.perTarget > 1 ? (this.withNumbers ? 42 : 62) : this.withNumbers ? 26 : 92;
    const width = SIDE + this.across * this.wide + 2;
    const height = this.top + this.down * this.high + 2;
    this.space.style.cssText = `width:${width}px;height:${height}px`;
    this.cursor = [0, 0];
  }

  ask() {
    if (this.asked || this.box.hidden) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.paint();
    });
  }

  /** [target, entry] of a column of cells. */
  place(column) {
    if (this.perTarget === 1) return [column, this.viewer.entry];
    return [Math.floor(column / this.perTarget), column % this.perTarget];
  }

  row(column) {
    const [target, entry] = this.place(column);
    return this.viewer.scores.row(target + 1, entry);
  }

  /** The cell under a pointer, or null. */
  cell(event) {
    const box = this.scroll.getBoundingClientRect();
    const x = event.clientX - box.left - SIDE;
    const y = event.clientY - box.top - this.top;
    if (x < 0 || y < 0) return null;
    const column = Math.floor((x + this.scroll.scrollLeft) / this.wide);
    const span = Math.floor((y + this.scroll.scrollTop) / this.high);
    return column < this.across && span < this.down ? [span, column] : null;
  }

  about([span, column]) {
    const { scores } = this.viewer;
    const [target, entry] = this.place(column);
    const row = this.row(column);
    const beside = this.perTarget > 1 ? ` (${scores.dims[scores.beside].name} ${scores.dims[scores.beside].entries[entry]})` : "";
    if (!(row.values[span] === row.values[span])) {
      return `${quoted(scores.spans[span])} does not come before ${quoted(scores.targets[target])}`;
    }
    return `${this.viewer.spanLine(span, row)} for ${quoted(scores.targets[target])}${beside}`;
  }

  point(event) {
    const cell = this.cell(event);
    showTip(cell ? this.about(cell) : "", event.clientX, event.clientY);
  }

  click(event) {
    const cell = this.cell(event);
    if (!cell) return;
    this.cursor = cell;
    this.viewer.pin(this.place(cell[1])[0]);
    this.viewer.say(this.about(cell));
  }

  key(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    if (event.key === "Enter") this.viewer.pin(this.place(this.cursor[1])[0]);
    else if (event.key === "Escape") this.viewer.pin(-1);
    else if (!step) return;
    event.preventDefault();
    if (!step) return;
    this.cursor = [
      Math.max(0, Math.min(this.down - 1, this.cursor[0] + step[0])),
      Math.max(0, Math.min(this.across - 1, this.cursor[1] + step[1])),
    ];
    this.reveal();
    this.viewer.say(this.about(this.cursor));
    this.ask();
  }

  reveal() {
    const { scroll } = this;
    const x = this.cursor[1] * this.wide;
    const y = this.cursor[0] * this.high;
    const wide = scroll.clientWidth - SIDE - this.wide;
    const high = scroll.clientHeight - this.top - this.high;
    scroll.scrollLeft = Math.max(x - wide, Math.min(scroll.scrollLeft, x));
    scroll.scrollTop = Math.max(y - high, Math.min(scroll.scrollTop, y));
  }

  colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    const known = new Map();
    return (name) => {
      if (!known.has(name)) known.set(name, read(name));
      return known.get(name);
    };
  }

  paint() {
    const { canvas, scroll } = this;
    const width = scroll.clientWidth;
    const height = Math.min(scroll.clientHeight, this.top + this.down * this.high + 2);
    const dots = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dots) || canvas.height !== Math.round(height * dots)) {
      canvas.width = Math.round(width * dots);
      canvas.height = Math.round(height * dots);
      canvas.style.cssText = `width:${width}px;height:${height}px`;
    }
    const pen = canvas.getContext("2d");
    const colour = this.colours();
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.fillStyle = colour("page");
    pen.fillRect(0, 0, width, height);
    const seen = {
      left: Math.floor(scroll.scrollLeft / this.wide),
      right: Math.min(this.across, Math.ceil((scroll.scrollLeft + width - SIDE) / this.wide)),
      first: Math.floor(scroll.scrollTop / this.high),
      last: Math.min(this.down, Math.ceil((scroll.scrollTop + height - this.top) / this.high)),
    };
    pen.save();
    pen.beginPath();
    pen.rect(SIDE, this.top, width - SIDE, height - this.top);
    pen.clip();
    for (let column = seen.left; column < seen.right; column++) this.paintColumn(pen, colour, column, seen);
    this.paintCursor(pen, colour);
    pen.restore();
    this.paintSide(pen, colour, seen, height);
    this.paintHead(pen, colour, seen, width);
  }

  x(column) {
    return SIDE + column * this.wide - this.scroll.scrollLeft;
  }

  y(span) {
    return this.top + span * this.high - this.scroll.scrollTop;
  }

  paintColumn(pen, colour, column, seen) {
    const row = this.row(column);
    const x = this.x(column);
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (let span = seen.first; span < seen.last; span++) {
      const value = row.values[span];
      if (!(value === value)) continue;
      const level = this.viewer.scores.level(value, row);
      const name = level ? `${level > 0 ? "o" : "b"}${Math.abs(level)}` : "raised";
      pen.fillStyle = colour(name);
      pen.fillRect(x, this.y(span), this.wide - 1, this.high - 1);
      if (!this.withNumbers) continue;
      pen.fillStyle = level ? colour(`${name}t`) : colour("quiet");
      pen.fillText(this.figure(value), x + this.wide - 6, this.y(span) + this.high / 2);
    }
  }

  /** At most seven characters. */
  figure(value) {
    const size = Math.abs(value);
    if (size !== 0 && (size < 0.001 || size >= 10000)) return value.toExponential(0).replaceAll("-", "−");
    return value.toFixed(3).slice(0, value < 0 ? 6 : 5).replace("-", "−");
  }

  paintCursor(pen, colour) {
    const { viewer } = this;
    pen.lineWidth = 2;
    pen.strokeStyle = colour("link");
    if (viewer.target >= 0) {
      const wide = this.wide * this.perTarget;
      pen.strokeRect(this.x(viewer.target * this.perTarget) - 1, this.top + 1, wide + 1, this.down * this.high);
    }
    if (document.activeElement !== this.scroll) return;
    pen.strokeStyle = colour("text");
    pen.strokeRect(this.x(this.cursor[1]) - 1, this.y(this.cursor[0]) - 1, this.wide + 1, this.high + 1);
  }

  paintSide(pen, colour, seen, height) {
    const { scores } = this.viewer;
    pen.fillStyle = colour("page");
    pen.fillRect(0, this.top, SIDE, height - this.top);
    pen.save();
    pen.beginPath();
    pen.rect(0, this.top, SIDE, height - this.top);
    pen.clip();
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.fillStyle = colour("text");
    pen.font = `${this.withNumbers ? 13 : 12}px system-ui, sans-serif`;
    for (let span = seen.first; span < seen.last; span++) {
      pen.fillText(scores.spans[span], SIDE - 8, this.y(span) + this.high / 2, SIDE - 12);
    }
    pen.restore();
  }

  paintHead(pen, colour, seen, width) {
    pen.fillStyle = colour("page");
    pen.fillRect(0, 0, width, this.top);
    pen.save();
    pen.beginPath();
    pen.rect(SIDE, 0, width - SIDE, this.perTarget > 1 ? 1e5 : this.top);
    pen.clip();
    for (let column = seen.left; column < seen.right; column++) this.paintName(pen, colour, column);
    pen.restore();
    if (this.perTarget > 1) {
      const { dims, beside } = this.viewer.scores;
      pen.font = "11px system-ui, sans-serif";
      pen.fillStyle = colour("quiet");
      pen.textAlign = "right";
      pen.fillText(dims[beside].name, SIDE - 8, this.top - 12);
    }
    pen.fillStyle = colour("rule");
    pen.fillRect(SIDE, this.top - 1, width - SIDE, 1);
    pen.fillRect(SIDE - 2, this.top, 1, 1e5);
  }

  paintName(pen, colour, column) {
    const { scores, target: chosen } = this.viewer;
    const [target, entry] = this.place(column);
    const isChosen = target === chosen;
    const name = scores.targets[target];
    const font = (size) => `${isChosen ? "bold " : ""}${size}px system-ui, sans-serif`;
    const ink = colour(isChosen ? "link" : "text");
    const x = this.x(column);
    pen.textBaseline = "middle";
    if (this.perTarget === 1) {
      this.text(pen, name, [x, this.top], font(this.withNumbers ? 13 : 12), ink);
      return;
    }
    this.text(pen, String(scores.dims[scores.beside].entries[entry]), [x, this.top], "11px system-ui, sans-serif", colour("quiet"));
    if (entry !== 0 && x - this.wide >= SIDE) return;
    const start = this.x(target * this.perTarget);
    const end = start + this.wide * this.perTarget;
    pen.font = font(13);
    pen.fillStyle = ink;
    pen.textAlign = "left";
    const left = Math.max(start, SIDE) + 4;
    if (end - left > 24) pen.fillText(name, left, 13, end - left - 6);
    pen.fillStyle = colour("rule");
    if (start > SIDE) pen.fillRect(start - 1, 0, 1, 1e5);
  }

  /** One word at the lower end of the head: upright over wide cells, turned over narrow ones. */
  text(pen, word, [x, bottom], font, ink) {
    pen.font = font;
    pen.fillStyle = ink;
    if (this.withNumbers) {
      pen.textAlign = "right";
      pen.fillText(word, x + this.wide - 6, bottom - 12, this.wide - 8);
      return;
    }
    pen.save();
    pen.translate(x + this.wide / 2, bottom - 6);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "left";
    pen.fillText(word, 0, 0, bottom - (this.perTarget > 1 ? 34 : 10));
    pen.restore();
  }
}
