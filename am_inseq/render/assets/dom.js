// Elements, and what every part of a viewer is made of.

/** An element: make("p", { class: "x", onclick }, "text", child). */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A labelled choice; null where there is only one. */
function choice(name, options, chosen, onChange) {
  if (options.length < 2) return null;
  const select = make("select", { onchange: () => onChange(select.value) });
  for (const [value, text] of options) {
    select.append(make("option", { value, selected: value === chosen }, text));
  }
  return make("label", {}, name, select);
}

const lookOf = (level) => (level === 0 ? "" : ` ${level > 0 ? "o" : "b"}${Math.abs(level)}`);

/** Text with line breaks that can be seen. */
function shownText(text) {
  const parts = text.split("\n");
  return parts.flatMap((part, index) =>
    index === 0 ? [part] : [make("i", { class: "nl" }), `\n${part}`],
  );
}

/** The nodes of one piece of text and the element that carries its colour, if any. */
function pieceElement([text, column, target, marks]) {
  const end = marks & 2 ? [make("br")] : [];
  if (column < 0 && target < 0) return { nodes: [...shownText(text), ...end], element: null };
  const base = marks & 1 ? "t special" : "t";
  const element = make("span", { class: base }, ...shownText(text));
  return { nodes: [element, ...end], element, base };
}

/** Fills `box` with pieces; gives [{element, column, target, base}]. */
function fill(box, pieces, keep = () => true) {
  const found = [];
  const nodes = [];
  for (const piece of pieces) {
    if (!keep(piece)) continue;
    const made = pieceElement(piece);
    nodes.push(...made.nodes);
    if (made.element) {
      found.push({ element: made.element, column: piece[1], target: piece[2], base: made.base, look: made.base });
    }
  }
  box.replaceChildren(...nodes);
  return found;
}

function setLook(one, look) {
  if (one.look === look) return;
  one.look = look;
  one.element.className = look;
}

const quoted = (text) => `“${text}”`;

const TIP = { element: null };

function showTip(text, x, y) {
  if (!TIP.element) document.body.append((TIP.element = make("div", { class: "tip", "aria-hidden": "true" })));
  const tip = TIP.element;
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 4))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 8 : y + 18}px`;
}

/** Light, dark, or what the system says. */
function themeButton(onChange) {
  const order = ["auto", "light", "dark"];
  let now = 0;
  const root = document.documentElement;
  const show = () => {
    if (order[now] === "auto") delete root.dataset.theme;
    else root.dataset.theme = order[now];
    button.textContent = `Theme: ${order[now]}`;
    onChange();
  };
  const button = make("button", {
    type: "button",
    onclick: () => {
      now = (now + 1) % order.length;
      show();
    },
  });
  try {
    // A notebook's own theme, where this page stands in a frame of it.
    const outside = window.frameElement ? parent.document.body.dataset : {};
    const isLight = outside.jpThemeLight ?? (outside.vscodeThemeKind && String(/light/.test(outside.vscodeThemeKind)));
    if (isLight !== undefined && isLight !== "") now = isLight === "true" ? 1 : 2;
  } catch {
    // A frame of another origin says nothing.
  }
  show();
  return button;
}
