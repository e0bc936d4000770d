// The numbers of one row as a table that can be read without seeing colours.

class NumbersPart {
  constructor(viewer) {
    this.viewer = viewer;
    this.byText = false;
    this.limit = 100;
    this.box = make("div", { class: "numbers", tabindex: "0", role: "region", "aria-label": "Numbers" });
  }

  build() {
    this.limit = 100;
  }

  paint() {
    const { viewer } = this;
    const { scores } = viewer;
    const row = scores.row(viewer.target + 1, viewer.entry);
    const order = scores.order(row);
    const rank = new Map(order.map((column, place) => [column, place + 1]));
    let shown = order.slice(0, this.limit);
    if (this.byText) shown = [...shown].sort((a, b) => a - b);
    const of = viewer.target < 0 ? "the whole output" : quoted(scores.targets[viewer.target]);
    const table = make(
      "table",
      {},
      make("caption", {}, `What mattered to ${of}: ${shown.length} of ${order.length}`),
      make("thead", {}, this.line(row.isShare ? ["token", "rank", "share"] : ["token", "rank", "share", scores.measure], "col")),
    );
    const body = make("tbody");
    for (const column of shown) {
      const value = row.values[column];
      const cells = [scores.spans[column], rank.get(column), share(value, row)];
      if (!row.isShare) cells.push(written(value));
      body.append(this.line(cells, "row", value, row));
    }
    table.append(body);
    const more = shown.length < order.length;
    this.box.replaceChildren(
      make(
        "p",
        { class: "bar" },
        choice("of", [["-1", "the whole output"], ...scores.targets.map((text, at) => [String(at), `${at + 1} ${text}`])],
          String(viewer.target), (at) => viewer.pin(Number(at))) ?? "",
        choice("in the order of", [["rank", "rank"], ["text", "the text"]], this.byText ? "text" : "rank", (by) => {
          this.byText = by === "text";
          this.paint();
        }),
      ),
      table,
      more
        ? make("button", { type: "button", onclick: () => { this.limit = Infinity; this.paint(); } }, `Show all ${order.length}`)
        : "",
    );
  }

  line([first, ...others], scope, value, row) {
    const isHead = scope === "col";
    const cells = others.map((text) => make(isHead ? "th" : "td", isHead ? { scope } : {}, String(text)));
    if (!isHead) cells[1].className = `t${lookOf(this.viewer.scores.level(value, row))}`;
    return make("tr", {}, make("th", { scope }, first), ...cells);
  }
}
