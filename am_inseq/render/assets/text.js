// The text: the prompt takes the colours of one generated token.

class TextPart {
  constructor(viewer, box) {
    this.viewer = viewer;
    this.box = box;
    this.prompt = box.querySelector(".prompt");
    this.answer = box.querySelector(".answer");
    const answer = this.answer;
    answer.setAttribute("role", "listbox");
    answer.setAttribute("tabindex", "0");
    answer.setAttribute(
      "aria-label",
      "Generated tokens: left and right choose one, up and down go through what mattered to it, " +
        "Enter pins it, Escape lets it go",
    );
    box.addEventListener("pointermove", (event) => this.point(event));
    box.addEventListener("pointerleave", () => this.leave());
    answer.addEventListener("click", (event) => this.click(event));
    answer.addEventListener("keydown", (event) => viewer.key(event));
    this.byElement = new Map();
  }

  build() {
    const { scores, index } = this.viewer;
    this.promptPieces = fill(this.prompt, scores.prompt);
    this.answerPieces = fill(this.answer, scores.answer);
    this.byElement = new Map([...this.promptPieces, ...this.answerPieces].map((one) => [one.element, one]));
    this.options = [];
    for (const one of this.answerPieces) {
      if (one.target < 0) continue;
      one.element.setAttribute("role", "option");
      one.element.id = `s${index}o${one.target}-${this.byElement.size}-${this.options.length}`;
      this.options.push(one);
    }
  }

  point(event) {
    const one = this.byElement.get(event.target.closest?.(".t"));
    if (!one) return this.leave();
    if (one.target >= 0 && this.viewer.pinned < 0) this.viewer.look(one.target);
    const tip = one.target >= 0 ? this.viewer.figures(one.target) : this.viewer.aboutSpan(one.column);
    showTip(tip, event.clientX, event.clientY);
  }

  leave() {
    showTip("");
    if (this.viewer.pinned < 0 && !this.answer.matches(":focus-visible")) this.viewer.look(-1);
  }

  click(event) {
    const one = this.byElement.get(event.target.closest?.(".t"));
    if (!one || one.target < 0) return;
    this.viewer.pin(this.viewer.pinned === one.target ? -1 : one.target);
  }

  paint() {
    const { scores, target, pinned, cue } = this.viewer;
    const row = scores.row(target + 1, this.viewer.entry);
    for (const one of this.promptPieces) this.paintSpan(one, row, cue);
    const here = target < 0 ? Infinity : this.answerPieces.findIndex((one) => one.target === target);
    this.answerPieces.forEach((one, place) => {
      const isChosen = target >= 0 && one.target === target;
      if (one.target >= 0) one.element.setAttribute("aria-selected", String(isChosen));
      if (isChosen) setLook(one, `${one.base} chosen${pinned === target ? " pinned" : ""}`);
      else if (target < 0) setLook(one, one.base + this.viewer.stepLook(one.target));
      else if (place > here) setLook(one, `${one.base} later`);
      else this.paintSpan(one, row, cue);
    });
    const chosen = this.options.find((one) => one.target === target);
    if (chosen) this.answer.setAttribute("aria-activedescendant", chosen.element.id);
    else this.answer.removeAttribute("aria-activedescendant");
  }

  paintSpan(one, row, cue) {
    const level = one.column < 0 ? 0 : this.viewer.scores.level(row.values[one.column], row);
    setLook(one, one.base + lookOf(level) + (one.column >= 0 && one.column === cue ? " cue" : ""));
  }
}

/** Every generated token folded, with the text before it coloured for it once it is opened. */
class TokensPart {
  constructor(viewer) {
    this.viewer = viewer;
    this.box = make("div", { class: "tokens" });
  }

  build() {
    const { scores } = this.viewer;
    this.box.replaceChildren(
      ...scores.targets.map((text, target) => {
        const name = make("span", { class: `t${this.viewer.stepLook(target)}` }, text);
        const top = this.viewer.strongest(target, 3);
        const fold = make(
          "details",
          { class: "fold", ontoggle: () => fold.open && this.open(fold, target) },
          make("summary", {}, name, make("small", {}, top)),
        );
        return fold;
      }),
    );
  }

  open(fold, target) {
    fold.querySelector(".prompt")?.remove();
    const box = make("div", { class: "prompt", dir: "auto" });
    const { scores } = this.viewer;
    const row = scores.row(target + 1, this.viewer.entry);
    let isPast = false;
    const before = (piece) => {
      isPast ||= piece[2] === target;
      return !isPast;
    };
    const found = fill(box, [...scores.prompt, ...scores.answer], before);
    for (const one of found) {
      const level = one.column < 0 ? 0 : scores.level(row.values[one.column], row);
      setLook(one, one.base + lookOf(level));
      if (one.column >= 0) one.element.title = this.viewer.spanLine(one.column, row);
    }
    fold.append(box);
  }

  paint() {
    for (const fold of this.box.querySelectorAll("details[open]")) {
      this.open(fold, Array.prototype.indexOf.call(this.box.children, fold));
    }
  }
}
